"""Stores that another process is writing: what is read is one moment of them, or a sentence says why it is not."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import TrackerUnavailable
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Verdict
from runner.schema.run_record import RunRecord
from runner.settings import Flags, load_settings
from runner.trackers.open import open_tracker
from tests.support.mlflow_stores import MLFLOW_3, mlflow_python, write
from tests.support.projects import EXPERIMENT_ID, RUN_ID, RecordedProject

# A training of MLflow's own that logs one step after the other: at each step `a`, then `b`.
TRAINING = """
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run() as run:
    print(run.info.run_id, flush=True)
    for step in range(100_000):
        mlflow.log_metric("a", step / 3, step=step)
        mlflow.log_metric("b", step / 7, step=step)
"""
READINGS = 25
GIVEN_UP_AFTER = 120.0  # seconds: a store that is not written meanwhile would be read in vain


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest) -> Path:
    return mlflow_python(request.config.cache.mkdir("mlflow-versions"), MLFLOW_3)


@contextmanager
def training(python: Path, folder: Path, uri: str) -> Iterator[str]:
    """Let a training log into a store without end; yield its run's id."""
    script = write(folder / "train.py", TRAINING)
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [python, script, uri], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def is_one_moment(record: RunRecord) -> int:
    """Whatever was read is what had been logged up to some point, with every value whole. Returns the steps of `a`."""
    steps = {"a": 0, "b": 0}
    for metric in record.metrics:
        divisor = {"a": 3, "b": 7}[metric.name]
        assert [(point.step, point.value) for point in metric.points] == [
            (step, step / divisor) for step in range(len(metric.points))
        ]
        assert metric.complete or record.notes
        steps[metric.name] = len(metric.points)
    assert record.status == "RUNNING"
    return steps["a"]


@pytest.mark.parametrize(
    "address", ["mlruns", "mlflow.db", pytest.param("mlflow.db in write-ahead mode", marks=pytest.mark.full)]
)
def test_a_store_that_mlflow_is_writing_is_read_as_of_one_moment(python: Path, tmp_path: Path, address: str) -> None:
    name, _, write_ahead = address.partition(" ")
    uri = str(tmp_path / name) if name == "mlruns" else f"sqlite:///{tmp_path / name}"
    if write_ahead:
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as database:
            database.execute("PRAGMA journal_mode = WAL")
    seen, sentences = set(), list[str]()
    with training(python, tmp_path, uri) as run_id:
        given_up = time.monotonic() + GIVEN_UP_AFTER
        readings = itertools.count()
        while next(readings) < READINGS or (len(seen) <= 3 and time.monotonic() < given_up):
            try:
                record = open_tracker(uri).read_run(run_id)
            except TrackerUnavailable as unavailable:
                sentences.append(unavailable.remedy)
                continue
            seen.add(is_one_moment(record))
            if name == "mlflow.db":  # one transaction: what is read of one metric fits what is read of the other
                lengths = [len(metric.points) for metric in record.metrics]
                assert max(lengths, default=0) - min(lengths, default=0) <= 1
            time.sleep(0.02)
    assert len(seen) > 3  # it did go on meanwhile
    assert [sentence for sentence in sentences if "try again" not in sentence] == []


@pytest.fixture
def project(tmp_path: Path) -> RecordedProject:
    folder = tmp_path / "author"
    folder.mkdir()
    project = RecordedProject(folder)
    project.commit_training()
    project.record()
    return project


class Meddling(NoProgress):
    """Does something to the original while its training runs again."""

    def __init__(self, meddle: Callable[[], Any]) -> None:
        self.meddle = meddle

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if name == "train":
            self.meddle()
        yield


@pytest.mark.parametrize(
    "kind", ["a value is replaced", pytest.param("a point is added", marks=pytest.mark.full), "it is purged"]
)
def test_a_record_that_changes_during_the_rerun_is_unverifiable(
    project: RecordedProject, shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path, kind: str
) -> None:
    run = project.tracker / EXPERIMENT_ID / RUN_ID
    loss = run / "metrics" / "loss"
    meddle = {
        "a value is replaced": lambda: loss.write_text(loss.read_text().replace(" 7.75 ", " 7.25 ")),
        "a point is added": lambda: loss.write_text(loss.read_text() + "1700000009000 0.25 4\n"),
        "it is purged": lambda: shutil.rmtree(run),
    }[kind]
    (tmp_path / "here").mkdir()
    settings = load_settings(Flags(tracker=str(project.tracker)), {}, tmp_path / "here")
    done = reproduce(RUN_ID, settings, progress=Meddling(meddle), engine=shared_engine).reproduction
    assert done.verdict is Verdict.UNVERIFIABLE, done.reason
    assert "changed during the rerun" in done.reason
    assert done.missing is not None
    assert done.missing.fact == "record"
    assert done.rerun is not None
    assert done.rerun.exit_code == 0
