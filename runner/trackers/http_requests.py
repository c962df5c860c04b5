"""Requests to an MLflow server, with credentials and certificates as MLflow's own client takes them. Never writes.

Of MLflow only the function that sends a request is used: its client would follow artifact URIs to other hosts.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from runner.errors import InvalidConfiguration, NotAStore, TrackerUnavailable
from runner.redact import redact

_TIMEOUT_S = (5, 60)  # to connect, to wait for more
_RETRIES = 2
_BACKOFF = 0.3
_JITTER = 0.1
_TIMEOUT_VARIABLE = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_INSECURE_VARIABLE = "MLFLOW_TRACKING_INSECURE_TLS"
_FILE_VARIABLES = (
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
_TELEMETRY_VARIABLE = "MLFLOW_DISABLE_TELEMETRY"
_TRANSIENT = (408, 429, 502, 503, 504)  # said by what stands before a server, or by one that is busy
_LONGEST_ANSWER = 1 << 28  # bytes
_IMPORTING = threading.Lock()


class Refused(Exception):
    """The server understood and said no: `code` is MLflow's, such as RESOURCE_DOES_NOT_EXIST; `status` is HTTP's."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Server:
    """An MLflow server at an address.

    Raises TrackerUnavailable where it does not answer, or not as it should; InvalidConfiguration where MLflow's own
    variables name no file or contradict each other.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self.uri = redact(self._address)
        self.host = urlsplit(self._address).netloc.rpartition("@")[2]

    def get(self, endpoint: str, **params: str | int) -> dict[str, Any]:
        """Return the answer to a GET of MLflow's REST API, or of a whole path. Raises Refused."""
        path = endpoint if endpoint.startswith("/") else f"/api/2.0/mlflow/{endpoint}"
        with self._send("GET", path, params=params) as response:
            return self._json(response)

    def search(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a search, which MLflow takes by POST. Raises Refused."""
        with self._send("POST", f"/api/2.0/mlflow/{endpoint}", json=body) as response:
            return self._json(response)

    def download(self, endpoint: str, limit_bytes: int, **params: str) -> bytes | None:
        """Return a file, or None where there is none, it may not be had, or it is longer than the limit."""
        with self._send("GET", endpoint, params=params) as response:
            if response.status_code in _TRANSIENT:
                raise self._answered(response.status_code)
            if response.status_code != 200:  # a file that is not there is an internal error to some servers
                return None
            return _body(response, limit_bytes)

    def stream(self, endpoint: str, take: Callable[[bytes], None], **params: str | int) -> int:
        """Pass a file on piece by piece; return the status of the answer, which is 200 where there was one."""
        with self._send("GET", endpoint, params=params) as response:
            if response.status_code in _TRANSIENT:
                raise self._answered(response.status_code)
            if response.status_code == 200:
                for piece in response.iter_content(1 << 18):
                    take(piece)
            return int(response.status_code)

    def notes(self) -> list[str]:
        """Return what lowers the trust in what the server said."""
        if self._address.startswith("https:") and self._credentials().ignore_tls_verification:
            return [f"the tracker's certificate was not checked ({_INSECURE_VARIABLE})"]
        return []

    def _credentials(self) -> Any:
        """Return what MLflow takes from its variables and its credentials file."""
        _, host_credentials = _mlflow()
        try:
            return host_credentials(self._address)
        except Exception as error:  # MLflow's own, or ValueError
            raise InvalidConfiguration(
                f"MLflow does not take its own settings: {redact(str(error))}", "env | grep -o '^MLFLOW_[^=]*'"
            ) from error

    @contextmanager
    def _send(self, method: Literal["GET", "POST"], endpoint: str, **options: Any) -> Iterator[Any]:
        http_request, _ = _mlflow()
        credentials = self._credentials()
        try:
            response = http_request(
                credentials,
                endpoint,
                method,
                max_retries=_RETRIES,
                backoff_factor=_BACKOFF,
                backoff_jitter=_JITTER,
                timeout=None if os.environ.get(_TIMEOUT_VARIABLE) else _TIMEOUT_S,
                raise_on_status=False,
                respect_retry_after_header=False,
                allow_redirects=False,  # another host is none that the user named
                stream=True,
                **options,
            )
        except Exception as error:  # noqa: BLE001  # MLflow wraps every failure in its own, of several classes
            self._unreachable(error)
        with closing(response):
            if 300 <= response.status_code < 400:
                self._redirected(response.headers.get("Location", ""))
            try:
                yield response
            except OSError as error:  # requests' errors are; the connection broke in the middle of an answer
                self._unreachable(error)

    def _json(self, response: Any) -> dict[str, Any]:
        status = int(response.status_code)
        if status in (401, 403):
            raise self._not_let_in(status)
        body = _body(response, _LONGEST_ANSWER)
        try:
            document = json.loads(body or b"")
        except ValueError:
            document = None
        if isinstance(document, dict):
            if status == 200:
                return document
            code = str(document.get("error_code", ""))
            if code and status not in _TRANSIENT:
                raise Refused(status, code, str(document.get("message", "")))
        if status >= 500 or status in _TRANSIENT:
            raise self._answered(status)
        raise NotAStore(
            f"what answers at {self.uri} is no MLflow server (status {status})",
            "give --tracker the address that MLFLOW_TRACKING_URI had when the run was logged",
        )

    def _not_let_in(self, status: int) -> TrackerUnavailable:
        """Name, without any value, the credentials that were sent."""
        credentials = self._credentials()
        if "@" in urlsplit(self._address).netloc:  # they win over all others
            sent, remedy = "the user name and password in its address", "correct those in --tracker"
        elif credentials.username and credentials.password:
            sent = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ~/.mlflow/credentials"
            remedy = "correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        elif credentials.token:
            sent, remedy = "MLFLOW_TRACKING_TOKEN", "correct MLFLOW_TRACKING_TOKEN"
        else:
            sent = "no credentials"
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        if status == 403:
            remedy = f"{remedy}; or ask its administrator for the permission to read"
        return TrackerUnavailable(f"the tracker {self.uri} refused us ({status}); it was sent {sent}", remedy)

    def _answered(self, status: int) -> TrackerUnavailable:
        return TrackerUnavailable(
            f"the tracker {self.uri} answered {status}", "try again; the server's own log says why"
        )

    def _redirected(self, location: str) -> NoReturn:
        """Say where a redirect leads; with a token in hand we follow none."""
        target = urlsplit(location)
        same_host = target.hostname == urlsplit(self._address).hostname
        remedy = "give --tracker the address that MLFLOW_TRACKING_URI had when the run was logged"
        if same_host and target.scheme == "https" and self._address.startswith("http://"):
            remedy = f"--tracker {redact('https://' + self._address.removeprefix('http://'))}"
        where = f"{target.scheme}://{target.hostname}" if target.hostname else "another page"
        raise TrackerUnavailable(f"the tracker {self.uri} sends us on to {where}, and is not followed", remedy)

    def _unreachable(self, error: BaseException) -> NoReturn:
        texts: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(texts) < 10:
            texts.append(f"{type(cause).__name__}: {cause}")
            cause = cause.__cause__ or cause.__context__
        text = " ".join(texts)
        if absent := re.search(r"invalid path: (?P<path>\S+)", text):
            named = [name for name in _FILE_VARIABLES if os.environ.get(name) == absent["path"]]
            raise InvalidConfiguration(
                f"there is no file {absent['path']}, which {' and '.join(named) or 'a setting of TLS'} names",
                f"ls -l {absent['path']}",
            ) from error
        remedy = f"curl -sSf {self.uri}/version"
        if "NameResolution" in text or "Name or service not known" in text or "getaddrinfo" in text:
            why = f"no host has the name {urlsplit(self._address).hostname}"
        elif "refused" in text:
            why = "the connection was refused"
        elif "CERTIFICATE_VERIFY" in text:
            why = "its certificate is not trusted"
            remedy = "set MLFLOW_TRACKING_SERVER_CERT_PATH or REQUESTS_CA_BUNDLE to your authority's certificate"
        elif "SSLError" in text:
            why = "it does not speak TLS as we do"
        elif "imeout" in text or "timed out" in text:
            why = "it did not answer in time"
        else:
            why = f"the connection failed ({type(error.__context__ or error).__name__})"
        raise TrackerUnavailable(f"the tracker {self.uri} cannot be reached: {why}", remedy) from error


def _body(response: Any, limit_bytes: int) -> bytes | None:
    parts = []
    size = 0
    for part in response.iter_content(1 << 16):
        size += len(part)
        if size > limit_bytes:
            return None
        parts.append(part)
    return b"".join(parts)


def _mlflow() -> tuple[Any, Any]:
    """Import MLflow, late; it asks its makers' server for a telemetry configuration unless told not to."""
    with _IMPORTING:
        before = os.environ.get(_TELEMETRY_VARIABLE)
        os.environ[_TELEMETRY_VARIABLE] = "true"
        try:
            from mlflow.utils.credentials import get_default_host_creds
            from mlflow.utils.rest_utils import http_request
            from urllib3 import disable_warnings
            from urllib3.exceptions import InsecureRequestWarning

            disable_warnings(InsecureRequestWarning)  # we say it ourselves, with the record
        finally:
            if before is None:
                del os.environ[_TELEMETRY_VARIABLE]
            else:
                os.environ[_TELEMETRY_VARIABLE] = before
    return http_request, get_default_host_creds
