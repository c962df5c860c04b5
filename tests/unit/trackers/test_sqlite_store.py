"""Databases of old and new versions, and in the states in which writers leave them."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from runner.errors import NotAStore, TrackerUnavailable
from runner.trackers import sqlite_file
from runner.trackers.reference import parse_reference
from runner.trackers.sqlite_store import SqliteTracker
from tests.support.mlflow_stores import StoredRun, listing, run_id, write, write_sqlite_store

POINTS = [(2, 0.5, 0), (1, 0.25, 1), (1, 0.25, 1), (1, 0.75, 0), (1, math.nan, 0)]
RUN = StoredRun(run_id("a"), metrics={"loss": POINTS}, params={"depth": "8"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "store # ? %20"  # what a URI would misread
    folder.mkdir()
    return write_sqlite_store(folder / "mlflow.db", [RUN])


def test_points_come_ordered_by_time_step_and_value(path: Path) -> None:
    (metric,) = SqliteTracker(path).read_run(RUN.run_id).metrics
    found = [(point.timestamp_ms, point.step, str(point.value)) for point in metric.points]
    assert found == [(1, 0, "nan"), (1, 0, "0.75"), (1, 1, "0.25"), (2, 0, "0.5")]
    assert metric.complete


def test_clamped_infinities_are_left_as_they_are_stored(tmp_path: Path) -> None:
    run = StoredRun(run_id("a"), metrics={"x": [(1, math.inf, 0)]})
    (metric,) = SqliteTracker(write_sqlite_store(tmp_path / "m.db", [run])).read_run(run.run_id).metrics
    assert metric.points[0].value == sys.float_info.max


def test_tables_without_the_newer_columns_are_read(tmp_path: Path) -> None:
    run = StoredRun(run_id("a"), metrics={"loss": [(1, 0.5, 0), (2, 0.25, 0)]}, params={"depth": "8"})
    tracker = SqliteTracker(write_sqlite_store(tmp_path / "m.db", [run], version="oldest"))
    assert tracker.find_run(parse_reference("alpha/base")) == run.run_id
    record = tracker.read_run(run.run_id)
    assert record.name == "base"
    assert [point.value for point in record.metrics[0].points] == [0.5, 0.25]
    assert record.dataset_inputs == ()


def test_a_history_that_lost_its_points_is_not_complete(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM metrics")
    record = SqliteTracker(path).read_run(RUN.run_id)
    assert [(metric.name, len(metric.points), metric.complete) for metric in record.metrics] == [("loss", 1, False)]
    assert "last value" in record.notes[0]


def test_a_history_without_its_own_last_value_is_not_complete(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM metrics WHERE step = 1")
    record = SqliteTracker(path).read_run(RUN.run_id)
    assert not record.metrics[0].complete
    assert record.notes


def test_dataset_inputs_and_the_environment_of_logged_models_are_read(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO datasets VALUES ('d', 1, 'sst', 'abc', 'local', '{}')")
        database.execute("INSERT INTO inputs VALUES ('i', 'DATASET', 'd', 'RUN', ?, 0)", (RUN.run_id,))
        database.execute("INSERT INTO input_tags VALUES ('i', 'mlflow.data.context', 'train')")
        database.execute("INSERT INTO inputs VALUES ('j', 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', 'm-1', 0)", (RUN.run_id,))
        database.execute("INSERT INTO logged_models VALUES ('m-1', 1, 'net', '/elsewhere/1/models/m-1/artifacts')")
    write(path.parent / "mlruns" / "1" / "models" / "m-1" / "artifacts" / "python_env.yaml", "python: 3.11.7\n")
    record = SqliteTracker(path).read_run(RUN.run_id)
    (dataset,) = record.dataset_inputs
    assert (dataset.name, dataset.digest, dataset.context, dataset.source) == ("sst", "abc", "train", "{}")
    assert [(file.path, file.text) for file in record.environment_files] == [
        ("models/m-1/python_env.yaml", "python: 3.11.7\n")
    ]


def test_a_database_in_write_ahead_mode_is_read_without_leaving_files(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    before = listing(path.parent)
    assert SqliteTracker(path).read_run(RUN.run_id).status == "FINISHED"
    assert listing(path.parent) == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["mlflow.db"]


def test_what_a_writer_has_not_yet_moved_out_of_its_log_is_read_too(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with writer:
            writer.execute("UPDATE params SET value = '9'")
        assert path.with_name("mlflow.db-wal").stat().st_size > 0
        before = listing(path.parent)
        assert SqliteTracker(path).read_run(RUN.run_id).params == {"depth": "9"}
        assert listing(path.parent) == before


def test_a_log_that_a_crash_left_is_played_back_in_a_copy(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        with writer:
            writer.execute("UPDATE params SET value = '9'")
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for side in ("", "-wal"):
            shutil.copyfile(f"{path}{side}", crashed / f"mlflow.db{side}")
    before = listing(crashed)
    assert SqliteTracker(crashed / "mlflow.db").read_run(RUN.run_id).params == {"depth": "9"}
    assert listing(crashed) == before


def test_a_transaction_that_a_crash_left_half_done_is_undone_in_a_copy(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")  # so that pages reach the file before the commit
        writer.execute("BEGIN")
        writer.execute("UPDATE params SET value = '9'")
        writer.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(f"t{n}", "x" * 200, RUN.run_id) for n in range(2000)])
        for side in ("", "-journal"):
            shutil.copyfile(f"{path}{side}", crashed / f"mlflow.db{side}")
        writer.execute("ROLLBACK")
    before = listing(crashed)
    assert SqliteTracker(crashed / "mlflow.db").read_run(RUN.run_id).params == {"depth": "8"}
    assert listing(crashed) == before


def test_a_writer_in_the_middle_of_a_transaction_is_not_waited_for(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE params SET value = '9'")
        assert SqliteTracker(path).read_run(RUN.run_id).params == {"depth": "8"}
        writer.execute("ROLLBACK")


def test_a_locked_database_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.1)
    tracker = SqliteTracker(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackerUnavailable, match="locked"):
            tracker.read_run(RUN.run_id)
        writer.execute("ROLLBACK")


def test_a_damaged_database_is_unavailable(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(TrackerUnavailable):
        SqliteTracker(path).read_run(RUN.run_id)


def test_a_database_of_something_else_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE runs (x)")
    with pytest.raises(NotAStore, match="no table experiments"):
        SqliteTracker(path)


@pytest.mark.parametrize("text", ["", "no database", "x" * 5000])
def test_another_file_is_no_store(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotAStore):
        SqliteTracker(write(tmp_path / "mlflow.db", text))


def test_a_text_that_is_no_utf8_does_not_stop_the_reading(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE params SET value = CAST(x'ff41' AS TEXT)")
    assert SqliteTracker(path).read_run(RUN.run_id).params == {"depth": "\ufffdA"}


def test_threads_may_read_at_once(path: Path) -> None:
    tracker = SqliteTracker(path)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            tracker.read_run(RUN.run_id)
        except BaseException as error:  # noqa: BLE001  # to be told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
