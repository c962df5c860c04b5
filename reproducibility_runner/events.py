"""Appends events to the capture: one JSON object a line, numbered across all processes of a training.

Loaded by every Python that starts, so it imports next to nothing: no `json`, no `threading`, no `typing`.
"""

from __future__ import annotations

import _thread
import fcntl
import os

try:
    from _json import encode_basestring_ascii as _quote
except ImportError:  # another Python than CPython
    from json import dumps as _quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

EVENTS = "events.jsonl"
COUNTER = "events.counter"  # 8 bytes each: the next number, and the length that the log has once that is written
LOADED = "loaded.jsonl"
SCRATCH = "scratch"
WANDB = "wandb"  # where W&B makes its own folder of runs
_LONG = 4096  # the longest text of a kind that nobody needs in full


def encode(value: Any) -> str:  # noqa: PLR0911  # one per kind of value
    """Return JSON text. Floats keep every bit; those that JSON lacks become "NaN", "Infinity" and "-Infinity"."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return str(_quote(str.__str__(value)))
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _encode_float(value)
    if isinstance(value, dict):
        return "{" + ",".join(encode(str(key)) + ":" + encode(item) for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(encode(item) for item in value) + "]"
    return encode(str(value)[:_LONG])


def _encode_float(value: float) -> str:
    if value != value:  # noqa: PLR0124  # NaN, without importing math
        return '"NaN"'
    if value in (float("inf"), float("-inf")):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    return float.__repr__(value)


class Writer:
    """Writes to one capture directory. Safe between threads and processes, across forks, and within itself.

    It never raises: a training must not fail because of us. What could not be written leaves a gap in the numbers,
    by which the reader notices.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._files: tuple[int, int] | None = None
        self._identities: tuple[tuple[int, int], ...] = ()
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _reset(self) -> None:
        self._lock = _thread.RLock()
        self._waiting: list[tuple[str, str, int]] = []
        self._busy = False

    def _after_fork(self) -> None:
        # A lock may be held by a thread that the child lacks, and a shared descriptor shares its flock.
        self._reset()
        self._files = None

    def append(self, event: str, fields: Mapping[str, Any], numbers: int = 1) -> None:
        """Append an event; it takes as many sequence numbers as it holds values, at least one."""
        try:
            body = "".join("," + encode(key) + ":" + encode(value) for key, value in fields.items())
        except Exception as error:  # noqa: BLE001  # foreign objects may fail in any way
            event, body, numbers = "problem", ',"text":' + encode("an event was lost: " + repr(error)[:200]), 1
        with self._lock:
            self._waiting.append((event, body, numbers))
            if self._busy:
                return  # a signal handler or finalizer of this thread, in the midst of a write, which will go on
            self._busy = True
            try:
                while self._waiting:
                    self._write(*self._waiting.pop(0))
            except OSError:
                pass
            finally:
                self._busy = False

    def leave(self, name: str, fields: Mapping[str, Any]) -> None:
        """Append a line to a file beside the log. It has no number: a process that is killed at its end may lose it.

        Raises OSError.
        """
        flags = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_WRONLY | os.O_APPEND
        file = os.open(os.path.join(self.directory, name), flags, 0o644)
        try:
            os.write(file, (encode(dict(fields)) + "\n").encode("ascii"))
        finally:
            os.close(file)

    def _write(self, event: str, body: str, numbers: int) -> None:
        log, counter = self._open()
        fcntl.flock(counter, fcntl.LOCK_EX)
        try:
            state = os.pread(counter, 16, 0)
            number, end = (
                (int.from_bytes(state[:8], "big"), int.from_bytes(state[8:], "big")) if len(state) == 16 else (0, 0)
            )
            line = f'{{"seq":{number},"event":"{event}","pid":{os.getpid()}{body}}}\n'.encode("ascii")
            size = os.fstat(log).st_size
            if size != end:
                line = b"\n" + line  # a process was killed in the midst of a line
            # First the counter: a line that was not written whole is then missed by its number.
            os.pwrite(counter, (number + numbers).to_bytes(8, "big") + (size + len(line)).to_bytes(8, "big"), 0)
            while line:
                line = line[os.write(log, line) :]
        finally:
            fcntl.flock(counter, fcntl.LOCK_UN)

    def _open(self) -> tuple[int, int]:
        # Programs that close every descriptor, as daemons do, may since have reused ours for a file of their own.
        if self._files is not None and tuple(_identity(file) for file in self._files) == self._identities:
            return self._files
        flags = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(os.path.join(self.directory, EVENTS), flags | os.O_WRONLY | os.O_APPEND, 0o644)
        counter = os.open(os.path.join(self.directory, COUNTER), flags | os.O_RDWR, 0o644)
        self._files = (log, counter)
        self._identities = (_identity(log), _identity(counter))
        return self._files


def _identity(file: int) -> tuple[int, int]:
    try:
        status = os.fstat(file)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


class Lock:
    """Keeps the other threads and processes of a training out while it is open; may be nested."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._threads = _thread.RLock()
        self._depth = 0
        self._file = -1

    def __enter__(self) -> None:
        self._threads.acquire()
        if self._depth == 0:
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            os.close(self._file)
        self._threads.release()


def short(value: Any) -> str:
    """Return a text for people, cut where it is long."""
    return str(value)[:_LONG]
