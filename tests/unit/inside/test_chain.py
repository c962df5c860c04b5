"""Stages before the training: which must run, and what becomes of the workspace after each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runner.inside import layout, stage
from runner.inside.chain import overlap, stages_to_run
from runner.inside.data.objects import ObjectId
from runner.inside.protocol import PhaseError
from tests.support.inside import Cache
from tests.unit.inside.test_restore_collect import World, file

PREPARE = {"name": "prepare", "file": "dvc.yaml", "deps": ["raw.csv"], "outs": ["clean.csv", "beside.csv"]}
FEATURIZE = {"name": "featurize", "file": "dvc.yaml", "deps": ["clean.csv"], "outs": ["features"]}
STAGES = [{"persistent": [], "locked": {}, **each} for each in (PREPARE, FEATURIZE)]


@pytest.fixture
def world(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, cache, monkeypatch)


@pytest.mark.parametrize(
    ("needs", "there", "names"),
    [
        (["features"], {"features", "clean.csv", "beside.csv"}, []),
        (["features"], {"clean.csv", "beside.csv"}, ["featurize"]),
        (["features/a.csv"], {"beside.csv"}, ["prepare", "featurize"]),
        (["features"], {"features"}, []),
        (["beside.csv"], {"clean.csv"}, ["prepare"]),
        (["clean.csv"], {"clean.csv"}, []),
        (["raw.csv"], set(), []),
    ],
)
def test_only_stages_run_that_make_what_is_needed_and_not_there(
    needs: list[str], there: set[str], names: list[str]
) -> None:
    assert [each["name"] for each in stages_to_run(needs, STAGES, there.__contains__)] == names


def test_paths_overlap_by_whole_names() -> None:
    assert overlap("a", "a/b")
    assert overlap("a/b", "a")
    assert not overlap("a", "ab")


def settled(last: bool = True, **fields: Any) -> list[dict[str, Any]]:
    request = {"rerun": "r1", "stage": STAGES[0], "last": last, "expected_outputs": ["model.bin"], **fields}
    return list(stage.handle(request)["files"])


def test_what_only_a_stage_reads_is_pulled_only_if_it_runs(world: World) -> None:
    raw, clean = world.cache.put(b"raw"), world.cache.put(b"clean")
    world.hold(raw, clean)
    files = (file("clean.csv", clean), file("beside.csv", clean), file("raw.csv", raw, use="earlier stages"))
    result = world.restore(*files, needs=["clean.csv"], stages=STAGES)
    assert result["stages"] == []
    assert [each["path"] for each in result["files"]] == ["clean.csv", "beside.csv"]
    assert not (world.root / "raw.csv").exists()


def test_a_file_that_no_store_holds_is_made_and_compared_and_one_beside_it_that_is_held_comes_back(
    world: World,
) -> None:
    raw, clean, beside = (world.cache.put(content) for content in (b"raw", b"clean", b"beside"))
    world.hold(raw, beside)
    files = (file("clean.csv", clean), file("beside.csv", beside), file("raw.csv", raw, use="earlier stages"))
    result = world.restore(*files, needs=["clean.csv", "beside.csv"], stages=STAGES, expected_outputs=["model.bin"])
    assert [each["name"] for each in result["stages"]] == ["prepare"]
    assert [each["path"] for each in result["files"]] == ["raw.csv"]
    assert not (world.root / "clean.csv").exists()
    assert not (world.root / "beside.csv").exists(), "the stage may want to write it"
    for name in ("clean.csv", "beside.csv", "model.bin"):
        (world.root / name).write_bytes(b"otherwise")
    capture = Path(layout.work("r1", "sandbox/capture"))
    (capture / "stale.jsonl").write_text("{}")
    made = {each["path"]: each for each in settled()}
    assert made["clean.csv"]["rebuilt_by"] == "stage prepare of dvc.yaml"
    assert made["clean.csv"]["digest"] != made["clean.csv"]["expected"] == str(clean)
    assert made["beside.csv"].get("rebuilt_by") is None
    assert (world.root / "beside.csv").read_bytes() == b"beside", "what a store holds is what the run had"
    assert not (world.root / "model.bin").exists(), "no output of the run is there before it trains"
    assert os.listdir(capture) == [], "what the stage logged is not the training's"


def test_a_folder_that_was_made_is_named_by_its_files_and_checked_again_after_the_training(world: World) -> None:
    request = {"needs": ["features"], "stages": [{**STAGES[1], "deps": []}]}
    assert [each["name"] for each in world.restore(**request)["stages"]] == ["featurize"]
    (world.root / "features/sub").mkdir(parents=True)
    (world.root / "features/a.csv").write_bytes(b"a")
    (world.root / "features/sub/b.csv").write_bytes(b"b")
    (made,) = settled(stage=STAGES[1])
    expected = world.cache.put_directory({"a.csv": b"a", "sub/b.csv": b"b"})
    assert made["digest"] == str(expected)
    assert made["expected"] is None
    (found,) = world.collect(remove=False)["inputs"]
    assert found["unchanged"] is True
    (world.root / "features/a.csv").write_bytes(b"c")
    (found,) = world.collect()["inputs"]
    assert found["unchanged"] is False


@pytest.mark.parametrize(("kind", "sentence"), [("none", "was not written by"), ("link", "is neither file nor folder")])
def test_a_stage_that_does_not_make_its_file_is_named(world: World, kind: str, sentence: str) -> None:
    world.restore(needs=["clean.csv"], stages=STAGES[:1])
    if kind == "link":
        (world.root / "clean.csv").symlink_to("/etc/hostname")
    with pytest.raises(PhaseError, match=sentence):
        settled()


def test_a_file_of_the_commit_that_a_stage_read_may_have_carried_a_result_over(world: World) -> None:
    """rule 18: `cp old/model.pkl clean.csv` in a stage, and the training `trains` from it."""
    world.restore(needs=["clean.csv"], stages=STAGES[:1])
    content = (world.root / "models/old.pkl").read_bytes()
    (world.root / "clean.csv").write_bytes(content)
    (world.root / "beside.csv").write_bytes(b"")
    settled()
    assert "models/old.pkl" in world.collect()["used_of_commit"]


def test_a_persistent_out_stays_for_its_stage(world: World) -> None:
    world.restore(needs=["clean.csv"], stages=[{**STAGES[0], "outs": ["clean.csv", "models/old.pkl"]}])
    assert not (world.root / "models/old.pkl").exists()


def test_a_lock_of_other_code_is_a_doubt_unless_the_stage_runs(world: World) -> None:
    clean = world.cache.put(b"clean")
    world.hold(clean)
    other = {
        **STAGES[0],
        "outs": ["clean.csv"],
        "locked": {"train.py": f"md5:{'0' * 32}", "absent.py": f"md5:{'1' * 32}"},
    }
    request = {"needs": ["clean.csv"], "stages": [other]}
    (doubt,) = world.restore(file("clean.csv", clean), **request)["doubts"]
    assert doubt == "dvc.lock at the commit is not of its code: stage prepare had other bytes of train.py"


def test_the_line_endings_of_windows_are_no_other_code(world: World) -> None:
    clean = world.cache.put(b"clean")
    world.hold(clean)
    windows = world.cache.put(b"print(1)\r\n")
    stages = [{**STAGES[0], "outs": ["clean.csv"], "locked": {"train.py": str(windows)}}]
    assert world.restore(file("clean.csv", clean), needs=["clean.csv"], stages=stages)["doubts"] == []


def test_what_is_asked_for_and_nowhere_stops_nothing(world: World) -> None:
    absent = ObjectId.parse(f"md5:{'2' * 32}")
    assert world.restore(file("extra.bin", absent, use="asked for"))["files"] == []
    state = json.loads(Path(layout.work("r1", "state/restored.json")).read_text())
    assert state["pending"] == []
