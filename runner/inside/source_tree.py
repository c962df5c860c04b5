"""Where a package's source lies that comes from no index: a folder or file of the commit, or another repository's."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import asdict, dataclass
from urllib.parse import parse_qs, urlsplit, urlunsplit

_FULL = re.compile(r"[0-9a-f]{40}")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9._-]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>(?!//|\d+/).+)")


@dataclass(frozen=True)
class SourceTree:
    """A place that a package is built from.

    `path` is relative to the repository's root. `address` and `revision` are those of another repository, None for the
    one of the run; a revision may be a full commit id, a tag, a branch, or None for the default branch. `extras` is
    `[a,b]` or empty. `version` is what a lock says of it.
    """

    path: str
    name: str | None = None
    address: str | None = None
    revision: str | None = None
    extras: str = ""
    editable: bool = False
    version: str | None = None

    @property
    def is_file(self) -> bool:
        """Tell whether it is an archive in the repository, and not a folder."""
        return self.path.endswith((".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz"))

    @property
    def exact(self) -> bool:
        """Tell whether it can never be anything else: a revision that is no full id may be moved."""
        return self.address is None or (self.revision is not None and _FULL.fullmatch(self.revision) is not None)

    @property
    def key(self) -> str:
        """Letters and digits that stand for what is built from it."""
        fields = {name: value for name, value in asdict(self).items() if name not in {"extras", "name", "version"}}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def title(self) -> str:
        """What a person calls it."""
        if self.address is None:
            return "the repository's own package" if self.path == "." else f"{self.path} of the repository"
        where = self.address if self.path == "." else f"{self.path} of {self.address}"
        return f"{where} at {(self.revision or 'its default branch')[:40]}"


def of_folder(path: str, *, name: str | None, editable: bool, version: str | None = None) -> SourceTree:
    """Return a place in the run's own repository."""
    return SourceTree(posixpath.normpath(path), name=name, editable=editable, version=version)


def of_git(
    address: str,
    *,
    name: str | None,
    revision: str | None = None,
    subdirectory: str | None = None,
    version: str | None = None,
) -> SourceTree:
    """Return a folder of another repository. Raises ValueError for an address that is not followed.

    Only https and ssh are: both say who answers.
    """
    text = address.removeprefix("git+")
    if "://" not in text and (match := _SCP.fullmatch(text)):
        text = f"ssh://{match['user'] or ''}{match['host']}/{match['path']}"
    parts = urlsplit(text)
    if parts.scheme not in {"https", "ssh"} or not parts.hostname or parts.hostname.startswith("-"):
        raise ValueError("only https and ssh are followed")
    user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
    # A password in a public file is nobody's to use; the user of ssh is part of the address.
    netloc = parts.netloc.rpartition("@")[2]
    if parts.scheme == "ssh" and user and not colon:
        netloc = f"{user}@{netloc}"
    inner = posixpath.normpath(subdirectory or ".")
    if inner.startswith(("/", "../")) or inner == "..":
        raise ValueError("its subdirectory lies outside of it")
    plain = urlunsplit((parts.scheme, netloc, parts.path, "", ""))
    return SourceTree(inner, name=name, address=plain, revision=revision or None, version=version)


def of_requirement(address: str, *, name: str | None) -> SourceTree:
    """Return the folder that `git+https://HOST/PATH@REVISION#subdirectory=…` names. Raises ValueError."""
    text, _, fragment = address.partition("#")
    named = {key: values[-1] for key, values in parse_qs(fragment).items()}
    path_at = text.rfind("@")
    revision = None
    if path_at > max(text.find("/", text.find("://") + 3), 0):
        text, revision = text[:path_at], text[path_at + 1 :]
    egg = re.match(r"[A-Za-z0-9._-]+", named.get("egg", ""))
    extras = re.search(r"\[[A-Za-z0-9,._ -]*\]", named.get("egg", ""))
    tree = of_git(
        text, name=name or (egg[0] if egg else None), revision=revision, subdirectory=named.get("subdirectory")
    )
    return SourceTree(**{**asdict(tree), "extras": extras[0] if extras else ""})
