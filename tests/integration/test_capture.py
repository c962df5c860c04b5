"""The capture in real Pythons with real MLflow: what a training logs is recorded, whatever store its code names."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.capture_environments import (
    EACH_MLFLOW,
    EACH_PYTHON,
    MLFLOW_1_23,
    MLFLOW_1_26,
    MLFLOW_2_22,
    Environment,
    Specification,
)

EnvironmentOf = Callable[..., Environment]


@pytest.fixture(
    params=[
        pytest.param(mlflow, marks=() if mlflow is MLFLOW_2_22 else pytest.mark.full, id=mlflow.name)
        for mlflow in EACH_MLFLOW
    ]
)
def mlflow(request: pytest.FixtureRequest, environment_of: EnvironmentOf) -> Environment:
    """An environment with MLflow of one of several times."""
    return environment_of(request.param)


def _rarer(mlflow: Specification) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.full,) if mlflow in (MLFLOW_1_23, MLFLOW_1_26) else ()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


URIS = """
import os, mlflow
uris = ["file:///absolute/mlruns", "file:./mlruns", "mlruns", "/absolute/bare", "sqlite:///mlflow.db", "databricks",
        "http://tracker:5000", "https://user:secret@tracker/", "postgresql://user:secret@db/mlflow",
        "mysql+pymysql://db/mlflow", "mssql://db/mlflow"]
for number, uri in enumerate(uris):
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("/Shared/experiment %d" % number)
    with mlflow.start_run(run_name="run %d" % number):
        mlflow.log_metric("metric", 0.1 * number)
        mlflow.log_dict({"a": 1}, "sub/a.json")
    assert mlflow.get_tracking_uri() == uri, mlflow.get_tracking_uri()
    found = mlflow.tracking.MlflowClient().get_experiment_by_name("/Shared/experiment %d" % number)
    assert found is not None
print(len(uris))
"""


def test_whatever_store_the_code_names_is_captured_and_not_written_to(mlflow: Environment, workspace: Path) -> None:
    trained = mlflow.train(workspace, URIS)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert trained.report.hosts_tried == ()
    assert (trained.report.processes, trained.report.mlflow_processes) == (1, 1)
    assert len(trained.report.runs) == int(trained.out.split()[-1])
    for number, run in enumerate(trained.report.runs):
        assert (run.name, run.experiment) == (f"run {number}", f"/Shared/experiment {number}")
        assert [point.value for point in run.metrics] == [0.1 * number]
        assert list(run.artifacts) == ["sub/a.json"]
        assert (run.status, run.resumed) == ("FINISHED", False)
    assert trained.files() == ["train.py"]
    assert not Path("/absolute").exists()
    assert "secret" not in str(trained.events)


VALUES = """
import mlflow
with open("model.bin", "wb") as file:
    file.write(b"model" * 1000)
with mlflow.start_run(run_name="parent", tags={"git_commit": "abc"}) as parent:
    mlflow.log_param("depth", 3)
    mlflow.log_params({"name": "r\\u00f6d", "none": None})
    for value in (0.1 + 0.2, 1e-320, float("nan"), float("inf"), -float("inf"), 1e300):
        mlflow.log_metric("loss", value)
    mlflow.log_metric("loss", 0.5, step=7)
    mlflow.log_metric("loss", 0.5, step=7)
    mlflow.log_metrics({"a": 1, "b": 2.5}, step=2)
    mlflow.set_tag("dvc_data_md5", "1c9a")
    mlflow.log_artifact("model.bin", "models")
    for number in range(2):
        with mlflow.start_run(run_name="child %d" % number, nested=True):
            mlflow.log_metric("loss", number)
try:
    with mlflow.start_run(run_name="failing"):
        mlflow.log_metric("loss", 1)
        raise ValueError("wrapped")
except Exception:
    pass
mlflow.start_run(run_name="never ended")
import os
os._exit(0)
"""


def test_values_nested_runs_and_artifacts_come_back_bit_for_bit_and_in_order(
    mlflow: Environment, workspace: Path
) -> None:
    trained = mlflow.train(workspace, VALUES, MLFLOW_TRACKING_URI="http://tracker:5000")
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert trained.report.reads == ()
    parent = trained.run("parent")
    assert parent.experiment == "Default"
    assert parent.params == {"depth": "3", "name": "röd", "none": "None"}
    assert parent.tags["git_commit"] == "abc"
    assert parent.tags["dvc_data_md5"] == "1c9a"
    losses = [point.value.hex() for point in parent.metrics if point.name == "loss"]
    expected = (0.1 + 0.2, 1e-320, math.nan, math.inf, -math.inf, 1e300, 0.5, 0.5)
    assert losses == [value.hex() for value in expected]
    assert [point.step for point in parent.metrics if point.name == "loss"] == [0] * 6 + [7, 7]
    assert [(point.name, point.value, point.step) for point in parent.metrics][-2:] == [("a", 1.0, 2), ("b", 2.5, 2)]
    digest = hashlib.md5(b"model" * 1000).hexdigest()
    assert {path: str(file.md5) for path, file in parent.artifacts.items()} == {"models/model.bin": f"md5:{digest}"}
    for number in range(2):
        child = trained.run(f"child {number}")
        assert child.parent_run_id == parent.run_id
        assert parent.started < child.started < (child.ended or 0) < (parent.ended or 0)
    assert trained.run("failing").status == "FAILED"
    assert trained.run("never ended").ended is None
    assert set(trained.report.files_opened_before_output) <= {"train.py"}
    assert trained.files() == ["model.bin", "train.py"]


UNKNOWN = """
import mlflow
client = mlflow.tracking.MlflowClient()
with mlflow.start_run(experiment_id="955874916381101783", run_name="by id"):
    mlflow.log_metric("m", 1)
assert client.get_experiment("955874916381101783").experiment_id == "955874916381101783"
known = client.get_experiment_by_name("asked for")
assert mlflow.create_experiment("asked for", artifact_location="s3://bucket/path") == known.experiment_id
mlflow.set_experiment("asked for")
with mlflow.start_run(run_id="0123456789abcdef0123456789abcdef") as run:
    assert run.info.run_id == "0123456789abcdef0123456789abcdef"
    assert not run.data.metrics
    mlflow.log_metric("m", 2)
    mlflow.log_dict({}, "a.json")
client.set_tag("f" * 32, "written", "by client")
old = client.get_run("e" * 32)
assert not old.data.params
with mlflow.start_run(run_name="own") as own:
    mlflow.log_metric("m", 3)
with mlflow.start_run(run_id=own.info.run_id):
    mlflow.log_metric("m", 4)
assert client.get_run(own.info.run_id).data.metrics["m"] == 4
assert mlflow.get_artifact_uri is not None and own.info.artifact_uri.startswith("file://")
"""


def test_unknown_experiments_and_runs_are_empty_and_continued_runs_are_marked(
    mlflow: Environment, workspace: Path
) -> None:
    trained = mlflow.train(workspace, UNKNOWN)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    by_id = trained.run("by id")
    assert (by_id.experiment, by_id.experiment_id, by_id.resumed) == (None, "955874916381101783", False)
    runs = {run.run_id: run for run in trained.report.runs}
    continued = runs["0123456789abcdef0123456789abcdef"]
    assert continued.resumed
    assert [point.value for point in continued.metrics] == [2.0]
    assert list(continued.artifacts) == ["a.json"]
    assert continued.status == "FINISHED"
    assert runs["f" * 32].resumed
    assert "e" * 32 not in runs
    assert [(read.what, "e" * 32 in read.detail) for read in trained.report.reads] == [("get_run", True)]
    own = trained.run("own")
    assert not own.resumed
    assert [point.value for point in own.metrics] == [3.0, 4.0]
    assert own.status == "FINISHED"


PROCESSES = """
import multiprocessing, os, subprocess, sys
import mlflow
child = "import mlflow; mlflow.start_run(); mlflow.log_metric('child', 2); mlflow.end_run()"
def forked(run_id):
    mlflow.tracking.MlflowClient().log_metric(run_id, "forked", 3)
if __name__ == "__main__":
    mlflow.set_experiment("processes")
    with mlflow.start_run(run_name="parent") as run:
        mlflow.log_metric("parent", 1)
        environment = {"PYTHONPATH": "/nowhere", "MLFLOW_RUN_ID": run.info.run_id}
        subprocess.run([sys.executable, "-B", "-c", child], env=environment, check=True)
        process = multiprocessing.get_context("fork").Process(target=forked, args=(run.info.run_id,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""


def test_isolated_parents_children_with_their_own_environment_and_forks_write_to_one_capture(
    mlflow: Environment, workspace: Path
) -> None:
    trained = mlflow.train(workspace, PROCESSES, "-I")
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    (run,) = trained.report.runs
    # The child ends the run; MLflow lets the others go on.
    assert [(point.name, point.value) for point in run.metrics] == [("parent", 1.0), ("child", 2.0), ("forked", 3.0)]
    sequences = [point.sequence for point in run.metrics]
    assert sequences == sorted(sequences)
    assert not run.resumed
    assert (trained.report.processes, trained.report.mlflow_processes) == (2, 2)
    assert trained.files() == ["train.py"]


READS = """
import mlflow
client = mlflow.tracking.MlflowClient()
mlflow.set_experiment("search")
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_metric("m", 1)
    with mlflow.start_run(nested=True):
        pass
    own = client.search_runs([parent.info.experiment_id], "tags.mlflow.parentRunId = '%s'" % parent.info.run_id)
    assert len(own) == 1
    best = client.search_runs([parent.info.experiment_id], "", order_by=["metrics.m DESC"])
    assert len(best) == 2
    other = client.search_runs(["123456789"], "attributes.status != 'FAILED'")
    assert not other
    client.get_run(parent.info.run_id)
    for run_id in (parent.info.run_id, "e" * 32):
        try:
            client.download_artifacts(run_id, "missing.json")
        except Exception:
            print("missed")
"""


def test_reads_that_the_original_store_might_have_answered_are_recorded(mlflow: Environment, workspace: Path) -> None:
    trained = mlflow.train(workspace, READS)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert trained.out.split() == ["missed", "missed"]
    expected = ["search_runs", "search_runs", "get_run", "download_artifacts"]
    assert [read.what for read in trained.report.reads if read.what != "search_logged_models"] == expected
    assert trained.run("parent").started < trained.report.reads[0].sequence < (trained.run("parent").ended or 0)


ORIGINAL = """
import mlflow, sys
mlflow.set_tracking_uri("file:runs/mlruns")
mlflow.set_experiment("demo")
client = mlflow.tracking.MlflowClient()
assert client.search_runs(["1"], "") == []
assert not client.get_run("0123456789abcdef0123456789abcdef").data.metrics
with mlflow.start_run(run_name="again"):
    mlflow.log_metric("m", 2)
"""


def test_a_store_in_the_workspace_that_holds_the_original_is_neither_read_nor_written(
    mlflow: Environment, workspace: Path
) -> None:
    run = workspace / "runs/mlruns/1/0123456789abcdef0123456789abcdef"
    (run / "metrics").mkdir(parents=True)
    (run / "metrics" / "m").write_text("1 0.5 0\n")
    (run / "meta.yaml").write_text("run_id: 0123456789abcdef0123456789abcdef\nexperiment_id: '1'\n")
    (run.parent / "meta.yaml").write_text("name: demo\nexperiment_id: '1'\nlifecycle_stage: active\n")
    before = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    trained = mlflow.train(workspace, ORIGINAL)
    assert trained.status == 0, trained.err
    after = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file() and path.name != "train.py"}
    assert after == before
    assert set(trained.report.files_opened) <= {"train.py"}
    assert [point.value for point in trained.run("again").metrics] == [2.0]


FOREIGN_NAMES = """
import sys
import runner
from runner import trainer
import mlflow
sys.path[:] = [path for path in sys.path if "library" not in path]
assert runner.__file__.startswith(sys.path[0]) or "runner" in runner.__file__
with mlflow.start_run(run_name="foreign"):
    mlflow.log_metric("m", trainer.VALUE)
"""


@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_project_with_a_runner_of_its_own_gets_its_own(mlflow: Environment, workspace: Path, kind: str) -> None:
    workspace.mkdir()
    (workspace / "runner.yaml").write_text("mine: true\n")
    if kind == "package":
        (workspace / "runner").mkdir()
        (workspace / "runner" / "__init__.py").write_text("")
        (workspace / "runner" / "trainer.py").write_text("VALUE = 5\n")
    else:
        (workspace / "runner.py").write_text("class trainer: VALUE = 5\n")
    trained = mlflow.train(workspace, FOREIGN_NAMES)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert [point.value for point in trained.run("foreign").metrics] == [5.0]


WITHOUT_ENTRY_POINTS = """
import sys
sys.path[:] = [path for path in sys.path if not path.endswith("library")]
import mlflow
mlflow.set_tracking_uri("http://tracker:5000")
with mlflow.start_run(run_name="found"):
    mlflow.log_metric("m", 1)
try:
    from mlflow.store.tracking.rest_store import RestStore
    RestStore(lambda: None)
except Exception as error:
    print(error)
"""


def test_the_capture_takes_over_without_entry_points_and_a_store_that_is_not_ours_is_a_problem(
    mlflow: Environment, workspace: Path
) -> None:
    trained = mlflow.train(workspace, WITHOUT_ENTRY_POINTS)
    assert trained.status == 0, trained.err
    assert [point.value for point in trained.run("found").metrics] == [1.0]
    (problem,) = trained.report.problems
    assert "not captured: mlflow.store.tracking.rest_store.RestStore" in problem


ENTRY_POINTS_ALONE = """
import sys
sys.path.append(sys.argv[1] if len(sys.argv) > 1 else __import__("os").environ["LIBRARY"])
import mlflow
mlflow.set_tracking_uri("mlruns")
with mlflow.start_run(run_name="late"):
    mlflow.log_metric("m", 1)
"""


def test_entry_points_alone_capture_too_and_leave_a_start_record(mlflow: Environment, workspace: Path) -> None:
    packages = next(mlflow.python.parents[1].glob("lib/python*/site-packages"))
    kept = (packages / "aa-kept-packages.pth").read_text().strip()
    trained = mlflow.train(workspace, ENTRY_POINTS_ALONE, "-S", LIBRARY=str(mlflow.library), PYTHONPATH=kept)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert [point.value for point in trained.run("late").metrics] == [1.0]
    assert (trained.report.processes, trained.report.mlflow_processes) == (1, 1)
    assert trained.files() == ["train.py"]


SWALLOWED = """
def log(value):
    try:
        import mlflow
        mlflow.set_tracking_uri("http://tracker:5000")
        with mlflow.start_run(run_name="swallowed"):
            mlflow.log_metric("m", value)
            mlflow.log_param("p", 1)
            mlflow.log_param("p", 2)
    except Exception as error:
        print("tracking is off")
log(1)
"""


def test_a_run_inside_a_try_is_captured_as_it_ended(mlflow: Environment, workspace: Path) -> None:
    trained = mlflow.train(workspace, SWALLOWED)
    assert "tracking is off" in trained.out
    run = trained.run("swallowed")
    assert (run.status, run.params) == ("FAILED", {"p": "1"})


SMOKE = """
import mlflow
mlflow.set_tracking_uri("http://tracker:5000")
mlflow.set_experiment("smoke")
with mlflow.start_run(run_name="parent"):
    mlflow.log_params({"depth": 3})
    mlflow.log_metric("loss", 0.5)
    mlflow.log_metric("loss/val", 0.25, step=1)
    mlflow.log_text("weights", "model/weights.txt")
    with mlflow.start_run(run_name="child", nested=True):
        mlflow.log_metric("loss", float("nan"))
mlflow.tracking.MlflowClient().get_run("e" * 32)
"""


@pytest.mark.parametrize(
    "specification",
    [
        *(pytest.param(each, id=each.name, marks=_rarer(each)) for each in EACH_MLFLOW),
        *(pytest.param(each, id=each.name, marks=pytest.mark.full) for each in EACH_PYTHON),
    ],
)
def test_every_mlflow_on_every_python_of_its_time_is_captured(
    specification: Specification, environment_of: EnvironmentOf, workspace: Path
) -> None:
    trained = environment_of(specification).train(workspace, SMOKE)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    parent, child = trained.run("parent"), trained.run("child")
    assert [(point.name, point.value, point.step) for point in parent.metrics] == [
        ("loss", 0.5, 0),
        ("loss/val", 0.25, 1),
    ]
    assert (parent.params, list(parent.artifacts)) == ({"depth": "3"}, ["model/weights.txt"])
    assert (child.parent_run_id, math.isnan(child.metrics[0].value)) == (parent.run_id, True)
    assert (parent.status, child.status) == ("FINISHED", "FINISHED")
    assert [read.what for read in trained.report.reads] == ["get_run"]
    assert trained.files() == ["train.py"]
