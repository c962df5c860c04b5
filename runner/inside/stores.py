"""Stores of MLflow that a training wrote although the capture stands in for every one: it did not see all."""

from __future__ import annotations

import os
from collections.abc import Iterable

_LOOKED_AT = 256 << 10
_SHOWN = 5
_SQLITE = b"SQLite format 3\x00"


def stores_past_the_capture(root: str, written: Iterable[str]) -> list[str]:
    """Return a sentence for each store among the files that the training wrote, a few at most.

    A process without the capture (another interpreter, `python -S`, an emptied environment) would log there, and what
    it logged would look as if it had not been logged.
    """
    found = sorted({store for path in written if (store := _store_of(root, path)) is not None})
    return [f"the training logged to a store that the capture does not see: {store}" for store in found[:_SHOWN]]


def _store_of(root: str, path: str) -> str | None:
    """Return the store that a file is of: the folder that holds experiments, or the database itself."""
    parts = path.split("/")
    if parts[-1] == "meta.yaml":
        beginning = _beginning(root, path)
        above = 3 if b"run_uuid:" in beginning else 2 if b"artifact_location:" in beginning else 0
        return "/".join(parts[:-above]) or "." if above else None
    if path.endswith((".db", ".sqlite", ".sqlite3")):
        beginning = _beginning(root, path)
        if beginning.startswith(_SQLITE) and b"latest_metrics" in beginning:
            return path
    return None


def _beginning(root: str, path: str) -> bytes:
    try:
        descriptor = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_LOOKED_AT)
