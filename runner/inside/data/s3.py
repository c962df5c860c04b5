"""What an S3 server's refusal means: gone for good, refused, this host's clock, or try again. Standard library only.

Only the server's error code is passed on, never its text or an address that was asked: both may hold parts of a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.inside.protocol import MISSING, UNAVAILABLE, PhaseError

_GONE = frozenset({"NoSuchBucket", "InvalidBucketName"})
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_REFUSED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "CredentialsNotSupported",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "NotSignedUp",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
        "401",
        "403",
    }
)
_UNTRUSTED = ("SSLError", "ClientConnectorCertificateError", "SSLCertVerificationError")


def s3_problem(error: BaseException, remote: dict[str, Any]) -> PhaseError:
    """Return what a failed request to a bucket stands for."""
    where = place(remote)
    code = _code(error)
    if code in _GONE:
        return PhaseError(
            MISSING,
            f"{where} does not exist",
            "runner reproduce RUN --remote URL    if another store has these bytes",
            fact="remote",
        )
    if code in _SKEWED:
        return PhaseError(
            UNAVAILABLE,
            f"{where} refuses requests of this hour: the clock of the engine's host is wrong ({code})",
            "set the clock (`timedatectl set-ntp true`), then run again",
            service="remote",
        )
    if code in _REFUSED:
        return PhaseError(
            UNAVAILABLE,
            f"{where} {remote['refusal']} ({_SPELT.get(code, code)})",
            remote["remedy"],
            service="remote",
        )
    names = [type(each).__name__ for each in chain(error)]
    if any(name in _UNTRUSTED for name in names):
        return PhaseError(
            UNAVAILABLE,
            f"the certificate of {where} is not trusted here",
            "export AWS_CA_BUNDLE=FILE    with the authority's certificate, then run again",
            service="remote",
        )
    return PhaseError(
        UNAVAILABLE,
        f"{where} did not answer as it should ({code or names[0]})",
        "check the endpoint, then run again",
        service="remote",
    )


_SPELT = {"401": "status 401", "403": "status 403"}


def place(remote: dict[str, Any]) -> str:
    """Return a bucket and its host in words."""
    return f"the bucket {bucket_of(remote)} at {remote['options'].get('endpointurl', 'amazonaws.com')}"


def bucket_of(remote: dict[str, Any]) -> str:
    """Return the bucket of a remote's address."""
    return str(remote["url"]).partition("://")[2].partition("/")[0]


def _code(error: BaseException) -> str:
    for each in chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict) and isinstance(response.get("Error"), dict):
            return str(response["Error"].get("Code", ""))[:60]
    return ""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    seen = 0
    while error is not None and seen < 10:  # a chain may be a circle
        yield error
        seen += 1
        error = error.__cause__ or error.__context__
