"""From an address, of a tracker or of a registry, to the one that reads it."""

from __future__ import annotations

import difflib
import os
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from runner.errors import NotAStore, TrackerUnavailable
from runner.redact import redact
from runner.trackers.interface import Tracker

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):")
Store = TypeVar("Store")


@dataclass(frozen=True, kw_only=True)
class Readers(Generic[Store]):
    """What reads each kind of place. `flag` names the option by which a user names the place."""

    server: Callable[[str], Store]
    folder: Callable[[Path], Store]
    database: Callable[[Path], Store]
    flag: str = "--tracker"

    @property
    def addresses(self) -> str:
        """What the flag takes."""
        return (
            f"{self.flag} takes file:PATH, a folder's path, sqlite:///PATH, a database file's path, or http(s)://HOST"
        )


def open_tracker(uri: str, folder: Path | None = None, repository: Path | None = None) -> Tracker:
    """Return the tracker at `uri`: `file:`, a path, `sqlite:///`, `http:` or `https:`.

    A folder of W&B's runs is one too, and so is `wandb:ENTITY/PROJECT`.

    Relative paths are meant from `folder`, by default the current directory. `repository` is one on this machine that
    the user named: artifacts of a store of files may lie in it. A server is not asked yet. Raises NotAStore where
    there is no store, or none of a kind that we read; nothing is created.
    """

    def server(address: str) -> Tracker:
        from runner.trackers.http_store import HttpTracker

        return HttpTracker(address)

    def in_folder(path: Path) -> Tracker:
        from runner.trackers.file_store import FileTracker
        from runner.trackers.wandb_folder import WandbFolder, holds_runs

        if holds_runs(path):
            return WandbFolder(path)
        return FileTracker(path, repository)

    def database(path: Path) -> Tracker:
        from runner.trackers.sqlite_store import SqliteTracker

        return SqliteTracker(path, repository)

    if uri.strip().startswith("wandb:"):
        from runner.trackers.wandb_online import WandbOnline

        return WandbOnline(uri.strip())
    return open_store(uri, folder, Readers(server=server, folder=in_folder, database=database))


def open_store(uri: str, folder: Path | None, readers: Readers[Store]) -> Store:
    """Return what reads the store at `uri`, by its kind. Raises NotAStore."""
    folder = Path.cwd() if folder is None else folder
    blanks = uri[len(uri.rstrip()) :]
    uri = uri.strip()
    match = _SCHEME.match(uri)
    scheme = match["scheme"].lower() if match else ""
    if scheme in ("http", "https"):
        if not urllib.parse.urlsplit(uri).hostname:
            raise NotAStore(f"{redact(uri)!r} names no host", readers.addresses)
        return readers.server(uri)
    if scheme == "file":
        return _open_path(_as_typed(folder / _path_of_file_uri(uri, readers), blanks), uri, readers)
    if scheme.partition("+")[0] == "sqlite":
        return _open_sqlite(_as_typed(folder / _path_of_sqlite_uri(uri, readers), blanks), uri, readers)
    if scheme or not uri:
        raise NotAStore(f"stores at {redact(uri)!r} are not read", readers.addresses)
    return _open_path(_as_typed(folder / uri, blanks), uri, readers)


def _as_typed(path: Path, blanks: str) -> Path:
    """Return the path with the blanks that end its address, if that is there: MLflow makes such files."""
    exact = Path(f"{path}{blanks}")
    return exact if os.path.exists(exact) else path  # never raises, as Path's does


def _path_of_file_uri(uri: str, readers: Readers[Store]) -> str:
    path = uri.partition(":")[2]
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise NotAStore(f"{redact(uri)!r} names a file on another host", readers.addresses)
        path = slash + rest
    if not path:
        raise NotAStore(f"{redact(uri)!r} names no path", readers.addresses)
    return urllib.parse.unquote(path)


def _path_of_sqlite_uri(uri: str, readers: Readers[Store]) -> str:
    """Return the path as SQLAlchemy means it: after three slashes relative, after four absolute."""
    rest = uri.partition(":")[2].partition("?")[0]
    path = rest.removeprefix("///") if rest.startswith("///") else ""
    if not path or path == ":memory:":
        raise NotAStore(f"{redact(uri)!r} names no database file", readers.addresses)
    return path


def _open_path(path: Path, uri: str, readers: Readers[Store]) -> Store:
    try:
        if path.is_dir():
            return readers.folder(path)
        if path.is_file():
            return _open_sqlite(path, uri, readers)
    except PermissionError as error:
        raise TrackerUnavailable(f"{path} cannot be read: {error.strerror}", f"ls -ld {path}") from error
    raise _nothing_at(path, uri, readers)


def _open_sqlite(path: Path, uri: str, readers: Readers[Store]) -> Store:
    if not path.is_file():
        raise _nothing_at(path, uri, readers)
    return readers.database(path)


def _nothing_at(path: Path, uri: str, readers: Readers[Store]) -> NotAStore:
    """Name what is there instead of a mistyped path."""
    known = path.parent
    while not known.is_dir():
        known = known.parent
    wanted = path.relative_to(known).parts[0]
    near = difflib.get_close_matches(wanted, [entry.name for entry in known.iterdir()], n=1)
    remedy = f"{readers.flag} {known / near[0]}" if near else f"ls {known}    to see what is there; {readers.addresses}"
    return NotAStore(f"there is nothing at {redact(str(path))} (from {redact(uri)!r})", remedy)
