"""W&B's folder of runs as a tracker, over files that real W&B wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runner.compare.canonical import WANDB, form_of
from runner.errors import AmbiguousRun, NotAStore, RunNotFound
from runner.lineage.commit import recorded_commit
from runner.lineage.repository import repository_location
from runner.schema.run_record import StoreKind
from runner.settings import Flags, load_settings
from runner.trackers.open import open_tracker
from runner.trackers.reference import RunId, RunIdPrefix, RunName
from runner.trackers.wandb_folder import WandbFolder, open_run

DATA = Path(__file__).parents[2] / "data" / "wandb"
ID = "abcd1234"
NAME = f"offline-run-20260101_000000-{ID}"


def lay_out(root: Path, name: str = NAME, version: str = "0.31.0", **files: str) -> Path:
    folder = root / name
    (folder / "files").mkdir(parents=True)
    shutil.copy(DATA / f"{version}.wandb", folder / f"run-{name.rpartition('-')[2]}.wandb")
    for path, text in files.items():
        (folder / "files" / path).write_text(text)
    return folder


def test_a_folder_of_runs_is_a_tracker_that_finds_them_by_id_prefix_and_name(tmp_path: Path) -> None:
    lay_out(tmp_path / "wandb")
    (tmp_path / "wandb" / "latest-run").symlink_to(NAME)
    tracker = open_tracker(str(tmp_path / "wandb"))
    assert isinstance(tracker, WandbFolder)
    assert tracker.find_run(RunId(ID)) == ID
    assert tracker.find_run(RunIdPrefix("abcd")) == tracker.find_run(RunName("proj", "exp one"))
    with pytest.raises(RunNotFound):
        tracker.find_run(RunId("zzzz0000"))


@pytest.mark.parametrize("version", ["0.12.21", "0.19.11", "0.31.0"])
def test_the_record_has_all_that_a_rerun_needs(tmp_path: Path, version: str) -> None:
    metadata = {
        "os": "Linux-6.1-x86_64-with-glibc2.36", "python": "3.11.7", "args": ["--foo", "1"], "program": "/x/author.py",
        "codePath": "author.py", "gpu_count": 2,
    }  # fmt: skip
    files = {
        "wandb-metadata.json": json.dumps(metadata), "requirements.txt": "numpy==1.26.4\n", "diff.patch": "a patch",
        "model.bin": "bytes", "output.log": "log",
    }  # fmt: skip
    tracker, run_id = open_run(lay_out(tmp_path, version=version, **files))
    record = tracker.read_run(run_id)
    assert (record.store, record.status, record.experiment_name) == (StoreKind.WANDB_FILE, "FINISHED", "proj")
    assert form_of(record) is WANDB
    assert record.start_time is not None
    assert record.end_time is not None
    assert record.end_time >= record.start_time.replace(microsecond=0)
    assert record.params["deep.x"] == "1"
    assert record.tags["wandb.args"] == '["--foo", "1"]'
    assert record.tags["wandb.program"] == "/x/author.py"
    assert (record.tags["wandb.group"], record.tags["wandb.job_type"]) == ("g", "jt")
    assert [file.path for file in record.environment_files] == ["requirements.txt"]
    assert [(file.path, file.text) for file in record.patches] == [("diff.patch", "a patch")]
    assert [artifact.path for artifact in record.artifacts] == ["model.bin"]
    assert all(history.complete for history in record.metrics)
    assert any(note.endswith("not compared: table, text") for note in record.notes)
    settings = load_settings(Flags(), {}, tmp_path)
    assert recorded_commit(record, settings).source == "tag wandb.git.commit"
    assert repository_location(record, settings).value == "https://github.com/o/p.git"


def test_a_truncated_file_is_of_a_run_that_may_go_on_and_no_curve_of_it_is_whole(tmp_path: Path) -> None:
    folder = lay_out(tmp_path)
    file = folder / f"run-{ID}.wandb"
    file.write_bytes(file.read_bytes()[:4000])
    tracker, _ = open_run(file)
    record = tracker.read_run(ID)
    assert record.status == "RUNNING"
    assert not any(history.complete for history in record.metrics)
    assert "W&B's file ends within a record" in record.notes


def test_several_folders_of_one_run_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    lay_out(tmp_path, f"run-20260101_000000-{ID}", version="0.12.21")
    lay_out(tmp_path, f"run-20260102_000000-{ID}", version="0.31.0")
    tracker = open_tracker(str(tmp_path))
    with pytest.raises(AmbiguousRun) as refused:
        tracker.read_run(ID)
    assert "run-20260102_000000-abcd1234" in refused.value.remedy
    one, run_id = open_run(tmp_path / f"run-20260101_000000-{ID}")
    assert one.read_run(run_id).name == "exp one"


def test_a_path_without_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    for path in (tmp_path / NAME, tmp_path / "latest-run", tmp_path / "none.wandb"):
        with pytest.raises(NotAStore):
            open_run(path)


def test_a_file_that_leads_out_of_the_folder_is_none(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "wandb")
    (tmp_path / "secret").write_text("numpy==1\n")
    (folder / "files" / "requirements.txt").symlink_to(tmp_path / "secret")
    (folder / "files" / "diff.patch").symlink_to(tmp_path / "secret")
    tracker, run_id = open_run(folder)
    record = tracker.read_run(run_id)
    assert record.environment_files == ()
    assert all(file.text == "" for file in record.patches)
