"""MLflow's stores beneath a folder: repositories hold several, most of them copies that nobody looks at any more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from runner.errors import RunnerError
from runner.trackers.open import open_tracker

_NO_STORES = frozenset({".git", ".venv", "venv", "env", "node_modules", "site-packages", "__pycache__", ".dvc", ".tox"})
_DATABASES = (".db", ".sqlite", ".sqlite3")
_SQLITE = b"SQLite format 3\0"
_DEEPEST = 6  # folders below the first
_MOST = 20_000  # entries that are looked at
_META = "meta.yaml"


def stores_beneath(folder: Path) -> list[str]:
    """Return the addresses of the stores in a folder and below it, as paths from there, in order.

    What cannot be read is passed over; nothing is opened but what looks like a store, and nothing is written.
    """
    found = []
    for path in _likely(folder):
        try:
            open_tracker(str(path))
        except (RunnerError, OSError):
            continue
        inside = path.relative_to(folder)
        found.append(f"sqlite:///{inside}" if path.is_file() else str(inside))
    return sorted(found, key=lambda address: (address.count("/"), address))


def _likely(top: Path) -> Iterator[Path]:
    looked_at = 0
    for name, folders, files in os.walk(top):
        folder = Path(name)
        looked_at += len(folders) + len(files)
        if looked_at > _MOST:
            return
        if any((folder / child / _META).is_file() for child in folders):
            yield folder
            folders.clear()  # what lies in a store is no other
            continue
        deep = len(folder.relative_to(top).parts) >= _DEEPEST
        folders[:] = [] if deep else sorted(child for child in folders if child not in _NO_STORES)
        for file in sorted(files):
            if file.endswith(_DATABASES) and _is_sqlite(folder / file):
                yield folder / file


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False
