"""Whether a remote holds the data: folders by looking, others by the user's DVC."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reproducibility_runner.recording.pointers import Out
from reproducibility_runner.recording.remotes import Holding, check_remotes
from tests.support.repositories import Store, Stored, dvc_config


def out_of(stored: Stored, name: str = "data.csv", **entry: object) -> Out:
    return Out(name, f"{name}.dvc", {"md5": stored.digest.dvc, "hash": "md5", **entry})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "project" / ".dvc").mkdir(parents=True)
    (tmp_path / "project" / ".dvc" / "config").write_text(dvc_config("../../remote"))
    return Store(tmp_path / "remote")


def check(tmp_path: Path, *outs: Out, **environment: str) -> Holding:
    return check_remotes(str(tmp_path / "project"), outs, {"HOME": str(tmp_path), "PATH": "", **environment})


def test_an_object_is_there_or_lacking(tmp_path: Path, store: Store) -> None:
    held = store.put(b"1")
    assert check(tmp_path, out_of(held)).lacking == []
    store.remove(held.digest)
    assert check(tmp_path, out_of(held)).lacking == ["data.csv"]


def test_a_folder_is_there_with_each_of_its_files(tmp_path: Path, store: Store) -> None:
    held = store.put_directory({"a": b"1", "b": b"2"})
    assert check(tmp_path, out_of(held)).lacking == []
    store.remove(store.put(b"2").digest)
    assert check(tmp_path, out_of(held)).lacking == ["data.csv"]


def test_a_remote_of_dvc_2_has_its_objects_at_the_top(tmp_path: Path, store: Store) -> None:
    held = store.put(b"1")
    (store.path / "files" / "md5").rename(store.path / "moved")
    (store.path / "moved" / held.digest.dvc[:2]).rename(store.path / held.digest.dvc[:2])
    assert check(tmp_path, out_of(held)).lacking == []


def test_the_nearest_configuration_counts_and_an_outs_own_remote(tmp_path: Path, store: Store) -> None:
    held = store.put(b"1")
    local = tmp_path / "project" / ".dvc" / "config.local"
    local.write_text(f"['remote \"storage\"']\n    url = {tmp_path / 'empty'}\n")
    assert check(tmp_path, out_of(held)).lacking == ["data.csv"]
    local.write_text(f"['remote \"other\"']\n    url = file://{store.path}\n[core]\n    remote = nowhere\n")
    assert check(tmp_path, out_of(held, remote="other")).lacking == []
    found = check(tmp_path, out_of(held))
    assert (found.lacking, found.asked) == (["data.csv"], ["remote nowhere is not configured"])


def test_without_any_remote_and_without_a_project_it_says_so(tmp_path: Path, store: Store) -> None:
    held = store.put(b"1")
    (tmp_path / "project" / ".dvc" / "config").write_text("")
    assert check(tmp_path, out_of(held)).asked == ["no remote is configured"]
    (tmp_path / "project" / ".dvc" / "config").unlink()
    (tmp_path / "project" / ".dvc").rmdir()
    assert check(tmp_path, out_of(held)).unchecked == ["data.csv.dvc lies in no DVC project"]


@pytest.mark.parametrize(
    ("answer", "lacking", "unchecked"),
    [
        ("echo '{}'", [], 0),
        ('echo \'{"data.csv": "new"}\'', ["data.csv"], 0),
        ('echo \'{"data.csv": "missing"}\'', ["data.csv"], 0),
        ('echo \'{"data.csv": "deleted"}\'', [], 0),
        ("echo 'https://ann:t0ken@host refused' >&2; exit 255", [], 1),
        ("echo no json", [], 1),
        (None, [], 1),
    ],
)
def test_of_another_remote_the_users_dvc_is_asked(
    answer: str | None, lacking: list[str], unchecked: int, tmp_path: Path, store: Store
) -> None:
    (tmp_path / "project" / ".dvc" / "config").write_text(dvc_config("s3://bucket/path"))
    programs = tmp_path / "bin"
    programs.mkdir()
    if answer is not None:
        (programs / "dvc").write_text(f"#!/bin/sh\n{answer}\n")
        (programs / "dvc").chmod(0o755)
    found = check(tmp_path, out_of(store.put(b"1")), PATH=f"{programs}:/usr/bin:/bin")
    assert found.lacking == lacking
    assert len(found.unchecked) == unchecked
    assert "t0ken" not in json.dumps(found.unchecked)
