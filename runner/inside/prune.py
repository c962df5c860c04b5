"""What lies in the cache volume, and taking away what was not used for long: decided on values, done while alone.

    environments   KEY/, each with what it alone takes on disk
    wheels         unpacked in uv's cache; the files of environments are hard links to them
    pages          of package indexes, in uv's cache
    builds         built/REPOSITORY/: what foreign code built
    locks          what specifications resolved to
    objects        data, each with its record in verified/
    leftovers      what broke off half-way and nobody will use
    workspaces     of reruns: running ones, and those that were kept to look into; never removed here

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.inside import layout, uses
from runner.inside.packages.environment import read_record

ENVIRONMENTS, WHEELS, PAGES, BUILDS, LOCKS, OBJECTS = "environments", "wheels", "pages", "builds", "locks", "objects"
LEFTOVERS, WORKSPACES = "leftovers", "workspaces"
_ORDER = (LEFTOVERS, ENVIRONMENTS, WHEELS, PAGES, BUILDS, LOCKS, OBJECTS, WORKSPACES)
_BLOCK = 512  # of st_blocks, whatever the file system's own is
_STALE_S = 24 * 3600  # a build's folder: it belongs to a provision that may still go on


@dataclass(frozen=True)
class Item:
    """One thing that is kept or goes as a whole.

    `size_bytes` is what it takes for itself, `paths` where it lies; `title` is for people.
    """

    kind: str
    name: str
    size_bytes: int
    last_used: float
    in_use: bool = False
    paths: tuple[str, ...] = ()
    title: str = ""


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Remove what was not used for long, or only say what would go.

    Request: older_than_s, keep_bytes (either may be null: then nothing goes for it), dry_run, wait_s (for others).
    Result: removed[], kept[] {kind, name, count, size_bytes, unused_s}, images {reference: unused_s}.
    """
    now = time.time()
    older_than = request["older_than_s"]
    with uses.with_others() if request["dry_run"] else uses.alone(wait_s=request["wait_s"]):
        items = list_items(now)
        chosen = to_remove(
            items,
            unused_since=None if older_than is None else now - older_than,
            keep_bytes=request["keep_bytes"],
        )
        if not request["dry_run"]:
            for item in chosen:
                _take_away(item)
            for lock in Path(layout.ENVIRONMENTS).glob("*.lock"):  # while we are alone, nobody holds one
                lock.unlink()
    if not request["dry_run"]:
        shutil.rmtree(_trash(), ignore_errors=True)  # takes long, and is done beside others
    gone = {id(item) for item in chosen}
    return {
        "removed": _summary((item for item in items if id(item) in gone), now),
        "kept": _summary((item for item in items if id(item) not in gone), now),
        "images": {reference: now - used for reference, used in uses.images().items()},
    }


def to_remove(items: Iterable[Item], *, unused_since: float | None, keep_bytes: int | None) -> list[Item]:
    """Return what goes: leftovers; what was last used before `unused_since`; the longest unused down to `keep_bytes`.

    What is in use stays, and counts.
    """
    items = list(items)
    left = sum(item.size_bytes for item in items)
    chosen = []
    for item in sorted(items, key=lambda one: (one.kind != LEFTOVERS, one.last_used, _ORDER.index(one.kind))):
        old = unused_since is not None and item.last_used < unused_since
        over = keep_bytes is not None and left > keep_bytes
        if not item.in_use and (item.kind == LEFTOVERS or old or over):
            chosen.append(item)
            left -= item.size_bytes
    return chosen


def list_items(now: float) -> list[Item]:
    """Return all that lies in the cache volume."""
    sizes = _Sizes()
    origins = [*_wheels(sizes), *_builds(sizes, now)]
    environments = list(_environments(sizes, origins))
    used = {item.name: item for item in environments}
    locks = []
    for path in sorted(Path(layout.LOCKS).glob("*.json")):
        key = (read_record(path) or {}).get("environment", "")
        last = max(path.stat().st_mtime, used[key].last_used if key in used else 0.0)
        in_use = key in used and used[key].in_use
        locks.append(_item(LOCKS, path.stem, sizes, [path], last_used=last, in_use=in_use))
    return [
        *_leftovers(sizes, now),
        *environments,
        *(origin.item() for origin in origins),
        *_pages(sizes),
        *locks,
        *_objects(sizes),
        *_workspaces(sizes, now),
    ]


class _Sizes:
    """What trees take on disk; a file counts where it is met first, however many names it has."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of(self, paths: Iterable[str | os.PathLike[str]], *, met: list[int] | None = None) -> int:
        """Return the bytes of trees and files; `met` takes the inodes of files that have other names."""
        total = 0
        stack = [os.fspath(path) for path in paths]
        while stack:
            path = stack.pop()
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                total += self._own(status, met)
            with contextlib.suppress(OSError), os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        total += self._own(entry.stat(follow_symlinks=False), met)
        return total

    def _own(self, status: os.stat_result, met: list[int] | None) -> int:
        if status.st_nlink > 1 and met is not None:
            met.append(status.st_ino)
        if status.st_ino in self._seen:
            return 0
        self._seen.add(status.st_ino)
        return status.st_blocks * _BLOCK


@dataclass
class _Origin:
    """What environments are made of, by hard links: a wheel in uv's cache, or what was built for a repository.

    It is used as long as one of them is. `inodes` are those of its files that have other names.
    """

    kind: str
    paths: list[str]
    size_bytes: int
    last_used: float
    inodes: list[int]
    in_use: bool = False

    def item(self) -> Item:
        return Item(
            kind=self.kind,
            name=os.path.basename(self.paths[0]),
            size_bytes=self.size_bytes,
            last_used=self.last_used,
            in_use=self.in_use,
            paths=tuple(self.paths),
        )


def _origin(kind: str, path: Path, sizes: _Sizes, *, in_use: bool = False) -> _Origin:
    inodes: list[int] = []
    size = sizes.of([path], met=inodes)
    return _Origin(kind, [str(path)], size, path.stat().st_mtime, inodes, in_use)


def _wheels(sizes: _Sizes) -> list[_Origin]:
    cache = Path(layout.UV_CACHE)
    found = {os.path.realpath(path): _origin(WHEELS, path, sizes) for path in cache.glob("archive-v*/[!.]*")}
    for folder, folders, files in os.walk(cache):
        for name in (*folders, *files):
            entry = os.path.join(folder, name)  # of uv, that leads to a wheel, with what it knows of it beside
            if os.path.islink(entry) and (wheel := found.get(os.path.realpath(entry))) is not None:
                beside = (f"{entry}{suffix}" for suffix in (".http", ".msgpack", ".lock"))
                wheel.paths[:0] = [entry, *(path for path in beside if os.path.exists(path))]
        folders[:] = [name for name in folders if not name.startswith("archive-v")]
    return list(found.values())


def _builds(sizes: _Sizes, now: float) -> list[_Origin]:
    return [
        _origin(
            BUILDS,
            path,
            sizes,
            in_use=any(now - job.stat().st_mtime < _STALE_S for job in path.glob("jobs/*")),
        )
        for path in Path(layout.BUILT).glob("*")
    ]


def _environments(sizes: _Sizes, origins: Iterable[_Origin]) -> Iterator[Item]:
    by_inode = {inode: origin for origin in origins for inode in origin.inodes}
    in_use = uses.marked()
    for record in Path(layout.ENVIRONMENTS).glob("*/.ready"):
        key, last_used, said = record.parent.name, record.stat().st_mtime, read_record(record) or {}
        inodes: list[int] = []
        size = sizes.of([record.parent], met=inodes)
        for origin in {id(origin): origin for inode in inodes if (origin := by_inode.get(inode))}.values():
            origin.last_used = max(origin.last_used, last_used)
            origin.in_use |= key in in_use
        yield Item(
            kind=ENVIRONMENTS,
            name=key,
            size_bytes=size,
            last_used=last_used,
            in_use=key in in_use,
            paths=(str(record.parent),),
            title=f"{key[:12]} Python {said.get('python')}, {len(said.get('packages') or ())} packages",
        )


def _pages(sizes: _Sizes) -> Iterator[Item]:
    paths = [path for name in ("simple-v*", "flat-index-v*") for path in Path(layout.UV_CACHE).glob(name)]
    if paths:
        times = [page.stat().st_mtime for path in paths for page in path.rglob("*") if page.is_file()]
        yield _item(PAGES, "of package indexes", sizes, paths, last_used=max(times, default=0.0))


def _objects(sizes: _Sizes) -> Iterator[Item]:
    for record in Path(layout.VERIFIED).glob("*/*.json"):
        path = _object_path(record.parent.name, record.stem)
        yield _item(OBJECTS, record.stem, sizes, [record, path], last_used=record.stat().st_mtime)


def _object_path(algorithm: str, oid: str) -> Path:
    folder = Path(layout.OBJECTS) if algorithm == "md5-dos2unix" else Path(layout.OBJECTS) / "files" / "md5"
    return folder / oid[:2] / oid[2:]


def _workspaces(sizes: _Sizes, now: float) -> Iterator[Item]:
    for path in Path(layout.WORK).glob("*"):
        yield _item(WORKSPACES, path.name, sizes, [path], last_used=now, in_use=True)


def _leftovers(sizes: _Sizes, now: float) -> Iterator[Item]:
    """What a process that was killed left. While we are alone, nobody is in the middle of making any of it."""
    environments = [path for path in Path(layout.ENVIRONMENTS).glob("*") if path.is_dir()]
    paths = [path for path in environments if not (path / ".ready").exists()]
    paths += [*Path(layout.ENVIRONMENTS).glob("*/*.tmp"), *Path(layout.LOCKS).glob("*.tmp")]
    paths += [path for path in (_trash(), Path(layout.INCOMING)) if path.exists()]
    paths += [*Path(layout.UV_CACHE).glob(".tmp*"), *Path(layout.UV_CACHE).glob("*/.tmp*")]
    paths += [job for job in Path(layout.BUILT).glob("*/jobs/*") if now - job.stat().st_mtime >= _STALE_S]
    known = {_object_path(record.parent.name, record.stem) for record in Path(layout.VERIFIED).glob("*/*.json")}
    paths += [path for path in Path(layout.OBJECTS).rglob("*") if path.is_file() and path not in known]
    for path in paths:
        yield _item(LEFTOVERS, str(path.relative_to(layout.CACHE)), sizes, [path], last_used=0.0)


def _item(
    kind: str, name: str, sizes: _Sizes, paths: Iterable[Path], *, last_used: float, in_use: bool = False
) -> Item:
    places = tuple(map(str, paths))
    return Item(kind=kind, name=name, size_bytes=sizes.of(places), last_used=last_used, in_use=in_use, paths=places)


def _take_away(item: Item) -> None:
    """Take what is at the paths away: files at once, folders by another name, so that nobody finds half of one."""
    trash = _trash()
    trash.mkdir(exist_ok=True)
    for path in item.paths:
        with contextlib.suppress(FileNotFoundError):
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
            elif Path(path) != trash:
                os.rename(path, trash / secrets.token_hex(8))


def _trash() -> Path:
    return Path(layout.CACHE) / "trash"


def _summary(items: Iterable[Item], now: float) -> list[dict[str, Any]]:
    """Return a line for each environment, and one for all else of a kind."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for item in items:
        alone = item.kind in (ENVIRONMENTS, WORKSPACES)
        line = lines.setdefault(
            (item.kind, item.name if alone else ""),
            {
                "kind": item.kind,
                "name": (item.title or item.name) if alone else "",
                "count": 0,
                "size_bytes": 0,
                "unused_s": now - item.last_used,
                "in_use": False,
            },
        )
        line["count"] += 1
        line["size_bytes"] += item.size_bytes
        line["unused_s"] = min(line["unused_s"], now - item.last_used)
        line["in_use"] |= item.in_use
    return sorted(lines.values(), key=lambda line: (_ORDER.index(line["kind"]), line["name"]))
