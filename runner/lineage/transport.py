"""By which ways a repository may be asked for: a positive list, shorter for what only a record says. Pure.

Whoever writes a record could have us run a command (`ext::…`, a leading `-`), read this disk or look around on a
private network. What the auditor names may be anything that git itself fetches by.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from runner.pointers.places import is_near

PROTOCOLS = ("https", "ssh", "http", "git")
"""What the auditor may name."""

RECORDED_PROTOCOLS = ("https", "ssh")
"""What a record may name: encrypted, and with a server that proves who it is."""

SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
SCP = re.compile(r"(?P<host>[^/:\s]+|[^/:\s]*\[[0-9A-Fa-f:.]+\]):(?!//)(?P<path>.+)")
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_DRIVE = re.compile(r"(file:/*)?[A-Za-z]:[\\/]", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_NO_ADDRESS = "is no address that git may be given"


def why_refused(location: str, *, recorded: bool = False) -> str | None:
    """Return why a repository's place is not asked, to go on after its name; None for one that may be.

    `recorded` is one that nobody but a record, or a file of a repository, names.
    """
    text = location.strip()
    if not text or text.startswith("-") or _HELPER.match(text) or _CONTROL.search(text):
        return _NO_ADDRESS
    if _DRIVE.match(text) or text.startswith("\\\\"):
        return "is a drive of another machine"
    match = SCHEME.match(text)
    if match is not None:
        return _of_address(text, match["scheme"].lower(), recorded)
    scp = SCP.fullmatch(text)
    if scp is None:
        return "is a path of the machine that recorded it" if recorded else None
    user, _, host = scp["host"].rpartition("@")
    if not host or host.startswith("-") or user.startswith("-") or scp["path"].startswith(("-", ":")):
        return _NO_ADDRESS
    return _of_host(host) if recorded else None


def _of_address(text: str, scheme: str, recorded: bool) -> str | None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return _NO_ADDRESS
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            return "is on another machine"
        return "is a path of the machine that recorded it" if recorded else None
    userinfo, _, _ = parts.netloc.rpartition("@")
    allowed = RECORDED_PROTOCOLS if recorded else PROTOCOLS
    if scheme not in allowed:
        return f"is not by {' or '.join(allowed)}"
    if not host or host.startswith("-") or userinfo.startswith("-") or parts.path.startswith("/-"):
        return _NO_ADDRESS
    return _of_host(host) if recorded else None


def _of_host(host: str) -> str | None:
    if is_near(host):
        return "is on this host or a private network, where a record alone has nothing asked"
    return None
