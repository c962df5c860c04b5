"""Opening a stranger's sqlite file so that nothing in its folder changes.

Read-only mode alone does not do: in write-ahead mode sqlite makes `-shm` and `-wal` files even for readers, and after a
crash the journal has to be played back. Such a database is read from a private copy.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from runner.errors import DiskFull, NotAStore, TrackerUnavailable

_MAGIC = b"SQLite format 3\0"
_WRITE_AHEAD = 2  # bytes 18 and 19 of the header
_BUSY_S = 5.0
_TRIES = 5  # to copy while somebody writes
_PAUSE_S = 0.2
_SIDES = ("", "-wal", "-journal")

# POSIX drops all of a process's locks on a file when it closes any descriptor of it: looking at the header must not
# take the lock from a connection of another thread.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for one consistent reading.

    Raises NotAStore where the file is no sqlite database, TrackerUnavailable where it is locked, damaged or may not be
    read.
    """
    try:
        with _ONE_AT_A_TIME, _opened(path) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise _unavailable(path, error) from error
    except OSError as error:
        if error.filename is not None and str(error.filename).startswith(str(path)):
            raise TrackerUnavailable(f"{path} cannot be read: {error.strerror}", f"ls -l {path}") from error
        raise


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(_MAGIC):
        raise NotAStore(f"{path} is no sqlite database", "--tracker sqlite:///PATH, the file that MLflow was given")
    if _size(path, "-wal") or _size(path, "-journal"):  # a writer at work, or what a crash left
        with _copied(path) as copy, closing(_connect(copy, "mode=rw")) as connection:
            yield connection
        return
    # Without a -wal file nobody writes, and the main file is whole.
    how = "immutable=1" if header[18] == _WRITE_AHEAD else "mode=ro"
    with closing(_connect(path, how)) as connection:
        yield connection


def _connect(path: Path, how: str) -> sqlite3.Connection:
    address = f"file:{urllib.parse.quote(str(path))}?{how}"
    connection = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
    try:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA query_only = 1")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="reproducibility-runner-") as folder:
        copy = Path(folder) / "store.db"
        for _ in range(_TRIES):
            before = _state(path)
            for side in _SIDES:
                _copy(path.with_name(path.name + side), copy.with_name(copy.name + side))
            if _state(path) == before:
                yield copy
                return
            time.sleep(_PAUSE_S)
        raise TrackerUnavailable(f"{path} is being written all the time", "try again when its writer pauses")


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if not source.is_file():
        return
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:  # its writer has just removed it: the state of all will show that
        target.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space to copy {source} for reading", "df -h; TMPDIR names another folder") from error
        raise


def _state(path: Path) -> list[tuple[int, int] | None]:
    state: list[tuple[int, int] | None] = []
    for side in _SIDES:
        try:
            found = os.stat(f"{path}{side}")
            state.append((found.st_size, found.st_mtime_ns))
        except FileNotFoundError:
            state.append(None)
    return state


def _size(path: Path, side: str) -> int:
    try:
        return os.stat(f"{path}{side}").st_size
    except FileNotFoundError:
        return 0


def _unavailable(path: Path, error: sqlite3.DatabaseError) -> TrackerUnavailable:
    if "locked" in str(error):
        return TrackerUnavailable(
            f"{path} is locked by a writer for more than {_BUSY_S:g} s", "try again when the writer is done"
        )
    return TrackerUnavailable(
        f"{path} cannot be read: {error}", f"sqlite3 'file:{path}?mode=ro' 'PRAGMA integrity_check'"
    )
