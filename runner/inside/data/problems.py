"""What goes wrong with a remote, in a sentence: refused, gone for good, not the server it was, or try again.

Of what a server or a library says only codes and names of errors are passed on, never its text or an address that was
asked: both may hold parts of a key.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runner.inside.data.kinds.register import scheme_of
from runner.inside.data.s3 import bucket_of, chain, s3_problem
from runner.inside.protocol import DISK_FULL, MISSING, UNAVAILABLE, PhaseError

_REFUSED = frozenset({401, 403, 407})
_ABSENT = frozenset({404, 410})
_ABSENT_BY_NAME = frozenset({"SFTPNoSuchFile", "ResourceNotFound"})
_UNTRUSTED = ("SSLError", "ClientConnectorCertificateError", "ClientConnectorSSLError", "SSLCertVerificationError")
_UNKNOWN_HOST = "HostKeyNotVerifiable"
_SSH_REFUSED = frozenset({"PermissionDenied", "PermissionError"})
_AZURE_REFUSED = frozenset({"ClientAuthenticationError"})


class BucketGone(Exception):
    """That there is no such bucket, where a server was asked for just that."""


@contextmanager
def bucket_asked() -> Iterator[None]:
    """Tell a bucket that is gone from whatever else keeps a server from answering for it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, FileNotFoundError) or _status_of(error) in _ABSENT:
            raise BucketGone from error
        raise


def check_absent(answer: BaseException) -> None:
    """Raise what an answer about one object stands for, unless that is that there is no such object.

    The HTTP file system says so of every failure: a server that refuses, or that nobody reaches, lacks nothing.
    """
    if type(answer).__name__ in _ABSENT_BY_NAME:
        return
    if not isinstance(answer, FileNotFoundError):
        raise answer
    for each in chain(answer.__cause__):
        status = _status_of(each)
        if status in _ABSENT or type(each).__name__ in _ABSENT_BY_NAME:
            return
        if status is not None or not isinstance(each, FileNotFoundError):
            raise each


def _status_of(error: BaseException) -> int | None:
    for name in ("status", "status_code", "code"):
        status = getattr(error, name, None)
        if isinstance(status, int) and 300 <= status < 600:
            return status
    return None


def remote_problem(error: BaseException, remote: dict[str, Any]) -> PhaseError:
    """Return what a failure to read a remote stands for."""
    scheme = scheme_of(remote)
    if scheme == "s3":
        return s3_problem(error, remote)
    return _ssh_problem(error, remote) if scheme == "ssh" else _web_problem(error, remote, scheme)


def _web_problem(error: BaseException, remote: dict[str, Any], scheme: str) -> PhaseError:
    where = remote["url"]
    errors = list(chain(error))
    names = [type(each).__name__ for each in errors]
    status = next((found for each in errors if (found := _status_of(each)) is not None), None)
    away = next((each for each in errors if type(each).__name__ == "LeadsAway"), None)
    if away is not None:
        return _unavailable(f"{where} {away}", f"name the place itself if it is meant: {remote['remedy']}")
    if any(name in _UNTRUSTED for name in names) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _unavailable(
            f"the certificate of {where} is not trusted here",
            "export SSL_CERT_FILE=FILE    with the authority's certificate, then run again",
        )
    if status in _REFUSED or any(name in _AZURE_REFUSED for name in names) or _refused_by_google(errors):
        return _unavailable(
            f"{where} {remote['refusal']}" + (f" (status {status})" if status else ""), remote["remedy"]
        )
    if isinstance(error, BucketGone):
        return PhaseError(
            MISSING,
            f"the bucket {bucket_of(remote)} of {where} does not exist",
            "runner reproduce RUN --remote URL    if another store has these bytes",
            fact="remote",
        )
    what = f"status {status}" if status is not None else names[-1] if scheme in ("gs", "azure") else names[0]
    return _unavailable(f"{where} did not answer as it should ({what})", "check the remote, then run again")


def _refused_by_google(errors: list[BaseException]) -> bool:
    """Tell a key that Google does not take: its library says so by errors of its own, or by a plain OSError."""
    return any(type(each).__name__ in ("RefreshError", "DefaultCredentialsError") for each in errors)


def _ssh_problem(error: BaseException, remote: dict[str, Any]) -> PhaseError:
    names = [type(each).__name__ for each in chain(error)]
    given = remote["credentials"]
    server = given["host"] if given["port"] == 22 else f"[{given['host']}]:{given['port']}"
    if _UNKNOWN_HOST in names or "KeyExchangeFailed" in names:
        from runner.inside.data.kinds.ssh import knows

        if knows(remote):
            return _unavailable(
                f"{remote['url']}: the server {server} has another host key than known_hosts has: it may be another",
                f"ask whoever runs it; if the new key is meant: ssh-keygen -R '{server}', then sign in once by ssh",
            )
        return _unavailable(
            f"{remote['url']}: the host key of the server {server} is not in known_hosts",
            f"ssh -p {given['port']} {given['user']}@{given['host']}    once, and compare the fingerprint",
        )
    if any(name in _SSH_REFUSED for name in names):
        return _unavailable(f"{remote['url']} {remote['refusal']}, as the user {given['user']}", remote["remedy"])
    return _unavailable(
        f"{remote['url']} did not answer as it should ({names[-1]})",
        f"see that ssh {given['host']} works, then run again",
    )


def _unavailable(cause: str, remedy: str) -> PhaseError:
    return PhaseError(UNAVAILABLE, cause, remedy, service="remote")


class TransferErrors(logging.Handler):
    """Keeps the exceptions that DVC logs where it should raise them: a failed transfer names no reason otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._causes: list[BaseException] = []
        self._logger = logging.getLogger("dvc_data.hashfile.transfer")

    def __enter__(self) -> TransferErrors:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's exception."""
        if record.exc_info and record.exc_info[1] is not None:
            self._causes.append(record.exc_info[1])

    def as_phase_error(self, remote: dict[str, Any], count: int) -> PhaseError:
        """Return the error that the first known cause stands for."""
        for cause in self._causes:
            if _is_full(cause):
                return _full(remote)
        if self._causes:
            return remote_problem(self._causes[0], remote)
        return PhaseError(UNAVAILABLE, f"{count} objects could not be read from {remote['url']}", service="remote")


@contextmanager
def mapped(remote: dict[str, Any]) -> Iterator[None]:
    """Turn what DVC and its file systems raise about a remote into our phases' errors."""
    try:
        yield
    except PhaseError:
        raise
    except Exception as error:
        raise (_full(remote) if _is_full(error) else remote_problem(error, remote)) from error


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _full(remote: dict[str, Any]) -> PhaseError:
    return PhaseError(DISK_FULL, f"no space is left in the cache volume for data from {remote['url']}")
