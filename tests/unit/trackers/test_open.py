"""Which store an address means, and that a wrong one creates nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import NotAStore
from runner.schema.run_record import StoreKind
from runner.trackers.open import open_tracker
from tests.support.mlflow_stores import StoredRun, listing, run_id, write_file_store, write_sqlite_store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_file_store(tmp_path / "runs" / "my mlruns", [StoredRun(run_id("a"))])
    write_sqlite_store(tmp_path / "mlflow.db", [StoredRun(run_id("a"))])
    return tmp_path


@pytest.mark.parametrize(
    "uri",
    [
        "runs/my mlruns",
        "./runs/my mlruns",
        "file:runs/my%20mlruns",
        "file:./runs/my mlruns",
        "file://{place}/runs/my%20mlruns",
        "file://localhost{place}/runs/my mlruns/",
        "file:{place}/runs/my mlruns",
        "{place}/runs/my mlruns",
    ],
)
def test_file_stores_are_opened_by_uri_and_by_path(place: Path, uri: str) -> None:
    tracker = open_tracker(uri.format(place=place), folder=place)
    assert tracker.kind is StoreKind.MLFLOW_FILE
    assert tracker.uri == (place / "runs" / "my mlruns").as_uri()


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "sqlite:///{place}/mlflow.db",
        "sqlite:///mlflow.db?timeout=5",
        "sqlite+pysqlite:///mlflow.db",
        "mlflow.db",
    ],
)
def test_databases_are_opened_by_uri_and_by_path(place: Path, uri: str) -> None:
    tracker = open_tracker(uri.format(place=place), folder=place)
    assert tracker.kind is StoreKind.MLFLOW_SQLITE
    assert tracker.uri == f"sqlite:///{place}/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["sqlite:///{place}/mlflow.db ", "sqlite:///mlflow.db ", "mlflow.db ", "file:mlflow.db "]
)
def test_a_path_that_ends_in_a_blank_is_kept_as_typed_where_there_is_one(place: Path, uri: str) -> None:
    uri = uri.format(place=place)
    assert open_tracker(uri, folder=place).uri == f"sqlite:///{place}/mlflow.db"
    write_sqlite_store(place / "mlflow.db ", [StoredRun(run_id("b"))])
    exact = open_tracker(uri, folder=place)
    assert exact.uri == f"sqlite:///{place}/mlflow.db "
    assert exact.read_run(run_id("b")).run_id == run_id("b")
    assert open_tracker(uri.rstrip(), folder=place).uri == f"sqlite:///{place}/mlflow.db"


def test_a_folder_whose_name_ends_in_a_blank_is_kept_as_typed_where_there_is_one(place: Path) -> None:
    assert open_tracker("runs/my mlruns ", folder=place).uri == (place / "runs" / "my mlruns").as_uri()
    write_file_store(place / "runs" / "my mlruns ", [StoredRun(run_id("b"))])
    assert open_tracker("runs/my mlruns ", folder=place).uri == (place / "runs" / "my mlruns ").as_uri()


def test_a_line_end_behind_an_address_is_none_of_it(place: Path) -> None:
    assert open_tracker(" mlflow.db\n", folder=place).uri == f"sqlite:///{place}/mlflow.db"
    assert open_tracker("https://mlflow.invalid \n").uri == "https://mlflow.invalid"


def test_a_relative_path_is_meant_from_the_current_directory_by_default(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert open_tracker("sqlite:///mlflow.db").uri == f"sqlite:///{place}/mlflow.db"


def test_a_server_is_not_asked_when_it_is_named_and_its_password_is_not_shown() -> None:
    tracker = open_tracker("https://me:hunter2@mlflow.invalid/")
    assert tracker.kind is StoreKind.MLFLOW_HTTP
    assert tracker.uri == "https://***@mlflow.invalid"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mlrun",
        "file:mlrun",
        "file:",
        "file://other-host/mlruns",
        "file:///C:/Users/me/mlruns",
        "runs",
        "sqlite:///mlflow.bd",
        "sqlite:///deep/er/mlflow.db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://me:hunter2@host/db",
        "databricks",
        "http://",
        "wandb://x",
    ],
)
def test_a_wrong_address_is_no_store_and_nothing_is_created(place: Path, uri: str) -> None:
    before = listing(place)
    with pytest.raises(NotAStore) as refused:
        open_tracker(uri, folder=place)
    assert refused.value.exit_code == 2
    assert refused.value.remedy
    assert "hunter2" not in refused.value.cause
    assert listing(place) == before


def test_a_mistyped_path_is_told_the_near_one(place: Path) -> None:
    with pytest.raises(NotAStore) as refused:
        open_tracker("sqlite:///mlfow.db", folder=place)
    assert refused.value.remedy == f"--tracker {place / 'mlflow.db'}"


def test_an_empty_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        open_tracker(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
