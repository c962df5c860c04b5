"""A store that MLflow made in the workspace tells that a process of the training was not captured."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.inside.capture.uncaptured import stores_made
from tests.support.mlflow_stores import StoredRun, write_file_store, write_sqlite_store


def written(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() or path.is_symlink()]


def test_a_folder_of_runs_is_a_store(tmp_path: Path) -> None:
    write_file_store(tmp_path / "deep" / "mlruns", [StoredRun("5f1d7a3c9b2e4f608a1b2c3d4e5f6071")])
    assert stores_made(str(tmp_path), written(tmp_path)) == ["deep/mlruns"]


def test_a_database_of_runs_is_a_store(tmp_path: Path) -> None:
    write_sqlite_store(tmp_path / "mlflow.db", [StoredRun("5f1d7a3c9b2e4f608a1b2c3d4e5f6071")])
    assert stores_made(str(tmp_path), written(tmp_path)) == ["mlflow.db"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("meta.yaml", b"name: a description of data\n"),
        ("model/meta.yaml", b"run_id: 1\n"),
        ("results.db", b"SQLite format 3\0CREATE TABLE results (a)"),
        ("notes.db", b"CREATE TABLE runs (a)"),
    ],
)
def test_other_files_are_none(tmp_path: Path, path: str, content: bytes) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_bytes(content)
    assert stores_made(str(tmp_path), [path]) == []


def test_links_pipes_and_what_is_gone_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"SQLite format 3\0CREATE TABLE runs (a)")
    (tmp_path / "link.db").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe.db")
    assert stores_made(str(tmp_path), ["link.db", "pipe.db", "gone.db", "nul\0.db"]) == []
