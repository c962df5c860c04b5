"""Real MLflow servers as people have them: with user names, tokens, an authority of their own, on localhost, or old."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.errors import RunNotFound, TrackerUnavailable
from runner.schema.run_record import RunRecord
from runner.trackers.baseline import baseline_digest
from runner.trackers.open import open_tracker
from runner.trackers.reference import parse_reference
from tests.support.command import CommandLine
from tests.support.mlflow_stores import (
    MLFLOW_1_30,
    MLFLOW_2,
    MLFLOW_2_2,
    MLFLOW_3,
    RealStore,
    listing,
    mlflow_python,
    mlflow_server,
    write_real_store,
)
from tests.support.tracker_proxy import Authority, TrackerProxy, make_authority

ALPHA = "équipe/τεστ/alpha"
TOKEN = "tok-5f9d2c7e1b"
PASSWORD = "pw-81c6e0aa4d2f"
ADMIN = ("admin", "password1234")  # MLflow's own default


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return request.config.cache.mkdir("mlflow-versions")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but what a test gives: neither variables nor a file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN", "SERVER_CERT_PATH", "INSECURE_TLS"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


def read_base(address: str) -> RunRecord:
    tracker = open_tracker(address)
    tracker.check()
    return tracker.read_run(tracker.find_run(parse_reference(f"{ALPHA}/base")))


# Servers of other times


@dataclass(frozen=True)
class Old:
    """A server of some version over a store that the same version wrote."""

    store: RealStore
    address: str


OLD = {
    "1.30 over files": (MLFLOW_1_30, "mlruns"),
    "1.30 over sqlite": (MLFLOW_1_30, "mlflow.db"),
    "2.2 over files": (MLFLOW_2_2, "mlruns"),
    "2.2 over sqlite": (MLFLOW_2_2, "mlflow.db"),
    "3.17 over files": (MLFLOW_3, "mlruns"),
}
SLOW = ("1.30 over sqlite", "2.2 over files", "3.17 over files")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.full if name in SLOW else ()) for name in OLD]
)
def old(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    packages, address = OLD[request.param]
    place = tmp_path_factory.mktemp("old")
    python = mlflow_python(cache, packages)
    store = write_real_store(python, place / "store", address)
    backend = str(store.folder / address) if address == "mlruns" else f"sqlite:///{store.folder / address}"
    # Old ones recorded artifacts by a path relative to where they worked.
    options = ("--default-artifact-root", str(place / "unused"))
    with mlflow_server(python, backend, place / "log", *options, folder=store.folder) as started:
        yield Old(store, started)


def test_a_server_of_another_time_gives_the_record_that_its_store_holds(old: Old) -> None:
    direct = open_tracker(str(old.store.folder / old.store.address)).read_run(old.store.ids["base"])
    before = listing(old.store.folder)
    record = read_base(old.address)
    assert baseline_digest(record) == baseline_digest(direct)
    assert all(metric.complete for metric in record.metrics)
    for shared in ("dataset_inputs", "environment_files", "artifacts", "experiment_name", "name", "notes"):
        assert getattr(record, shared) == getattr(direct, shared), shared
    tracker = open_tracker(old.address)
    assert tracker.read_artifact(record.run_id, "notes/deep/a.txt", 100) == b"hello\n"
    assert tracker.read_artifact(record.run_id, "absent", 100) is None
    assert listing(old.store.folder) == before


def test_a_server_of_another_time_is_searched_by_prefix_and_name_and_in_its_bin(old: Old) -> None:
    tracker = open_tracker(old.address)

    def find(text: str) -> str:
        return tracker.find_run(parse_reference(text))

    ids = old.store.ids
    assert find(ids["base"][:16]) == ids["base"]
    assert tracker.read_run(find(f"{ALPHA}/gone")).lifecycle_stage == "deleted"
    assert tracker.read_run(find("binned/in the bin")).lifecycle_stage == "deleted"
    assert sorted(tracker.read_run(ids["child-1"]).siblings) == sorted(ids[f"child-{n}"] for n in range(3))
    with pytest.raises(RunNotFound):
        find("0" * 32)
