"""Environments in the cache volume: which are ready, which lock a specification had, what is installed.

Standard library only; used by provision, which makes them, and by restore, which may find one ready.

    locks/SPECIFICATION.json               lock of a specification, and its environment's key
    locks/SPECIFICATION.REPOSITORY.json    the same where something was built: for that repository and commit alone
    environments/KEY/                      a virtual environment at its final place
    environments/KEY/.ready                its record, written last: without it the folder is not used

A record's time of change is that of its last use (`runner.inside.uses`).
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.inside import layout, uses

SECRETS = "/secrets"  # a tmpfs in provision's container
LAYOUT_VERSION = 3  # part of every key: raise it when environments or locks are made in another way

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Lock:
    """What a specification resolved to.

    `built` are file names of wheels that 2b made, `trees` those of wheels from source trees, in the order in which the
    list names them. `as_of` is the moment whose packages these are, where any were open, `build_as_of` that of what
    building asked for; `redated` says why they are not the run's.
    """

    environment: str
    text: str
    built: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    as_of: str | None = None
    build_as_of: str | None = None
    redated: str | None = None


@dataclass(frozen=True)
class Environment:
    """A ready environment, whichever specifications lead to it.

    `packages` maps normalised names to versions, `python` is the full version.
    """

    key: str
    python: str
    lock: str
    packages: dict[str, str]
    built_from_source: tuple[str, ...]


def find_ready(specification: str, repository: str = "") -> dict[str, Any] | None:
    """Return the record of the ready environment of a specification, None if there is none yet.

    `specification` and `repository` are keys (`runner.rerun.provision.ready_keys`). Reads two small files.
    """
    lock = read_lock(specification, repository)
    environment = None if lock is None else read_ready(lock.environment)
    return None if lock is None or environment is None else record(environment, lock)


def record(environment: Environment, lock: Lock) -> dict[str, Any]:
    """Return what the host is told: the environment, and how this specification came to it."""
    how = {name: getattr(lock, name) for name in ("notes", "as_of", "build_as_of", "redated")}
    return {**asdict(environment), **how}


def read_lock(specification: str, repository: str) -> Lock | None:
    """Return the lock of a specification, the repository's own first; a corrupt record counts as none."""
    for path in (_lock_path(specification, repository), _lock_path(specification, "")):
        document = read_record(path)
        if document is not None:
            uses.note_use(path)
            try:
                return Lock(
                    environment=str(document["environment"]),
                    text=str(document["text"]),
                    built=tuple(map(str, document["built"])),
                    trees=tuple(map(str, document["trees"])),
                    notes=tuple(map(str, document["notes"])),
                    as_of=document["as_of"],
                    build_as_of=document["build_as_of"],
                    redated=document["redated"],
                )
            except (KeyError, TypeError):
                continue
    return None


def write_lock(specification: str, repository: str, lock: Lock) -> None:
    """Keep a lock; one with anything built in it is for this repository and commit alone."""
    own = bool(lock.built or lock.trees)
    path = _lock_path(specification, repository if own else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_json(path, asdict(lock))


def read_ready(key: str) -> Environment | None:
    """Return the record of an environment, None where it is not ready."""
    folder = environment_path(key)
    document = read_record(folder / ".ready")
    if document is None or not (folder / "bin" / "python").exists():
        return None
    uses.note_use(folder / ".ready")
    try:
        return Environment(
            key=str(document["key"]),
            python=str(document["python"]),
            lock=str(document["lock"]),
            packages={str(name): str(version) for name, version in document["packages"].items()},
            built_from_source=tuple(map(str, document["built_from_source"])),
        )
    except (KeyError, TypeError, AttributeError):
        return None


def write_ready(environment: Environment) -> None:
    """Declare an environment ready, after all of it is on the disk."""
    folder = environment_path(environment.key)
    flush(folder)
    _write_json(folder / ".ready", asdict(environment))


def environment_path(key: str) -> Path:
    """Return the folder of an environment, the same in every container."""
    return Path(layout.ENVIRONMENTS) / _checked(key)


def environment_key(*, lock: str, python: str, image: str, repository: str, trees: Sequence[str]) -> str:
    """Return the key of the environment that a lock makes; `repository` is empty where nothing was built.

    `trees` are the digests of the wheels from source trees.
    """
    parts = {"layout": LAYOUT_VERSION, "lock": lock, "python": python, "image": image, "repository": repository}
    text = json.dumps({**parts, "trees": list(trees)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock file `name` of the environments' folder; the kernel frees it when a container dies."""
    folder = Path(layout.ENVIRONMENTS)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{_checked(name)}.lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove(key: str) -> None:
    """Remove an environment; its record goes first, so that nobody takes the rest for one."""
    folder = environment_path(key)
    (folder / ".ready").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def site_packages(folder: Path) -> Path:
    """Return the folder that packages of a virtual environment lie in. Raises FileNotFoundError."""
    for path in sorted(folder.glob("lib/python3*/site-packages")):
        return path
    raise FileNotFoundError(f"{folder} is no virtual environment")


def freeze(site: Path) -> dict[str, str]:
    """Return the installed packages, normalised name to version, as their metadata's folder names say."""
    packages: dict[str, str] = {}
    for entry in os.scandir(site):
        stem, dot, suffix = entry.name.rpartition(".")
        name, dash, version = stem.partition("-")
        if dot and suffix == "dist-info" and dash:
            packages[normalised(name)] = version
    return dict(sorted(packages.items()))


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _lock_path(specification: str, repository: str) -> Path:
    name = _checked(specification) + (f".{_checked(repository)}" if repository else "")
    return Path(layout.LOCKS) / f"{name}.json"


def _checked(key: str) -> str:
    if not _NAME.fullmatch(key) or key in {".", ".."}:
        raise ValueError(f"{key!r} is no key")
    return key


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what a record says, None for one that is not there or corrupt."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush(folder: Path) -> None:
    """Have all that was written to a folder's file system on the disk."""
    # One call for thousands of files; the standard library offers none for a single file system.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
