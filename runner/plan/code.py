"""Whether the code that a command runs was changed soon after the run started: its work tree may have had that then.

MLflow records the commit and not whether the work tree was clean, and many commit what they have just trained.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta

from runner.plan.command import Command
from runner.plan.options.imports import read_imports
from runner.plan.options.syntax import parse
from runner.schema.plan import CodeChange
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

SOON = timedelta(hours=1)
"""How long after a run's start a commit may still be what the run was made of."""

_CODE = (".py", ".ipynb", ".sh", ".R", ".r", ".jl", ".pyx")
_WORD = re.compile(r"[\s;&|()<>\"'=]+")


def code_changed_soon(record: RunRecord, snapshot: RepositorySnapshot, command: Command) -> CodeChange | None:
    """Return the next commit after the run's start that changes what its command runs, None where none does soon."""
    if record.start_time is None:
        return None
    runs = tuple(_what_runs(command, snapshot))
    for change in snapshot.later_changes:
        since = change.time - record.start_time.replace(microsecond=0)
        if timedelta(0) <= since <= SOON and _is_of(change.path, runs):
            return CodeChange(commit=change.commit, path=change.path, seconds_after_start=int(since.total_seconds()))
    return None


def _is_of(path: str, runs: tuple[str, ...]) -> bool:
    """Tell whether a path is one of those that run; where none is known, any code may be."""
    if not runs:
        return path.endswith(_CODE)
    return any(path == run or (run.endswith("/") and path.startswith(run) and path.endswith(".py")) for run in runs)


def _what_runs(command: Command, snapshot: RepositorySnapshot) -> Iterator[str]:
    """Yield files that the command names or its scripts import, and packages as `folder/`."""
    lines = [(command.line, command.working_directory)]
    lines += [(stage.command or "", stage.working_directory) for stage in command.stages]
    paths = [(path, folder) for line, folder in lines for path in _named(line, folder, snapshot)]
    if command.script is not None:
        paths.append((command.script, command.working_directory))
    seen: set[str] = set()
    while paths:
        path, folder = paths.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        if path.endswith(".py") and path in snapshot.texts:
            paths += [(module, folder) for module in _imported(path, folder, snapshot)]


def _named(line: str, folder: str, snapshot: RepositorySnapshot) -> Iterator[str]:
    """Yield the files of the commit that a shell line names, as paths or as modules."""
    try:
        words = [part for word in shlex.split(line) for part in (word, *_WORD.split(word))]
    except ValueError:
        words = _WORD.split(line)
    places = dict.fromkeys((folder, ".", *(words[at + 1] for at, word in enumerate(words[:-1]) if word == "cd")))
    for word in filter(None, words):
        for place in places:
            yield from (path for path in (_joined(place, word),) if snapshot.has(path))
            if re.fullmatch(r"\w+(?:\.\w+)+", word):
                yield from _module(word, place, snapshot)


def _imported(path: str, folder: str, snapshot: RepositorySnapshot) -> Iterator[str]:
    """Yield the modules and packages of the commit that a script imports."""
    tree = parse(snapshot.texts[path])
    if tree is None:
        return
    imported, relative = read_imports(tree)
    own = posixpath.dirname(path)
    if relative:
        yield f"{own}/" if own else path
    for name in imported:
        for place in dict.fromkeys((folder, own, ".", "src")):
            yield from _module(name, place, snapshot)


def _module(name: str, folder: str, snapshot: RepositorySnapshot) -> Iterator[str]:
    """Yield the file of a module, or its whole package: which of its modules it imports in turn is not looked into."""
    base = _joined(folder, name.partition(".")[0])
    if snapshot.has(f"{base}.py"):
        yield f"{base}.py"
    if any(entry.path.startswith(f"{base}/") and entry.path.endswith(".py") for entry in snapshot.tree):
        yield f"{base}/"


def _joined(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))
