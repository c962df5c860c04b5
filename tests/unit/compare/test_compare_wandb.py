"""Runs of W&B against captured ones: which is which, and its summary."""

from __future__ import annotations

import pytest

from runner.compare.environment import recorded_platform
from runner.compare.metrics import compare_metrics
from runner.compare.names import logged_name
from runner.compare.runs import match_run
from runner.schema.comparison import Outcome
from runner.schema.plan import Policy
from runner.schema.rerun import CapturedPoint, CapturedRun
from runner.schema.run_record import MetricHistory, MetricPoint, RunRecord, StoreKind
from tests.support import values


def recorded(**fields: object) -> RunRecord:
    base = values.make_record()
    update = {
        "store": StoreKind.WANDB_FILE,
        "experiment_id": "p",
        "experiment_name": "p",
        "name": None,
        "params": {},
        "tags": {},
    }
    return base.model_copy(update={**update, "siblings": (), **fields})


def captured(run_id: str, started: int = 0, **fields: object) -> CapturedRun:
    base = {
        "tracker": "wandb",
        "run_id": run_id,
        "experiment": "p",
        "name": None,
        "status": "FINISHED",
        "parent_run_id": None,
        "resumed": False,
        "started": started,
        "ended": started + 1,
        "params": {},
        "tags": {},
        "metrics": (),
    }
    return CapturedRun(**{**base, **fields})  # type: ignore[arg-type]


def match(record: RunRecord, *runs: CapturedRun) -> str | None:
    rerun = values.make_rerun(*runs)
    found = match_run(record, values.make_plan(), rerun)
    return None if found.run is None else found.run.run_id


def test_a_run_of_the_other_tracker_is_never_the_counterpart() -> None:
    assert match(recorded(), captured("a"), captured("b", 2, tracker="mlflow")) == "a"
    assert match(recorded(), captured("b", tracker="mlflow")) is None
    assert match(recorded(store=StoreKind.MLFLOW_FILE), captured("a")) is None


def test_group_and_job_type_tell_runs_apart_and_an_only_run_may_have_others() -> None:
    train, test = captured("a", tags={"wandb.job_type": "train"}), captured("b", 2, tags={"wandb.job_type": "eval"})
    assert match(recorded(tags={"wandb.job_type": "eval"}), train, test) == "b"
    assert match(recorded(tags={"wandb.group": "2024-01-01"}), captured("a", tags={"wandb.group": "2026-01-01"})) == "a"


def test_another_project_is_another_run_and_none_says_nothing() -> None:
    assert match(recorded(), captured("a", experiment="q")) is None
    assert match(recorded(), captured("a", experiment=None)) == "a"


@pytest.mark.parametrize(
    ("name", "logged"),
    [("loss (summary)", "loss"), ("acc.max (summary)", "acc"), ("loss", "loss"), ("a.b (summary)", "a.b")],
)
def test_a_summary_is_of_what_was_logged(name: str, logged: str) -> None:
    assert logged_name(name) == logged


def test_a_summary_of_the_runs_size_or_of_time_shows_nothing() -> None:
    names = ("epoch", "epoch (summary)", "train_time (summary)", "lr.max (summary)")
    history = tuple(
        MetricHistory(name=name, points=(MetricPoint(step=0, timestamp_ms=1, value=1.0),)) for name in names
    )
    points = tuple(
        CapturedPoint(sequence=number, name=name, value=1.0, step=0, timestamp_ms=1)
        for number, name in enumerate(names)
    )
    result = compare_metrics(recorded(metrics=history), captured("a", metrics=points), Policy())
    by_name = {metric.name: metric for metric in result.metrics}
    assert by_name["train_time (summary)"].outcome is Outcome.IGNORED
    assert {by_name[name].kind for name in names if name != "train_time (summary)"} == {"constant"}


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("Linux-5.15.0-x86_64-with-glibc2.35", "Linux x86_64"),
        ("Linux-5.15.0-aarch64-with-glibc2.35", "Linux aarch64"),
        ("macOS-14.1-arm64-arm-64bit", "macOS"),
        ("Darwin-19.6.0-x86_64-i386-64bit", "macOS"),
        ("Windows-10-10.0.19041-SP0", "Windows"),
    ],
)
def test_the_platform_is_what_wandb_recorded(text: str, platform: str) -> None:
    assert recorded_platform(recorded(tags={"wandb.os": text})) == platform
