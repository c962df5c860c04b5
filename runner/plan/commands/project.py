"""MLflow projects: what `mlflow run` was told, and the command that its entry point makes of it. Pure.

As MLflow does it: parameters of the entry point are filled into its command with the recorded values or their
defaults, others are put behind as `--name value`, a script's name is an entry point of its own, and the project's
folder is the working directory.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.lineage.pipeline import load_mapping
from runner.lineage.script import ENTRY_POINT_TAG, SOURCE_TAG, project_folder_name
from runner.plan.arguments import effective
from runner.plan.commands.paths import path_in_tree
from runner.plan.commands.started import script_runs
from runner.plan.options import ScriptInterface
from runner.plan.values import same_value
from runner.redact import redact
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

_PROGRAMS = {".py": "python", ".sh": "bash"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

Interfaces = Callable[[str, str], ScriptInterface]
"""Returns what a script of the commit takes, started in a folder."""


@dataclass(frozen=True)
class ProjectCommand:
    """The command of an entry point in its folder; or the `problem`, a sentence, that keeps it from being known.

    `given` are the recorded params that `mlflow run` itself logged, as it was told them; `appended` those that it put
    behind the command as options, which the record tells only by the script's declaring them. `offered` are commands
    of other entry points, from the repository's root; `first_commit` is the one that first has the project; `variables`
    are those that its image's section sets.
    """

    line: str = ""
    folder: str = "."
    source: str = ""
    given: tuple[str, ...] = ()
    appended: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    problem: str | None = None
    first_commit: str | None = None


def project_folder(record: RunRecord, snapshot: RepositorySnapshot) -> str | None:
    """Return the folder of the run's MLflow project; None for other runs, or where the commit has no such folder.

    The recorded source is an address or a path with the folder behind `#`, else a path of another machine that ends in
    it.
    """
    if not record.tags.get(ENTRY_POINT_TAG, "").strip():
        return None
    place = record.tags.get(SOURCE_TAG, "").strip().strip("\"'").partition("#")[0]
    named = project_folder_name(record)
    paths = [entry.path for entry in snapshot.tree]
    folders = {"."} | {path[:end] for path in paths for end in range(len(path)) if path[end] == "/"}
    if named is not None:
        return named if named in folders else None
    parts = [part for part in re.sub(r"^(?:file:/*)?(?:[A-Za-z]:)?", "", place).replace("\\", "/").split("/") if part]
    if not _URI.match(place) or place.startswith("file:"):
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        found = next((end for end in ends if _project_file(end, snapshot) is not None), None)
        if found is not None:
            return found
    return "."


def project_command(
    record: RunRecord, snapshot: RepositorySnapshot, read: Interfaces | None = None
) -> ProjectCommand | None:
    """Return what `mlflow run` ran, None for a run that it did not start.

    Without `read` nothing is put behind the command.
    """
    entry = record.tags.get(ENTRY_POINT_TAG, "").strip()
    if not entry:
        return None
    folder = project_folder(record, snapshot)
    if folder is None:
        named = project_folder_name(record) or "."
        later = snapshot.first_commit_with.get(named)
        there = f"; commit {later[:12]} is the first that has it" if later else ""
        problem = f"the folder {named} of the run's MLflow project is not in commit {snapshot.commit[:12]}{there}"
        others = (
            _project_in(posixpath.dirname(path), snapshot) for path in sorted(snapshot.texts) if _is_project(path)
        )
        offered = [
            _filled(str(points[entry]["command"]), points[entry], record, snapshot, read, place, "", document)
            for place, document, points in others
            if _has_command(points.get(entry))
        ]
        lines = tuple(_led(each.folder, each.line) for each in offered if each.problem is None)
        return ProjectCommand(problem=problem, first_commit=later, offered=lines)
    path = _project_file(folder, snapshot)
    _, document, points = _project_in(folder, snapshot)
    shown = path or f"the folder {folder}"
    script = _as_script(entry, folder, snapshot)
    if entry in points:
        source = f"tag {ENTRY_POINT_TAG}, entry point {entry} of {shown}"
        body = points[entry] if isinstance(points[entry], dict) else {}
    elif script is not None:
        source, body = f"tag {ENTRY_POINT_TAG}, which is a script", {"command": script}
    else:
        there = f"; it has {', '.join(sorted(points))}" if points else ""
        return ProjectCommand(
            folder=folder,
            problem=f"{shown} at the commit has no entry point {entry!r}, by which `mlflow run` started the run{there}",
            offered=tuple(_led(folder, str(body["command"])) for body in points.values() if _has_command(body)),
        )
    if not _has_command(body):
        return ProjectCommand(folder=folder, problem=f"entry point {entry} of {shown} has no command")
    return _filled(str(body["command"]), body, record, snapshot, read, folder, source, document)


def _project_in(folder: str, snapshot: RepositorySnapshot) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return a folder with its MLproject and the entry points in it; both empty where there is none."""
    document = load_mapping(snapshot.texts.get(_project_file(folder or ".", snapshot) or "", ""))
    points = document.get("entry_points")
    return (
        folder or ".",
        document,
        {str(name): body for name, body in points.items()} if isinstance(points, dict) else {},
    )


def _is_project(path: str) -> bool:
    return posixpath.basename(path).lower() == "mlproject"


def _led(folder: str, line: str) -> str:
    return line if folder == "." else f"cd {shlex.quote(folder)} && {line}"


def _filled(
    template: str,
    body: Mapping[str, Any],
    record: RunRecord,
    snapshot: RepositorySnapshot,
    read: Interfaces | None,
    folder: str,
    source: str,
    document: Mapping[str, Any],
) -> ProjectCommand:
    declared = body.get("parameters")
    values: dict[str, str] = {}
    given: list[str] = []
    for name, about in (declared if isinstance(declared, dict) else {}).items():
        kind, default = _declaration(about)
        recorded = record.params.get(str(name))
        value = default if recorded is None else unquoted(recorded)
        if recorded is not None:
            given.append(str(name))
        if value is None:
            return ProjectCommand(folder=folder, problem=f"the run records no {name}, which {source} demands")
        if str(name) in record.params_truncated:
            return ProjectCommand(folder=folder, problem=f"the recorded value of {name} is cut")
        if kind == "path" and _URI.match(value) and not value.startswith("file:"):
            problem = f"{source} takes {name} from {redact(value)}, which `mlflow run` downloads before it starts"
            return ProjectCommand(folder=folder, problem=problem)
        values[str(name)] = shlex.quote(_local(value, kind, folder, snapshot))
    line = _format(template.strip(), values)
    if line is None:
        return ProjectCommand(folder=folder, problem=f"the command of {source} has a field that no parameter fills")
    appended = _appended(line, folder, record, snapshot, read, set(values)) if read is not None else []
    words = [word for name, value in appended for word in (f"--{name}", shlex.quote(value))]
    return ProjectCommand(
        line=" ".join([" ".join(line.split("\n")), *words]),
        folder=folder,
        source=source,
        given=(*given, *(name for name, _ in appended)),
        appended=tuple(name for name, _ in appended),
        variables=_variables(document),
    )


def _appended(
    line: str,
    folder: str,
    record: RunRecord,
    snapshot: RepositorySnapshot,
    read: Interfaces,
    declared: set[str],
) -> list[tuple[str, str]]:
    """Return recorded params that the entry point does not declare, and that the script has another value for."""
    found: list[tuple[str, str]] = []
    for run in script_runs(line, folder, snapshot)[:1]:
        for option in read(run.path, run.folder).options:
            name = (option.flag or "").removeprefix("--")
            recorded = record.params.get(name)
            if recorded is None or name in declared or name in record.params_truncated or not option.flag:
                continue
            value = effective(option, list(run.arguments))
            if value is None or not same_value(value, unquoted(recorded)):
                found.append((name, _local(unquoted(recorded), "string", folder, snapshot)))
    return found


def _declaration(about: Any) -> tuple[str, str | None]:
    """Return a parameter's type and default; a type alone may be written for both."""
    if isinstance(about, dict):
        default = about.get("default")
        known = isinstance(default, str | int | float)
        return str(about.get("type", "string")), str(default) if known else None
    return str(about), None


def _local(value: str, kind: str, folder: str, snapshot: RepositorySnapshot) -> str:
    """Return a path of another machine as the path in the project's folder, where the commit has what it ends in."""
    if re.match(r"(?:file:|[A-Za-z]:[\\/]|/|\\\\|~)", value):
        inside = path_in_tree(value, snapshot)
        return posixpath.relpath(inside, folder) if inside is not None else value
    if kind == "path" and folder != ".":
        own = posixpath.normpath(posixpath.join(folder, value))
        known = {path_in_tree(text, snapshot) for text in (own, value)}
        if (
            own not in known and posixpath.normpath(value) in known
        ):  # `mlflow run FOLDER -P` takes it from its own place
            return posixpath.relpath(posixpath.normpath(value), folder)
    return value


def unquoted(recorded: str) -> str:
    """Return what a parameter was: MLflow records it as quoted for a shell."""
    try:
        words = shlex.split(recorded)
    except ValueError:
        return recorded
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == recorded else recorded


def _format(template: str, values: Mapping[str, str]) -> str | None:
    """Return `template.format(**values)`, for plain names alone; None where a field stays open."""
    parts: list[str] = []
    try:
        for literal, field, form, conversion in string.Formatter().parse(template):
            parts.append(literal)
            if field is None:
                continue
            if field not in values or form or conversion:
                return None
            parts.append(values[field])
    except ValueError:
        return None
    return "".join(parts)


def _as_script(entry: str, folder: str, snapshot: RepositorySnapshot) -> str | None:
    """Return the command of an entry point that is a script's name."""
    program = _PROGRAMS.get(posixpath.splitext(entry)[1])
    there = program is not None and snapshot.has(posixpath.normpath(posixpath.join(folder, entry)))
    return f"{program} {shlex.quote(entry)}".replace("{", "{{").replace("}", "}}") if there else None


def _project_file(folder: str, snapshot: RepositorySnapshot) -> str | None:
    """Return the MLproject file of a folder: MLflow takes its name in any case."""
    wanted = posixpath.normpath(posixpath.join(folder, "MLproject")).lower()
    return next((path for path in snapshot.texts if path.lower() == wanted), None)


def _variables(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the variables that the section of a project's image sets; those that it copies are of the host."""
    image = document.get("docker_env")
    listed = image.get("environment") if isinstance(image, dict) else None
    pairs = [item for item in listed if isinstance(item, list) and len(item) == 2] if isinstance(listed, list) else []
    return tuple((str(name), str(value)) for name, value in pairs)


def _has_command(body: Any) -> bool:
    return isinstance(body, dict) and isinstance(body.get("command"), str)
