"""Where a request may go: credentials to one origin alone, and for whom nobody vouches, to no private network."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from runner.inside.data.near import is_near

_PORTS = {"http": 80, "https": 443, "webdav": 80, "webdavs": 443}


class LeadsAway(Exception):
    """A server leads to a place that is not asked."""


def origin(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    scheme = {"webdav": "http", "webdavs": "https"}.get(parts.scheme.lower(), parts.scheme.lower())
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


def header_for(remote: dict[str, Any], address: str) -> tuple[str, str] | None:
    """Return the header that signs in at an address, None where it is not the remote's own origin.

    Raises LeadsAway where the address, to which a redirect led, is not asked: a server that nobody confirmed must not
    have us look around on a private network, and none may have us leave encryption behind.
    """
    own, other = origin(remote["url"]), origin(address)
    if own != other:
        if other[0] not in ("http", "https") or (own[0], other[0]) == ("https", "http"):
            raise LeadsAway(f"leads to {other[0]}://{other[1]}, which is not asked")
        if is_near(other[1]) and not (remote["confirmed"] and is_near(own[1])):
            raise LeadsAway(f"leads to {other[1]}, which is this host or a private network")
        return None
    credentials = remote["credentials"]
    return None if credentials is None else tuple(credentials["header"])
