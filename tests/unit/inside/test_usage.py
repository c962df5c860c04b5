"""What a training wrote is what its sandbox takes more on disk, whatever tricks with names it plays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runner.inside import layout, usage
from tests.support.inside import Cache

MIB = 1 << 20


@pytest.fixture
def sandbox(cache: Cache) -> Path:
    folder = Path(layout.work("r1", layout.SANDBOX))
    folder.mkdir(parents=True)
    (folder / "clone").write_bytes(b"x" * MIB)
    state = Path(layout.work("r1", layout.STATE))
    state.mkdir()
    (state / "restored.json").write_text(json.dumps({"allocated": usage.allocated_bytes(str(folder))}))
    return folder


def test_what_was_there_is_not_counted(sandbox: Path) -> None:
    assert usage.written_bytes("r1") == 0


def test_each_file_counts_once_by_what_it_takes_on_disk(sandbox: Path) -> None:
    (sandbox / "deep").mkdir()
    (sandbox / "deep" / "new").write_bytes(b"x" * 2 * MIB)
    os.link(sandbox / "deep" / "new", sandbox / "again")
    (sandbox / "loop").symlink_to(".")
    with (sandbox / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    assert 2 * MIB <= usage.written_bytes("r1") < 2 * MIB + (64 << 10)


def test_data_that_is_linked_in_is_not_counted(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sandbox / "data").write_bytes(b"x" * MIB)
    monkeypatch.setattr(layout, "TRAINER_UID", os.getuid() + 1)
    assert usage.allocated_bytes(str(sandbox)) == 0


def test_a_watch_ends_once_more_than_the_limit_was_written(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        (sandbox / f"more{len(slept)}").write_bytes(b"x" * MIB)

    monkeypatch.setattr(usage.time, "sleep", sleep)
    assert usage.handle({"rerun": "r1", "limit_bytes": 3 * MIB})["written_bytes"] > 3 * MIB
    assert len(slept) == 4
    assert min(slept) >= 2
