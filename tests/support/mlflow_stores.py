"""Stores of MLflow's: tiny ones written by hand, real ones written by real versions, and a real server.

`listing` is what a reader must leave as it was: every path with its bytes, times and mode.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

STATUS = {"RUNNING": 1, "SCHEDULED": 2, "FINISHED": 3, "FAILED": 4, "KILLED": 5}
Point = tuple[int, float, int]  # time in ms, value, step


@dataclass
class StoredRun:
    """A run to be written by hand."""

    run_id: str
    experiment: str = "alpha"
    name: str | None = "base"
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    status: str = "FINISHED"
    start: int | None = 1_700_000_000_000
    end: int | None = 1_700_000_060_000
    deleted: bool = False
    artifacts: dict[str, str] = field(default_factory=dict)
    artifact_uri: str | None = None

    @property
    def all_tags(self) -> dict[str, str]:
        return {**self.tags, **({"mlflow.runName": self.name} if self.name else {})}


def run_id(digit: str) -> str:
    """A whole id of one digit's repetition."""
    return digit * 32


def write(path: Path, text: str) -> Path:
    """Write a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def write_file_store(root: Path, runs: list[StoredRun], *, trashed: tuple[str, ...] = ()) -> Path:
    """Write a file store as MLflow 2 does; experiments in `trashed` lie in its bin."""
    ids = experiment_ids(runs)
    for experiment, number in ids.items():
        folder = experiment_folder(root, number, experiment in trashed)
        meta: dict[str, Any] = {"experiment_id": number, "name": experiment, "lifecycle_stage": "active"}
        write(folder / "meta.yaml", yaml.safe_dump(meta, allow_unicode=True))
    for run in runs:
        folder = experiment_folder(root, ids[run.experiment], run.experiment in trashed) / run.run_id
        meta = {
            "run_id": run.run_id,
            "run_uuid": run.run_id,
            "run_name": run.name or "",
            "experiment_id": ids[run.experiment],
            "status": STATUS[run.status],
            "start_time": run.start,
            "end_time": run.end,
            "lifecycle_stage": "deleted" if run.deleted else "active",
            "artifact_uri": run.artifact_uri or (folder / "artifacts").as_uri(),
        }
        write(folder / "meta.yaml", yaml.safe_dump(meta, allow_unicode=True))
        for kind, texts in (("params", run.params), ("tags", run.all_tags), ("artifacts", run.artifacts)):
            for name, text in texts.items():
                write(folder / kind / name, text)
        for name, points in run.metrics.items():
            write(folder / "metrics" / name, "".join(f"{when} {value} {step}\n" for when, value, step in points))
    return root


def experiment_ids(runs: list[StoredRun]) -> dict[str, str]:
    """The ids of experiments, by name."""
    return {name: str(number) for number, name in enumerate(dict.fromkeys(run.experiment for run in runs), start=1)}


def experiment_folder(root: Path, number: str, trashed: bool = False) -> Path:
    """Where an experiment lies."""
    return root / ".trash" / number if trashed else root / number


_OLD_TABLES = """
CREATE TABLE experiments (experiment_id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(256) NOT NULL UNIQUE,
    artifact_location VARCHAR(256), lifecycle_stage VARCHAR(32));
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(250), source_type VARCHAR(20),
    status VARCHAR(20), start_time BIGINT, end_time BIGINT, source_version VARCHAR(50), lifecycle_stage VARCHAR(20),
    artifact_uri VARCHAR(200), experiment_id INTEGER);
CREATE TABLE tags (key VARCHAR(250) NOT NULL, value VARCHAR(250), run_uuid VARCHAR(32) NOT NULL,
    PRIMARY KEY (key, run_uuid));
CREATE TABLE params (key VARCHAR(250) NOT NULL, value VARCHAR(250) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    PRIMARY KEY (key, run_uuid));
"""
_METRICS = {
    "oldest": """CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
        run_uuid VARCHAR(32) NOT NULL, PRIMARY KEY (key, timestamp, run_uuid, value));""",
    "today": """CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
        run_uuid VARCHAR(32) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
        PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
        CREATE TABLE latest_metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT,
        step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL, run_uuid VARCHAR(32) NOT NULL, PRIMARY KEY (key, run_uuid));
        CREATE TABLE datasets (dataset_uuid VARCHAR(36), experiment_id INTEGER, name VARCHAR(500), digest VARCHAR(36),
        dataset_source_type VARCHAR(36), dataset_source TEXT);
        CREATE TABLE inputs (input_uuid VARCHAR(36), source_type VARCHAR(36), source_id VARCHAR(36),
        destination_type VARCHAR(36), destination_id VARCHAR(36), step BIGINT);
        CREATE TABLE input_tags (input_uuid VARCHAR(36), name VARCHAR(255), value VARCHAR(500));
        CREATE TABLE logged_models (model_id VARCHAR(36), experiment_id INTEGER, name VARCHAR(500),
        artifact_location VARCHAR(1000));""",
}


def write_sqlite_store(path: Path, runs: list[StoredRun], *, version: str = "today") -> Path:
    """Write a database with the tables of MLflow of today or of before 1.0, clamping as MLflow does."""
    ids = experiment_ids(runs)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_OLD_TABLES + _METRICS[version])
        for name, number in ids.items():
            database.execute("INSERT INTO experiments VALUES (?, ?, ?, 'active')", (int(number), name, None))
        for run in runs:
            number = ids[run.experiment]
            uri = run.artifact_uri or str(path.parent / "mlruns" / number / run.run_id / "artifacts")
            for name, text in run.artifacts.items():
                write(path.parent / "mlruns" / number / run.run_id / "artifacts" / name, text)
            stage = "deleted" if run.deleted else "active"
            name_column = "" if version == "oldest" else run.name
            database.execute(
                "INSERT INTO runs VALUES (?, ?, 'LOCAL', ?, ?, ?, '', ?, ?, ?)",
                (run.run_id, name_column, run.status, run.start, run.end, stage, uri, int(number)),
            )
            for table, texts in (("params", run.params), ("tags", run.all_tags)):
                pairs = [(name, text, run.run_id) for name, text in texts.items()]
                database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", pairs)
            for name, points in run.metrics.items():
                rows = {_row(name, point, run.run_id) for point in points}
                if version == "oldest":
                    database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", {row[:4] for row in rows})
                    continue
                database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
                last = max(rows, key=lambda row: (row[4], row[2], row[1]))
                latest = (last[0], last[1], last[2], last[4], last[5], last[3])
                database.execute("INSERT INTO latest_metrics VALUES (?, ?, ?, ?, ?, ?)", latest)
    return path


def _row(name: str, point: Point, run: str) -> tuple[str, float, int, str, int, bool]:
    when, value, step = point
    largest = sys.float_info.max
    if math.isnan(value):
        return (name, 0.0, when, run, step, True)
    return (name, max(-largest, min(largest, value)), when, run, step, False)


def listing(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Every path beneath a folder with its mode, size, times and digest; access times are nobody's business."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        about = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        size = about.st_size if path.is_file() else 0
        found[str(path.relative_to(folder))] = (about.st_mode, size, about.st_mtime_ns, about.st_ctime_ns, digest)
    return found


@contextlib.contextmanager
def read_only_mount(folder: Path) -> Iterator[Path]:
    """Mount a folder read-only beside itself; needs root."""
    target = folder.with_name(folder.name + "-read-only")
    target.mkdir()
    subprocess.run(["mount", "--bind", folder, target], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", target], check=True)
        yield target
    finally:
        subprocess.run(["umount", target], check=True)
        target.rmdir()


# Real versions

_OLD_SERVER = ("alembic<2", "flask<2.3", "werkzeug<2.3", "gunicorn<24", "querystring_parser", "pandas<2", "numpy<2")
MLFLOW_1_30 = ("mlflow-skinny==1.30.1", "sqlalchemy<2", "setuptools<80", "prometheus-flask-exporter", *_OLD_SERVER)
MLFLOW_2_2 = ("mlflow-skinny==2.2.2", "sqlalchemy<2.1", "setuptools<80", *_OLD_SERVER)
MLFLOW_2 = ("mlflow-skinny==2.22.*", "sqlalchemy<2.1", "alembic", "setuptools<81")
_NEW_SERVER = ("flask", "flask-cors", "flask-wtf", "graphene", "pandas", "aiohttp")
MLFLOW_3 = ("mlflow-skinny==3.17.*", "sqlalchemy", "alembic", *_NEW_SERVER)

LOGGED: tuple[tuple[str, float, int, int], ...] = (
    *(("loss", 1.0, 1000, 0), ("loss", 1.0, 1000, 0), ("loss", 0.5, 1001, 1), ("loss", 0.25, 1000, 1)),
    *(("big", math.inf, 1000, 0), ("big", -math.inf, 1001, 1), ("val/auc", math.nan, 1000, 0)),
    *(("zero", -0.0, 1, 0), ("third", 1 / 3, 1, 0)),
)
"""The points of the run `base`, as the writer logs them: name, value, time in ms, step."""

WRITER = r"""
import json, os, sys
from pathlib import Path
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("équipe/τεστ/alpha")
client = MlflowClient()
ids = {}
with mlflow.start_run(run_name="base") as run:
    ids["base"] = run.info.run_id
    mlflow.log_params({"depth": "8", "long": "x" * 500, "a/b": "c"})
    mlflow.set_tags({"git_commit": "abc", "multi": "a\nb\n"})
    client.log_batch(run.info.run_id, [Metric(*point) for point in json.loads(sys.argv[2])])
    mlflow.log_text("hello\n", "notes/deep/a.txt")
    mlflow.log_text("numpy==1.26.0\n", "model/requirements.txt")
    if hasattr(client, "log_inputs"):
        from mlflow.entities import Dataset, DatasetInput, InputTag
        dataset = Dataset(name="sst", digest="d1", source_type="local", source='{"uri": "x.csv"}')
        tag = InputTag(key="mlflow.data.context", value="training")
        client.log_inputs(run.info.run_id, [DatasetInput(dataset, [tag])])
        ids["dataset"] = "sst"
    if hasattr(client, "create_logged_model"):
        from mlflow.entities import LoggedModelOutput
        tags = {"mlflow.source.name": "/home/ann/fit.py"}  # as MLflow's own calls set it
        model = client.create_logged_model(run.info.experiment_id, name="net", source_run_id=run.info.run_id, tags=tags)
        client.log_outputs(run.info.run_id, models=[LoggedModelOutput(model_id=model.model_id, step=0)])
        folder = Path("model-files"); folder.mkdir(exist_ok=True)
        (folder / "python_env.yaml").write_text("python: 3.11.7\n")
        client.log_model_artifacts(model.model_id, str(folder))
        ids["model"] = model.model_id
try:
    client.create_registered_model("fraud")
    source = run.info.artifact_uri + "/model"
    versions = [client.create_model_version("fraud", source, run.info.run_id).version for _ in range(3)]
    client.transition_model_version_stage("fraud", versions[0], "Production")
    client.delete_model_version("fraud", versions[2])
    ids["version"] = str(versions[0])
    if hasattr(client, "set_registered_model_alias"):
        client.set_registered_model_alias("fraud", "champion", versions[0])
        ids["alias"] = "champion"
except mlflow.exceptions.MlflowException as error:  # version 1 keeps no registry in files
    assert mlflow.__version__.startswith("1.") and sys.argv[1].startswith("file:"), error
with mlflow.start_run(run_name="sweep") as parent:
    for number in range(3):
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("score", number, step=number)
            ids[f"child-{number}"] = child.info.run_id
try:
    with mlflow.start_run(run_name="failing") as failed:
        ids["failing"] = failed.info.run_id
        raise KeyError
except KeyError:
    pass
with mlflow.start_run(run_name="gone") as gone:
    ids["gone"] = gone.info.run_id
client.delete_run(gone.info.run_id)
experiment = client.create_experiment("binned")
binned = client.create_run(experiment, run_name="in the bin")
client.set_terminated(binned.info.run_id)
client.delete_experiment(experiment)
ids["binned"] = binned.info.run_id
store = client.get_run(ids["base"])
history = {
    name: [[point.timestamp, repr(point.value), point.step] for point in client.get_metric_history(ids["base"], name)]
    for name in store.data.metrics
}
told = {"params": store.data.params, "tags": store.data.tags, "history": history, "start": store.info.start_time}
print(json.dumps({"ids": ids, "base": told}))
"""


def mlflow_python(cache: Path, packages: tuple[str, ...]) -> Path:
    """Return the Python of an environment with these packages, made once and kept in `cache`."""
    from uv import find_uv_bin

    key = hashlib.sha256("\n".join((sys.version, *packages)).encode()).hexdigest()[:12]
    folder = cache / key
    python = folder / "bin" / "python"
    whole = folder / "whole"
    if not whole.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        commands: tuple[list[str], ...] = (
            [find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(folder)],
            [find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), *packages],
        )
        for command in commands:
            subprocess.run(command, check=True, env=environ)
        whole.touch()
    return python


@dataclass(frozen=True)
class RealStore:
    """A store that a real MLflow wrote: the ids of its runs by name, and what its own client says of one of them."""

    folder: Path
    address: str
    ids: dict[str, str]
    base: dict[str, Any]


def write_real_store(python: Path, folder: Path, address: str) -> RealStore:
    """Let a real MLflow write its runs; `address` is `mlruns` or a database's name in `folder`, or a whole URI."""
    folder.mkdir()
    uri = f"file:{folder / address}" if address == "mlruns" else f"sqlite:///{folder / address}"
    uri = address if "://" in address else uri
    script = write(folder.with_name("write_store.py"), WRITER)
    command = [python, script, uri, json.dumps(LOGGED)]
    told = subprocess.run(command, cwd=folder, env=quiet(), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return RealStore(folder=folder, address=address, **json.loads(told.stdout.splitlines()[-1]))


@contextlib.contextmanager
def mlflow_server(
    python: Path, backend: str, log: Path, *options: str, folder: Path | None = None, **variables: str
) -> Iterator[str]:
    """Run a real `mlflow server` on this host; yield its address. It works in `folder`, else in that of `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [str(python.with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**quiet(), "MLFLOW_ALLOW_FILE_STORE": "true", **variables}
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"  # old ones look for gunicorn there
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", backend, *options],
            cwd=folder or log.parent,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(address, server, log)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text(errors="replace")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace"))


def quiet() -> dict[str, str]:
    """The environment without what would lead MLflow elsewhere, or keep it busy."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    return {**environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
