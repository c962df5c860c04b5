"""Which recorded digests a remote elsewhere holds, asked from this host without a container: to look over many runs.

S3, HTTP and WebDAV are asked about each digest by one small request, several at a time, with credentials for the
confirmed place alone. Kinds that need DVC's own packages are not asked: that is said and is neither yes nor no. What
decides a verdict is asked by restore, in its container.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from runner.credentials.handed import Handed
from runner.credentials.host import HostAccess
from runner.inside.data.kinds.origin import LeadsAway, header_for
from runner.inside.data.objects import ObjectId
from runner.network import NetworkSettings
from runner.pointers.places import AWS, bucket_of, scheme_of
from runner.rerun.remote_access import OFFLINE, credentials_for
from runner.schema.plan import Remote

_AT_A_TIME = 8
_TIMEOUT_S = 20.0
_HOPS = 5
_WEB = {"http": "http", "https": "https", "webdav": "http", "webdavs": "https"}
_EMPTY = hashlib.sha256(b"").hexdigest()

Head = Callable[[str], "tuple[int, str | None]"]
"""Returns the status of a place, and where it leads. Raises OSError where nobody answers."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one remote said: the digests that it holds and that it lacks.

    `refused` is why nothing is known of the others, `unasked` why it was not asked; None where neither is so.
    """

    held: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()
    refused: str | None = None
    unasked: str | None = None


def holding(
    remote: Remote, digests: Collection[str], host: HostAccess, network: NetworkSettings, *, offline: bool = False
) -> Holding:
    """Return which digests (`md5:…`) a remote that is no folder holds.

    One that refuses or does not answer is no error here: nothing is known of what it holds.
    """
    scheme = scheme_of(remote.url)
    if offline:
        return Holding(unasked=OFFLINE)
    if scheme not in ("s3", *_WEB):
        return Holding(unasked=f"{scheme} is read in a container alone")
    found = credentials_for(remote, host)
    keys = found if isinstance(found, Handed) else None
    opened = _opener(network)
    head = _s3_head(remote, keys, opened) if scheme == "s3" else _web_head(remote, keys, opened)
    base = _s3_address(remote) if scheme == "s3" else f"{_WEB[scheme]}://{_without_user(remote.url)}"
    objects = {digest: ObjectId.parse(digest) for digest in digests}
    return _ask({digest: f"{base.rstrip('/')}/{quote(each.relative_path)}" for digest, each in objects.items()}, head)


def _ask(places: Mapping[str, str], head: Head) -> Holding:
    held: set[str] = set()
    lacking: set[str] = set()
    why: list[str] = []

    def ask(pair: tuple[str, str]) -> None:
        digest, place = pair
        if why:  # one refusal is everybody's
            return
        try:
            status, _ = head(place)
        except (OSError, ValueError, LeadsAway) as error:
            why.append(f"does not answer ({type(error).__name__})")
            return
        if status < 300:
            held.add(digest)
        elif status in (404, 410):
            lacking.add(digest)
        else:
            why.append(f"refuses (status {status})" if status in (401, 403, 407) else f"answers with status {status}")

    with ThreadPoolExecutor(max_workers=_AT_A_TIME, thread_name_prefix="held") as pool:
        list(pool.map(ask, places.items()))
    return Holding(held=frozenset(held), lacking=frozenset(lacking), refused=why[0] if why else None)


def _without_user(url: str) -> str:
    rest = url.partition("://")[2]
    host, slash, path = rest.partition("/")
    return f"{host.rpartition('@')[2]}{slash}{path}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Has every redirect come back as an answer: where it leads decides what is sent."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _opener(network: NetworkSettings) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if network.ca_bundle is not None:
        context.load_verify_locations(cadata=network.ca_bundle.decode("ascii", errors="ignore"))
    handlers: Iterable[urllib.request.BaseHandler] = (_NoRedirect(), urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)


def _head(opener: urllib.request.OpenerDirector, place: str, headers: Mapping[str, str]) -> tuple[int, str | None]:
    request = urllib.request.Request(place, headers=dict(headers), method="HEAD")  # noqa: S310  # http or https
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return int(answer.status), None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Location")


def _web_head(remote: Remote, keys: Handed | None, opener: urllib.request.OpenerDirector) -> Head:
    told = {
        "url": remote.url,
        "confirmed": remote.confirmed_by is not None,
        "credentials": None if keys is None else keys.options,
    }

    def head(place: str) -> tuple[int, str | None]:
        for _ in range(_HOPS):
            header = header_for(told, place)
            status, leads = _head(opener, place, {} if header is None else {header[0]: header[1]})
            if status not in (301, 302, 303, 307, 308) or leads is None:
                return status, None
            place = urljoin(place, leads)
        return 310, None

    return head


def _s3_address(remote: Remote) -> str:
    """Return where the objects of a bucket lie: below a path of the endpoint, as each server has it."""
    bucket, prefix = bucket_of(remote.url), remote.url.partition("://")[2].partition("/")[2]
    region = remote.options.get("region", "us-east-1")
    endpoint = remote.options.get("endpointurl") or f"https://s3.{region}.{AWS}"
    return f"{endpoint}/{bucket}/{quote(prefix.strip('/'))}"


def _s3_head(remote: Remote, keys: Handed | None, opener: urllib.request.OpenerDirector) -> Head:
    region = remote.options.get("region", "us-east-1")

    def head(place: str) -> tuple[int, str | None]:
        now = datetime.datetime.now(datetime.timezone.utc)
        return _head(opener, place, {} if keys is None else signed(place, keys.options, region, now))

    return head


def signed(place: str, keys: Mapping[str, str], region: str, now: datetime.datetime) -> dict[str, str]:
    """Return the headers that sign a HEAD request to S3 (AWS Signature Version 4)."""
    parts = urlsplit(place)
    time, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": time}
    if "session_token" in keys:
        headers["x-amz-security-token"] = keys["session_token"]
    names = ";".join(sorted(headers))
    canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"HEAD\n{parts.path}\n\n{canonical}\n{names}\n{_EMPTY}"
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys['secret_access_key']}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    credential = f"{keys['access_key_id']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {name: value for name, value in headers.items() if name != "host"}
