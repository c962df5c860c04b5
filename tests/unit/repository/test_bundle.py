"""A bundle is all that a container needs of a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.errors import MissingFact
from runner.repository.bundle import REF, cached_bundle
from runner.repository.mirror import open_mirror
from tests.support.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "project")
    for number in range(3):
        repository.commit({"train.py": f"print({number})\n"})
    return repository


def test_a_clone_of_the_bundle_has_the_commit_and_all_before_it_and_nothing_later(
    repository: Repository, tmp_path: Path
) -> None:
    commit = repository.git("rev-parse", "HEAD~1")
    mirror = open_mirror(str(repository.path), tmp_path / "cache", commit=commit)
    bundle = str(cached_bundle(mirror, commit))
    subprocess.run(["git", "clone", "-q", bundle, str(tmp_path / "clone")], check=True)
    listed = subprocess.run(
        ["git", "rev-list", "--all", "HEAD"], cwd=tmp_path / "clone", capture_output=True, check=True, text=True
    ).stdout.split()
    assert listed == repository.git("rev-list", commit).split()
    assert (tmp_path / "clone" / "train.py").read_text() == "print(1)\n"
    heads = repository.git("bundle", "list-heads", bundle)
    assert heads.splitlines() == [f"{commit} HEAD", f"{commit} {REF}"]


def test_a_bundle_is_made_once_and_is_the_same_wherever_it_is_made(repository: Repository, tmp_path: Path) -> None:
    commit = repository.head
    one = open_mirror(str(repository.path), tmp_path / "one", commit=commit)
    other = open_mirror(str(repository.path), tmp_path / "other", commit=commit)
    made = cached_bundle(one, commit)
    inode = made.stat().st_ino
    assert cached_bundle(one, commit[:10]).stat().st_ino == inode
    assert made.read_bytes() == cached_bundle(other, commit).read_bytes()
    assert [path.name for path in made.parent.iterdir() if path.name.startswith("making")] == []


def test_a_commit_that_is_not_there_cannot_be_bundled(repository: Repository, tmp_path: Path) -> None:
    mirror = open_mirror(str(repository.path), tmp_path / "cache", commit=None)
    with pytest.raises(MissingFact):
        cached_bundle(mirror, "0" * 40)
