"""Stores that real versions of MLflow wrote, on a read-only mount, and a real server of today's.

Other servers, old ones and such that ask for credentials, are in test_tracker_servers.py.
"""

from __future__ import annotations

import contextlib
import functools
import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.errors import AmbiguousRun, RunNotFound, UsageError
from runner.finding import find_run
from runner.schema.comparison import Outcome
from runner.schema.run_record import RunRecord
from runner.settings import Settings
from runner.trackers.baseline import baseline_digest
from runner.trackers.interface import Selection, Tracker
from runner.trackers.open import open_tracker
from runner.trackers.reference import LoggedModelId, parse_reference
from tests.support.logged_again import compared_with_the_same_again
from tests.support.mlflow_stores import (
    MLFLOW_1_30,
    MLFLOW_2,
    MLFLOW_2_2,
    MLFLOW_3,
    RealStore,
    listing,
    mlflow_python,
    mlflow_server,
    read_only_mount,
    write_real_store,
)

ALPHA = "équipe/τεστ/alpha"
MANY = 60_000  # points; servers give 25,000 a page

STORES = {
    "file store of 1.30": (MLFLOW_1_30, "mlruns"),
    "sqlite store of 1.30": (MLFLOW_1_30, "mlflow.db"),
    "file store of 2.2": (MLFLOW_2_2, "mlruns"),
    "sqlite store of 2.2": (MLFLOW_2_2, "mlflow.db"),
    "file store of 2.22": (MLFLOW_2, "mlruns"),
    "sqlite store of 2.22": (MLFLOW_2, "mlflow.db"),
    "file store of 3.17": (MLFLOW_3, "mlruns"),
    "sqlite store of 3.17": (MLFLOW_3, "mlflow.db"),
}
SLOW = ("sqlite store of 1.30", "file store of 2.2", "file store of 2.22", "sqlite store of 2.22")

Written = Callable[[str], RealStore]


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return request.config.cache.mkdir("mlflow-versions")


@pytest.fixture(scope="module")
def written(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Returns the store of that name, written when it is first asked for."""
    place = tmp_path_factory.mktemp("stores")

    @functools.cache
    def written(name: str) -> RealStore:
        packages, address = STORES[name]
        return write_real_store(mlflow_python(cache, packages), place / name.replace(" ", "-"), address)

    return written


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.full if name in SLOW else ()) for name in STORES])
def store(request: pytest.FixtureRequest, written: Written) -> RealStore:
    return written(request.param)


@pytest.fixture
def tracker(store: RealStore) -> Iterator[Tracker]:
    """The store on a read-only mount at another path than it was written at; whatever a test reads, nothing changes."""
    before = listing(store.folder)
    with read_only_mount(store.folder) as mounted:
        yield open_tracker(str(mounted / store.address))
    assert listing(store.folder) == before


def find(tracker: Tracker, text: str) -> str:
    return tracker.find_run(parse_reference(text))


def histories(record: RunRecord) -> dict[str, list[tuple[int, str, int]]]:
    return {
        metric.name: [(point.timestamp_ms, repr(point.value), point.step) for point in metric.points]
        for metric in record.metrics
    }


def told_by_mlflow(base: dict[str, Any]) -> dict[str, list[tuple[int, str, int]]]:
    return {name: [tuple(point) for point in points] for name, points in base["history"].items()}


def test_a_record_is_what_the_version_that_wrote_it_says(tracker: Tracker, store: RealStore) -> None:
    record = tracker.read_run(find(tracker, f"{ALPHA}/base"))
    assert record.run_id == store.ids["base"]
    assert record.params == store.base["params"]
    assert record.tags == store.base["tags"]
    assert record.start_time is not None
    assert round(record.start_time.timestamp() * 1000) == store.base["start"]
    expected = told_by_mlflow(store.base)
    if store.address == "mlflow.db":  # 2.22 returns points in no order; today's in that of ours
        expected = {name: sorted(points, key=_by_time_step_value) for name, points in expected.items()}
    assert histories(record) == expected
    assert all(metric.complete for metric in record.metrics)
    assert (record.status, record.name, record.experiment_name) == ("FINISHED", "base", ALPHA)
    assert record.params_truncated == ("long",)
    assert record.notes == ()


def test_the_same_logged_again_is_equal_in_the_form_of_each_store(tracker: Tracker, store: RealStore) -> None:
    compared = compared_with_the_same_again(tracker.read_run(store.ids["base"]))
    assert {metric.name: metric.outcome for metric in compared.metrics} == dict.fromkeys(
        ("loss", "big", "val/auc", "zero", "third"), Outcome.EQUAL
    )
    assert bool(compared.mappings) == (store.address == "mlflow.db")
    assert compared.caps == ()


def _by_time_step_value(point: tuple[int, str, int]) -> tuple[int, int, float]:
    when, value, step = point
    return when, step, 0.0 if math.isnan(float(value)) else float(value)


def test_artifacts_inputs_and_environment_are_found_where_the_store_lies_now(
    tracker: Tracker, store: RealStore
) -> None:
    record = tracker.read_run(store.ids["base"])
    assert [artifact.path for artifact in record.artifacts] == ["model/requirements.txt", "notes/deep/a.txt"]
    assert tracker.read_artifact(record.run_id, "notes/deep/a.txt", 100) == b"hello\n"
    inputs = [("sst", "d1", "training")] if "dataset" in store.ids else []  # since 2.4
    assert [(dataset.name, dataset.digest, dataset.context) for dataset in record.dataset_inputs] == inputs
    expected = {"model/requirements.txt": "numpy==1.26.0\n"}
    if "model" in store.ids:
        expected[f"models/{store.ids['model']}/python_env.yaml"] = "python: 3.11.7\n"
    assert {file.path: file.text for file in record.environment_files} == expected


def test_runs_of_every_state_are_found(tracker: Tracker, store: RealStore) -> None:
    assert tracker.read_run(find(tracker, f"{ALPHA}/gone")).lifecycle_stage == "deleted"
    assert tracker.read_run(find(tracker, "binned/in the bin")).lifecycle_stage == "deleted"
    assert tracker.read_run(find(tracker, f"{ALPHA}/failing")).status == "FAILED"
    assert find(tracker, store.ids["base"][:16]) == store.ids["base"]
    children = tuple(store.ids[f"child-{number}"] for number in range(3))
    assert sorted(tracker.read_run(children[1]).siblings) == sorted(children)
    with pytest.raises(AmbiguousRun) as refused:
        find(tracker, f"{ALPHA}/child")
    assert all(child in refused.value.cause for child in children)
    with pytest.raises(RunNotFound):
        find(tracker, "0" * 32)


def test_a_logged_model_is_found_by_its_id_with_its_files(tracker: Tracker, store: RealStore) -> None:
    if "model" not in store.ids:  # MLflow 2
        assert tracker.logged_model("m-" + "0" * 32) is None
        assert tracker.models_of(store.ids["base"]) == []
        assert tracker.read_run(store.ids["base"]).model_sources == ()
        return
    assert tracker.read_run(store.ids["base"]).model_sources == ("/home/ann/fit.py",)
    model = tracker.logged_model(store.ids["model"])
    assert model is not None
    assert (model.name, model.run_id, model.deleted) == ("net", store.ids["base"], False)
    assert [found.model_id for found in tracker.models_of(store.ids["base"])] == [store.ids["model"]]
    assert [(file.path, file.size_bytes) for file in tracker.hash_model(store.ids["model"])] == [
        ("python_env.yaml", 15)
    ]
    with pytest.raises(RunNotFound, match=store.ids["model"]):
        tracker.find_model(LoggedModelId(store.ids["model"][:-1] + "z"))


def test_a_registered_version_leads_to_its_run_and_its_files(tracker: Tracker, store: RealStore) -> None:
    settings = Settings(tracker=tracker.uri)
    if "version" not in store.ids:  # version 1 keeps no registry in files
        with pytest.raises(RunNotFound, match="holds no registered model"):
            find_run("models:/fraud/1", settings)
        return
    found = {}
    for text in ("models:/fraud/1", "models:/fraud/production", "models:/fraud/latest"):
        asked = find_run(text, settings)
        registered = asked.registered()
        assert registered is not None
        assert (asked.record.run_id, registered.same_place, registered.path) == (store.ids["base"], True, "model")
        assert [file.path for file in registered.artifact.files] == ["requirements.txt"]
        found[text] = registered.version
    assert list(found.values()) == [1, 1, 2]
    if "alias" in store.ids:
        assert find_run("models:/fraud@champion", settings).model.title == "fraud v1"  # type: ignore[union-attr]
    else:
        with pytest.raises(RunNotFound, match=r"no alias 'champion'.*it has none"):
            find_run("models:/fraud@champion", settings)
    with pytest.raises(RunNotFound, match=r"no version 3.*it has v1, v2"):
        find_run("models:/fraud/3", settings)


def test_reading_a_writable_store_changes_nothing_either(store: RealStore) -> None:
    before = listing(store.folder)
    tracker = open_tracker(str(store.folder / store.address))
    tracker.check()
    tracker.read_run(find(tracker, f"{ALPHA}/base"))
    tracker.read_run(find(tracker, store.ids["base"][:16]))
    assert listing(store.folder) == before


@pytest.fixture(scope="module")
def served(written: Written, tmp_path_factory: pytest.TempPathFactory) -> RealStore:
    """A copy of today's store with a history longer than two pages, for a server to open."""
    original = written("sqlite store of 3.17")
    folder = tmp_path_factory.mktemp("served") / "store"
    shutil.copytree(original.folder, folder)
    database_file = folder / original.address
    rows = [("long", 1 / (n + 1), n, original.ids["base"], n, False) for n in range(MANY)]
    with contextlib.closing(sqlite3.connect(database_file)) as database, database:
        for table in ("runs", "experiments", "logged_models"):
            column = {"runs": "artifact_uri"}.get(table, "artifact_location")
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(original.folder), str(folder))
            )
        columns = "(key, value, timestamp, run_uuid, step, is_nan)"
        database.executemany(f"INSERT INTO metrics {columns} VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.execute(f"INSERT INTO latest_metrics {columns} VALUES (?, ?, ?, ?, ?, ?)", rows[-1])
    return RealStore(folder, original.address, original.ids, original.base)


@pytest.fixture(scope="module")
def address(cache: Path, served: RealStore) -> Iterator[str]:
    backend = f"sqlite:///{served.folder / served.address}"
    log = served.folder.with_name("server.log")
    with mlflow_server(mlflow_python(cache, MLFLOW_3), backend, log) as started:
        yield started


@pytest.mark.parametrize(
    "selection",
    [
        Selection(experiments=(ALPHA,)),
        Selection(experiments=(ALPHA,), filter="attributes.run_name = 'base'"),
        Selection(filter="attributes.status = 'FINISHED'"),
        Selection(until_ms=1),
    ],
)
def test_a_server_selects_the_runs_that_its_store_selects(
    address: str, served: RealStore, selection: Selection
) -> None:
    direct = open_tracker(str(served.folder / served.address)).select(selection)
    assert [run.run_id for run in open_tracker(address).select(selection)] == [run.run_id for run in direct]
    assert bool(direct) == (selection.until_ms is None)


def test_a_filter_that_a_server_refuses_is_no_filter(address: str) -> None:
    with pytest.raises(UsageError, match="--filter"):
        open_tracker(address).select(Selection(filter="metrics.x >"))


def test_a_server_gives_the_record_that_its_store_holds_to_the_last_page(address: str, served: RealStore) -> None:
    before = listing(served.folder)
    tracker = open_tracker(address)
    tracker.check()
    record = tracker.read_run(find(tracker, f"{ALPHA}/base"))
    direct = open_tracker(str(served.folder / served.address)).read_run(served.ids["base"])
    assert len(next(metric for metric in record.metrics if metric.name == "long").points) == MANY
    assert all(metric.complete for metric in record.metrics)
    assert baseline_digest(record) == baseline_digest(direct)
    for shared in ("dataset_inputs", "environment_files", "artifacts", "params_truncated", "notes", "experiment_name"):
        assert getattr(record, shared) == getattr(direct, shared)
    assert tracker.read_artifact(record.run_id, "notes/deep/a.txt", 100) == b"hello\n"
    assert tracker.read_artifact(record.run_id, "notes/deep/a.txt", 5) is None
    assert tracker.read_artifact(record.run_id, "absent", 5) is None
    direct_tracker = open_tracker(str(served.folder / served.address))
    assert tracker.hash_artifacts(record.run_id, "") == direct_tracker.hash_artifacts(record.run_id, "")
    assert tracker.hash_artifacts(record.run_id, "notes/deep/a.txt")[0].size_bytes == 6
    assert tracker.hash_model(served.ids["model"]) == direct_tracker.hash_model(served.ids["model"])
    assert listing(served.folder) == before


def test_a_server_is_searched_by_prefix_and_name_and_in_its_bin(address: str, served: RealStore) -> None:
    tracker = open_tracker(address)
    assert find(tracker, served.ids["base"][:16]) == served.ids["base"]
    assert find(tracker, f"runs:/{served.ids['gone']}") == served.ids["gone"]
    assert tracker.read_run(find(tracker, f"{ALPHA}/gone")).lifecycle_stage == "deleted"
    assert tracker.read_run(find(tracker, "binned/in the bin")).lifecycle_stage == "deleted"
    child = tracker.read_run(served.ids["child-2"])
    assert sorted(child.siblings) == sorted(served.ids[f"child-{number}"] for number in range(3))
    with pytest.raises(AmbiguousRun, match=served.ids["child-0"]):
        find(tracker, f"{ALPHA}/child")
    for text, near in ((f"{ALPHA}/bas", f"{ALPHA}/base"), ("0" * 32, ""), ("base", f"{ALPHA}/base")):
        with pytest.raises(RunNotFound) as refused:
            find(tracker, text)
        assert near in refused.value.cause


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        pytest.param("mlruns", (), id="files, and artifacts in mlartifacts beside them"),
        pytest.param(
            "mlflow.db",
            ("--artifacts-destination", "./kept"),
            marks=pytest.mark.full,
            id="a database, and artifacts in a folder of another name",
        ),
    ],
)
def test_what_a_server_kept_is_found_without_it_and_at_another_path(
    cache: Path, tmp_path: Path, backend: str, options: tuple[str, ...]
) -> None:
    python = mlflow_python(cache, MLFLOW_3)
    folder = tmp_path / "served"
    folder.mkdir()
    place = f"./{backend}" if backend == "mlruns" else f"sqlite:///{backend}"
    with mlflow_server(python, place, tmp_path / "log", *options, folder=folder) as address:
        ids = write_real_store(python, tmp_path / "client", address).ids
        over_http = open_tracker(address)
        recorded = over_http.read_run(ids["base"])
        hashed = over_http.hash_artifacts(ids["base"], ""), over_http.hash_model(ids["model"])
    assert (recorded.artifact_root or "").startswith("mlflow-artifacts:/")
    moved = folder.rename(tmp_path / "moved")
    before = listing(moved)
    tracker = open_tracker(str(moved / backend))
    record = tracker.read_run(ids["base"])
    assert len(record.artifacts) == 2
    assert len(record.environment_files) == 2
    for shared in ("artifacts", "environment_files", "artifact_root"):
        assert getattr(record, shared) == getattr(recorded, shared)
    assert (tracker.hash_artifacts(ids["base"], ""), tracker.hash_model(ids["model"])) == hashed
    registered = find_run("models:/fraud/1", Settings(tracker=str(moved / backend))).registered()
    assert registered is not None
    assert (registered.same_place, registered.path) == (True, "model")
    assert [file.path for file in registered.artifact.files] == ["requirements.txt"]
    assert listing(moved) == before
