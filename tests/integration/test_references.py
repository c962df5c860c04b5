"""`reproduce` of what is registered, on the real engine and on registries that real versions of MLflow wrote."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import RunNotFound, UsageError
from runner.finding import find_run
from runner.planning import plan_run
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.report.text import render_text
from runner.reproduce import reproduce
from runner.schema.model_files import RegisteredComparison
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, Settings, load_settings
from runner.verdict.remedy import again
from tests.support.mlflow_stores import MLFLOW_2, MLFLOW_3, listing, mlflow_python, mlflow_server, write
from tests.support.released import ReleasedProject

EARLIER, TODAY = "mlflow-skinny==2.22.5\n", "mlflow-skinny==3.12.0\n"
CHAMPION = "models:/fraud@champion"


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return request.config.cache.mkdir("mlflow-versions")


@pytest.fixture(scope="module")
def earlier(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> ReleasedProject:
    """A run of MLflow 2.22 in a file store, its model registered twice; `champion` is the first."""
    folder = tmp_path_factory.mktemp("earlier") / "author"
    project = ReleasedProject(folder, mlflow_python(cache, (EARLIER.strip(), *MLFLOW_2[1:])), EARLIER)
    source = f"runs:/{project.train()}/model"
    register = [["register_model", source, "fraud"]] * 2
    project.call([*register, ["set_registered_model_alias", "fraud", "champion", "1"]])
    return project


@pytest.fixture(scope="module")
def today(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> ReleasedProject:
    """A run of MLflow 3 in sqlite, whose model MLflow keeps beside it, registered too."""
    folder = tmp_path_factory.mktemp("today") / "author"
    project = ReleasedProject(folder, mlflow_python(cache, (TODAY.strip(), *MLFLOW_3[1:])), TODAY, database=True)
    project.train()
    source = f"models:/{project.model_id()}"
    project.call([["register_model", source, "fraud"], ["set_registered_model_alias", "fraud", "champion", "1"]])
    return project


@pytest.fixture
def released(earlier: ReleasedProject, tmp_path: Path) -> ReleasedProject:
    """A copy that a test may change; its store lies elsewhere than it was written."""
    return earlier.copied(tmp_path / "copy")


Judge = Callable[..., Reproduction]


@pytest.fixture
def judge(shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path) -> Judge:
    def judge(run: str, settings: Settings, progress: Any = None) -> Reproduction:
        return reproduce(run, settings, progress=progress or NoProgress(), engine=shared_engine).reproduction

    return judge


@pytest.fixture
def terms(tmp_path: Path) -> Callable[..., Settings]:
    """Settings as typed in a folder of nobody's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def terms(project: ReleasedProject, **flags: Any) -> Settings:
        given = {"tracker": project.uri, "repo": str(project.repository.path), **flags}
        return load_settings(Flags(**{name: value for name, value in given.items() if value}), {}, folder)

    return terms


def compared(reproduction: Reproduction) -> RegisteredComparison:
    assert reproduction.comparison is not None, reproduction.reason
    assert reproduction.comparison.registered is not None
    return reproduction.comparison.registered


class Meanwhile(NoProgress):
    """Does something while the training runs."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do = do

    def phase(self, name: str) -> AbstractContextManager[None]:
        @contextmanager
        def running() -> Iterator[None]:
            if name == "train":
                self.do()
            yield

        return running()


def test_a_version_behind_an_alias_is_identical_and_its_store_is_only_read(
    earlier: ReleasedProject, judge: Judge, terms: Callable[..., Settings]
) -> None:
    """The rerun's MLmodel has another id, run and time, and Python another patch version: nothing else differs."""
    before = listing(earlier.folder)
    reproduction = judge(CHAMPION, terms(earlier))
    assert reproduction.verdict is Verdict.IDENTICAL, reproduction.reason
    assert listing(earlier.folder) == before
    plan = reproduction.plan
    assert plan is not None
    assert plan.registered is not None
    assert (plan.registered.name, plan.registered.version, plan.registered.alias) == ("fraud", 1, "champion")
    assert plan.registered.same_place
    assert [file.path for file in plan.registered.artifact.files] == [
        "MLmodel",
        "data/weights.bin",
        "python_env.yaml",
        "requirements.txt",
    ]
    found = compared(reproduction)
    assert (found.equals_run, found.equals_rerun, found.registered) == (True, True, found.rerun)
    screen = render_text(reproduction, width=100, color=False, show_all=True)
    assert screen.startswith(f"IDENTICAL  fraud v1 = run {plan.run.id[:8]}")
    assert "= the run's own = the rerun's model" in screen
    assert any(line.startswith("registered: MLmodel: equal but for") for line in reproduction.not_verified)


def test_a_file_that_was_swapped_behind_an_alias_is_unverifiable_and_named(
    released: ReleasedProject, judge: Judge, terms: Callable[..., Settings]
) -> None:
    """rule 09: the metrics come out again, and what is registered is not what the run makes."""
    released.file_of_model("weights.bin").write_text("[1.5, 2.25, 9.0]")
    reproduction = judge(CHAMPION, terms(released))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, reproduction.reason
    assert "data/weights.bin" in reproduction.reason
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "registered model"
    assert (compared(reproduction).equals_run, compared(reproduction).equals_rerun) == (True, False)


def test_an_alias_that_moves_during_the_rerun_is_unverifiable(
    released: ReleasedProject, judge: Judge, terms: Callable[..., Settings]
) -> None:
    """Version 2 has the very same files: it is another release all the same."""
    alias = released.tracker / "models" / "fraud" / "aliases" / "champion"
    assert alias.read_text() == "1"
    reproduction = judge(CHAMPION, terms(released), Meanwhile(lambda: alias.write_text("2")))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, reproduction.reason
    assert "meant fraud v1 when it was read, and means fraud v2 now" in reproduction.reason


@pytest.mark.full
def test_a_file_that_is_swapped_during_the_rerun_is_unverifiable(
    released: ReleasedProject, judge: Judge, terms: Callable[..., Settings]
) -> None:
    weights = released.file_of_model("weights.bin")
    reproduction = judge("models:/fraud/1", terms(released), Meanwhile(lambda: weights.write_text("[0]")))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, reproduction.reason
    assert "changed during the rerun: data/weights.bin" in reproduction.reason


def test_a_model_of_mlflow_3_is_found_by_its_id(
    today: ReleasedProject, judge: Judge, terms: Callable[..., Settings]
) -> None:
    before = listing(today.folder)
    reproduction = judge(f"models:/{today.model_id()}", terms(today))
    assert reproduction.verdict is Verdict.IDENTICAL, reproduction.reason
    assert listing(today.folder) == before
    assert compared(reproduction).holds
    assert reproduction.run.model == today.model_id()


@pytest.fixture(scope="module")
def server(today: ReleasedProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a copy of today's store, its recorded places moved along."""
    project = today.copied(tmp_path_factory.mktemp("served") / "copy", move_places=True)
    with mlflow_server(project.python, project.uri, project.folder / "server.log") as address:
        yield address


def test_the_pasted_page_of_a_version_names_server_and_registry(
    today: ReleasedProject, server: str, terms: Callable[..., Settings]
) -> None:
    asked = find_run(f"{server}/#/models/fraud/versions/1", terms(today, tracker=None))
    direct = find_run("models:/fraud/1", terms(today))
    assert (asked.record.uri, asked.registry and asked.registry.uri) == (server, server)
    over_http, from_files = asked.registered(), direct.registered()
    assert over_http is not None
    assert from_files is not None
    assert over_http.artifact == from_files.artifact
    assert len(over_http.artifact.files) == 4
    assert (over_http.same_place, over_http.path, over_http.model_id) == (True, "model", today.model_id())
    assert (over_http.title, over_http.run_source) == ("fraud v1", "the registry")
    for text in ("models:/fraud/latest", "models:/fraud@champion", "models:/fraud/none"):
        again = find_run(text, terms(today, tracker=server)).registered()
        assert again is not None
        assert (again.title, again.digest) == ("fraud v1", over_http.digest)
    with pytest.raises(RunNotFound, match="@champion"):
        find_run("models:/fraud@champions", terms(today, tracker=server))


@pytest.mark.full
def test_a_version_of_a_server_is_identical(
    today: ReleasedProject, server: str, judge: Judge, terms: Callable[..., Settings]
) -> None:
    reproduction = judge(f"{server}/#/models/fraud/versions/1", terms(today, tracker=None))
    assert reproduction.verdict is Verdict.IDENTICAL, reproduction.reason
    assert (reproduction.run.model, reproduction.run.uri) == ("fraud v1", server)
    assert compared(reproduction).holds


def test_the_pasted_page_of_a_run_names_the_tracker_unless_a_flag_does(
    today: ReleasedProject, server: str, terms: Callable[..., Settings]
) -> None:
    direct = find_run("sums/first", terms(today)).record
    page = f"{server}/#/experiments/1/runs/{direct.run_id}/artifacts?searchFilter=x"
    asked = find_run(page, terms(today, tracker=None))
    assert (asked.record.run_id, asked.record.uri, asked.notes) == (direct.run_id, server, ())
    asked = find_run(page, terms(today))
    assert (asked.record.run_id, asked.record.uri) == (direct.run_id, direct.uri)
    assert server in asked.notes[0]
    for near in (f"{server}/#/models/frau/versions/1", f"{server}/#/models/fraud/versions/9"):
        with pytest.raises(RunNotFound, match=r"models:/fraud/1|has v1"):
            find_run(near, terms(today, tracker=None))
    model = find_run(f"{server}/#/experiments/1/models/{today.model_id()}/overview", terms(today, tracker=None))
    assert model.record.run_id == direct.run_id
    with pytest.raises(RunNotFound, match=today.model_id()):
        find_run(f"models:/{today.model_id()[:-1]}0", terms(today, tracker=server))


def test_a_registry_of_its_own_is_read_beside_the_tracker_and_follows_a_stage(
    released: ReleasedProject, terms: Callable[..., Settings]
) -> None:
    registry = f"sqlite:///{released.folder / 'registry.db'}"
    run_id = find_run("sums/first", terms(released)).record.run_id
    steps = [["register_model", f"runs:/{run_id}/model", "risk"]]
    stage = ["transition_model_version_stage", "risk", "1", "Production"]
    released.call([*steps, stage], registry=registry)
    with pytest.raises(RunNotFound, match="'risk'"):
        find_run("models:/risk/1", terms(released))
    chosen = terms(released, registry_uri=registry)
    plan = plan_run("models:/risk/production", chosen, progress=NoProgress())
    assert plan.registered is not None
    assert (plan.registered.registry, plan.registered.title, plan.registered.stage) == (
        registry,
        "risk v1",
        "production",
    )
    assert f"--registry-uri {registry}" in again(plan)
    assert plan.digest != plan_run("sums/first", terms(released), progress=NoProgress()).digest


def test_a_version_without_a_run_needs_one_and_is_held_to_what_that_run_logged(
    released: ReleasedProject, judge: Judge, terms: Callable[..., Settings]
) -> None:
    place = released.tracker / "releases" / "risk"
    shutil.copytree(released.file_of_model("MLmodel").parent, place)
    released.call([["create_registered_model", "risk"], ["create_model_version", "risk", place.as_uri()]])
    with pytest.raises(RunNotFound, match="risk v1 names no run") as refused:
        find_run("models:/risk/1", terms(released))
    assert "models:/risk/1" in refused.value.remedy
    assert "--run RUN" in refused.value.remedy
    reproduction = judge("models:/risk/1", terms(released, run_of_model="sums/first"))
    assert reproduction.verdict is Verdict.IDENTICAL, reproduction.reason
    assert reproduction.plan is not None
    assert reproduction.plan.registered is not None
    assert (reproduction.plan.registered.run_source, reproduction.plan.registered.same_place) == ("--run", False)
    write(place / "code" / "more.py", "import os\n")
    reproduction = judge("models:/risk/1", terms(released, run_of_model="sums/first"))
    assert (reproduction.verdict, reproduction.rerun) == (Verdict.UNVERIFIABLE, None)
    assert "code/more.py" in reproduction.reason


def test_a_version_whose_run_is_gone_says_so_and_how_to_name_another(
    released: ReleasedProject, terms: Callable[..., Settings]
) -> None:
    record = find_run("sums/first", terms(released)).record
    with pytest.raises(UsageError, match="--run"):
        find_run("sums/first", terms(released, run_of_model="sums/first"))
    shutil.rmtree(released.tracker / record.experiment_id / record.run_id)
    with pytest.raises(RunNotFound, match=f"fraud v1 is of run '{record.run_id}'") as refused:
        find_run(CHAMPION, terms(released))
    assert "--run RUN" in refused.value.remedy


def test_files_on_a_store_that_nobody_named_are_unverifiable_before_anything_runs(
    today: ReleasedProject, judge: Judge, terms: Callable[..., Settings], tmp_path: Path
) -> None:
    project = today.copied(tmp_path / "copy")
    with closing(sqlite3.connect(project.folder / "author" / "mlflow.db")) as database, database:
        database.execute("UPDATE model_versions SET storage_location = 's3://bucket/fraud/1'")
    reproduction = judge("models:/fraud/1", terms(project))
    assert (reproduction.verdict, reproduction.rerun) == (Verdict.UNVERIFIABLE, None)
    assert "s3://bucket/fraud/1" in reproduction.reason
