"""compose.yaml: the servers that people try the runner against, and tests use."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.mlflow_stores import mlflow_python
from tests.support.services import Services

# What a client of Amazon's says: its answer, or the code of the refusal.
CLIENT = """
import sys
import boto3, botocore.exceptions
address, access_key, secret_key, bucket = sys.argv[1:]
client = boto3.client("s3", endpoint_url=address, aws_access_key_id=access_key, aws_secret_access_key=secret_key)
try:
    client.put_object(Bucket=bucket, Key="a b/c", Body=b"hello")
    print(client.get_object(Bucket=bucket, Key="a b/c")["Body"].read().decode())
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
"""


def asked(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_mlflow_answers_and_s3_refuses_who_brings_no_keys(services: Services) -> None:
    assert asked(f"{services.mlflow_url}/version") == (200, b"3.17.2")
    assert asked(f"{services.s3_endpoint}/health") == (200, b"OK")
    assert asked(f"{services.s3_endpoint}/{services.s3_bucket}/absent")[0] == 403


@pytest.fixture(scope="module")
def amazon_python(request: pytest.FixtureRequest) -> Path:
    return mlflow_python(request.config.cache.mkdir("s3-client"), ("boto3==1.44.*",))


def test_s3_takes_its_own_keys_and_no_others(services: Services, amazon_python: Path) -> None:
    def said(access_key: str, secret_key: str, bucket: str = services.s3_bucket) -> str:
        command = [amazon_python, "-c", CLIENT, services.s3_endpoint, access_key, secret_key, bucket]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert said(services.s3_access_key, services.s3_secret_key) == "hello"
    assert said(services.s3_access_key, services.s3_secret_key, "absent") == "NoSuchBucket"
    assert said(services.s3_access_key, "another") == "SignatureDoesNotMatch"
    assert said("another", services.s3_secret_key) == "InvalidAccessKeyId"
