"""Whether `dvc.lock` is of the commit that holds it: only then are numbers of the commit a baseline (VERDICTS rule 23).

Many are not: a stage was changed and run, and its lock never committed.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from runner.lineage.pipeline import Stage, covers, load_mapping
from runner.pointers.document import PointerSyntaxError
from runner.pointers.templates import OpenTemplate, select
from runner.pointers.values import load_file
from runner.schema.digest import DigestValue
from runner.schema.snapshot import PointerOut, RepositorySnapshot


def locked_deps(stage: Stage, snapshot: RepositorySnapshot) -> dict[str, DigestValue]:
    """Return the digests of a stage's dependencies that its lock names."""
    return {dep.path: dep.digest for dep in snapshot.locked if _is_of(dep, stage) and dep.digest is not None}


def stale(stage: Stage, snapshot: RepositorySnapshot) -> Iterator[str]:
    """Yield in sentences where the lock is not the commit's, by what plain values tell.

    That is another command, other params, or other digests than those of the pointers.
    """
    lock = posixpath.join(posixpath.dirname(stage.file), "dvc.lock")
    entry = _entry(stage, snapshot.texts.get(lock, ""))
    if entry is None:
        return
    about = f"{lock} at the commit is not of its code: stage {stage.name}"
    here = {out.path: out.digest for out in snapshot.pointers if out.digest is not None}
    for path, digest in locked_deps(stage, snapshot).items():
        if path in here and here[path].hexdigest != digest.hexdigest:
            yield f"{about} had other bytes of {path}"
    commands = entry.get("cmd")
    locked = " && ".join(map(str, commands)) if isinstance(commands, list) else str(commands or "")
    if locked and stage.command is not None and locked.split() != stage.command.split():
        yield f"{about} had the command `{locked}`"
    params = entry.get("params")
    for file, values in params.items() if isinstance(params, dict) else ():
        path = posixpath.normpath(posixpath.join(stage.working_directory, str(file)))
        for key, value in values.items() if isinstance(values, dict) and path in snapshot.texts else ():
            if not _has(path, snapshot.texts[path], str(key), value):
                yield f"{about} had {key} = {value} of {path}"


def agreed_metrics(stage: Stage, snapshot: RepositorySnapshot) -> Iterator[PointerOut]:
    """Yield the files of metrics that the commit holds as its lock names them, where the lock is the commit's.

    Whatever of the stage's dependencies was not read counts as another.
    """
    if _entry(stage, snapshot.texts.get(posixpath.join(posixpath.dirname(stage.file), "dvc.lock"), "")) is None:
        return
    if any(stale(stage, snapshot)):
        return
    deps = locked_deps(stage, snapshot)
    for path, digest in deps.items():  # what the commit does not hold is restored by the lock's own digest
        is_here = any(covers(path, entry.path) for entry in snapshot.tree)
        if is_here and not _is_as_locked(path, digest, snapshot.texts):
            return
    for out in snapshot.pointers:
        if not _is_of(out, stage) or out.path not in stage.metrics or out.digest is None:
            continue
        if _is_as_locked(out.path, out.digest, snapshot.texts):
            yield out


def lacking_of_lock(stage: Stage, snapshot: RepositorySnapshot) -> list[str]:
    """Return the files whose texts must be read to tell whether a stage's metrics at the commit are a baseline."""
    if not any(
        _is_of(out, stage) and out.path in stage.metrics and snapshot.has(out.path) for out in snapshot.pointers
    ):
        return []
    return [path for path in (*locked_deps(stage, snapshot), *stage.metrics) if path not in snapshot.texts]


def _entry(stage: Stage, lock: str) -> dict[str, Any] | None:
    document = load_mapping(lock)
    stages = document.get("stages") if "schema" in document else document
    entry = stages.get(stage.name) if isinstance(stages, dict) else None
    return entry if isinstance(entry, dict) else None


def _is_as_locked(path: str, digest: DigestValue, texts: Mapping[str, str]) -> bool:
    """Tell whether a file of the commit has a digest, with the line endings of git or of Windows."""
    text = texts.get(path)
    if text is None or digest.directory:
        return False
    unix = text.replace("\r\n", "\n")
    return any(
        hashlib.md5(variant.encode(), usedforsecurity=False).hexdigest() == digest.hexdigest
        for variant in (text, unix, unix.replace("\n", "\r\n"))
    )


def _is_of(out: PointerOut, stage: Stage) -> bool:
    return out.stage == stage.name and posixpath.dirname(out.pointer) == posixpath.dirname(stage.file)


def _has(path: str, text: str, key: str, value: Any) -> bool:
    try:
        return bool(select(key, load_file(path, text)) == value)
    except OpenTemplate:
        return value is None
    except PointerSyntaxError:
        return True
