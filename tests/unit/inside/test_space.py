"""Too little room for what is to be pulled is said before the pull."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.inside.data.space import check_space, in_words
from runner.inside.protocol import DISK_FULL, PhaseError
from tests.support.inside import Cache
from tests.unit.inside.test_restore_collect import World, file


def test_what_does_not_fit_is_a_full_disk_and_says_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cache(tmp_path, monkeypatch)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1_000_000, f_frsize=1000))
    check_space(900_000_000)
    check_space(0)
    with pytest.raises(PhaseError) as caught:
        check_space(999_000_000)
    assert caught.value.event["kind"] == DISK_FULL
    assert "999 MB are to be pulled, and the cache volume has 1 GB left" in caught.value.event["cause"]


def test_nothing_is_pulled_where_it_does_not_fit_by_what_the_remote_says_of_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", monkeypatch)
    world = World(tmp_path, cache, monkeypatch)
    data = cache.put(b"x" * 5000)
    world.hold(data)
    world.forget(data)
    monkeypatch.setattr("runner.inside.data.space._RESERVE", 0)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=4, f_frsize=1000))
    with pytest.raises(PhaseError) as caught:
        world.restore({**file("data/train.csv", data), "size_bytes": 1})
    assert caught.value.event["kind"] == DISK_FULL
    assert world.pulled == []
    assert not [event for event in world.events if str(event.get("text", "")).startswith("pulling")]


def test_sizes_are_said_in_their_unit() -> None:
    assert [in_words(count) for count in (0, 999, 1500, 2_340_000_000)] == ["0 B", "999 B", "1.5 kB", "2.34 GB"]
