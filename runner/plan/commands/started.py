"""Which Python files of the commit a command starts: by path, by `-m`, by a shell script, or by an entry point."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass
from itertools import pairwise

from runner.plan.commands.console import console_scripts
from runner.plan.commands.shell import Started, lines_of, split_line, started_by
from runner.plan.commands.wrappers import Unwrapped, without_wrappers
from runner.schema.snapshot import RepositorySnapshot

_SHELL_ONLY = re.compile(r"\$[0-9@*#{]|\b(?:BASH_SOURCE|function|trap)\b")


@dataclass(frozen=True)
class ScriptRun:
    """A Python file of the commit that is started in a folder with these arguments."""

    path: str
    arguments: tuple[str, ...]
    folder: str


def script_runs(line: str, directory: str, snapshot: RepositorySnapshot) -> tuple[ScriptRun, ...]:
    """Return all starts of the commit's own Python files that a line shows."""
    line = without_wrappers(line, snapshot, directory).line
    if split_line(line) is None:
        return tuple(ScriptRun(path, (), directory) for path in _named_anywhere(line, directory, snapshot))
    return tuple(run for started in started_by(line, directory) for run in _runs(started, snapshot))


def started_script(line: str, directory: str, snapshot: RepositorySnapshot) -> str | None:
    """Return the script of the commit that a command starts; None where none shows."""
    return next(iter(started_scripts(line, directory, snapshot)), None)


def started_scripts(line: str, directory: str, snapshot: RepositorySnapshot) -> list[str]:
    """Return all scripts of the commit that a command starts."""
    return list(dict.fromkeys(run.path for run in script_runs(line, directory, snapshot)))


def shell_scripts(line: str, directory: str, snapshot: RepositorySnapshot) -> list[str]:
    """Return the shell scripts of the commit that a command starts."""
    line = without_wrappers(line, snapshot, directory).line
    names = [
        _joined(started.folder, started.name)
        for started in started_by(line, directory)
        if started.kind == "file" and started.name.endswith(".sh")
    ]
    return [path for path in names if snapshot.has(path)]


def shell_script_inlined(line: str, directory: str, snapshot: RepositorySnapshot) -> Unwrapped | None:
    """Return the lines of the one shell script that a line runs, where it has wrappers that would fail in a container.

    A script with arguments, loops or substitutions stays as it is.
    """
    commands = split_line(line)
    scripts = shell_scripts(line, directory, snapshot)
    if commands is None or len(commands) != 1 or len(scripts) != 1:
        return None
    started = started_by(line, directory)[0]
    text = "\n".join(lines_of(snapshot.texts.get(scripts[0], "")))
    if started.arguments or commands[0].assigned or _SHELL_ONLY.search(text):
        return None
    unwrapped = without_wrappers(text, snapshot, directory)
    return unwrapped if unwrapped.removed else None


def _runs(started: Started, snapshot: RepositorySnapshot) -> list[ScriptRun]:
    if started.kind == "program":
        if "/" in started.name:
            return []
        scripts = console_scripts(snapshot, started.name)
        return [ScriptRun(script.path, started.arguments, started.folder) for script in scripts[:1]]
    if started.kind == "module":
        inner = started.name.replace(".", "/")
        paths = [_joined(started.folder, name) for name in (f"{inner}.py", f"{inner}/__main__.py")]
        return [ScriptRun(path, started.arguments, started.folder) for path in paths if snapshot.has(path)]
    path = _joined(started.folder, started.name)
    if path.endswith(".sh"):
        return [
            run
            for line in lines_of(snapshot.texts.get(path, ""))
            for inner in started_by(without_wrappers(line, snapshot, started.folder).line, started.folder)
            if not inner.name.endswith(".sh")
            for run in _runs(inner, snapshot)
        ]
    return [ScriptRun(path, started.arguments, started.folder)] if snapshot.has(path) else []


def _named_anywhere(line: str, directory: str, snapshot: RepositorySnapshot) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError:
        return []
    modules = [f"{module.replace('.', '/')}.py" for flag, module in pairwise(words) if flag == "-m"]
    paths = [_joined(directory, name) for name in [*(word for word in words if word.endswith(".py")), *modules]]
    return [path for path in paths if snapshot.has(path)]


def _joined(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
