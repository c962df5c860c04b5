"""What every tracker must do, on each kind of store that is read without a server."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from runner.errors import AmbiguousRun, RunNotFound, UsageError
from runner.trackers.baseline import baseline_digest
from runner.trackers.interface import Selection, Tracker
from runner.trackers.open import open_tracker
from runner.trackers.reference import parse_reference
from tests.support.mlflow_stores import StoredRun, listing, run_id, write_file_store, write_sqlite_store

ALPHA = "équipe/τεστ/alpha"
BASE = StoredRun(
    run_id="ab12cd34ef56ab12cd34ef56ab12cd34",
    experiment=ALPHA,
    params={"depth": "8", "cut": "x" * 250, "cut too": "y" * 500, "cut now": "z" * 6000, "group/lr": "0.1"},
    tags={"git_commit": "9f3c2e1", "note": "two\nlines\n"},
    metrics={
        "val/auc": [(1000, 0.5, 0), (1001, 0.75, 1)],
        "nan": [(1000, math.nan, 0)],
        "one third": [(1, 1 / 3, 7)],
    },
    artifacts={
        "model/requirements.txt": "numpy==1.26.0\n",
        "model/MLmodel": "flavors: {}\n",
        "model/code/conda.yaml": "name: env\n",
        "plot.svg": "<svg/>",
    },
)
RUNS = [
    BASE,
    StoredRun("ab12ffff" + "0" * 24, ALPHA, "other"),
    StoredRun(run_id("1"), ALPHA, "twin", start=1_700_000_000_000),
    StoredRun(run_id("2"), ALPHA, "twin", start=1_700_100_000_000),
    StoredRun(run_id("3"), ALPHA, "replaced", deleted=True),
    StoredRun(run_id("4"), ALPHA, "replaced"),
    StoredRun(run_id("5"), "beta", "gone", deleted=True, status="KILLED", end=None),
    StoredRun("not-a-hex-id", "beta", None, status="RUNNING", start=None, end=None),
    StoredRun(run_id("8"), "gamma", "second", tags={"mlflow.parentRunId": run_id("6")}, start=2_000),
    StoredRun(run_id("7"), "gamma", "first", tags={"mlflow.parentRunId": run_id("6")}, start=1_000),
    StoredRun(run_id("6"), "gamma", "parent"),
]

Write = Callable[[Path, list[StoredRun]], Path]


def in_a_folder(place: Path, runs: list[StoredRun]) -> Path:
    return write_file_store(place / "mlruns", runs)


def in_a_database(place: Path, runs: list[StoredRun]) -> Path:
    return write_sqlite_store(place / "mlflow.db", runs)


@pytest.fixture(params=[in_a_folder, in_a_database])
def write(request: pytest.FixtureRequest) -> Write:
    found: Write = request.param
    return found


@pytest.fixture
def tracker(write: Write, tmp_path: Path) -> Tracker:
    return open_tracker(str(write(tmp_path, RUNS)))


def found(tracker: Tracker, text: str) -> str:
    return tracker.find_run(parse_reference(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BASE.run_id, BASE.run_id),
        (BASE.run_id.upper(), BASE.run_id),
        (f"runs:/{BASE.run_id}", BASE.run_id),
        ("ab12c", BASE.run_id),
        ("AB12C", BASE.run_id),
        (f"{ALPHA}/base", BASE.run_id),
        ("not-a-hex-id", "not-a-hex-id"),
        ("beta/gone", run_id("5")),
        (run_id("5"), run_id("5")),
        (f"{ALPHA}/replaced", run_id("4")),
    ],
)
def test_a_reference_finds_its_run(tracker: Tracker, text: str, expected: str) -> None:
    assert found(tracker, text) == expected


def test_an_ambiguous_prefix_lists_ids_names_and_dates(tracker: Tracker) -> None:
    with pytest.raises(AmbiguousRun) as refused:
        found(tracker, "ab12")
    for part in (BASE.run_id, "base", "ab12ffff" + "0" * 24, "other", "2023-11-14"):
        assert part in refused.value.cause
    assert refused.value.exit_code == 2
    assert BASE.run_id in refused.value.remedy or "ab12ffff" in refused.value.remedy


def test_an_ambiguous_name_lists_ids_and_dates(tracker: Tracker) -> None:
    with pytest.raises(AmbiguousRun) as refused:
        found(tracker, f"{ALPHA}/twin")
    for part in (run_id("1"), run_id("2"), "2023-11-14", "2023-11-16"):
        assert part in refused.value.cause


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("ab13cd34", BASE.run_id),
        (f"{ALPHA}/bse", f"{ALPHA}/base"),
        ("bta/gone", "beta/gone"),
        ("Beta/gone", "beta/gone"),
        ("gone", "beta/gone"),
    ],
)
def test_an_unknown_run_names_what_comes_close(tracker: Tracker, text: str, near: str) -> None:
    with pytest.raises(RunNotFound) as refused:
        found(tracker, text)
    assert near in refused.value.cause
    assert near in refused.value.remedy


def test_an_unknown_run_with_nothing_near_says_the_forms(tracker: Tracker) -> None:
    with pytest.raises(RunNotFound) as refused:
        found(tracker, "0123456789")
    assert "EXPERIMENT/RUN_NAME" in refused.value.remedy


def test_reading_an_unknown_run_says_so(tracker: Tracker) -> None:
    with pytest.raises(RunNotFound):
        tracker.read_run("0" * 32)
    with pytest.raises(RunNotFound):
        tracker.read_artifact("0" * 32, "plot.svg", 10)


def test_a_record_holds_what_was_logged(tracker: Tracker) -> None:
    record = tracker.read_run(BASE.run_id)
    assert record.params == BASE.params
    assert record.tags == BASE.all_tags
    assert (record.name, record.experiment_name, record.status) == ("base", ALPHA, "FINISHED")
    assert record.start_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    assert record.uri == tracker.uri
    assert record.store is tracker.kind
    assert record.lifecycle_stage == "active"
    assert record.notes == ()
    metrics = {metric.name: metric for metric in record.metrics}
    assert [point.value for point in metrics["val/auc"].points] == [0.5, 0.75]
    assert [point.step for point in metrics["val/auc"].points] == [0, 1]
    assert math.isnan(metrics["nan"].points[0].value)
    assert metrics["one third"].points[0].value == 1 / 3
    assert all(metric.complete for metric in record.metrics)


def test_a_run_that_has_not_ended_has_no_end(tracker: Tracker) -> None:
    record = tracker.read_run("not-a-hex-id")
    assert (record.status, record.start_time, record.end_time, record.name) == ("RUNNING", None, None, None)


def test_a_deleted_run_says_that_it_is(tracker: Tracker) -> None:
    assert tracker.read_run(run_id("5")).lifecycle_stage == "deleted"


def test_params_of_the_lengths_at_which_stores_cut_are_named(tracker: Tracker) -> None:
    assert tracker.read_run(BASE.run_id).params_truncated == ("cut", "cut now", "cut too")


def test_siblings_stand_in_order_of_their_start(tracker: Tracker) -> None:
    assert tracker.read_run(run_id("8")).siblings == (run_id("7"), run_id("8"))
    assert tracker.read_run(run_id("6")).siblings == ()


def test_artifacts_are_listed_and_environment_files_read(tracker: Tracker) -> None:
    record = tracker.read_run(BASE.run_id)
    assert {artifact.path: artifact.size_bytes for artifact in record.artifacts} == {
        path: len(text) for path, text in BASE.artifacts.items()
    }
    assert {file.path: file.text for file in record.environment_files} == {
        path: text for path, text in BASE.artifacts.items() if path != "plot.svg"
    }


def test_an_artifact_is_read_up_to_the_limit_and_never_from_elsewhere(tracker: Tracker) -> None:
    assert tracker.read_artifact(BASE.run_id, "plot.svg", 6) == b"<svg/>"
    assert tracker.read_artifact(BASE.run_id, "plot.svg", 5) is None
    assert tracker.read_artifact(BASE.run_id, "absent", 5) is None
    assert tracker.read_artifact(BASE.run_id, "model", 5) is None
    assert tracker.read_artifact(BASE.run_id, "../meta.yaml", 9999) is None
    assert tracker.read_artifact(BASE.run_id, "/etc/hostname", 9999) is None


@pytest.mark.parametrize("foreign", ["file:///C:/Users/me/mlruns/1/{}/artifacts", "/home/me/mlruns/1/{}/artifacts"])
def test_artifacts_of_a_store_from_another_machine_are_found_beside_it(
    write: Write, tmp_path: Path, foreign: str
) -> None:
    moved = dataclasses.replace(BASE, artifact_uri=foreign.format(BASE.run_id))
    tracker = open_tracker(str(write(tmp_path, [moved])))
    assert tracker.read_artifact(BASE.run_id, "plot.svg", 10) == b"<svg/>"
    assert tracker.read_run(BASE.run_id).artifact_root == foreign.format(BASE.run_id)


@pytest.mark.parametrize("recorded", ["{outside}", "file://{outside}", "s3://bucket/{run}/artifacts", "{store}"])
def test_a_recorded_artifact_root_outside_the_store_is_never_followed(
    write: Write, tmp_path: Path, recorded: str
) -> None:
    outside = tmp_path / "outside" / BASE.run_id / "artifacts"
    outside.mkdir(parents=True)
    (outside / "requirements.txt").write_text("secret")
    place = tmp_path / "place"
    place.mkdir()
    uri = recorded.format(outside=outside, run=BASE.run_id, store=place)
    hostile = dataclasses.replace(BASE, artifacts={}, artifact_uri=uri)
    tracker = open_tracker(str(write(place, [hostile])))
    record = tracker.read_run(BASE.run_id)
    assert record.artifacts == ()
    assert record.environment_files == ()
    assert tracker.read_artifact(BASE.run_id, "requirements.txt", 100) is None


def test_two_readings_of_an_unchanged_run_have_one_digest(tracker: Tracker) -> None:
    assert baseline_digest(tracker.read_run(BASE.run_id)) == baseline_digest(tracker.read_run(BASE.run_id))


def test_reading_changes_no_byte_time_or_listing(tracker: Tracker, tmp_path: Path) -> None:
    before = listing(tmp_path)
    tracker.check()
    tracker.read_run(found(tracker, f"{ALPHA}/base"))
    tracker.read_run(found(tracker, "ab12c"))
    tracker.read_artifact(BASE.run_id, "plot.svg", 10)
    with pytest.raises(RunNotFound):
        found(tracker, "nothing/here")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(experiments=("gamma",)), [run_id("7"), run_id("8"), run_id("6")]),
        (Selection(experiments=("gamma", "beta")), ["not-a-hex-id", run_id("7"), run_id("8"), run_id("6")]),
        (Selection(since_ms=1_700_100_000_000), [run_id("2")]),
        (Selection(until_ms=1_001), [run_id("7")]),
        (Selection(experiments=("gamma",), since_ms=1_000, until_ms=2_000), [run_id("7")]),
        (Selection(filter="params.depth = '8'"), [BASE.run_id]),
        (Selection(filter="metrics.`val/auc` > 0.7 and tags.git_commit = '9f3c2e1'"), [BASE.run_id]),
        (Selection(filter="metrics.`val/auc` > 0.75"), []),
        (Selection(filter="attributes.status = 'RUNNING'"), ["not-a-hex-id"]),
        (Selection(experiments=("gamma",), filter="attributes.run_name = 'parent'"), [run_id("6")]),
    ],
)
def test_a_selection_has_the_runs_that_are_meant_and_no_deleted_one(
    tracker: Tracker, selection: Selection, expected: list[str]
) -> None:
    assert [run.run_id for run in tracker.select(selection)] == expected


def test_an_experiment_that_is_not_there_is_refused_with_the_one_that_was_meant(tracker: Tracker) -> None:
    with pytest.raises(RunNotFound) as refused:
        tracker.select(Selection(experiments=("gama",)))
    assert refused.value.remedy == "--experiment gamma"


@pytest.mark.parametrize("text", ["metrics.x >", "depth", "params.depth = 8", "metrics.auc = 'high'", "a; b"])
def test_what_is_no_filter_of_mlflows_is_refused_and_never_lets_everything_through(tracker: Tracker, text: str) -> None:
    with pytest.raises(UsageError) as refused:
        tracker.select(Selection(filter=text))
    assert "--filter" in refused.value.cause
