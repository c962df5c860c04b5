"""What stands around a command on its author's machine and means nothing in a container. Pure.

The environment is made by us and is the one on the path: `uv run`, `poetry run`, an activation, an interpreter of
another machine all come to the plain command.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.plan.commands.shell import Simple, Word, is_assignment, is_python, joined_line, program_of, split_line
from runner.plan.commands.tools import tool_scripts
from runner.schema.snapshot import RepositorySnapshot

_EVERYWHERE = frozenset({"python", "python3"})  # an image of the run's own may have only the second
_DEEPEST = 8
_ALONE: Mapping[str, frozenset[str]] = {
    "sudo": frozenset({"-u", "-g", "--user", "--group", "-C", "-h", "-p"}),
    "nohup": frozenset(),
    "time": frozenset({"-f", "-o"}),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n"}),
    "exec": frozenset(),
    "env": frozenset({"-u", "--unset"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "caffeinate": frozenset(),
    "xvfb-run": frozenset({"-s", "-n"}),
}
"""Programs that start another, with their options that take a value."""

_RUNNERS: Mapping[str, frozenset[str]] = {
    "uv": frozenset(
        {
            *("--with", "--with-requirements", "--with-editable", "--python", "-p", "--extra", "--no-extra", "--group"),
            *("--no-group", "--only-group", "--package", "--env-file", "--directory", "--project", "--index", "-i"),
            *("--index-url", "--extra-index-url", "--find-links", "-f", "--refresh-package", "--upgrade-package", "-P"),
            *("--resolution", "--prerelease", "--exclude-newer", "--link-mode", "--cache-dir", "--config-file"),
            *("--color", "--config-setting", "-C"),
        }
    ),
    "poetry": frozenset({"-C", "--directory", "-P", "--project"}),
    "pipenv": frozenset(),
    "pdm": frozenset({"-p", "--project", "-s", "--site-packages"}),
    "rye": frozenset({"--pyproject"}),
    "hatch": frozenset({"-e", "--env"}),
    "conda": frozenset({"-n", "--name", "-p", "--prefix", "--cwd"}),
    "mamba": frozenset({"-n", "--name", "-p", "--prefix", "--cwd"}),
    "micromamba": frozenset({"-n", "--name", "-p", "--prefix", "--cwd"}),
}
"""Tools that run a command in an environment of theirs (`TOOL run CMD`), with their options that take a value."""

_LEADS = frozenset({"-C", "--directory", "--cwd"})
_PREPARES = (
    ("source", ("activate",)),
    (".", ("activate",)),
    ("conda", ("activate", "deactivate", "env", "install")),
    ("mamba", ("activate", "install")),
    ("pyenv", ("activate", "local", "shell")),
    ("deactivate", ()),
    ("pip", ("install",)),
    ("pip3", ("install",)),
    ("uv", ("sync", "venv", "pip", "lock")),
    ("poetry", ("install", "update", "lock", "shell")),
    ("pipenv", ("install", "sync", "shell")),
    ("pdm", ("install", "sync")),
    ("dvc", ("pull", "fetch", "checkout")),
    ("git", ("pull", "checkout", "clone", "fetch")),
)
"""Commands that make ready what we make ready: environment, code and data."""


@dataclass(frozen=True)
class Unwrapped:
    """A line without its wrappers; `removed` names them, `env_files` are files of variables that they would load."""

    line: str
    removed: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Stripped:
    assignments: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    folder: str | None = None


def without_wrappers(line: str, snapshot: RepositorySnapshot, folder: str = ".") -> Unwrapped:
    """Return a line that says the same in a container whose environment is on the path.

    Names that a tool of the project gives to commands (`[tool.pdm.scripts]`, `[scripts]` of a Pipfile) are what they
    stand for. A line that cannot be taken apart stays as it is.
    """
    commands = split_line(line)
    if commands is None:
        return Unwrapped(line)
    kept: list[Simple] = []
    removed: list[str] = []
    env_files: list[str] = []
    for command in commands:
        what = _preparation(command)
        if what is not None:
            removed.append(what)
            continue
        stripped = _strip(command, tool_scripts(snapshot, folder))
        removed += stripped.removed
        env_files += stripped.env_files
        kept.append(_without(command, stripped))
    if not kept:
        return Unwrapped(line)
    if kept[-1].operator == "&":  # in the background there it would end with the container's first process
        removed.append("&")
    kept[-1] = replace(kept[-1], operator="")
    if not removed and not env_files and all(one is other for one, other in zip(commands, kept, strict=False)):
        return Unwrapped(line)
    return Unwrapped(joined_line(kept), tuple(dict.fromkeys(removed)), tuple(dict.fromkeys(env_files)))


def env_files(line: str, folder: str, snapshot: RepositorySnapshot) -> tuple[str, ...]:
    """Return the files of variables that the wrappers of a line would load."""
    return without_wrappers(line, snapshot, folder).env_files


def _preparation(command: Simple) -> str | None:
    """Return what a command makes ready that we make ready ourselves."""
    words = [word.text for word in command.called]
    if not words:
        return None
    program = program_of(words[0])
    if is_python(words[0]) and words[1:4] == ["-m", "pip", "install"]:
        return "python -m pip install"
    for name, followers in _PREPARES:
        if program != name:
            continue
        if not followers:
            return name
        if any(posixpath.basename(word) in followers for word in words[1:2]):
            return f"{name} {posixpath.basename(words[1])}"
    if posixpath.basename(words[0]) == "activate" or re.fullmatch(r"(?i)activate(\.(bat|ps1|fish))?", program):
        return "activate"
    return None


def _strip(command: Simple, scripts: Mapping[str, str]) -> _Stripped:
    found = _Stripped(rest=tuple(word.raw for word in command.words))
    for _ in range(_DEEPEST):
        step = None if command.entangled else _step(found.rest, scripts)
        if step is None:
            break
        found = _Stripped(
            (*found.assignments, *step.assignments),
            step.rest,
            (*found.removed, *step.removed),
            (*found.env_files, *step.env_files),
            step.folder if found.folder is None else found.folder,
        )
    return found if command.entangled else _with_plain_python(found)


def _step(raw: tuple[str, ...], scripts: Mapping[str, str]) -> _Stripped | None:
    """Take one layer off; None where there is none."""
    at = next((index for index, word in enumerate(raw) if not is_assignment(word)), len(raw))
    if at:
        return _Stripped(raw[:at], raw[at:])
    texts = [Word(word, 0).text for word in raw]
    if not texts:
        return None
    program = program_of(texts[0])
    if program in _ALONE:
        start = _after_options(texts, 1, _ALONE[program])[0]
        return _Stripped(rest=raw[start:], removed=(program,)) if start < len(raw) else None
    return _of_runner(program, raw, texts, scripts) if program in _RUNNERS else None


def _of_runner(program: str, raw: tuple[str, ...], texts: list[str], scripts: Mapping[str, str]) -> _Stripped | None:
    """Take `TOOL run` off, with its options; None where the tool does something else."""
    valued = _RUNNERS[program]
    run, options = _after_options(texts, 1, valued)
    if run >= len(texts) or texts[run] != "run":
        return None
    start, more = _after_options(texts, run + 1, valued, until_module=program == "uv")
    if start >= len(texts):
        return None
    options += more
    rest = raw[start:]
    if texts[start] in ("-m", "--module"):
        rest = ("python", "-m", *raw[start + 1 :])
    elif program == "uv" and texts[start].endswith(".py"):
        rest = ("python", *rest)
    elif program == "hatch" and re.match(r"[\w.-]+:\S", texts[start]):
        rest = (shlex.quote(texts[start].partition(":")[2]), *raw[start + 1 :])
    name = Word(rest[0], 0).text
    if name in scripts:
        expanded = split_line(scripts[name])
        if expanded is not None and len(expanded) == 1:
            rest = (*(word.raw for word in expanded[0].words), *rest[1:])
    files = [value for option, value in options if option == "--env-file"]
    files += [".env"] if program == "pipenv" else []
    folder = next((value for option, value in options if option in _LEADS), None)
    return _Stripped((), rest, (f"{program} run",), tuple(files), folder)


def _after_options(
    texts: list[str], at: int, valued: frozenset[str], *, until_module: bool = False
) -> tuple[int, list[tuple[str, str]]]:
    """Return where the options end, and those that have a value."""
    options: list[tuple[str, str]] = []
    while at < len(texts) and texts[at].startswith("-"):
        option, equals, value = texts[at].partition("=")
        if until_module and option in ("-m", "--module"):
            break
        at += 1
        if option == "--":
            break
        if equals:
            options.append((option, value))
        elif option in valued and at < len(texts):
            options.append((option, texts[at]))
            at += 1
    return at, options


def _with_plain_python(found: _Stripped) -> _Stripped:
    """Name the interpreter as every environment does: its place and version are the author's."""
    if not found.rest:
        return found
    text = Word(found.rest[0], 0).text
    if text in _EVERYWHERE or not is_python(text):
        return found
    rest = found.rest[1:]
    if program_of(text).lower() == "py" and rest and re.fullmatch(r"-\d(\.\d+)?(-\d+)?", rest[0]):
        rest = rest[1:]
    return replace(found, rest=("python", *rest), removed=(*found.removed, text))


def _without(command: Simple, stripped: _Stripped) -> Simple:
    if not stripped.removed:
        return command
    last = command.words[-1].end - command.start
    line = " ".join((*stripped.assignments, *stripped.rest)) + command.text[last:]
    if stripped.folder not in (None, "."):
        line = f"cd {shlex.quote(stripped.folder or '.')} && {line}"
    return replace(command, text=line)
