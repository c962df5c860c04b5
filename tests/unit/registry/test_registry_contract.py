"""What every registry must do, on each kind of store that is read without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from runner.errors import NotAStore, RunNotFound
from runner.registry.interface import Registry
from runner.registry.open import open_registry
from runner.trackers.reference import parse_reference
from tests.support.mlflow_stores import StoredRun, listing, run_id, write_file_store, write_sqlite_store
from tests.support.registries import StoredVersion, write_file_registry, write_sqlite_registry

SOURCE = "file:///srv/mlruns/1/" + run_id("a") + "/artifacts/model"
VERSIONS = [
    StoredVersion("fraud", 2, run_id("a"), SOURCE, stage="Archived"),
    StoredVersion("fraud", 7, run_id("b"), SOURCE, location="s3://bucket/7", stage="Production"),
    StoredVersion("fraud", 10, None, None, stage="None", status="PENDING_REGISTRATION"),
    StoredVersion("fraud", 11, run_id("c"), SOURCE, stage="Deleted_Internal"),
    StoredVersion("my model (v1)", 1, run_id("a"), SOURCE),
]
ALIASES = {("fraud", "champion"): 7, ("fraud", "lost"): 11, ("fraud", "Was Café"): 2}


def in_a_folder(place: Path) -> Path:
    return write_file_registry(place / "mlruns", VERSIONS, ALIASES)


def in_a_database(place: Path) -> Path:
    return write_sqlite_registry(place / "mlflow.db", VERSIONS, ALIASES)


@pytest.fixture(params=[in_a_folder, in_a_database])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    write: Callable[[Path], Path] = request.param
    return open_registry(str(write(tmp_path)))


def found(registry: Registry, text: str) -> int:
    return registry.find(parse_reference(text)).version  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("models:/fraud/2", 2),
        ("models:/fraud/10", 10),
        ("models:/fraud@champion", 7),
        ("models:/fraud@Was Café", 2),
        ("models:/fraud/latest", 10),
        ("models:/fraud@latest", 10),
        ("models:/fraud/production", 7),
        ("models:/fraud/ARCHIVED", 2),
        ("models:/fraud/None", 10),
        ("models:/my model (v1)/1", 1),
    ],
)
def test_each_reference_leads_to_the_version_that_mlflow_would_take(
    registry: Registry, text: str, version: int
) -> None:
    assert found(registry, text) == version


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("models:/fraud/8", "it has v2, v7, v10"),
        ("models:/fraud/11", "has no version 11"),
        ("models:/fraud@champ", "@champion (v7)"),
        ("models:/fraud@lost", "points at v11, which is gone"),
        ("models:/fraud/Staging", "no version in stage Staging"),
        ("models:/fraud/prod", "neither a version nor a stage"),
        ("models:/Fraud/7", "nearest: models:/fraud/7"),
        ("models:/froud@champion", "nearest: models:/fraud@champion"),
        ("models:/zzz/latest", "no registered model has the name 'zzz'"),
        ("models:/../1", "no registered model has the name '..'"),
        ("models:/./1", "no registered model has the name '.'"),
        ("models:/' OR 1=1 --/1", "no registered model"),
        ("models:/fraud@../../../etc/passwd", "no alias"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(registry: Registry, text: str, near: str) -> None:
    reference = parse_reference(text) if "etc" not in text else parse_reference("models:/fraud@..")
    with pytest.raises(RunNotFound) as refused:
        registry.find(reference)  # type: ignore[arg-type]
    assert near in refused.value.cause
    assert refused.value.exit_code == 2
    assert "models:/" in refused.value.remedy


def test_all_that_a_version_says_is_read_and_nothing_is_changed(registry: Registry, tmp_path: Path) -> None:
    before = listing(tmp_path)
    seventh, second, tenth = (registry.version("fraud", number) for number in (7, 2, 10))
    assert seventh is not None
    assert second is not None
    assert tenth is not None
    assert (seventh.run_id, seventh.source, seventh.location) == (run_id("b"), SOURCE, "s3://bucket/7")
    assert (second.location, second.stage, second.status) == (SOURCE, "Archived", "READY")
    assert (tenth.run_id, tenth.status) == (None, "PENDING_REGISTRATION")
    assert listing(tmp_path) == before


def test_a_database_of_an_older_version_has_no_aliases_and_no_places(tmp_path: Path) -> None:
    registry = open_registry(str(write_sqlite_registry(tmp_path / "old.db", VERSIONS, old=True)))
    assert found(registry, "models:/fraud/Production") == 7
    assert registry.version("fraud", 7).location == SOURCE  # type: ignore[union-attr]
    with pytest.raises(RunNotFound, match="it has none"):
        found(registry, "models:/fraud@champion")


def test_models_of_another_workspace_are_not_the_default_ones(tmp_path: Path) -> None:
    path = in_a_database(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE model_versions SET workspace = 'other' WHERE version = 7")
    with pytest.raises(RunNotFound):
        found(open_registry(str(path)), "models:/fraud/7")


@pytest.mark.parametrize("uri", ["nowhere", "file:nowhere", "sqlite:///nowhere.db", "databricks", "s3://bucket", ""])
def test_what_is_no_registry_is_an_error_of_its_flag_and_creates_nothing(tmp_path: Path, uri: str) -> None:
    with pytest.raises(NotAStore) as refused:
        open_registry(uri, tmp_path)
    assert "--registry-uri" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_a_registry_says_that_it_holds_none(tmp_path: Path) -> None:
    runs = [StoredRun(run_id("1"))]
    with pytest.raises(RunNotFound, match="holds no registered model"):
        found(open_registry(str(write_file_store(tmp_path / "mlruns", runs))), "models:/fraud/1")
    with pytest.raises(NotAStore, match="no table model_versions"):
        open_registry(str(write_sqlite_store(tmp_path / "m.db", runs)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAStore, match="no registry"):
        open_registry(str(tmp_path / "empty"))


class TestAHostileFolder:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return in_a_folder(tmp_path)

    def test_a_meta_that_leads_out_of_the_store_is_as_if_absent(self, root: Path, tmp_path: Path) -> None:
        meta = root / "models" / "fraud" / "version-7" / "meta.yaml"
        (tmp_path / "outside.yaml").write_text(meta.read_text())
        meta.unlink()
        meta.symlink_to(tmp_path / "outside.yaml")
        with pytest.raises(RunNotFound):
            found(open_registry(str(root)), "models:/fraud/7")

    def test_a_version_and_an_alias_that_lead_out_are_as_if_absent(self, root: Path, tmp_path: Path) -> None:
        (root / "models" / "fraud" / "version-2").rename(tmp_path / "version-2")
        (root / "models" / "fraud" / "version-2").symlink_to(tmp_path / "version-2")
        alias = root / "models" / "fraud" / "aliases" / "champion"
        alias.unlink()
        (tmp_path / "seven").write_text("7")
        alias.symlink_to(tmp_path / "seven")
        for text in ("models:/fraud/2", "models:/fraud@champion"):
            with pytest.raises(RunNotFound):
                found(open_registry(str(root)), text)

    @pytest.mark.parametrize(
        "text",
        [
            "x" * (1 << 20),
            "[" * 100_000,
            "a: &a [x]\nversion: 7\nsource: *a\nrun_id: {}\n",
            "version: 7\nversion: 8\n",
            "!!python/object/apply:os.system ['true']",
            "\x00",
            "7",
        ],
        ids=["huge", "deep", "other types", "twice", "object", "nul", "scalar"],
    )
    def test_no_meta_harms_the_reader(self, root: Path, text: str) -> None:
        (root / "models" / "fraud" / "version-7" / "meta.yaml").write_text(text)
        version = open_registry(str(root)).version("fraud", 7)
        assert version is None or (version.source, version.run_id) == (None, None)

    @pytest.mark.parametrize("text", ["", "../7", "7 or 8", "-1", "7" * 100, "\u0667"])
    def test_an_alias_is_a_number_or_none(self, root: Path, text: str) -> None:
        (root / "models" / "fraud" / "aliases" / "champion").write_text(text)
        with pytest.raises(RunNotFound):
            found(open_registry(str(root)), "models:/fraud@champion")
