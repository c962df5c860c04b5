"""A mirror that nobody needs any more leaves nothing in the cache."""

from __future__ import annotations

from pathlib import Path

from runner.repository.bundle import cached_bundle
from runner.repository.mirror import forget_mirror, open_mirror
from tests.support.repositories import Repository


def test_a_forgotten_mirror_leaves_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    commit = repository.commit({"a.txt": "a"})
    cache = tmp_path / "cache"
    cached_bundle(open_mirror(str(repository.path), cache, commit=commit), commit)
    assert list(cache.iterdir())
    forget_mirror(str(repository.path), cache)
    forget_mirror(str(repository.path), cache)
    assert list(cache.iterdir()) == []
