"""From a reference to a model to its run and its files, on small stores written by hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.errors import MissingFact, RunNotFound, UsageError
from runner.finding import Asked, find_run
from runner.registry.places import beneath, model_named_by, run_named_by, same_place
from runner.schema.model_files import RegisteredModel
from runner.settings import Flags, Settings, load_settings
from runner.verdict.registered import why_not_the_runs
from tests.support.mlflow_stores import StoredRun, listing, run_id, write, write_file_store, write_sqlite_store
from tests.support.registries import StoredVersion, write_file_registry, write_sqlite_registry

MODEL = {"model/MLmodel": "flavors: {}\nrun_id: x\n", "model/model.pkl": "1 2 3"}
FIRST, SECOND = run_id("a"), run_id("b")


LOGGED = "m-" + "0" * 32


class Stores:
    """A file store with two runs that each logged a model, and its registry."""

    def __init__(self, place: Path) -> None:
        self.root = place / "mlruns"
        runs = [
            StoredRun(FIRST, "alpha", "first", artifacts=MODEL),
            StoredRun(SECOND, "alpha", "second", artifacts={**MODEL, "model/model.pkl": "4 5 6"}),
        ]
        write_file_store(self.root, runs)
        self.artifacts = self.root / "1" / FIRST / "artifacts"

    def version(self, **fields: Any) -> None:
        values: dict[str, Any] = {"name": "fraud", "version": 1, "run_id": FIRST, "source": self.uri("model"), **fields}
        write_file_registry(self.root, [StoredVersion(**values)])

    def log_model(self, run: str = FIRST) -> Path:
        """Log a model as MLflow 3 does; returns the place of its files."""
        folder = self.root / "1" / "models" / LOGGED
        place = folder / "artifacts"
        meta = {"model_id": LOGGED, "name": "net", "source_run_id": run, "artifact_location": place.as_uri()}
        write(folder / "meta.yaml", yaml.safe_dump(meta))
        link = {"destination_type": "MODEL_OUTPUT", "destination_id": LOGGED}
        write(self.root / "1" / run / "outputs" / LOGGED / "meta.yaml", yaml.safe_dump(link))
        write(place / "MLmodel", "flavors: {net: {}}\n")
        return place

    def uri(self, path: str) -> str:
        return f"{self.artifacts.as_uri()}/{path}"

    def settings(self, **flags: str) -> Settings:
        return load_settings(Flags(**{"tracker": str(self.root), **flags}), {}, self.root.parent)

    def asked(self, text: str = "models:/fraud/1", **flags: str) -> Asked:
        return find_run(text, self.settings(**flags))

    def registered(self, text: str = "models:/fraud/1", **flags: str) -> RegisteredModel:
        found = self.asked(text, **flags).registered()
        assert found is not None
        return found

    def why_unreadable(self, **flags: str) -> str:
        with pytest.raises(MissingFact) as missing:
            self.registered(**flags)
        assert missing.value.fact == "registered model"
        assert "models:/fraud/1" in missing.value.remedy
        return missing.value.cause


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


def paths(model: RegisteredModel) -> list[str]:
    return [file.path for file in model.artifact.files]


class TestWhichRun:
    def test_it_is_the_one_that_the_registry_names(self, stores: Stores) -> None:
        stores.version()
        found = stores.registered()
        assert (found.run_id, found.run_source, found.title) == (FIRST, "the registry", "fraud v1")

    def test_else_the_one_whose_artifacts_were_registered(self, stores: Stores) -> None:
        stores.version(run_id=None)
        found = stores.registered()
        assert (found.run_id, found.run_source) == (FIRST, "the registered source")
        stores.version(run_id=None, source=f"runs:/{SECOND}/model")
        assert stores.registered().run_id == SECOND

    def test_a_run_that_is_gone_can_be_named(self, stores: Stores) -> None:
        stores.version(run_id=run_id("f"))
        with pytest.raises(RunNotFound, match=f"fraud v1 is of run '{run_id('f')}', which .* does not hold") as refused:
            stores.asked()
        assert refused.value.remedy.startswith(f"runner reproduce models:/fraud/1 --run RUN --tracker {stores.root} ")
        assert stores.registered(run_of_model="alpha/first").run_source == "--run"

    def test_a_run_that_is_named_and_another_by_the_registry_is_a_mistake(self, stores: Stores) -> None:
        stores.version()
        assert stores.registered(run_of_model=FIRST).run_source == "the registry"
        with pytest.raises(UsageError, match=f"fraud v1 is of run {FIRST}, and --run names {SECOND}"):
            stores.asked(run_of_model=SECOND)

    @pytest.mark.parametrize("other", ["models:/fraud/1", "http://host/#/runs/abcdef12", "two words"])
    def test_only_a_run_can_be_named_by_its_flag(self, stores: Stores, other: str) -> None:
        stores.version(run_id=None, source=None)
        with pytest.raises(UsageError):
            stores.asked(run_of_model=other)

    def test_a_run_is_no_model_and_takes_no_run(self, stores: Stores) -> None:
        with pytest.raises(UsageError, match="--run is for a model"):
            stores.asked("alpha/first", run_of_model="alpha/first")
        assert stores.asked("alpha/first").registered() is None


class TestWhichFiles:
    def test_they_are_the_runs_own_where_they_lie_there(self, stores: Stores) -> None:
        stores.version()
        found = stores.registered()
        assert paths(found) == ["MLmodel", "model.pkl"]
        assert (found.same_place, found.path) == (True, "model")

    def test_a_store_that_was_moved_is_read_where_it_is(self, stores: Stores, tmp_path: Path) -> None:
        stores.version()
        before = stores.registered()
        shutil.move(stores.root, tmp_path / "moved")
        stores.root = tmp_path / "moved"
        assert stores.registered().digest == before.digest

    def test_a_runs_uri_and_a_copy_of_a_version_lead_to_the_same(self, stores: Stores) -> None:
        stores.version()
        stores.version(name="risk", version=3, source="models:/fraud/1")
        stores.version(name="third", version=1, source=f"runs:/{FIRST}/model")
        models = [stores.registered(text) for text in ("models:/fraud/1", "models:/risk/3", "models:/third/1")]
        assert len({model.digest for model in models}) == 1
        assert all(model.same_place for model in models)

    def test_copies_in_a_circle_and_of_what_is_gone_end_in_a_sentence(self, stores: Stores) -> None:
        stores.version(source="models:/fraud/1")
        assert "a copy of a copy without end" in stores.why_unreadable()
        stores.version(source="models:/other/1")
        assert "models:/other/1, which is gone" in stores.why_unreadable()

    def test_files_elsewhere_in_the_store_are_held_to_the_runs_own(self, stores: Stores) -> None:
        place = stores.root / "releases" / "1"
        shutil.copytree(stores.artifacts / "model", place)
        stores.version(source=place.as_uri())
        found = stores.registered()
        assert (found.same_place, found.path) == (False, "model")
        assert found.logged is not None
        assert found.logged.digest == found.digest
        assert why_not_the_runs(found) is None
        (place / "model.pkl").write_text("swapped")
        assert "model.pkl" in (why_not_the_runs(stores.registered()) or "")

    def test_a_place_that_only_looks_like_the_runs_own_is_not(self, stores: Stores) -> None:
        """A folder of this run's name elsewhere: whoever can write there can swap what is registered."""
        place = stores.root / "backup" / FIRST / "artifacts" / "model"
        shutil.copytree(stores.artifacts / "model", place)
        (place / "model.pkl").write_text("swapped")
        stores.version(source=place.as_uri())
        found = stores.registered()
        assert not found.same_place
        assert "model.pkl" in (why_not_the_runs(found) or "")

    def test_the_model_of_another_run_is_not_this_runs(self, stores: Stores) -> None:
        stores.version(source=(stores.root / "1" / SECOND / "artifacts" / "model").as_uri())
        found = stores.registered()
        assert (found.run_id, found.same_place) == (FIRST, False)
        assert "model.pkl" in (why_not_the_runs(found) or "")

    def test_a_place_of_the_files_wins_over_what_was_registered(self, stores: Stores) -> None:
        """MLflow loads from `storage_location`: who changes it swaps all files."""
        place = stores.root / "elsewhere"
        write(place / "MLmodel", "flavors: {evil: {}}\n")
        stores.version(location=place.as_uri())
        found = stores.registered()
        assert (paths(found), found.same_place) == (["MLmodel"], False)
        assert why_not_the_runs(found) is not None

    def test_a_run_that_logged_none_is_said(self, stores: Stores) -> None:
        place = stores.root / "releases" / "1"
        shutil.copytree(stores.artifacts / "model", place)
        shutil.rmtree(stores.artifacts)
        stores.version(source=place.as_uri())
        found = stores.registered()
        assert (found.logged, found.logged_note) == (None, "the tracker holds none")

    @pytest.mark.parametrize(
        ("source", "why"),
        [
            ("s3://bucket/model", "no store that you named"),
            ("https://elsewhere.example/model", "no store that you named"),
            ("file://host/srv/model", "no store that you named"),
            ("file:///etc", "no store that you named"),
            ("/etc", "no store that you named"),
            ("../../../etc", "no store that you named"),
            ("dbfs:/model", "not there"),
            ("mlflow-artifacts:/1/x", "not there"),
            (f"runs:/{FIRST}/../../{SECOND}/artifacts/model", "leads out"),
            (f"runs:/{FIRST}/absent", "there is none"),
            (None, "does not say where"),
        ],
    )
    def test_files_that_cannot_be_had_are_a_missing_fact(self, stores: Stores, source: str | None, why: str) -> None:
        stores.version(source=source)
        assert why in stores.why_unreadable()

    def test_a_password_in_a_place_is_told_to_nobody(self, stores: Stores) -> None:
        stores.version(source="https://me:hunter2@elsewhere.example/model")
        assert "hunter2" not in stores.why_unreadable()

    def test_a_root_itself_is_no_model(self, stores: Stores) -> None:
        stores.version(source=stores.root.as_uri())
        assert "no store that you named" in stores.why_unreadable()

    @pytest.mark.parametrize("kind", ["file", "folder", "folder of the store", "pipe", "dangling"])
    def test_what_is_no_plain_file_is_never_left_out_in_silence(
        self, stores: Stores, tmp_path: Path, kind: str
    ) -> None:
        """What we cannot hash, MLflow would load all the same."""
        (tmp_path / "outside").mkdir()
        write(tmp_path / "outside" / "evil.py", "import os\n")
        link = stores.artifacts / "model" / "code"
        targets = {
            "file": tmp_path / "outside" / "evil.py",
            "folder": tmp_path / "outside",
            "folder of the store": stores.root / "1" / SECOND / "artifacts",
            "dangling": tmp_path / "nothing",
        }
        os.mkfifo(link) if kind == "pipe" else link.symlink_to(targets[kind])
        stores.version()
        assert "code" in stores.why_unreadable()

    def test_nothing_is_written(self, stores: Stores, tmp_path: Path) -> None:
        stores.version()
        before = listing(tmp_path)
        stores.registered()
        assert listing(tmp_path) == before


class TestAModelOfMlflow3:
    def test_it_is_the_runs_own_by_whatever_way_it_is_named(self, stores: Stores) -> None:
        place = stores.log_model()
        found = [stores.registered(f"models:/{LOGGED}")]
        for source, location in (
            (f"models:/{LOGGED}", None),
            (f"models:/{LOGGED}", place.as_uri()),
            (place.as_uri(), None),
            (f"runs:/{FIRST}/net", None),
        ):
            stores.version(source=source, location=location)
            found.append(stores.registered())
        assert {(model.digest, model.same_place, model.path) for model in found} == {(found[0].digest, True, "net")}
        assert (found[0].title, found[0].model_id, found[0].run_source) == (LOGGED, LOGGED, "the logged model")

    @pytest.mark.parametrize("source", [f"models:/{LOGGED}", None])
    def test_another_place_of_its_files_is_another_model(self, stores: Stores, source: str | None) -> None:
        """MLflow loads from the place, whatever the source is called; this one only looks like the model's own."""
        stores.log_model()
        place = stores.root / "backup" / "models" / LOGGED / "artifacts"
        write(place / "MLmodel", "flavors: {evil: {}}\n")
        stores.version(source=source or place.as_uri(), location=place.as_uri())
        found = stores.registered()
        assert not found.same_place
        assert "MLmodel (flavors)" in (why_not_the_runs(found) or "")

    def test_one_checkpoint_of_a_run_is_not_another(self, stores: Stores) -> None:
        """What is registered as one model and lies elsewhere is held to that one, whichever has the same bytes."""
        stores.log_model()
        place = stores.root / "releases" / "1"
        shutil.copytree(stores.artifacts / "model", place)
        stores.version(source=f"models:/{LOGGED}", location=place.as_uri())
        assert why_not_the_runs(stores.registered()) is not None
        stores.version(source=place.as_uri())
        found = stores.registered()
        assert (found.logged, found.logged_note) == (None, "it logged 2, and nothing says which")

    def test_that_of_another_run_is_not_the_runs_own(self, stores: Stores) -> None:
        stores.log_model(SECOND)
        stores.version(source=f"models:/{LOGGED}")
        found = stores.registered()
        assert (found.run_id, found.same_place) == (FIRST, False)
        assert why_not_the_runs(found) is not None

    def test_one_that_is_not_there_is_said_with_what_is_near(self, stores: Stores) -> None:
        stores.log_model()
        with pytest.raises(RunNotFound, match=f"nearest: models:/{LOGGED} 'net'"):
            stores.asked(f"models:/{LOGGED[:-1]}1")
        with pytest.raises(RunNotFound, match="no run logged a model"):
            stores.asked("models:/m-ffffffff")

    def test_one_of_no_run_needs_one(self, stores: Stores) -> None:
        place = stores.log_model()
        meta = place.parent / "meta.yaml"
        write(meta, meta.read_text().replace(f"source_run_id: {FIRST}", "source_run_id: null"))
        with pytest.raises(RunNotFound, match=f"{LOGGED} names no run"):
            stores.asked(f"models:/{LOGGED}")
        assert stores.registered(f"models:/{LOGGED}", run_of_model=FIRST).run_source == "--run"


class TestMeanwhile:
    def test_what_stays_is_not_told(self, stores: Stores) -> None:
        stores.version()
        asked = stores.asked()
        assert asked.read_again(asked.registered())[1] is None

    def test_a_version_that_goes_or_names_another_run_is_told(self, stores: Stores) -> None:
        stores.version()
        asked = stores.asked()
        before = asked.registered()
        stores.version(run_id=SECOND)
        assert f"is of run {SECOND} now" in (asked.read_again(before)[1] or "")
        stores.version(source="s3://bucket")
        assert "s3://bucket" in (asked.read_again(before)[1] or "")
        shutil.rmtree(stores.root / "models" / "fraud" / "version-1")
        assert "fraud v1 was there when it was read, and now" in (asked.read_again(before)[1] or "")


def test_a_registry_in_sqlite_beside_the_tracker_of_another_kind(stores: Stores, tmp_path: Path) -> None:
    versions = [StoredVersion("fraud", 1, FIRST, stores.uri("model"))]
    registry = write_sqlite_registry(tmp_path / "registry" / "r.db", versions, {("fraud", "champion"): 1})
    found = stores.registered("models:/fraud@champion", registry_uri=f"sqlite:///{registry}")
    assert (found.registry, found.same_place, found.alias) == (f"sqlite:///{registry}", True, "champion")
    with pytest.raises(RunNotFound, match="nearest: models:/fraud/1") as refused:
        stores.asked("models:/froud/1", registry_uri=f"sqlite:///{registry}")
    assert refused.value.remedy == f"runner plan models:/fraud/1 --registry-uri sqlite:///{registry}"
    with pytest.raises(RunNotFound, match="no registered model has the name 'fraud'"):
        stores.asked("models:/fraud/1")


def test_a_tracker_in_sqlite_holds_its_registry_too(tmp_path: Path) -> None:
    runs = [StoredRun(FIRST, "alpha", "first", artifacts=MODEL)]
    path = write_sqlite_store(tmp_path / "mlflow.db", runs)
    source = str(tmp_path / "mlruns" / "1" / FIRST / "artifacts" / "model")
    write_sqlite_registry(path, [StoredVersion("fraud", 1, FIRST, source)])
    settings = load_settings(Flags(tracker=f"sqlite:///{path}"), {}, tmp_path)
    found = find_run("models:/fraud/1", settings).registered()
    assert found is not None
    assert (found.same_place, [file.path for file in found.artifact.files]) == (True, ["MLmodel", "model.pkl"])


class TestPagesAndFlags:
    RUN = f"http://pasted.example/mlflow/#/experiments/1/runs/{FIRST}"
    VERSION = "http://pasted.example/mlflow/#/models/fraud/versions/1"

    def test_a_flag_names_the_tracker_before_a_page_does_and_that_is_said(self, stores: Stores) -> None:
        asked = stores.asked(self.RUN)
        assert asked.record.run_id == FIRST
        assert asked.notes == (
            f"--tracker {stores.root} was read, and the pasted address is of http://pasted.example/mlflow",
        )

    def test_a_page_names_the_tracker_before_the_environment_does(self, stores: Stores, tmp_path: Path) -> None:
        variables = {"MLFLOW_TRACKING_URI": str(stores.root), "MLFLOW_REGISTRY_URI": str(stores.root)}
        settings = load_settings(Flags(registry_uri="http://registry.example"), variables, tmp_path)
        from runner.finding import _with_page
        from runner.trackers.reference import Page, parse_reference

        for text, registry in ((self.RUN, "http://registry.example"), (self.VERSION, "http://registry.example")):
            page = parse_reference(text)
            assert isinstance(page, Page)
            chosen, _ = _with_page(page, settings)
            assert (chosen.tracker, chosen.registry_uri) == ("http://pasted.example/mlflow", registry)
        page = parse_reference(self.VERSION)
        assert isinstance(page, Page)
        chosen, notes = _with_page(page, load_settings(Flags(), variables, tmp_path))
        assert (chosen.registry_uri, notes) == ("http://pasted.example/mlflow", ())

    @pytest.mark.parametrize("named", ["https://tracker.acme.example", "http://pasted.example:5000/mlflow"])
    def test_a_link_does_not_get_the_credentials_of_the_server_that_the_environment_names(
        self, named: str, tmp_path: Path
    ) -> None:
        settings = load_settings(Flags(), {"MLFLOW_TRACKING_URI": named}, tmp_path)
        with pytest.raises(UsageError, match="whose credentials") as refused:
            find_run(self.RUN, settings)
        assert "--tracker http://pasted.example/mlflow" in refused.value.remedy


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("file:///a/b", "/a/b/", True),
        ("file:/a/b", "file://localhost/a/b", True),
        ("file:///a/./b", "/a/c/../b", True),
        ("file:///a%20b", "/a b", True),
        ("s3://bucket/a", "s3://bucket/a/", True),
        ("mlflow-artifacts:/1/a", "mlflow-artifacts:/1/a/", True),
        ("file://host/a", "/a", False),
        ("s3://bucket/a", "s3://other/a", False),
        (None, "/a", False),
        (None, None, False),
    ],
)
def test_a_place_is_the_same_however_it_is_written(one: str | None, other: str | None, same: bool) -> None:
    assert same_place(one, other) == same


@pytest.mark.parametrize(
    ("place", "root", "path"),
    [
        ("/m/1/r/artifacts/model", "file:///m/1/r/artifacts", "model"),
        ("s3://b/r/artifacts/a/b", "s3://b/r/artifacts/", "a/b"),
        ("s3://b/r/artifacts/../x", "s3://b/r/artifacts", None),
        ("/m/1/r/artifacts/../x", "/m/1/r/artifacts", None),
        ("/m/1/r/artifacts-2/x", "/m/1/r/artifacts", None),
        ("/m/1/r/artifacts", "/m/1/r/artifacts", None),
        (None, "/m", None),
    ],
)
def test_a_path_is_beneath_a_root_or_not(place: str | None, root: str, path: str | None) -> None:
    assert beneath(place, root) == path


def test_sources_name_runs_and_models_in_the_ways_of_mlflow() -> None:
    model = "m-" + "0" * 32
    assert run_named_by(f"runs:/{FIRST}/model") == FIRST
    assert run_named_by(f"mlflow-artifacts:/1/{FIRST}/artifacts/a/b") == FIRST
    assert run_named_by("s3://bucket/model") is None
    assert model_named_by(f"models:/{model}", None) == model
    assert model_named_by("x", f"file:///m/1/models/{model}/artifacts") == model
    assert model_named_by("models:/fraud/1", "s3://bucket") is None
