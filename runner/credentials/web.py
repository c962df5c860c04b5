"""Passwords and tokens for `http:`, `https:`, `webdav:` and `webdavs:`, as one header that one host is sent.

Looked for in the host's DVC configuration, in variables of ours, and in netrc; never by running or asking anything.
"""

from __future__ import annotations

import base64
import netrc
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from runner.credentials.handed import Handed, NotHad

REMEDY = "export REPRO_REMOTE_USER=NAME REPRO_REMOTE_PASSWORD=... (or REPRO_REMOTE_TOKEN)"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_DONE = {
    "bearer_token_command": "has a command print its token (bearer_token_command)",
    "ask_password": "asks for its password (ask_password)",
    "cert_path": "signs in with a certificate (cert_path)",
}


def web_credentials(
    url: str,
    user: str | None,
    own: Mapping[str, str],
    own_source: str,
    environ: Mapping[str, str],
    read: Callable[[Path], str | None],
) -> Handed | NotHad:
    """Return what signs in at the host of an address.

    `own` are the options that the host's DVC configuration has for that remote, `user` is the name that the address or
    the repository's options give, where the host gives a password alone.
    """
    host = urlsplit(url).hostname or ""
    found = _of_configuration(own, own_source, user) or _of_variables(environ, own.get("user") or user)
    for path in _netrc_files(environ):
        found = found or _of_netrc(path, read(path), host)
    if found is not None:
        return found
    not_done = [text for option, text in _NOT_DONE.items() if own.get(option, "false").lower() not in ("false", "no")]
    if not_done:
        return NotHad(missing=f"{own_source} {not_done[0]}, which is not done here", remedy=REMEDY)
    return NotHad(missing=f"this host has no password for {host}", remedy=REMEDY)


def _of_configuration(own: Mapping[str, str], source: str, user: str | None) -> Handed | NotHad | None:
    user, password = own.get("user") or user, own.get("password")
    if own.get("token"):
        return _header("Authorization", f"Bearer {own['token']}", source, own["token"])
    if password and own.get("custom_auth_header"):
        return _header(own["custom_auth_header"], password, source, password)
    return _basic(user, password, source) if password and user else None


def _of_variables(environ: Mapping[str, str], user: str | None) -> Handed | NotHad | None:
    token, password = environ.get("REPRO_REMOTE_TOKEN"), environ.get("REPRO_REMOTE_PASSWORD")
    if token:
        return _header("Authorization", f"Bearer {token}", "REPRO_REMOTE_TOKEN", token)
    user = environ.get("REPRO_REMOTE_USER") or user
    return _basic(user, password, "REPRO_REMOTE_PASSWORD") if password and user else None


def _basic(user: str, password: str, source: str) -> Handed | NotHad:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return _header("Authorization", f"Basic {encoded}", source, password, encoded)


def _header(name: str, value: str, source: str, *secrets: str) -> Handed | NotHad:
    if not _HEADER.fullmatch(name) or not value.isprintable():
        return NotHad(missing=f"{source} has a header or a password that no request can have", remedy=REMEDY)
    return Handed(options={"header": [name, value]}, secrets=secrets, source=source)


def _netrc_files(environ: Mapping[str, str]) -> list[Path]:
    if environ.get("NETRC"):
        return [Path(environ["NETRC"]).expanduser()]
    return [Path(environ.get("HOME") or Path.home()) / ".netrc"]


def _of_netrc(path: Path, text: str | None, host: str) -> Handed | NotHad | None:
    """Return what netrc has for a host; its `default` entry is of no host."""
    if text is None:
        return None
    try:
        entry = netrc.netrc(str(path)).hosts.get(host)  # it has no way to be given a text
    except (OSError, netrc.NetrcParseError):
        return None
    return _basic(entry[0] or entry[1] or "", entry[2], str(path)) if entry is not None and entry[2] else None
