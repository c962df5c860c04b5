"""Where a package's source lies that comes from no index: a folder or file of the commit, or another repository's."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import asdict, dataclass, replace
from urllib.parse import parse_qs, urlsplit, urlunsplit

_FULL = re.compile(r"[0-9a-f]{40}")
_ARCHIVES = (".whl", ".tar.gz", ".tgz", ".tar.bz2", ".zip")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:\s*=\s*|\s+)?")
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?P<extras>\[[^\]]*\])?\s*@\s*(?P<place>[^@\s].*)")
_VERSION_TAG = re.compile(r"(?:release[-/]?|version[-/]?)?v?(?P<version>\d+(?:\.\d+)+(?:(?:a|b|rc|\.post|\.dev)\d+)?)")
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
        return self.address is None and _is_archive(self.path)

    @property
    def exact(self) -> bool:
        """Tell whether it can never be anything else: a revision that is no full id may be moved."""
        return self.address is None or (self.revision is not None and _FULL.fullmatch(self.revision) is not None)

    @property
    def known_version(self) -> str | None:
        """What a lock, or the name of a tag, says of its version; the archive of a commit has no tags to ask."""
        match = _VERSION_TAG.fullmatch(self.revision or "")
        return self.version or (match["version"] if match else None)

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


def of_line(line: str, root: str) -> tuple[SourceTree, str] | None:
    """Return the place that a line of a requirement file names, and its marker; None for a package of an index.

    `line` is a requirement, or `-e` and what it installs; paths begin at the folder `root`. An archive at an https
    address is what an index has, too. Raises ValueError with the reason for a place that cannot be had again.
    """
    editable = _EDITABLE.match(line)
    text, _, marker = re.sub(r"\s--[a-z].*$", "", line[editable.end() :] if editable else line).partition(" ;")
    text = text.strip().strip("'\"")
    named = _NAMED.fullmatch(text)
    place = named["place"] if named else text
    name, extras = (named["name"], named["extras"] or "") if named else (None, "")
    if re.match(r"git(\+|@|://)", place):
        tree = _of_git_requirement(place, name)
        return replace(tree, extras=extras or tree.extras), marker.strip()
    if re.match(r"(hg|svn|bzr)(\+|:)", place):
        raise ValueError("only repositories of git are followed")
    if place.startswith("https://") and not editable:
        return None
    if "://" in place and not place.startswith("file://./"):
        raise ValueError("it comes from a place that only its author's machine had")
    if not named:
        bare, bracket, rest = place.partition("[")
        place, extras = bare.strip(), bracket + rest
    if not (editable or place.startswith((".", "/", "~", "file:")) or re.search(r"[\\/]", place) or _is_archive(place)):
        return None
    tree = in_repository(place, root, name=name, editable=editable is not None)
    return replace(tree, extras=extras), marker.strip()


def in_repository(path: str, root: str, *, name: str | None, editable: bool, version: str | None = None) -> SourceTree:
    """Return the folder or file that a list in the folder `root` names by a path. Raises ValueError."""
    plain = path.removeprefix("file:").removeprefix("//").replace("\\", "/")
    if plain.startswith(("/", "~")) or re.match(r"[A-Za-z]:", plain):
        raise ValueError("it comes from a place that only its author's machine had")
    inner = posixpath.normpath(posixpath.join(root, plain))
    if inner == ".." or inner.startswith("../"):
        raise ValueError("it lies outside the repository")
    return SourceTree(inner, name=name, editable=editable, version=version)


def _of_git_requirement(address: str, name: str | None) -> SourceTree:
    """Return the folder that `git+https://HOST/PATH@REVISION#subdirectory=…` names."""
    text, _, fragment = address.partition("#")
    named = {key: values[-1] for key, values in parse_qs(fragment).items()}
    at = text.rfind("@")
    revision = None
    if at > text.find("/", text.find("://") + 3) > 0:
        text, revision = text[:at], text[at + 1 :]
    egg = re.fullmatch(r"(?P<name>[A-Za-z0-9._-]+)\s*(?P<extras>\[[A-Za-z0-9,._ -]*\])?", named.get("egg", ""))
    tree = of_git(
        text,
        name=name or (egg["name"] if egg else None),
        revision=revision,
        subdirectory=named.get("subdirectory"),
    )
    return replace(tree, extras=(egg["extras"] or "") if egg else "")


def _is_archive(path: str) -> bool:
    return path.endswith(_ARCHIVES)
