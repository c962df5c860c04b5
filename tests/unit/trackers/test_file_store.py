"""File stores with what real ones hold besides runs, and with what is left when a writer is at work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runner.errors import AmbiguousRun, NotAStore, TrackerUnavailable
from runner.schema.run_record import MetricHistory
from runner.trackers import file_store
from runner.trackers.file_store import FileTracker
from runner.trackers.interface import Selection
from runner.trackers.reference import parse_reference
from tests.support.mlflow_stores import StoredRun, listing, run_id, write, write_file_store

RUN = StoredRun(run_id("a"), metrics={"loss": [(1, 0.5, 0), (2, 0.25, 1)]})


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_store, "_PAUSE_S", 0.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_file_store(tmp_path / "mlruns", [RUN])


def loss(root: Path) -> tuple[MetricHistory, tuple[str, ...]]:
    record = FileTracker(root).read_run(RUN.run_id)
    return record.metrics[0], record.notes


def test_folders_that_are_no_runs_are_not_taken_for_runs(root: Path) -> None:
    meta = f"run_id: {run_id('a')}\nexperiment_id: '1'\n"
    write(root / "1" / "models" / "m-aaaa" / "meta.yaml", "model_id: m-aaaa\nsource_run_id: x\n")
    write(root / "1" / "models" / "meta.yaml", "whatever: 1\n")
    write(root / "1" / "datasets" / "d" / "meta.yaml", "name: d\n")
    write(root / "1" / "tags" / "mlflow.note", "text")
    write(root / "1" / run_id("b") / "meta.yaml", meta)  # a copy under another name
    write(root / "1" / RUN.run_id / "artifacts" / run_id("c") / "meta.yaml", meta)  # what was logged is no store
    write(root / "models" / "fraud" / "meta.yaml", "name: fraud\n")  # the registry
    write(root / "1" / run_id("d") / "params" / "x", "1")  # a run without meta
    tracker = FileTracker(root)
    for digit in "bcd":
        assert not tracker._has_run(run_id(digit))
    assert [run.run_id for run in tracker._runs(None)] == [RUN.run_id]


def test_a_run_of_an_experiment_in_the_bin_is_found_and_deleted(tmp_path: Path) -> None:
    root = write_file_store(tmp_path / "mlruns", [RUN], trashed=("alpha",))
    tracker = FileTracker(root)
    assert tracker.find_run(parse_reference("alpha/base")) == RUN.run_id
    assert tracker.read_run(RUN.run_id).lifecycle_stage == "deleted"


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_whose_experiment_lost_its_meta_file_is_read_with_a_note(tmp_path: Path, alone: bool) -> None:
    others = [] if alone else [StoredRun(run_id("b"), "beta")]
    root = write_file_store(tmp_path / "mlruns", [RUN, *others])
    whole = FileTracker(root).read_run(RUN.run_id)
    (root / "1" / "meta.yaml").unlink()
    before = listing(tmp_path)
    tracker = FileTracker(root)
    for text in (RUN.run_id, RUN.run_id[:6], "1/base"):
        assert tracker.find_run(parse_reference(text)) == RUN.run_id
    record = tracker.read_run(RUN.run_id)
    assert (record.experiment_id, record.experiment_name, record.experiment_is_named) == ("1", "1", False)
    assert (record.metrics, record.params, record.lifecycle_stage) == (whole.metrics, whole.params, "active")
    (note,) = record.notes
    assert "1/meta.yaml" in note
    assert whole.experiment_is_named
    assert whole.notes == ()
    assert listing(tmp_path) == before


def test_a_folder_without_meta_file_and_without_runs_is_no_experiment(tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    meta = f"run_id: {run_id('a')}\nexperiment_id: '1'\n"
    write(root / "models" / "fraud" / "version-1" / "meta.yaml", meta)
    write(root / "models" / "fraud" / "meta.yaml", "name: fraud\n")
    write(root / "1" / run_id("b") / "meta.yaml", meta)  # a copy under another name
    write(root / "2" / run_id("a") / "params" / "x", "1")
    with pytest.raises(NotAStore):
        FileTracker(root)


def test_a_run_that_lies_in_two_experiments_is_ambiguous(tmp_path: Path) -> None:
    root = write_file_store(tmp_path / "mlruns", [RUN, StoredRun(RUN.run_id, "beta")])
    with pytest.raises(AmbiguousRun, match="2 experiments"):
        FileTracker(root).read_run(RUN.run_id)


def test_infinities_duplicates_and_order_are_kept(tmp_path: Path) -> None:
    inf = float("inf")
    points = [(2, inf, 0), (2, inf, 0), (1, -inf, 0), (1, -0.0, 0)]
    root = write_file_store(tmp_path / "mlruns", [StoredRun(run_id("a"), metrics={"a/b/c": points})])
    (metric,) = FileTracker(root).read_run(run_id("a")).metrics
    assert metric.name == "a/b/c"
    assert [(p.timestamp_ms, str(p.value)) for p in metric.points] == [(2, "inf"), (2, "inf"), (1, "-inf"), (1, "-0.0")]
    assert metric.complete


@pytest.mark.parametrize(
    ("tail", "points", "note"),
    [("3 0.1", 2, "middle of a line"), ("x y z\n", 2, "no points"), ("3 0.1 2", 2, "middle of a line")],
)
def test_a_torn_history_is_reported_and_not_complete(root: Path, tail: str, points: int, note: str) -> None:
    with (root / "1" / RUN.run_id / "metrics" / "loss").open("a") as file:
        file.write(tail)
    history, notes = loss(root)
    assert (len(history.points), history.complete) == (points, False)
    assert note in notes[0]
    assert "loss" in notes[0]


def test_an_empty_history_is_not_complete(root: Path) -> None:
    write(root / "1" / RUN.run_id / "metrics" / "loss", "")
    history, notes = loss(root)
    assert (history.points, history.complete) == ((), False)
    assert "empty" in notes[0]


def test_a_line_whose_writer_finishes_meanwhile_is_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "1" / RUN.run_id / "metrics" / "loss"
    path.write_text("1 0.5 0\n2 0.")
    monkeypatch.setattr("time.sleep", lambda _: path.write_text("1 0.5 0\n2 0.25 1\n"))
    history, notes = loss(root)
    assert (len(history.points), history.complete, notes) == (2, True, ())


def test_a_meta_file_whose_writer_finishes_meanwhile_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "1" / RUN.run_id / "meta.yaml"
    whole = path.read_text()
    path.write_text("run_id: [")
    monkeypatch.setattr("time.sleep", lambda _: path.write_text(whole))
    assert FileTracker(root).read_run(RUN.run_id).status == "FINISHED"


@pytest.mark.parametrize("text", ["", "run_id: [", "- a list\n"])
def test_a_meta_file_that_stays_unreadable_is_named_and_not_taken_for_no_run(root: Path, text: str) -> None:
    (root / "1" / RUN.run_id / "meta.yaml").write_text(text)
    with pytest.raises(TrackerUnavailable, match="being written, or damaged") as refused:
        FileTracker(root).find_run(parse_reference(RUN.run_id))
    assert RUN.run_id in refused.value.remedy


def test_a_finished_run_that_is_written_meanwhile_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "1" / RUN.run_id
    read = FileTracker._metrics

    def written_meanwhile(self: FileTracker, run: Any) -> Any:
        found = read(self, run)
        if not (folder / "metrics" / "late").exists():
            write(folder / "metrics" / "late", "9 0.125 0\n")
        return found

    monkeypatch.setattr(FileTracker, "_metrics", written_meanwhile)
    record = FileTracker(root).read_run(RUN.run_id)
    assert [metric.name for metric in record.metrics] == ["late", "loss"]


def test_a_finished_run_that_is_written_all_the_time_is_no_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "1" / RUN.run_id / "metrics" / "loss"
    read = FileTracker._metrics

    def written_meanwhile(self: FileTracker, run: Any) -> Any:
        found = read(self, run)
        with path.open("a") as file:
            file.write("9 0.125 0\n")
        return found

    monkeypatch.setattr(FileTracker, "_metrics", written_meanwhile)
    with pytest.raises(TrackerUnavailable, match="all the time"):
        FileTracker(root).read_run(RUN.run_id)


def test_yaml_that_would_run_code_is_not_run(root: Path) -> None:
    path = root / "1" / RUN.run_id / "meta.yaml"
    path.write_text(f"run_id: {RUN.run_id}\nname: !!python/object/apply:os.system ['touch /tmp/pwned']\n")
    with pytest.raises(TrackerUnavailable):
        FileTracker(root).read_run(RUN.run_id)
    assert [(run.run_id, run.damaged) for run in FileTracker(root).select(Selection())] == [(RUN.run_id, True)]


def test_an_id_cannot_climb_out_of_an_experiment(root: Path) -> None:
    for text in ("..", ".", f"../1/{RUN.run_id}"):
        assert not FileTracker(root)._has_run(text)


def test_texts_that_link_out_of_the_store_are_absent(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    folder = root / "1" / RUN.run_id / "params"
    folder.mkdir()
    (folder / "stolen").symlink_to(tmp_path / "secret")
    assert FileTracker(root).read_run(RUN.run_id).params == {}


def test_dataset_inputs_and_the_environment_of_logged_models_are_read(root: Path) -> None:
    run = root / "1" / RUN.run_id
    write(
        run / "inputs" / "i" / "meta.yaml", "source_type: DATASET\nsource_id: d\ntags: {mlflow.data.context: train}\n"
    )
    write(root / "1" / "datasets" / "d" / "meta.yaml", "name: sst\ndigest: abc\nsource: '{}'\n")
    write(run / "outputs" / "m-1" / "meta.yaml", "destination_type: MODEL_OUTPUT\ndestination_id: m-1\n")
    write(root / "1" / "models" / "m-1" / "meta.yaml", "model_id: m-1\nartifact_location: /elsewhere\n")
    write(root / "1" / "models" / "m-1" / "artifacts" / "python_env.yaml", "python: 3.11.7\n")
    write(root / "1" / "models" / "m-1" / "artifacts" / "model.pkl", "bytes")
    record = FileTracker(root).read_run(RUN.run_id)
    (dataset,) = record.dataset_inputs
    assert (dataset.name, dataset.digest, dataset.context, dataset.source) == ("sst", "abc", "train", "{}")
    assert [file.path for file in record.environment_files] == ["models/m-1/python_env.yaml"]
    assert record.artifacts == ()


def test_environment_files_are_few_and_small(root: Path) -> None:
    artifacts = root / "1" / RUN.run_id / "artifacts"
    write(artifacts / "0" / "requirements.txt", "x" * (64 * 1024 + 1))
    for number in range(30):
        write(artifacts / f"m{number:02}" / "requirements.txt", "numpy\n")
    files = FileTracker(root).read_run(RUN.run_id).environment_files
    assert len(files) == 20
    assert all(file.text == "numpy\n" for file in files)


def test_a_run_of_the_first_versions_has_its_name_in_a_tag(root: Path) -> None:
    run = root / "1" / run_id("e")
    write(run / "meta.yaml", f"run_uuid: {run_id('e')}\nexperiment_id: 1\nname: ''\nstatus: 3\nstart_time: 5\n")
    write(run / "tags" / "mlflow.runName", "old")
    write(run / "metrics" / "m", "1 0.5\n")
    record = FileTracker(root).read_run(run_id("e"))
    assert (record.name, record.status, record.end_time) == ("old", "FINISHED", None)
    assert record.metrics[0].points[0].step == 0


@pytest.mark.parametrize(
    ("below", "meant"),
    [("..", "mlruns"), ("1", "mlruns"), (f"1/{run_id('a')}", "mlruns")],
)
def test_a_folder_near_the_store_is_refused_with_the_store(root: Path, below: str, meant: str) -> None:
    with pytest.raises(NotAStore) as refused:
        FileTracker((root / below).resolve())
    assert refused.value.remedy == f"--tracker {root.parent / meant}"


def test_a_store_that_may_not_be_read_is_unavailable(root: Path) -> None:
    tracker = FileTracker(root)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            (root / "1").chmod(0)
            if os.geteuid() == 0:  # to whom nothing is forbidden
                os.setuid(65534)
            tracker.read_run(RUN.run_id)
        except TrackerUnavailable:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_store_that_vanished_is_unavailable(root: Path) -> None:
    tracker = FileTracker(root)
    root.rename(root.with_name("moved"))
    with pytest.raises(TrackerUnavailable):
        tracker.check()
