"""Mirrors of repositories that lists of packages name: listed with sizes, and removed by age."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runner.cache.prune import prune_package_sources

DAY_S = 86400.0


def mirror(folder: Path, key: str, *, days: float) -> Path:
    """A mirror as one is left, with the archive of a commit beside it."""
    made = folder / f"{key}.git"
    for path, size in ((made / "objects" / "pack", 700), (folder / f"{key}.archives" / "c.tar", 300)):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    (folder / f"{key}.lock").touch()
    when = time.time() - days * DAY_S
    os.utime(made, (when, when))
    return made


def test_what_nobody_used_for_so_long_goes_with_all_that_was_made_of_it(tmp_path: Path) -> None:
    old, new = mirror(tmp_path, "old", days=40), mirror(tmp_path, "new", days=1)
    would = prune_package_sources(tmp_path, older_than_s=30 * DAY_S, dry_run=True)
    assert old.exists()
    done = prune_package_sources(tmp_path, older_than_s=30 * DAY_S, dry_run=False)
    for told in (would, done):
        assert [(one.name, one.size_bytes) for one in told.removed] == [("old", 1000)]
        assert [one.name for one in told.kept] == ["new"]
    assert new.exists()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("old")]


def test_without_an_age_all_are_listed_and_stay_and_no_folder_is_nothing(tmp_path: Path) -> None:
    mirror(tmp_path, "old", days=400)
    assert [one.name for one in prune_package_sources(tmp_path, older_than_s=None, dry_run=False).kept] == ["old"]
    nothing = prune_package_sources(tmp_path / "none", older_than_s=0.0, dry_run=False)
    assert (nothing.removed, nothing.kept) == ((), ())
