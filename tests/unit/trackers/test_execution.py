"""Which runs are likely to be of one execution: what follows without a pause, of one source, user and commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.trackers.execution import other_runs
from runner.trackers.open import open_tracker
from tests.support.mlflow_stores import StoredRun, run_id, write_file_store, write_sqlite_store

START = 1_700_000_000_000
MINUTE = 60_000
TAGS = {"mlflow.source.name": "train.py", "mlflow.user": "ann", "git_commit": "9f3c2e1"}


def run(digit: str, minute: float, *, name: str | None = None, length: float = 1.0, **fields: Any) -> StoredRun:
    """A run that starts so many minutes in, and takes as many as `length` says."""
    start = int(START + minute * MINUTE)
    values = {"tags": TAGS, "params": {"depth": digit}, "metrics": {"score": [(start, 1.0, 0)]}, **fields}
    return StoredRun(
        run_id(digit), "sweep", name or f"depth-{digit}", start=start, end=int(start + length * MINUTE), **values
    )


def others(tmp_path: Path, runs: list[StoredRun], of: str = "1") -> list[str]:
    for store in (write_file_store(tmp_path / "mlruns", runs), write_sqlite_store(tmp_path / "mlflow.db", runs)):
        tracker = open_tracker(str(store))
        found = [each.run_id[0] for each in other_runs(tracker, tracker.read_run(run_id(of)))]
    return found


def test_a_loop_is_followed_both_ways_to_where_it_pauses(tmp_path: Path) -> None:
    runs = [run("5", -60), run("2", -1.5), run("1", 0), run("3", 1.5), run("4", 3), run("6", 10)]
    assert others(tmp_path, runs) == ["2", "3", "4"]


def test_a_parent_and_its_children_are_of_one_execution(tmp_path: Path) -> None:
    child = {"tags": {**TAGS, "mlflow.parentRunId": run_id("a")}}
    runs = [run("a", 0, length=10), run("1", 1, **child), run("2", 2, **child), run("3", 8, **child)]
    assert others(tmp_path, runs) == ["a", "2", "3"]
    assert others(tmp_path / "parent", runs, of="a") == ["1", "2", "3"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_run_of_another_source_user_or_commit_is_none_of_it_and_breaks_nothing_off(tmp_path: Path, tag: str) -> None:
    other = {"tags": {**TAGS, tag: "another"}}
    assert others(tmp_path, [run("1", 0), run("2", 1.2, **other), run("3", 1.4)]) == ["3"]


def test_a_script_that_was_started_again_is_another_execution(tmp_path: Path) -> None:
    same = {"params": {"depth": "8"}, "name": "first"}
    assert others(tmp_path, [run("1", 0, **same), run("2", 1.5, **same)]) == []
    apart = [run("1", 0, **same), run("2", 1.5, **{**same, "name": "second"})]
    assert others(tmp_path / "apart", apart) == ["2"]


def test_deleted_runs_and_runs_without_a_source_or_a_start_are_of_no_execution(tmp_path: Path) -> None:
    assert others(tmp_path, [run("1", 0), run("2", 1.5, deleted=True)]) == []
    assert others(tmp_path / "source", [run("1", 0, tags={}), run("2", 1.5, tags={})]) == []


def test_a_parent_that_is_gone_or_its_own_ancestor_ends_the_chain(tmp_path: Path) -> None:
    gone = {"tags": {**TAGS, "mlflow.parentRunId": run_id("f")}}
    assert others(tmp_path, [run("1", 0, **gone)]) == []
    circle = [
        run("1", 0, tags={**TAGS, "mlflow.parentRunId": run_id("2")}),
        run("2", 0.5, tags={**TAGS, "mlflow.parentRunId": run_id("1")}),
    ]
    assert others(tmp_path / "circle", circle) == ["2"]
