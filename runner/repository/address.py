"""Where a repository is said to be: an address that git may be given, or a folder of this host. Looks at paths only."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from runner.errors import MissingFact
from runner.lineage.transport import SCHEME, SCP, why_refused
from runner.redact import redact

_TOKEN = re.compile(r"(?i)gh[a-z]_|github_pat_|glpat-|.{20}")  # a name before the host that begins so is none


@dataclass(frozen=True)
class Login:
    """Who asks, as an address had it. It is in no argument of a process: those are shown to everybody on this host.

    `place` is the scheme and host that it is for.
    """

    place: str
    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class Address:
    """A repository's place. `text` is what git is given, `shown` what people are; neither holds a password.

    `path` is set for a folder or a bundle of this host. `login` is the password, or the token, that an address
    by https or http had before its host.
    """

    text: str
    shown: str
    path: Path | None
    login: Login | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """A file name for what is kept of this place, the same whatever the credentials are."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.shown.rstrip("/").removesuffix(".git").rpartition("/")[2]).strip("-")
        return f"{name[:40] or 'repository'}-{hashlib.sha256(self.shown.encode()).hexdigest()[:16]}"


def parse_address(location: str, *, recorded: bool = False) -> Address:
    """Return what `location` names: a path, `file://PATH`, an address by https, http, ssh or git, or `USER@HOST:PATH`.

    `recorded` is what nobody but a record or a file of a repository names: https and ssh alone. Raises MissingFact for
    what git could run a command for (`ext::…`, a leading `-`), for other protocols and for a drive of another machine.
    """
    text = location.strip()
    why = why_refused(text, recorded=recorded)
    if why is not None:
        raise _refused(text, why, nameable=recorded and why_refused(text) is None)
    match = SCHEME.match(text)
    if match is None:
        if SCP.fullmatch(text) is None or (not recorded and Path(text).exists()):
            return _local(Path(os.path.expanduser(text)))  # Path's own raises for a user that is none
        return Address(text, redact(text), None)
    scheme = match["scheme"].lower()
    parts = urlsplit(text)
    if scheme == "file":
        return _local(Path(unquote(parts.path)))
    userinfo, _, host = parts.netloc.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if scheme == "ssh":  # asks no address for a password
        place = urlunsplit((scheme, f"{user}@{host}" if user else host, parts.path, "", ""))
        shown = place if not colon else urlunsplit((scheme, host, parts.path, "", ""))
        return Address(place, redact(shown), None)
    shown = urlunsplit((scheme, host, parts.path, "", ""))
    login = None
    if user and (colon or _TOKEN.match(user)):
        login = Login(f"{scheme}://{host}", unquote(user), unquote(password))
    elif user:  # a name, for which the user's own git knows the password
        host = f"{user}@{host}"
    return Address(urlunsplit((scheme, host, parts.path, "", "")), redact(shown), None, login)


def _local(path: Path) -> Address:
    resolved = path.resolve()
    return Address(str(resolved), str(resolved), resolved)


def _refused(text: str, why: str, *, nameable: bool) -> MissingFact:
    shown = redact(text)
    remedy = "name the repository: --repo URL_OR_PATH"
    if nameable and shown == text:
        remedy = f"runner reproduce RUN --repo {shlex.quote(text)}    if you mean it to be asked"
    return MissingFact(f"the repository {shown!r} {why}", remedy, fact="repository")
