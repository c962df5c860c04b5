"""Reaching a package index past uv: its files, and its pages in either of the two forms that indexes serve.

Credentials go only to the host whose index address has them. Standard library.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from html.parser import HTMLParser
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from runner.inside.packages.indexes import IndexSettings
from runner.inside.protocol import MISSING, UNAVAILABLE, PhaseError

_PAGE_LIMIT = 64 << 20
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPTED = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


class NotThere(Exception):
    """The index answered that it has nothing at this address."""


@contextmanager
def opened(
    address: str, settings: IndexSettings, *, accept: str = "*/*", compressed: bool = False
) -> Iterator[IO[bytes]]:
    """Open what an index has at an address. Raises NotThere, PhaseError (unavailable) for all other refusals."""
    if settings.offline:
        raise PhaseError(
            UNAVAILABLE, "a file of the package index is not in the cache, and --offline forbids to fetch it",
            "run without --offline", service="index",
        )  # fmt: skip
    if urlsplit(address).scheme not in {"http", "https"}:
        raise PhaseError(MISSING, f"the index names a file at {urlsplit(address).scheme}:", fact="environment")
    plain = settings.credentials_for(address)[0]
    headers = {"Accept": accept, **({"Accept-Encoding": "gzip"} if compressed else {})}
    context = ssl.create_default_context(cafile=settings.ca_path)
    if urlsplit(plain).hostname in settings.trusted_hosts:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(_proxies(plain, settings)),
        urllib.request.HTTPSHandler(context=context),
        _Redirects(settings),
    )
    request = _with_credentials(address, headers, settings)
    try:
        with opener.open(request, timeout=60) as response:
            yield response
    except urllib.error.HTTPError as error:
        if error.code in (404, 410):
            raise NotThere from error
        raise _unreachable(plain, f"HTTP {error.code}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise _unreachable(plain, str(getattr(error, "reason", error))) from error


def page(index: str, package: str, settings: IndexSettings) -> list[dict[str, Any]]:
    """Return the entries of a package's page as PEP 691 has them, addresses absolute and without credentials.

    Where the index gives no upload times, they are those of the settings.

    Raises NotThere, PhaseError where the index cannot be asked or gives no page.
    """
    address = f"{index.rstrip('/')}/{package}/"
    with opened(address, settings, accept=_ACCEPTED, compressed=True) as response:
        content = response.read(_PAGE_LIMIT)
        if response.headers.get("Content-Encoding") == "gzip":  # type: ignore[attr-defined]  # of an HTTP response
            content = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(content, _PAGE_LIMIT)
        text = content.decode("utf-8", errors="replace")
        kind = response.headers.get_content_type()  # type: ignore[attr-defined]  # of an HTTP response
        base = _without_userinfo(response.geturl() or address)  # type: ignore[attr-defined]
    if kind.endswith("json"):
        try:
            files = json.loads(text)["files"]
            entries = [dict(entry) for entry in files if "filename" in entry and "url" in entry]
        except (ValueError, KeyError, TypeError) as error:
            raise _unreachable(address, f"its page of {package} is no list of files") from error
    else:
        reader = _Links()
        reader.feed(text)
        entries = reader.entries
    for entry in entries:
        entry["url"] = _without_userinfo(urljoin(base, str(entry["url"])))
        if not entry.get("upload-time") and entry["filename"] in settings.upload_times:
            entry["upload-time"] = settings.upload_times[entry["filename"]]
        entry.setdefault("hashes", {})
    return entries


def knows(index: str, name: str, settings: IndexSettings) -> bool:
    """Tell whether an index knows a package. Raises PhaseError where it does not say."""
    try:
        with opened(f"{index.rstrip('/')}/{name}/", settings, accept=_ACCEPTED):
            return True
    except NotThere:
        return False


def moment_of(text: str | None) -> datetime | None:
    """Return a moment as indexes and plans write it, None for what is none."""
    if text is None:
        return None
    try:
        # Before Python 3.11 neither Z nor other than 3 or 6 digits of a second can be read.
        plain = re.sub(r"(\.\d{1,6})\d*", lambda match: match[1].ljust(7, "0"), text.replace("Z", "+00:00"))
        moment = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


class _Links(HTMLParser):
    """Reads a page of PEP 503: one link a file."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("href")
        if tag != "a" or not address:
            return
        plain, _, fragment = address.partition("#")
        algorithm, _, digest = fragment.partition("=")
        entry: dict[str, Any] = {
            "filename": unquote(urlsplit(plain).path.rsplit("/", 1)[-1]),
            "url": plain,
            "hashes": {algorithm: digest} if algorithm in {"sha256", "sha384", "sha512"} else {},
        }
        if given.get("data-requires-python"):
            entry["requires-python"] = given["data-requires-python"]
        if "data-yanked" in given:
            entry["yanked"] = given["data-yanked"] or True
        if "data-dist-info-metadata" in given or "data-core-metadata" in given:
            entry["core-metadata"] = True
        self.entries.append(entry)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https; credentials are put on each hop anew, by its own address."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in {"http", "https"}:
            raise urllib.error.URLError(f"it leads to {urlsplit(newurl).scheme}:")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        return request if request is None else _with_credentials(newurl, request.headers, self._settings)


def _with_credentials(address: str, headers: Mapping[str, str], settings: IndexSettings) -> urllib.request.Request:
    plain, credentials = settings.credentials_for(address)
    request = urllib.request.Request(plain, headers=dict(headers))  # noqa: S310  # http and https alone
    if credentials is not None:
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}")
    return request


def _proxies(address: str, settings: IndexSettings) -> dict[str, str]:
    proxies = {name.removesuffix("_proxy"): value for name, value in settings.proxies.items()}
    for scheme in ("http", "https"):
        if "all" in proxies:
            proxies.setdefault(scheme, proxies["all"])
    passed_by = urllib.request.proxy_bypass_environment(  # type: ignore[attr-defined]  # not in its stubs
        urlsplit(address).hostname or "", proxies
    )
    return {} if passed_by else proxies


def _without_userinfo(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _unreachable(address: str, why: str) -> PhaseError:
    where = urlsplit(address).hostname
    return PhaseError(
        UNAVAILABLE, f"the package index at {where} could not be used: {why}", "runner doctor", service="index"
    )
