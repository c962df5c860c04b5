"""An S3 server that checks who asks: moto's, in a process of its own on this host, with one user who may do all.

    python -m tests.support.s3_server PORT [CERTIFICATE KEY]

It checks every signature once `S3Server.start` has made the user. moto answers a request without any signature with
an error of its own; S3 refuses it, and so does this.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.repositories import Stored, directory_object, md5

_PATIENCE_S = 60
_ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass(frozen=True, kw_only=True)
class S3Service:
    """What a test needs to know of an S3 server, wherever it runs."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    ca_file: Path | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The environment of somebody who may read it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self, service: str = "s3", **fields: Any) -> Any:
        """A client of the user's; fields replace its own."""
        import boto3

        return boto3.client(
            service,
            **{
                "endpoint_url": self.endpoint,
                "region_name": "us-east-1",
                "aws_access_key_id": self.access_key_id,
                "aws_secret_access_key": self.secret_access_key,
                "verify": True if self.ca_file is None else str(self.ca_file),
                **fields,
            },
        )


class BucketStore:
    """A DVC remote in a bucket of its own: objects lie at `PREFIX/files/md5/XX/YYY…`."""

    def __init__(self, service: S3Service, bucket: str, prefix: str = "store") -> None:
        self.service, self.bucket, self.prefix = service, bucket, prefix
        self._client = service.client()
        self._client.create_bucket(Bucket=bucket)

    @property
    def url(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.prefix}"

    def put(self, content: bytes, *, under: bytes | None = None) -> Stored:
        """Store a file, under the digest of other bytes if they are given."""
        digest = md5(content if under is None else under)
        self._client.put_object(Bucket=self.bucket, Key=self._key(digest.dvc), Body=content)
        return Stored(digest, len(content))

    def put_directory(self, files: Mapping[str, bytes]) -> Stored:
        """Store the files of a folder, by POSIX path, and its listing."""
        for content in files.values():
            self.put(content)
        digest, listing = directory_object(files)
        self._client.put_object(Bucket=self.bucket, Key=self._key(digest.dvc), Body=listing)
        return Stored(digest, sum(map(len, files.values())), len(files))

    def remove(self, stored: Stored) -> None:
        """Lose the bytes of a digest."""
        self._client.delete_object(Bucket=self.bucket, Key=self._key(stored.digest.dvc))

    def fingerprint(self) -> dict[str, tuple[str, str]]:
        """Every key with its time and content: equal means untouched."""
        listed = self._client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        found = {}
        for entry in listed:
            body = self._client.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read()
            found[entry["Key"]] = (entry["LastModified"].isoformat(), hashlib.sha256(body).hexdigest())
        return found

    def drop(self) -> None:
        """Delete the bucket with all that it holds."""
        for key in self.fingerprint():
            self._client.delete_object(Bucket=self.bucket, Key=key)
        self._client.delete_bucket(Bucket=self.bucket)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/files/md5/{name[:2]}/{name[2:]}"


@contextlib.contextmanager
def serving(port: int, log: Path, *, certificate: tuple[Path, Path, Path] | None = None) -> Iterator[S3Service]:
    """Run the server; `certificate` is (authority, certificate, key)."""
    scheme = "http" if certificate is None else "https"
    endpoint = f"{scheme}://127.0.0.1:{port}"
    files = [] if certificate is None else [str(certificate[1]), str(certificate[2])]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.s3_server", str(port), *files],
            stdout=output,
            stderr=output,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "MOTO_PORT": str(port), "MOTO_IAM_LOAD_MANAGED_POLICIES": "false"},
        )
    try:
        service = S3Service(
            endpoint=endpoint,
            access_key_id="anybody",
            secret_access_key="anything",
            ca_file=None if certificate is None else certificate[0],
        )
        _wait_for(service, process)
        yield _with_user(service)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(service: S3Service, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            _post(service, "/moto-api/reset-auth", b"inf")
            return
        time.sleep(0.05)
    raise AssertionError("moto's server did not start")


def _with_user(service: S3Service) -> S3Service:
    iam = service.client("iam")
    iam.create_user(UserName="auditor")
    iam.put_user_policy(UserName="auditor", PolicyName="all", PolicyDocument=json.dumps(_ALL))
    key = iam.create_access_key(UserName="auditor")["AccessKey"]
    _post(service, "/moto-api/reset-auth", b"0")  # from now on every signature is checked
    return S3Service(
        endpoint=service.endpoint,
        access_key_id=key["AccessKeyId"],
        secret_access_key=key["SecretAccessKey"],
        ca_file=service.ca_file,
    )


def _post(service: S3Service, path: str, data: bytes) -> None:
    import ssl

    context = None if service.ca_file is None else ssl.create_default_context(cafile=str(service.ca_file))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), *([urllib.request.HTTPSHandler(context=context)] if context else [])
    )
    headers = {"Content-Type": "text/plain"}  # a form's content would not be read as it is
    request = urllib.request.Request(f"{service.endpoint}{path}", data=data, headers=headers)
    opener.open(request, timeout=10).close()


def main() -> None:
    """Serve until somebody stops it."""
    from moto import settings
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    s3 = DomainDispatcherApplication(create_backend_app)

    def checked(environ: dict[str, Any], start_response: Any) -> Any:
        ours = environ["PATH_INFO"].startswith("/moto-api")
        if settings.INITIAL_NO_AUTH_ACTION_COUNT <= 0 and "HTTP_AUTHORIZATION" not in environ and not ours:
            head = environ["REQUEST_METHOD"] == "HEAD"
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"" if head else _DENIED]
        return s3(environ, start_response)

    port, *certificate = sys.argv[1:]
    run_simple(
        "127.0.0.1",
        int(port),
        checked,
        threaded=True,
        ssl_context=tuple(certificate) if certificate else None,  # type: ignore[arg-type]  # a pair
    )


if __name__ == "__main__":
    main()
