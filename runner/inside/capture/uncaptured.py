"""Finds stores of MLflow and folders of W&B that a training made in its workspace: a process logged past the capture.

All calls of a captured process go to the scratch place, whatever store they name. A Python that skipped the capture, as
`python -S` does, or that is not the environment's, leaves what MLflow makes by itself: a folder or a database.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

from runner.inside.wandb.log import HEADER

_RUN = re.compile(rb"^artifact_uri:.*^run_(?:id|uuid): ", re.MULTILINE | re.DOTALL)
_EXPERIMENT = re.compile(rb"^artifact_location:.*^experiment_id: ", re.MULTILINE | re.DOTALL)
_RUNS_TABLE = re.compile(rb'CREATE TABLE "?runs"? ?\(')
_DATABASE = b"SQLite format 3\0"
_DATABASES = (".db", ".sqlite", ".sqlite3")
_DESCRIPTION_BYTES = 64 << 10
_DATABASE_BYTES = 8 << 20


def stores_made(root: str, written: Iterable[str]) -> list[str]:
    """Return the stores among the files that a training wrote, as paths within its workspace `root`."""
    found = set()
    for path in written:
        folder, _, name = path.rpartition("/")
        if name == "meta.yaml":
            text = _start_of(root, path, _DESCRIPTION_BYTES)
            above = 2 if _RUN.search(text) else 1 if _EXPERIMENT.search(text) else 0
            found |= {"/".join(folder.split("/")[:-above]) or "."} if above else set()
        elif name.endswith(".wandb"):
            if _start_of(root, path, len(HEADER)) == HEADER:
                found.add(folder.rpartition("/")[0] or ".")
        elif name.endswith(_DATABASES):
            data = _start_of(root, path, _DATABASE_BYTES)
            if data.startswith(_DATABASE) and _RUNS_TABLE.search(data):
                found.add(path)
    return sorted(found)


def _start_of(root: str, path: str, size: int) -> bytes:
    """Return the first bytes of a regular file, nothing of any other."""
    try:
        file = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    with os.fdopen(file, "rb") as opened:
        return opened.read(size) if stat.S_ISREG(os.fstat(file).st_mode) else b""
