"""What a server of W&B's says of a run, as values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.compare.canonical import form_of
from runner.inside.wandb.records import RunFile
from runner.schema.run_record import CONTINUED, RunRecord, StoreKind
from runner.trackers.folder import Folder
from runner.trackers.wandb_answers import STATES, beside_of, milliseconds, run_of
from runner.trackers.wandb_client import HISTORY
from runner.trackers.wandb_record import build_record

ROWS = [{"_step": 0, "_timestamp": 1.7e9, "loss": 1.5}, {"_step": 1, "_timestamp": 1.7e9, "loss": "NaN"}]


def answer(own: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    names = ("displayName", "group", "jobType", "commit", "notes", "tags", "sweepName", "historyKeys")
    run = {
        **dict.fromkeys(names),
        "name": "ab12cd34",
        "state": "finished",
        "config": {"_wandb": own or {}, "depth": 3},
        "createdAt": "2026-01-01T12:00:00",
        "summaryMetrics": {"loss": 1.5},
        "historyLineCount": len(ROWS),
        **changed,
    }
    return {"attributes": run, "after": dict(run), "lines": len(ROWS), "whole": True, "files": [], "read": {}}


def taken(folder: Path, said: dict[str, Any]) -> RunFile:
    (folder / HISTORY).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    run, problems = run_of(said, Folder(folder), "acme", "fraud")
    run.problems += problems
    return run


def record(folder: Path, said: dict[str, Any]) -> RunRecord:
    run = taken(folder, said)
    state = STATES.get(str(said["attributes"]["state"]), "RUNNING")
    return build_record(
        run, beside_of(said, Folder(folder)), uri="wandb:acme/fraud", store=StoreKind.WANDB_API, status=state
    )


@pytest.mark.parametrize(
    ("state", "status", "complete"),
    [
        ("finished", "FINISHED", True),
        ("running", "RUNNING", False),
        ("pending", "SCHEDULED", False),
        ("crashed", "KILLED", False),
        ("killed", "KILLED", True),
        ("failed", "FAILED", True),
        ("unheard-of", "RUNNING", False),
    ],
)
def test_a_run_that_did_not_finish_is_none_that_did(tmp_path: Path, state: str, status: str, complete: bool) -> None:
    found = record(tmp_path, answer(state=state))
    assert found.status == status
    assert all(history.complete is complete for history in found.metrics)
    assert (found.end_time is None) is (status in ("RUNNING", "SCHEDULED"))


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"t": {"3": [2, 5]}}, "it was resumed"),
        ({"t": {"3": [71]}}, "it is a fork of an earlier run"),
        ({"t": {"3": [72]}}, "it is a fork of an earlier run"),
        ({"e": {"one": {}, "two": {}}}, "it was resumed"),
        ({"e": {"one": {}}, "t": {"3": [2, 4]}}, None),
    ],
)
def test_a_run_that_goes_on_from_another_is_known_by_its_config(
    tmp_path: Path, own: dict[str, Any], said: str | None
) -> None:
    assert record(tmp_path, answer(own)).tags.get(CONTINUED) == said


def test_axes_of_their_own_are_read_from_the_config(tmp_path: Path) -> None:
    metrics = [{"1": "acc", "6": [3]}, {"2": "val/*", "5": 3}, {"1": "epoch"}, {"1": "far", "5": 9}, "none"]
    assert taken(tmp_path, answer({"m": metrics})).step_metrics == {"val/*": "epoch"}


@pytest.mark.parametrize("count", [1, 3, None])
def test_rows_that_the_server_counts_otherwise_may_be_cut(tmp_path: Path, count: int | None) -> None:
    assert not taken(tmp_path, answer(historyLineCount=count)).complete
    assert taken(tmp_path, answer()).complete


def test_a_run_that_changes_while_it_is_read_is_not_complete(tmp_path: Path) -> None:
    said = answer()
    said["after"]["summaryMetrics"] = {"loss": 1.4}
    run = taken(tmp_path, said)
    assert not run.complete
    assert any("summaryMetrics" in problem for problem in run.problems)


def test_the_sign_of_zero_is_not_compared_as_it_is_not_sent(tmp_path: Path) -> None:
    assert str(form_of(record(tmp_path, answer())).of(-0.0)) == "0.0"


def test_times_without_a_zone_are_utc() -> None:
    assert milliseconds("2026-01-01T12:00:00") == milliseconds("2026-01-01T12:00:00Z") == 1767268800000
    assert milliseconds("2026-01-01T12:00:00.555011789Z") == 1767268800555
    assert milliseconds(None) is milliseconds("yesterday") is None
