"""Places of remotes: what credentials are given for, and which of them a repository alone may not have asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from runner.inside.data.near import is_near

AWS = "amazonaws.com"
"""The host of a bucket for which nobody names an endpoint."""
GOOGLE = "storage.googleapis.com"
"""The same for `gs:`."""
IN_BUCKETS = {"s3": AWS, "gs": GOOGLE, "azure": ""}
"""Kinds whose address names a bucket alone; who serves it is said beside it, else the provider does."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")  # never an ARN, which leads to other hosts
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_PORTS = {"http": 80, "https": 443, "webdav": 80, "webdavs": 443, "ssh": 22}
_ENDPOINTS = frozenset({"http", "https"})


@dataclass(frozen=True, order=True)
class Place:
    """Scheme, host and bucket: credentials that were confirmed for one are never sent to another.

    `host` is the provider's, or the endpoint as an address: encryption, port and path are part of the place. Where the
    address itself names the host, it is that with its port, and there is no bucket.
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
    if scheme in IN_BUCKETS:
        host = IN_BUCKETS[scheme] if endpoint is None else normal_endpoint(endpoint)
        if not host:
            raise ValueError(f"{url!r} names no storage account")
        return Place(scheme, host, bucket_of(url))
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = "" if parts.port in (None, _PORTS.get(scheme)) else f":{parts.port}"
    return Place(scheme, (f"[{host}]" if ":" in host else host) + port, "")


def account_endpoint(account: str) -> str:
    """Return where Azure serves a storage account. Raises ValueError for what is none: it becomes part of a name."""
    if not _ACCOUNT.fullmatch(account):
        raise ValueError(f"{account!r} is not the name of a storage account")
    return f"https://{account}.blob.core.windows.net"


def bucket_of(url: str) -> str:
    """Return the bucket of `s3://BUCKET/PATH`, `gs:` or `azure:`. Raises ValueError where it is no bucket's name."""
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
    if scheme not in _ENDPOINTS or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{address!r} is not an endpoint")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{host}{port}{parts.path.rstrip('/')}"


def is_region(text: str) -> bool:
    """Tell whether a text can be a region: it becomes part of a host's name."""
    return bool(_REGION.fullmatch(text))


__all__ = [
    "AWS",
    "GOOGLE",
    "IN_BUCKETS",
    "Place",
    "account_endpoint",
    "bucket_of",
    "is_near",
    "is_region",
    "normal_endpoint",
    "place_of",
    "scheme_of",
]
