"""Where a repository is said to be: an address that git may be given, or a folder of this host. Looks at paths only."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from runner.errors import MissingFact
from runner.redact import redact

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SCP = re.compile(r"(?P<host>[^/:\s]+):(?!//)(?P<path>.+)")
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_DRIVE = re.compile(r"(file:/*)?[A-Za-z]:[\\/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
PROTOCOLS = ("https", "http", "ssh", "git")


@dataclass(frozen=True)
class Address:
    """A repository's place. `text` is what git is given and may hold credentials; `shown` never does.

    `path` is set for a folder or a bundle of this host.
    """

    text: str
    shown: str
    path: Path | None

    @property
    def key(self) -> str:
        """A file name for what is kept of this place, the same whatever the credentials are."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.shown.rstrip("/").removesuffix(".git").rpartition("/")[2]).strip("-")
        return f"{name[:40] or 'repository'}-{hashlib.sha256(self.shown.encode()).hexdigest()[:16]}"


def parse_address(location: str) -> Address:
    """Return what `location` names: a path, `file://PATH`, an address by https, http, ssh or git, or `USER@HOST:PATH`.

    Raises MissingFact for what git could run a command for (`ext::…`, a leading `-`), for other protocols and for a
    drive of another machine.
    """
    text = location.strip()
    if not text or text.startswith("-") or _HELPER.match(text) or _CONTROL.search(text):
        raise _refused(text, "is no address that git may be given")
    if _DRIVE.match(text) or text.startswith("\\\\"):
        raise _refused(text, "is a drive of another machine")
    match = _SCHEME.match(text)
    if match is None:
        if _SCP.fullmatch(text) is None or Path(text).exists():
            return _local(Path(text).expanduser())
        if (host := text.partition(":")[0].rpartition("@")[2]) and not host.startswith("-"):
            return Address(text, redact(text), None)
        raise _refused(text, "is no address that git may be given")
    scheme = match["scheme"].lower()
    parts = urlsplit(text)
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise _refused(text, "is on another machine")
        return _local(Path(unquote(parts.path)))
    userinfo, _, host = parts.netloc.rpartition("@")
    if scheme not in PROTOCOLS or not host or host.startswith("-") or userinfo.startswith("-"):
        raise _refused(text, f"is not by one of {', '.join(PROTOCOLS)}")
    user, colon, _ = userinfo.partition(":")
    shown_userinfo = f"{user}@" if scheme == "ssh" and user and not colon else ""
    shown = urlunsplit((scheme, shown_userinfo + host, parts.path, "", ""))
    return Address(text, redact(shown), None)


def _local(path: Path) -> Address:
    resolved = path.resolve()
    return Address(str(resolved), str(resolved), resolved)


def _refused(text: str, why: str) -> MissingFact:
    return MissingFact(
        f"the repository {redact(text)!r} {why}", "name the repository: --repo URL_OR_PATH", fact="repository"
    )
