"""Capturing what a training logs to W&B, with real W&B of several years: offline whatever its script asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.schema.rerun import CapturedRun
from tests.support.capture_environments import Environment, Specification
from tests.support.wandb_authors import EACH_WANDB, WANDB_0_12, WANDB_0_31, WITH_MLFLOW

OLDEST_AND_NEWEST = [
    pytest.param(version, id=version.name, marks=[] if version in (WANDB_0_12, WANDB_0_31) else [pytest.mark.full])
    for version in EACH_WANDB
]
EACH = pytest.mark.parametrize("version", OLDEST_AND_NEWEST)
EnvironmentOf = Callable[[Specification], Environment]


def points(run: CapturedRun) -> list[tuple[str, float, int]]:
    return [(point.name, point.value, point.step) for point in run.metrics if not point.name.endswith("(summary)")]


@EACH
def test_a_training_that_asks_for_online_is_captured_whole_and_tries_no_host(
    version: Specification, environment_of: EnvironmentOf, tmp_path: Path
) -> None:
    trained = environment_of(version).train(
        tmp_path / "work",
        """
import os, wandb
os.environ["WANDB_MODE"] = "online"
wandb.login(key="a" * 40)
for number in range(2):
    run = wandb.init(project="p", name=f"run {number}", group="g", mode="online", config={"n": number}, reinit=True)
    for step in range(3):
        run.log({"loss": 1 / (step + 1) + number, "deep": {"x": step}})
    run.finish()
run = wandb.init(settings=wandb.Settings(mode="online"), project="p", name="last", reinit=True)
run.log({"loss": float("nan")})
""",
    )
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert trained.report.hosts_tried == ()
    assert [run.name for run in trained.report.runs] == ["run 0", "run 1", "last"]
    first, second, last = trained.report.runs
    assert (first.tracker, first.experiment, first.params, first.status) == ("wandb", "p", {"n": "0"}, "FINISHED")
    assert first.tags == {"wandb.group": "g"}
    logged = [(name, value, step) for step in range(3) for name, value in (("deep.x", step), ("loss", 1 / (step + 1)))]
    assert sorted(points(first)) == sorted(logged)
    assert [value for name, value, _ in points(second) if name == "loss"] == [2.0, 1.5, 1 / 3 + 1]
    assert last.status == "FINISHED"
    assert first.ended is not None
    assert first.started < first.ended < second.started < last.started
    sequences = [point.sequence for run in trained.report.runs for point in run.metrics]
    assert sequences == sorted(set(sequences))
    assert trained.files() == ["train.py"]


@EACH
def test_reads_of_the_service_are_written_down_and_reach_nothing(
    version: Specification, environment_of: EnvironmentOf, tmp_path: Path
) -> None:
    trained = environment_of(version).train(
        tmp_path / "work",
        """
import wandb
run = wandb.init(project="p")
run.log({"loss": 1.0})
for read in (lambda: wandb.Api().runs("a/b"), lambda: run.use_artifact("a/b/data:latest"),
             lambda: wandb.agent("a/b/sweep", function=print)):
    try:
        read()
    except Exception as error:
        print(type(error).__name__)
run.finish()
""",
    )
    assert trained.status == 0, trained.err
    assert trained.report.hosts_tried == ()
    read = {read.what for read in trained.report.reads}
    assert {"wandb.Api", "wandb use_artifact", "wandb.agent"} <= read
    (run,) = trained.report.runs
    assert all(run.ended is not None and read.sequence < run.ended for read in trained.report.reads)


@EACH
def test_a_run_that_must_continue_an_earlier_one_is_marked_and_one_that_crashes_has_failed(
    version: Specification, environment_of: EnvironmentOf, tmp_path: Path
) -> None:
    trained = environment_of(version).train(
        tmp_path / "work",
        """
import wandb
wandb.init(project="p", id="abcd1234", resume="must", mode="online")
wandb.log({"loss": 1.0})
raise ValueError("no")
""",
    )
    assert trained.status == 1
    (run,) = trained.report.runs
    assert (run.run_id, run.resumed, run.status) == ("abcd1234", True, "FAILED")


def test_a_process_that_is_killed_leaves_a_run_that_never_ended(environment_of: EnvironmentOf, tmp_path: Path) -> None:
    trained = environment_of(WANDB_0_31).train(
        tmp_path / "work",
        "import os, signal, wandb\nwandb.init(project='p').log({'loss': 1.0})\nos.kill(os.getpid(), signal.SIGKILL)\n",
    )
    assert trained.status < 0
    assert [(run.status, run.ended) for run in trained.report.runs if run.status == "FINISHED"] == []


def test_runs_that_are_disabled_stay_so(environment_of: EnvironmentOf, tmp_path: Path) -> None:
    trained = environment_of(WANDB_0_31).train(
        tmp_path / "work", "import wandb\nrun = wandb.init(mode='disabled')\nrun.log({'loss': 1.0})\nrun.finish()\n"
    )
    assert trained.status == 0, trained.err
    assert trained.report.runs == ()


def test_a_training_that_logs_to_both_trackers_has_a_run_of_each(environment_of: EnvironmentOf, tmp_path: Path) -> None:
    trained = environment_of(WITH_MLFLOW).train(
        tmp_path / "work",
        """
import mlflow, wandb
with mlflow.start_run(run_name="both"), wandb.init(project="p", name="both") as run:
    mlflow.log_metric("loss", 0.5)
    run.log({"loss": 0.25})
""",
    )
    assert trained.status == 0, trained.err
    assert trained.report.problems == ()
    assert {run.tracker: next(point.value for point in run.metrics) for run in trained.report.runs} == {
        "mlflow": 0.5,
        "wandb": 0.25,
    }


def test_a_python_that_skips_the_capture_is_found_by_what_wandb_leaves(
    environment_of: EnvironmentOf, tmp_path: Path
) -> None:
    from runner.inside.capture.uncaptured import stores_made

    environment = environment_of(WANDB_0_31)
    trained = environment.train(
        tmp_path / "work",
        """
import os, subprocess, sys, site
packages = [path for path in sys.path if "packages" in path]
code = f"import sys; sys.path += {packages!r}; import wandb; wandb.init(mode='offline').log(dict(loss=1.0))"
subprocess.run([sys.executable, "-S", "-c", code], check=True)
""",
    )
    assert trained.status == 0, trained.err
    assert trained.report.runs == ()
    files = [path for path in trained.files() if path.endswith(".wandb")]
    assert stores_made(str(trained.workspace), files) == ["wandb"]
