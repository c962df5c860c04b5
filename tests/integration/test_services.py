"""compose.yaml: the servers that people try the runner against, and tests use."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.request
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Verdict
from runner.schema.run_record import RunRecord
from runner.settings import Flags, load_settings
from runner.trackers.open import open_tracker
from tests.support.compose import compose_command
from tests.support.mlflow_stores import mlflow_python
from tests.support.projects import RUN_ID, RecordedProject
from tests.support.services import Services, free_ports, running_services

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


def test_the_servers_listen_on_loopback_alone_and_hold_nothing_of_the_hosts_settings(
    services: Services, shared_engine: DockerEngine
) -> None:
    client = shared_engine.client
    found = client.containers(filters={"label": f"com.docker.compose.project={services.project}"})
    assert len(found) == 2
    for container in found:
        assert {port["IP"] for port in container["Ports"] if "IP" in port} == {"127.0.0.1"}
        about = client.inspect_container(container["Id"])
        assert about["Config"]["User"] == "10001:10001"
        assert about["HostConfig"]["ReadonlyRootfs"]
        look = ["sh", "-c", "cat /etc/pip.conf 2>/dev/null; ls -A /run/secrets 2>/dev/null; true"]
        told = client.exec_start(client.exec_create(container["Id"], look)["Id"])
        assert told.strip() == b""


def test_servers_that_cannot_start_leave_nothing(
    request: pytest.FixtureRequest,
    shared_engine: DockerEngine,
    shared_images: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compose = compose_command(request.config.cache.mkdir("compose"))
    project = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr("tests.support.services.free_ports", lambda count: [port, *free_ports(count - 1)])
        with (
            pytest.raises(AssertionError, match="address already in use"),
            running_services(compose, shared_images.base.reference, tmp_path, project),
        ):
            pass
    client = shared_engine.client
    filters = {"label": f"com.docker.compose.project={project}"}
    left = [*client.containers(all=True, filters=filters), *(client.volumes(filters=filters)["Volumes"] or ())]
    left += [*client.networks(filters=filters), *client.images(name=f"{project}*")]
    assert left == []


def copied(run: RunRecord, server: str) -> str:
    """Log a run of another store to a server, as its training would have; return the id that it has there."""

    def sent(endpoint: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{server}/api/2.0/mlflow/{endpoint}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def milliseconds(moment: datetime | None) -> int:
        assert moment is not None
        return round(moment.timestamp() * 1000)

    def pairs(texts: dict[str, str]) -> list[dict[str, str]]:
        return [{"key": key, "value": value} for key, value in texts.items()]

    metrics = [
        {"key": metric.name, "value": point.value, "timestamp": point.timestamp_ms, "step": point.step}
        for metric in run.metrics
        for point in metric.points
    ]
    start = milliseconds(run.start_time)
    experiment = sent("experiments/create", name=run.experiment_name)["experiment_id"]
    made = sent("runs/create", experiment_id=experiment, run_name=run.name, start_time=start, tags=pairs(run.tags))
    run_id = str(made["run"]["info"]["run_id"])
    sent("runs/log-batch", run_id=run_id, metrics=metrics, params=pairs(run.params))
    sent("runs/update", run_id=run_id, status=run.status, end_time=milliseconds(run.end_time))
    return run_id


def test_a_run_that_the_server_holds_is_identical(
    services: Services, shared_engine: DockerEngine, tmp_path: Path
) -> None:
    (tmp_path / "author").mkdir()
    (tmp_path / "here").mkdir()
    project = RecordedProject(tmp_path / "author")
    project.commit_training()
    project.record()
    run_id = copied(open_tracker(str(project.tracker)).read_run(RUN_ID), services.mlflow_url)
    flags = Flags(tracker=services.mlflow_url, repo=str(project.repository.path))
    settings = load_settings(flags, {}, tmp_path / "here")
    done = reproduce(run_id[:12], settings, progress=NoProgress(), engine=shared_engine).reproduction
    assert done.verdict is Verdict.IDENTICAL, done.reason
    assert done.run.uri == services.mlflow_url


def test_s3_takes_its_own_keys_and_no_others(services: Services, amazon_python: Path) -> None:
    def said(access_key: str, secret_key: str, bucket: str = services.s3_bucket) -> str:
        command = [amazon_python, "-c", CLIENT, services.s3_endpoint, access_key, secret_key, bucket]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert said(services.s3_access_key, services.s3_secret_key) == "hello"
    assert said(services.s3_access_key, services.s3_secret_key, "absent") == "NoSuchBucket"
    assert said(services.s3_access_key, "another") == "SignatureDoesNotMatch"
    assert said("another", services.s3_secret_key) == "InvalidAccessKeyId"
