"""Who uses what in the cache volume, and when it was last used: what pruning goes by. Standard library only.

Whoever takes something out of the cache or puts something in holds its lock with others, as long as its container
lives; pruning holds it alone, and so sees nothing half-made and takes away nothing that was just found. What a rerun
goes on using is named in its workspace, which is there until the rerun ends.

The last use of a thing is the time of change of its record (`environments/KEY/.ready`, a lock, an object's record in
`verified/`), which is set anew at most once an hour. Access times are no such record: many file systems keep none.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.inside import layout
from runner.inside.protocol import UNAVAILABLE, PhaseError

_FRESH_S = 3600.0
_TICK_S = 0.1
_MARK = "environment"


@contextmanager
def with_others() -> Iterator[None]:
    """Use the cache beside others; waits for a pruning that goes on, which takes moments."""
    with _lock(fcntl.LOCK_SH):
        yield


@contextmanager
def alone(*, wait_s: float) -> Iterator[None]:
    """Have the cache alone. Raises PhaseError where others still use it after `wait_s`."""
    end = time.monotonic() + wait_s
    while True:
        try:
            with _lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield
                return
        except BlockingIOError:
            if time.monotonic() > end:
                raise PhaseError(
                    UNAVAILABLE,
                    "other reruns are restoring data or installing packages in the same cache; nothing was removed",
                    "run it again when they are done",
                ) from None
        time.sleep(_TICK_S)


@contextmanager
def _lock(how: int) -> Iterator[None]:
    os.makedirs(layout.CACHE, exist_ok=True)
    descriptor = os.open(f"{layout.CACHE}/.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def note_use(record: str | os.PathLike[str]) -> None:
    """Take note that what a record stands for is used now; one that is not there is none."""
    try:
        if time.time() - os.stat(record).st_mtime > _FRESH_S:
            os.utime(record)
    except OSError:
        return


def note_image(reference: str) -> None:
    """Take note that a base image is used now."""
    path = _images() / re.sub(r"[^A-Za-z0-9._-]", "_", reference)
    try:
        if path.read_text(encoding="utf-8") == reference:
            note_use(path)
            return
    except OSError:
        path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference, encoding="utf-8")


def images() -> dict[str, float]:
    """Return when each base image was last used, by its reference."""
    try:
        return {path.read_text(encoding="utf-8"): path.stat().st_mtime for path in _images().iterdir()}
    except FileNotFoundError:
        return {}


def mark(rerun: str, environment: str) -> None:
    """Have a rerun, by its workspace, name the environment that it uses; one that has none yet names nothing."""
    state = Path(layout.work(rerun, layout.STATE))
    if state.is_dir():
        (state / _MARK).write_text(environment, encoding="ascii")


def marked() -> frozenset[str]:
    """Return the keys of the environments that reruns name: running ones, and those that were kept to look into."""
    return frozenset(path.read_text(encoding="ascii") for path in Path(layout.WORK).glob(f"*/{layout.STATE}/{_MARK}"))


def _images() -> Path:
    return Path(layout.CACHE) / "images"
