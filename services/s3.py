"""moto's S3 with one user, one bucket, and signatures that are checked. All of it is in memory: a restart empties it.

Access key, secret key and bucket come from S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET. moto itself takes everybody,
unless INITIAL_NO_AUTH_ACTION_COUNT is 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def make_user(access_key: str, secret_key: str) -> None:
    """Make the one user, who may do all."""
    users = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    users.create_user("us-east-1", "user")
    users.put_user_policy("user", "all", _ALL)
    key = users.create_access_key("user")
    key.access_key_id, key.secret_access_key = access_key, secret_key


def refusing_strangers(server: Application) -> Application:
    """Return the server, but for requests without a signature, on which moto fails; with a page to ask for health."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/health":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"OK"]
        if not environ.get("HTTP_AUTHORIZATION", "").startswith("AWS4-"):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            # Bytes after the answer to HEAD would be taken for the beginning of the next one.
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [_DENIED]
        return server(environ, start_response)

    return answer


if __name__ == "__main__":
    make_user(os.environ["S3_ACCESS_KEY"], os.environ["S3_SECRET_KEY"])
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(os.environ["S3_BUCKET"], "us-east-1")
    every_interface = "0.0.0.0"  # noqa: S104  # of its container, whose port is published on loopback alone
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(every_interface, 9000, refusing_strangers(moto), threaded=True)
