"""Hosts that are this one or lie on a private network, as far as their spelling says. Standard library only."""

from __future__ import annotations

import ipaddress
import socket
import unicodedata

_NEAR_SUFFIXES = (".localhost", ".local", ".localdomain", ".internal", ".lan", ".home.arpa")


def is_near(host: str) -> bool:
    """Tell whether a host is this one, or lies on a private network, as far as its name says.

    A repository must not have us look around there. Every spelling of an address counts that a resolver takes
    (`127.1`, `0x7f000001`), and names without a dot.
    """
    host = unicodedata.normalize("NFKC", host).strip("[]").rstrip(".").lower()
    if host.endswith(_NEAR_SUFFIXES) or ("." not in host and ":" not in host):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    try:
        return not ipaddress.ip_address(socket.inet_aton(host)).is_global
    except OSError:
        return False
