"""Places of remotes: what credentials are given for, and which of them a repository alone may not have asked."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

AWS = "amazonaws.com"
"""The host of a bucket for which nobody names an endpoint."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")  # never an ARN, which leads to other hosts
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_NEAR_SUFFIXES = (".localhost", ".local", ".localdomain", ".internal", ".lan", ".home.arpa")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, order=True)
class Place:
    """Scheme, host and bucket: credentials that were confirmed for one are never sent to another.

    `host` is `amazonaws.com`, or the endpoint as an address: encryption, port and path are part of the place.
    """

    scheme: str
    host: str
    bucket: str

    def __str__(self) -> str:
        return f"{self.scheme}, host {self.host}" + (f", bucket {self.bucket}" if self.bucket else "")


def scheme_of(url: str) -> str:
    """Return a remote's scheme in lower case; a folder's is `file`."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else "file"


def place_of(url: str, endpoint: str | None = None) -> Place:
    """Return the place of a remote. `endpoint` of None is the provider's own. Raises ValueError for an odd address."""
    scheme = scheme_of(url)
    if scheme == "s3":
        return Place("s3", AWS if endpoint is None else normal_endpoint(endpoint), bucket_of(url))
    return Place(scheme, urlsplit(url).netloc.rpartition("@")[2].lower(), "")


def bucket_of(url: str) -> str:
    """Return the bucket of `s3://BUCKET/PATH`. Raises ValueError where it is no bucket's name."""
    bucket = url.partition("://")[2].partition("/")[0]
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError(f"{bucket!r} is not the name of a bucket")
    return bucket


def normal_endpoint(address: str) -> str:
    """Return an endpoint in one spelling: case, default port and the last slash decide nothing.

    Raises ValueError where it is no `http:` or `https:` address, or holds a user, a query or a fragment.
    """
    parts = urlsplit(address.strip())
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{address!r} is not an endpoint")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{host}{port}{parts.path.rstrip('/')}"


def is_region(text: str) -> bool:
    """Tell whether a text can be a region: it becomes part of a host's name."""
    return bool(_REGION.fullmatch(text))


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
