"""From a tracker's address to the one that reads it."""

from __future__ import annotations

import difflib
import re
import urllib.parse
from pathlib import Path

from runner.errors import NotAStore, TrackerUnavailable
from runner.redact import redact
from runner.trackers.interface import Tracker

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):")
_ADDRESSES = "--tracker takes file:PATH, a folder's path, sqlite:///PATH, a database file's path, or http(s)://HOST"


def open_tracker(uri: str, folder: Path | None = None) -> Tracker:
    """Return the tracker at `uri`: `file:`, a path, `sqlite:///`, `http:` or `https:`.

    Relative paths are meant from `folder`, by default the current directory. A server is not asked yet. Raises
    NotAStore where there is no store, or none of a kind that we read; nothing is created.
    """
    folder = Path.cwd() if folder is None else folder
    uri = uri.strip()
    match = _SCHEME.match(uri)
    scheme = match["scheme"].lower() if match else ""
    if scheme in ("http", "https"):
        if not urllib.parse.urlsplit(uri).hostname:
            raise NotAStore(f"{redact(uri)!r} names no host", _ADDRESSES)
        from runner.trackers.http_store import HttpTracker

        return HttpTracker(uri)
    if scheme == "file":
        return _open_path(folder / _path_of_file_uri(uri), uri)
    if scheme.partition("+")[0] == "sqlite":
        return _open_sqlite(folder / _path_of_sqlite_uri(uri), uri)
    if scheme or not uri:
        raise NotAStore(f"trackers at {redact(uri)!r} are not read", _ADDRESSES)
    return _open_path(folder / uri, uri)


def _path_of_file_uri(uri: str) -> str:
    path = uri.partition(":")[2]
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise NotAStore(f"{redact(uri)!r} names a file on another host", _ADDRESSES)
        path = slash + rest
    if not path:
        raise NotAStore(f"{redact(uri)!r} names no path", _ADDRESSES)
    return urllib.parse.unquote(path)


def _path_of_sqlite_uri(uri: str) -> str:
    """Return the path as SQLAlchemy means it: after three slashes relative, after four absolute."""
    rest = uri.partition(":")[2].partition("?")[0]
    path = rest.removeprefix("///") if rest.startswith("///") else ""
    if not path or path == ":memory:":
        raise NotAStore(f"{redact(uri)!r} names no database file", _ADDRESSES)
    return path


def _open_path(path: Path, uri: str) -> Tracker:
    try:
        if path.is_dir():
            from runner.trackers.file_store import FileTracker

            return FileTracker(path)
        if path.is_file():
            return _open_sqlite(path, uri)
    except PermissionError as error:
        raise TrackerUnavailable(f"{path} cannot be read: {error.strerror}", f"ls -ld {path}") from error
    raise _nothing_at(path, uri)


def _open_sqlite(path: Path, uri: str) -> Tracker:
    if not path.is_file():
        raise _nothing_at(path, uri)
    from runner.trackers.sqlite_store import SqliteTracker

    return SqliteTracker(path)


def _nothing_at(path: Path, uri: str) -> NotAStore:
    """Name what is there instead of a mistyped path."""
    known = path.parent
    while not known.is_dir():
        known = known.parent
    wanted = path.relative_to(known).parts[0]
    near = difflib.get_close_matches(wanted, [entry.name for entry in known.iterdir()], n=1)
    remedy = f"--tracker {known / near[0]}" if near else f"ls {known}    to see what is there; {_ADDRESSES}"
    return NotAStore(f"there is nothing at {redact(str(path))} (from {redact(uri)!r})", remedy)
