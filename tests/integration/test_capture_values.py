"""The capture of all ways in which a training logs: names, threads, processes, queues, circumstances. Real MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.capture_environments import EACH_MLFLOW, MLFLOW_2_22, MLFLOW_TODAY, Environment, Specification

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


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


NAMES = """
import mlflow
mlflow.set_tracking_uri("http://tracker:5000")
client = mlflow.tracking.MlflowClient()
with mlflow.start_run(run_name="names") as run:
    mlflow.log_metric("loss", 1)
    mlflow.log_metric("loss/val", 2, step=3)
    mlflow.log_metrics({"x/y/z": 3, "x": 4, "x/y": 5})
    mlflow.log_params({"p": 1, "p/q": 2})
    mlflow.log_param("p/q", 2)
    mlflow.set_tag("t/u", "1")
    mlflow.set_tag("t", "2")
    mlflow.set_tag("gone/a", "2")
    mlflow.delete_tag("gone/a")
client.set_experiment_tag("0", "e/f", "1")
client.set_experiment_tag("0", "e", "1")
data = client.get_run(run.info.run_id).data
assert data.metrics == {"loss": 1, "loss/val": 2, "x/y/z": 3, "x": 4, "x/y": 5}, data.metrics
assert data.params == {"p": "1", "p/q": "2"}
assert (data.tags["t"], data.tags["t/u"], "gone/a" in data.tags) == ("2", "1", False)
assert [point.step for point in client.get_metric_history(run.info.run_id, "loss/val")] == [3]
assert client.get_experiment("0").tags == {"e": "1", "e/f": "1"}
try:
    mlflow.tracking.MlflowClient().log_param(run.info.run_id, "p/q", 3)
except Exception:
    print("refused")
"""


def test_names_may_stand_beneath_each_other_as_in_a_database(mlflow: Environment, workspace: Path) -> None:
    """MLflow's file store cannot hold `loss` beside `loss/val`; its databases and servers can."""
    trained = mlflow.train(workspace, NAMES)
    assert trained.status == 0, trained.err
    assert trained.out == "refused\n"
    assert trained.report.problems == ()
    run = trained.run("names")
    assert {point.name: point.value for point in run.metrics} == {
        "loss": 1,
        "loss/val": 2,
        "x/y/z": 3,
        "x": 4,
        "x/y": 5,
    }
    assert run.params == {"p": "1", "p/q": "2"}
    assert (run.tags["t"], run.tags["t/u"], "gone/a" in run.tags) == ("2", "1", False)


WAYS = """
import threading
import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
mlflow.set_tracking_uri("https://user:secret@tracker/")
direct = MlflowClient(tracking_uri="databricks")
mlflow.set_experiment("ways")
with mlflow.start_run(run_name="mixed") as run:
    identity = run.info.run_id
    mlflow.log_metric("a", 1)
    direct.log_metric(identity, "a", 2, timestamp=1234567, step=5)
    direct.log_batch(
        identity,
        metrics=[Metric("b", 1.5, 77, 3), Metric("b", 2.5, 78, 4)],
        params=[Param("p", "1")],
        tags=[RunTag("t", "x")],
    )
    mlflow.set_tags({"u": 1, "v": 2})
    mlflow.delete_tag("v")
experiment = direct.get_experiment_by_name("ways").experiment_id
for name, status in (("killed", "KILLED"), ("finished", None)):
    made = direct.create_run(experiment, tags={"mlflow.runName": name})
    direct.log_metric(made.info.run_id, "m", 1)
    direct.set_terminated(made.info.run_id, **({"status": status} if status else {}))
with mlflow.start_run(run_name="threads") as run:
    def log(number):
        for step in range(50):
            direct.log_metric(run.info.run_id, "thread %d" % number, step, step=step)
    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_fluent_calls_clients_batches_and_threads_end_in_one_capture(mlflow: Environment, workspace: Path) -> None:
    trained = mlflow.train(workspace, WAYS)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert trained.report.reads == ()
    mixed = trained.run("mixed")
    assert [(point.name, point.value, point.step) for point in mixed.metrics] == [
        ("a", 1.0, 0),
        ("a", 2.0, 5),
        ("b", 1.5, 3),
        ("b", 2.5, 4),
    ]
    assert [point.timestamp_ms for point in mixed.metrics[1:]] == [1234567, 77, 78]
    assert (mixed.params, mixed.tags["t"], mixed.tags["u"], "v" in mixed.tags) == ({"p": "1"}, "x", "1", False)
    assert (trained.run("killed").status, trained.run("finished").status) == ("KILLED", "FINISHED")
    threads = trained.run("threads")
    for number in range(4):
        values = [point.value for point in threads.metrics if point.name == f"thread {number}"]
        assert values == list(range(50))
    assert "secret" not in str(trained.events)
    assert trained.files() == ["train.py"]


CHILDREN = """
import multiprocessing, os, subprocess, sys
import mlflow
CODE = "import mlflow; mlflow.start_run(run_name='%s'); mlflow.log_metric('m', 1); mlflow.end_run()"
def log(run_id, number):
    mlflow.tracking.MlflowClient().log_metric(run_id, "worker", number)
if __name__ == "__main__":
    with mlflow.start_run(run_name="workers") as run:
        for number, kind in enumerate(("fork", "spawn", "forkserver")):
            worker = multiprocessing.get_context(kind).Process(target=log, args=(run.info.run_id, number))
            worker.start()
            worker.join()
            assert worker.exitcode == 0
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "by name"
    subprocess.run([sys.executable, "-c", CODE % "by name"], check=True)
    bare = {"MLFLOW_TRACKING_URI": "sqlite:///x.db", "MLFLOW_EXPERIMENT_ID": "77"}
    subprocess.run([sys.executable, "-E", "-s", "-c", CODE % "isolated"], check=True, env=bare)
    subprocess.run([sys.executable, "-c", CODE % "by id"], check=True, env=bare)
    pid = os.fork()
    if pid == 0:
        with mlflow.start_run(run_name="in a fork"):
            mlflow.log_metric("m", 1)
        os._exit(0)
    os.waitpid(pid, 0)
    mlflow.start_run(run_name="exits")
    mlflow.log_metric("m", 9)
    os._exit(0)
"""


def test_workers_children_forks_and_exits_without_a_farewell_lose_nothing(mlflow: Environment, workspace: Path) -> None:
    trained = mlflow.train(workspace, CHILDREN)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert [point.value for point in trained.run("workers").metrics] == [0.0, 1.0, 2.0]
    assert (trained.run("by name").experiment, trained.run("by id").experiment_id) == ("by name", "77")
    for name in ("by name", "by id", "isolated", "in a fork"):
        run = trained.run(name)
        assert ([point.value for point in run.metrics], run.status) == ([1.0], "FINISHED")
    exits = trained.run("exits")
    assert ([point.value for point in exits.metrics], exits.status) == ([9.0], None)
    assert trained.files() == ["train.py"]


QUEUES = """
import threading
import mlflow
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
published, publish = threading.Event(), SystemMetricsMonitor.publish_metrics
def told(monitor, metrics):
    publish(monitor, metrics)
    published.set()
SystemMetricsMonitor.publish_metrics = told
mlflow.set_experiment("queues")
mlflow.set_system_metrics_sampling_interval(0.1)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run(run_name="system", log_system_metrics=True):
    assert published.wait(120)
with mlflow.start_run(run_name="asynchronous"):
    mlflow.log_param("p", 1, synchronous=False)
    for step in range(300):
        mlflow.log_metric("m", step, step=step, synchronous=False)
    mlflow.log_metrics({"n": 1}, step=2, synchronous=False).wait()
    try:
        mlflow.log_param("p", 2, synchronous=False).wait()
    except Exception:
        print("refused")
mlflow.config.enable_async_logging()
mlflow.start_run(run_name="unended")
for step in range(300):
    mlflow.log_metric("m", step, step=step)
"""


@pytest.mark.parametrize(
    "specification",
    [
        pytest.param(MLFLOW_2_22, id=MLFLOW_2_22.name),
        pytest.param(MLFLOW_TODAY, id=MLFLOW_TODAY.name, marks=pytest.mark.full),
    ],
)
def test_what_is_logged_asynchronously_is_whole_and_in_order_and_monitors_are_seen(
    specification: Specification, environment_of: EnvironmentOf, workspace: Path
) -> None:
    """Also where the script just ends, when MLflow's own queue loses values; earlier versions had neither."""
    trained = environment_of(specification).train(workspace, QUEUES)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert {point.name.split("/")[0] for point in trained.run("system").metrics} == {"system"}
    for name in ("asynchronous", "unended"):
        run = trained.run(name)
        assert [(point.step, point.value) for point in run.metrics if point.name == "m"] == [
            (step, float(step)) for step in range(300)
        ]
        assert run.status == "FINISHED"
    assert trained.out == "refused\n"
    assert trained.run("asynchronous").params == {"p": "1"}


PROJECT = """
name: small
entry_points:
  main:
    parameters:
      depth: {type: int, default: 3}
    command: "python -B step.py {depth}"
"""
STEP = """
import sys
import mlflow
with mlflow.start_run():
    mlflow.log_metric("m", int(sys.argv[1]))
"""
RUN = """
import inspect
import mlflow
known = inspect.signature(mlflow.projects.run).parameters
here = {"env_manager": "local"} if "env_manager" in known else {"use_conda": False}  # since 1.25
submitted = mlflow.projects.run(".", parameters={"depth": 5}, experiment_name="projects", **here)
assert submitted.wait()
"""


def test_a_project_of_mlflow_is_one_run_and_its_step_logs_into_it(mlflow: Environment, workspace: Path) -> None:
    workspace.mkdir()
    (workspace / "MLproject").write_text(PROJECT)
    (workspace / "step.py").write_text(STEP)
    trained = mlflow.train(workspace, RUN, MLFLOW_TRACKING_URI="http://tracker:5000")
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    (run,) = trained.report.runs
    assert (run.experiment, run.params, run.status, run.resumed) == ("projects", {"depth": "5"}, "FINISHED", False)
    assert [(point.name, point.value) for point in run.metrics] == [("m", 5.0)]
    assert trained.report.reads == ()


HOSTS = """
import socket, urllib.request
import mlflow
def ask(call):
    try:
        call()
    except OSError:
        pass
with mlflow.start_run(run_name="hosts"):
    mlflow.log_metric("m", 1)
    ask(lambda: urllib.request.urlopen("http://data.invalid/train.csv", timeout=1))
    ask(lambda: __import__("requests").get("https://api.invalid/v1", timeout=1))
    plain = socket.socket()
    plain.settimeout(0.1)
    ask(lambda: plain.connect(("192.0.2.7", 443)))
    ask(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("2001:db8::1", 53)))
    ask(lambda: socket.create_connection(("localhost", 1), timeout=0.1))
    ask(lambda: socket.gethostbyname("names.invalid"))
"""


def test_hosts_are_listed_by_name_and_by_address_and_this_machine_is_not(mlflow: Environment, workspace: Path) -> None:
    trained = mlflow.train(workspace, HOSTS)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    expected = {"data.invalid", "api.invalid", "192.0.2.7", "2001:db8::1", "names.invalid"}
    assert set(trained.report.hosts_tried) == expected


FILES = """
import json, os, sqlite3, sys
import mlflow
mlflow.set_tracking_uri("file:store")
with mlflow.start_run(run_name="files") as run:
    with open("data/train.csv") as file:
        rows = file.read()
    with sqlite3.connect("data/rows.db") as database:
        database.execute("select 1 from sqlite_master").fetchall()
    os.replace("results/old.json", "results/now.json")
    with open("results/now.json") as file:
        mlflow.log_metric("m", json.load(file))
    with open("model.bin", "w") as file:
        file.write("model")
    mlflow.log_artifact("model.bin")
with open("after.txt") as file:
    file.read()
"""


def test_files_are_listed_as_they_were_read_and_the_scratch_place_is_none(mlflow: Environment, workspace: Path) -> None:
    for name, text in (("data/train.csv", "1"), ("data/rows.db", ""), ("results/old.json", "3"), ("after.txt", "")):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    trained = mlflow.train(workspace, FILES)
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    before = {"data/train.csv", "data/rows.db", "results/old.json", "train.py"}
    assert set(trained.report.files_opened_before_output) - {"results/now.json"} == before
    assert set(trained.report.files_opened) >= {*before, "after.txt", "model.bin"}
    assert not any("scratch" in path or "store" in path for path in trained.report.files_opened)
