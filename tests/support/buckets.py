"""A DVC remote in a bucket of an S3 server, such as that of compose.yaml."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.repositories import Stored, directory_object, md5


@dataclass(frozen=True, kw_only=True)
class S3Service:
    """What a test needs to know of an S3 server, wherever it runs."""

    endpoint: str
    access_key_id: str
    secret_access_key: str

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
