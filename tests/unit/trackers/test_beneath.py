"""Stores beneath a folder are found, decoys are not, and a run that lies in one of them needs no --tracker."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.finding import find_run
from runner.settings import Flags, load_settings
from runner.trackers.beneath import stores_beneath
from tests.support.mlflow_stores import StoredRun, listing, run_id, write_file_store, write_sqlite_store

A, B = StoredRun(run_id("a")), StoredRun(run_id("b"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "tracking").mkdir()
    write_file_store(tmp_path / "src" / "mlruns", [A])
    write_sqlite_store(tmp_path / "tracking" / "mlflow.db", [B])
    write_file_store(tmp_path / ".venv" / "mlruns", [A, B])
    (tmp_path / "notes.db").write_bytes(b"no database")
    sqlite3.connect(tmp_path / "other.db").executescript("CREATE TABLE x (y)")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mlruns").symlink_to(tmp_path / "src")
    return tmp_path


def found(folder: Path, text: str, **flags: Any) -> Any:
    return find_run(text, load_settings(Flags(**flags), {}, folder))


def test_stores_are_found_without_decoys_and_left_as_they_are(repository: Path) -> None:
    before = listing(repository)
    assert stores_beneath(repository) == ["src/mlruns", "sqlite:///tracking/mlflow.db"]
    assert listing(repository) == before


@pytest.mark.parametrize(("run", "store"), [("a", "src/mlruns"), ("b", "sqlite:///tracking/mlflow.db")])
def test_the_only_store_that_has_the_run_is_the_tracker_and_that_is_said(
    repository: Path, run: str, store: str
) -> None:
    asked = found(repository, run_id(run)[:8])
    assert asked.record.run_id == run_id(run)
    assert asked.notes == (
        f"tracker: {store}, the store beneath this folder, the only one of 2 stores here that has the run",
    )
    assert f"--tracker {store}" in asked.settings.invocation.again("RUN")


def test_a_run_in_several_stores_is_refused_with_all_of_them(repository: Path) -> None:
    write_file_store(repository / "copy" / "mlruns", [A])
    with pytest.raises(UsageError) as refused:
        found(repository, run_id("a"))
    assert "2 stores here have the run: copy/mlruns, src/mlruns" in refused.value.cause
    assert "--tracker copy/mlruns" in refused.value.remedy


def test_a_run_in_none_of_them_is_refused_with_what_there_is(repository: Path) -> None:
    with pytest.raises(UsageError, match="none of the stores here has the run: src/mlruns"):
        found(repository, run_id("c"))


def test_a_named_tracker_or_an_mlruns_here_is_the_tracker_whatever_lies_beneath(repository: Path) -> None:
    write_file_store(repository / "mlruns", [B])
    assert found(repository, run_id("b")).notes == ()
    assert found(repository, run_id("a"), tracker="src/mlruns").notes == ()


def test_where_there_is_no_store_at_all_a_tracker_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tracker is named, and there is no mlruns here"):
        found(tmp_path, run_id("a"))
