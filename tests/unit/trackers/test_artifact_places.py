"""Where artifacts are found, in stores laid out like those that people commit: each from a public repository."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.trackers.artifact_places import ArtifactPlaces, recorded_tails
from runner.trackers.artifacts import NoFiles
from runner.trackers.folder import Folder
from runner.trackers.interface import Tracker
from runner.trackers.open import open_tracker
from tests.support.mlflow_stores import StoredRun, listing, run_id, write, write_file_store, write_sqlite_store

RUN = run_id("a")
OTHER = run_id("b")
MODEL = "m-dc93d9b84b5d456ba610db43715b044a"
SERVED = f"mlflow-artifacts:/1/{RUN}/artifacts"
LISTS = {"model/requirements.txt": "scikit-learn==1.6.1\n", "model/python_env.yaml": "python: 3.13.3\n"}

Write = Callable[[Path, list[StoredRun]], Path]


def logged(folder: Path) -> Path:
    """Write what a run logged."""
    for name, text in LISTS.items():
        write(folder / name, text)
    return folder


def folder_store(place: Path, recorded: str, *others: StoredRun) -> Path:
    return write_file_store(place / "mlruns", [StoredRun(RUN, artifact_uri=recorded), *others])


def database(place: Path, recorded: str, *others: StoredRun) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return write_sqlite_store(place / "mlflow.db", [StoredRun(RUN, artifact_uri=recorded), *others])


def work_tree(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "init", "--quiet", str(place)], check=True)
    return place


def found(tracker: Tracker) -> dict[str, str]:
    """Read a run; the texts of its environment, if all that is listed is had by each way of reading."""
    record = tracker.read_run(RUN)
    for artifact in record.artifacts:
        assert len(tracker.read_artifact(RUN, artifact.path, 1000) or b"") == artifact.size_bytes
    if record.artifacts:
        assert [file.path for file in tracker.hash_artifacts(RUN, "")] == [file.path for file in record.artifacts]
    else:
        with pytest.raises(NoFiles):
            tracker.hash_artifacts(RUN, "")
    return {file.path: file.text for file in record.environment_files}


def test_a_file_store_of_a_server_has_its_artifacts_in_the_folder_beside_it(tmp_path: Path) -> None:
    store = folder_store(tmp_path, SERVED)
    logged(tmp_path / "mlartifacts" / "1" / RUN / "artifacts")
    before = listing(tmp_path)
    assert found(open_tracker(str(store))) == LISTS
    assert listing(tmp_path) == before


def test_the_empty_folder_that_a_file_store_makes_for_every_run_is_not_taken_for_its_artifacts(tmp_path: Path) -> None:
    store = folder_store(tmp_path, SERVED)
    (store / "1" / RUN / "artifacts").mkdir()
    logged(tmp_path / "mlartifacts" / "1" / RUN / "artifacts")
    assert found(open_tracker(str(store))) == LISTS


def test_a_file_store_of_another_name_has_nothing_beside_it(tmp_path: Path) -> None:
    store = folder_store(tmp_path, SERVED).rename(tmp_path / "store")
    logged(tmp_path / "mlartifacts" / "1" / RUN / "artifacts")
    assert found(open_tracker(str(store))) == {}


@pytest.mark.parametrize("name", ["mlartifacts", "artifacts"])  # the server's own, and of `--artifacts-destination`
def test_a_database_of_a_server_has_its_artifacts_in_a_folder_beside_it(tmp_path: Path, name: str) -> None:
    store = database(tmp_path / "mlflow", SERVED)
    logged(tmp_path / "mlflow" / name / "1" / RUN / "artifacts")
    before = listing(tmp_path)
    assert found(open_tracker(str(store))) == LISTS
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "recorded",
    [
        "/workspaces/mlops-project/02-experiment-tracking/artifacts_local/1/{}/artifacts",
        "file:///C:/Users/sudwa/Desktop/artifacts_local/1/{}/artifacts",
        "file:D:/Projects/artifacts_local/1/{}/artifacts",
        "D:\\Projects\\artifacts_local\\1\\{}\\artifacts",
        "./artifacts_local/1/{}/artifacts",
        "../store/artifacts_local/1/{}/artifacts",
        "file:///home/Jos%C3%A9/artifacts%5Flocal/1/{}/artifacts",
        "s3://bucket/artifacts_local/1/{}/artifacts",
    ],
)
def test_a_folder_of_any_name_beneath_the_store_is_found_by_the_end_of_the_recorded_path(
    tmp_path: Path, recorded: str
) -> None:
    store = database(tmp_path, recorded.format(RUN))
    logged(tmp_path / "artifacts_local" / "1" / RUN / "artifacts")
    before = listing(tmp_path)
    assert found(open_tracker(str(store))) == LISTS
    assert listing(tmp_path) == before


@pytest.mark.parametrize("form", ["{}", "file://{}"])
@pytest.mark.parametrize("write_store", [folder_store, database])
def test_a_recorded_path_that_lies_beneath_the_store_is_found_without_an_experiments_folder(
    tmp_path: Path, write_store: Callable[..., Path], form: str
) -> None:
    place = tmp_path / "mlruns" / RUN / "artifacts"
    store = write_store(tmp_path, form.format(place))
    logged(place)
    assert found(open_tracker(str(store))) == LISTS


def test_the_longest_end_that_is_there_wins(tmp_path: Path) -> None:
    store = database(tmp_path, f"/home/me/proj/runs/mlruns/1/{RUN}/artifacts")
    write(tmp_path / "mlruns" / "1" / RUN / "artifacts" / "requirements.txt", "a copy")
    write(tmp_path / "runs" / "mlruns" / "1" / RUN / "artifacts" / "requirements.txt", "its own")
    assert found(open_tracker(str(store))) == {"requirements.txt": "its own"}


@pytest.mark.parametrize("named", [False, True])
def test_a_database_below_the_servers_working_directory_has_its_artifacts_in_the_repository(
    tmp_path: Path, named: bool
) -> None:
    clone = work_tree(tmp_path / "clone")
    place = tmp_path / "elsewhere" if named else clone / "mlflow"
    store = database(place, f"file:D:/Projects/mlsecops-project/mlruns/1/{RUN}/artifacts")
    logged(clone / "mlruns" / "1" / RUN / "artifacts")
    before = listing(tmp_path)
    assert found(open_tracker(str(store), repository=clone if named else None)) == LISTS
    assert listing(tmp_path) == before


def test_a_folder_above_the_store_that_is_no_work_tree_is_not_looked_in(tmp_path: Path) -> None:
    store = database(tmp_path / "mlflow", f"file:D:/Projects/mlruns/1/{RUN}/artifacts")
    logged(tmp_path / "mlruns" / "1" / RUN / "artifacts")
    assert found(open_tracker(str(store))) == {}


@pytest.mark.parametrize("write_store", [folder_store, database])
@pytest.mark.parametrize(
    "recorded",
    [
        "/home/me/mlruns/1/{other}/artifacts",
        "/home/me/mlruns/1/{run}/artifacts/../../{other}/artifacts",
        "/home/me/mlruns/1/{run}/../{other}/artifacts",
        "mlflow-artifacts:/1/{other}/artifacts",
        "mlflow-artifacts:/1/{other}/artifacts/{run}/artifacts",
        "{place}/mlruns/1/{other}/artifacts",
    ],
)
def test_the_artifacts_of_another_run_are_never_taken(
    tmp_path: Path, write_store: Callable[..., Path], recorded: str
) -> None:
    work_tree(tmp_path)
    store = write_store(tmp_path, recorded.format(run=RUN, other=OTHER, place=tmp_path), StoredRun(OTHER))
    for name in ("mlruns", "mlartifacts"):
        logged(tmp_path / name / "1" / OTHER / "artifacts")
    assert found(open_tracker(str(store), repository=tmp_path)) == {}


@pytest.mark.parametrize("recorded", [SERVED, f"/home/me/mlruns/1/{RUN}/artifacts"])
@pytest.mark.parametrize("write_store", [folder_store, database])
@pytest.mark.parametrize("linked", ["mlartifacts", f"mlartifacts/1/{RUN}", f"mlartifacts/1/{RUN}/artifacts"])
def test_a_link_that_leads_out_is_not_followed(
    tmp_path: Path, write_store: Callable[..., Path], recorded: str, linked: str
) -> None:
    place = work_tree(tmp_path / "place")
    store = write_store(place, recorded)
    outside = tmp_path / "outside"
    logged(outside / "1" / RUN / "artifacts")
    link = place / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / link.relative_to(place / "mlartifacts"))
    assert found(open_tracker(str(store), repository=place)) == {}


def test_a_link_to_another_runs_folder_is_not_followed(tmp_path: Path) -> None:
    store = folder_store(tmp_path, SERVED, StoredRun(OTHER, artifacts=LISTS))
    (store / "1" / RUN / "artifacts").symlink_to(store / "1" / OTHER / "artifacts")
    assert found(open_tracker(str(store))) == {}


def test_a_file_that_links_to_another_runs_is_none_of_the_runs(tmp_path: Path) -> None:
    store = folder_store(tmp_path, SERVED, StoredRun(OTHER, artifacts=LISTS))
    artifacts = store / "1" / RUN / "artifacts"
    write(artifacts / "conda.yaml", "its own")
    (artifacts / "requirements.txt").symlink_to(store / "1" / OTHER / "artifacts" / "model" / "requirements.txt")
    tracker = open_tracker(str(store))
    assert [file.path for file in tracker.read_run(RUN).environment_files] == ["conda.yaml"]
    assert tracker.read_artifact(RUN, "requirements.txt", 1000) is None


def with_model(store: Path, recorded: str) -> Path:
    """Let the run have logged a model, as MLflow 3 records it."""
    if store.is_dir():
        link = f"destination_type: MODEL_OUTPUT\ndestination_id: {MODEL}\n"
        write(store / "1" / RUN / "outputs" / MODEL / "meta.yaml", link)
        about = f"model_id: {MODEL}\nartifact_location: {recorded}\n"
        write(store / "1" / "models" / MODEL / "meta.yaml", about)
        return store
    with contextlib.closing(sqlite3.connect(store)) as opened, opened:
        opened.execute("ALTER TABLE logged_models ADD COLUMN source_run_id")
        opened.execute("INSERT INTO inputs VALUES ('j', 'RUN_OUTPUT', ?, 'MODEL_OUTPUT', ?, 0)", (RUN, MODEL))
        opened.execute("INSERT INTO logged_models VALUES (?, 1, 'net', ?, ?)", (MODEL, recorded, RUN))
    return store


@pytest.mark.parametrize("write_store", [folder_store, database])
@pytest.mark.parametrize(
    ("recorded", "lies"),
    [
        (f"mlflow-artifacts:/1/models/{MODEL}/artifacts", "mlartifacts"),
        (f"file:D:/Projects/mlsecops-project/mlruns/1/models/{MODEL}/artifacts", "mlruns"),
        (f"/home/me/artifacts_local/1/models/{MODEL}/artifacts", "artifacts_local"),
    ],
)
def test_the_files_of_a_logged_model_are_found_like_those_of_a_run(
    tmp_path: Path, write_store: Callable[..., Path], recorded: str, lies: str
) -> None:
    clone = work_tree(tmp_path)
    tracker = open_tracker(str(with_model(write_store(clone, SERVED), recorded)))
    assert tracker.read_run(RUN).environment_files == ()
    write(clone / lies / "1" / "models" / MODEL / "artifacts" / "python_env.yaml", "python: 3.13.7\n")
    write(clone / lies / "1" / "models" / "m-other" / "artifacts" / "conda.yaml", "another's")
    before = listing(tmp_path)
    assert [file.path for file in tracker.read_run(RUN).environment_files] == [f"models/{MODEL}/python_env.yaml"]
    assert [file.path for file in tracker.hash_model(MODEL)] == ["python_env.yaml"]
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "location", ["/home/me/mlruns/1/models/m-other/artifacts", "mlflow-artifacts:/1/models/m-other/artifacts"]
)
@pytest.mark.parametrize("write_store", [folder_store, database])
def test_the_files_of_another_model_are_never_taken(
    tmp_path: Path, write_store: Callable[..., Path], location: str
) -> None:
    tracker = open_tracker(str(with_model(write_store(work_tree(tmp_path), SERVED), location)))
    for lies in ("mlruns", "mlartifacts"):
        write(tmp_path / lies / "1" / "models" / "m-other" / "artifacts" / "conda.yaml", "another's")
    assert tracker.read_run(RUN).environment_files == ()
    with pytest.raises(NoFiles):
        tracker.hash_model(MODEL)


@pytest.mark.parametrize(
    ("recorded", "tails"),
    [
        (f"mlflow-artifacts:/1/{RUN}/artifacts", [f"1/{RUN}/artifacts"]),
        (f"mlflow-artifacts://host:5000/1/{RUN}/artifacts/", [f"1/{RUN}/artifacts"]),
        (f"file:D:\\p\\mlruns/1/{RUN}/artifacts", [f"D:/p/mlruns/1/{RUN}/artifacts", f"p/mlruns/1/{RUN}/artifacts"]),
        (f"s3://bucket/x/1/{RUN}/artifacts", [f"x/1/{RUN}/artifacts", f"1/{RUN}/artifacts"]),
        (f"/p/../mlruns/./1//{RUN}/artifacts", [f"mlruns/1/{RUN}/artifacts", f"1/{RUN}/artifacts"]),
        (f"{RUN}/artifacts", []),
        (f"/mlruns/1/{RUN}", []),
        (f"/mlruns/1/{RUN}/artifacts/..", []),
        (f"/mlruns/1/x{RUN}/artifacts", []),
        ("", []),
        (None, []),
    ],
)
def test_tails_are_the_ends_of_a_path_that_hold_the_owners_id(recorded: str | None, tails: list[str]) -> None:
    assert recorded_tails(recorded, RUN)[: len(tails) or None] == tails


@pytest.mark.parametrize(
    "recorded",
    ["/".join("x" * 5000) + f"/1/{RUN}/artifacts", f"/{'x' * 5000}/1/{RUN}/artifacts", f"\0/1/{RUN}/artifacts"],
)
def test_a_path_that_no_file_system_takes_is_none_and_the_usual_place_is_found(tmp_path: Path, recorded: str) -> None:
    logged(tmp_path / "mlruns" / "2" / RUN / "artifacts")
    place = ArtifactPlaces(Folder(tmp_path)).find(recorded, RUN, f"2/{RUN}/artifacts")
    assert place is not None
    assert place.root == (tmp_path / "mlruns" / "2" / RUN / "artifacts").resolve()


@pytest.mark.parametrize("owner", ["..", ".", "", "1/../../x", "a\0b"])
def test_an_id_that_is_no_folders_name_has_no_artifacts(tmp_path: Path, owner: str) -> None:
    store = tmp_path / "deep" / "store"
    for above in (store, store.parent, tmp_path, tmp_path / "x", store / "1"):
        logged(above / "artifacts")
    places = ArtifactPlaces(Folder(store))
    assert places.find(f"/1/{owner}/artifacts", owner, f"1/{owner}/artifacts") is None


def test_an_experiment_that_climbs_out_is_none(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    logged(tmp_path / RUN / "artifacts")
    places = ArtifactPlaces(Folder(tmp_path))
    assert places.find(None, RUN, f"../{RUN}/artifacts") is None
    assert places.find(str(tmp_path / "mlruns" / ".." / RUN / "artifacts"), RUN, "-") is None


def test_of_a_path_without_end_a_few_ends_are_tried() -> None:
    assert len(recorded_tails("/x" * 10_000 + f"/1/{RUN}/artifacts", RUN)) == 30


def test_a_repository_that_may_not_be_listed_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = work_tree(tmp_path / "clone")
    store = database(tmp_path / "store", SERVED)
    list_folders = Folder.folders

    def refusing(self: Folder, path: str) -> list[str]:
        if self.root == clone:
            raise PermissionError(13, "Permission denied", str(clone))
        return list_folders(self, path)

    monkeypatch.setattr(Folder, "folders", refusing)
    assert found(open_tracker(str(store), repository=clone)) == {}
    logged(clone / "mlartifacts" / "1" / RUN / "artifacts")
    assert found(open_tracker(str(store), repository=clone)) == LISTS


def test_a_repository_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    store = database(tmp_path / "store", SERVED)
    assert found(open_tracker(str(store), repository=tmp_path / "absent" / "deep")) == {}
