"""The scratch place that stands in for every tracker, registry and artifact store of a training."""

from __future__ import annotations

import _thread
import inspect
import os
import sys
from contextlib import contextmanager

from reproducibility_runner import session
from reproducibility_runner.events import SCRATCH, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_FILE_STORE_SWITCH = "MLFLOW_ALLOW_FILE_STORE"
_ADOPTED = ".adopted"

_nesting = _thread._local()
_locks: list[Lock] = []


def root() -> str:
    """Return the folder of the scratch store, an absolute path without symbolic links."""
    if session.writer is None:
        raise ImportError("the capture is not active: REPRO_CAPTURE_DIR is not set")
    return os.path.join(os.path.realpath(session.writer.directory), SCRATCH)


def lock() -> Lock:
    """Return the lock that keeps others from creating the same thing at the same time."""
    if not _locks:
        _locks.append(Lock(root() + ".lock"))
    return _locks[0]


def mark_adopted(folder: str) -> None:
    """Mark the folder of a run as one that the training knew of and this rerun did not make."""
    with open(os.path.join(folder, _ADOPTED), "w"):
        pass


def is_adopted(folder: str) -> bool:
    """Tell whether a run's folder is marked so."""
    return os.path.exists(os.path.join(folder, _ADOPTED))


@contextmanager
def outermost() -> Iterator[bool]:
    """Tell whether a call comes from outside the store, rather than from another of its own methods."""
    depth = getattr(_nesting, "depth", 0)
    _nesting.depth = depth + 1
    try:
        yield depth == 0
    finally:
        _nesting.depth = depth


def create_file_store(build: Callable[[], Any]) -> Any:
    """Build one of MLflow's file stores, which today's versions refuse unless a variable allows them."""
    before = os.environ.get(_FILE_STORE_SWITCH)
    os.environ[_FILE_STORE_SWITCH] = "true"
    try:
        with lock():
            return build()
    finally:
        if before is None:
            del os.environ[_FILE_STORE_SWITCH]
        else:
            os.environ[_FILE_STORE_SWITCH] = before


def adopt_signatures(kind: type, mixin: type, base: type) -> None:
    """Give the methods of a mixin the signatures of MLflow's: it looks at these to see what a store can do."""
    for name, method in vars(mixin).items():
        original = getattr(base, name, None)
        if callable(method) and callable(original) and not name.startswith("__"):
            method.__wrapped__ = original
    kind.__module__ = mixin.__module__


def count_parameters(method: Any) -> int:
    """Return how many parameters a method of MLflow's takes in the version at hand."""
    return len(inspect.signature(method).parameters)


def find_caller(*functions: tuple[str, str]) -> Any:
    """Return the frame of the nearest caller that is one of MLflow's (module, function), or None."""
    frame: Any = sys._getframe(1)
    for _ in range(16):
        if frame is None or (frame.f_globals.get("__name__"), frame.f_code.co_name) in functions:
            return frame
        frame = frame.f_back
    return None


def to_text(value: Any) -> Any:
    """Return None as it is and all else as text."""
    return None if value is None else str(value)
