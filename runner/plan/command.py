"""The training command: given, configured, recorded, or inferred from the script and the recorded params."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.notebook import is_notebook, notebook_line
from runner.lineage.pipeline import Stage, load_mapping, stage_of, stages_of
from runner.lineage.recorded import Recorded, named
from runner.lineage.remedy import command_again
from runner.lineage.script import Script, locate_script, wanted_paths
from runner.lineage.training import COMMAND_TAGS, hides_secret, training_directory
from runner.plan.arguments import Arguments, effective, map_params, quoted
from runner.plan.notebook import read_notebook_interface
from runner.plan.options import ScriptInterface, read_interface
from runner.plan.options.around import surroundings
from runner.plan.values import same_value
from runner.redact import redact
from runner.schema.lineage import Considered
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

ENTRY_POINT_TAG = "mlflow.project.entryPoint"
_REPRO_VALUES = frozenset({"-S", "--set-param", "-n", "--name", "-m", "--message", "-j", "--jobs"})
_REPRO = re.compile(r"(?P<repro>\bdvc(?:\s+-{1,2}(?:verbose|quiet|[vq]+))*\s+(?:repro|exp\s+run)\b)(?P<rest>[^|;&\n]*)")


@dataclass(frozen=True)
class Command:
    """One shell line, with where it comes from.

    `script` is the script that it starts, where that is known; `stages` are the stages of `dvc.yaml` that start the
    same script, `stage` the one whose command this is. `recorded` is the line that the run recorded, or that its record
    leads to, where a person gave another. `used` are the params that its words give.
    """

    line: str
    source: str
    inferred: bool
    working_directory: str = "."
    working_directory_source: str = "default: the repository's root"
    uncovered: tuple[str, ...] = ()
    script: str | None = None
    stages: tuple[Stage, ...] = ()
    recorded: str | None = None
    considered: tuple[Considered, ...] = ()
    used: tuple[str, ...] = ()


def resolve_command(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts) -> Command:
    """Return the command of a run.

    Order: `--command` or `-- CMD`, `runner.yaml`, `runner.yaml` at the commit, the entry point of an MLflow project,
    the tag `runner.command`, else inferred from the script. Raises MissingFact, or AmbiguousFact with commands ready
    to paste.
    """
    if not settings.command:
        return _command_of_run(record, snapshot, settings, facts)
    directory, directory_source = _working_directory(settings, facts)
    given = _given(settings.command, settings.source("command"), directory, directory_source, snapshot)
    try:
        own = _command_of_run(record, snapshot, settings, facts)
    except (MissingFact, AmbiguousFact):
        return given
    return given if _same_line(own, given) else replace(given, recorded=own.line)


def _command_of_run(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts) -> Command:
    """Return the command that the commit or the record holds, else the one that they lead to."""
    directory, directory_source = _working_directory(settings, facts)
    if facts.command:
        found: tuple[str, str] | None = (facts.command, f"command in {FILE_NAME} at the commit")
    else:
        found = _project_command(record, snapshot)
        recorded = named(record, COMMAND_TAGS)
        if found is None and recorded:
            _check_whole(recorded[0], record, settings)
            found = recorded[0].value, recorded[0].source
            started_in = training_directory(record)
            if directory is None and started_in is not None:
                directory, directory_source = started_in.value, started_in.source
    if found is None:
        return _inferred(record, snapshot, settings, directory, directory_source)
    return _given(*found, directory, directory_source, snapshot)


def _check_whole(recorded: Recorded, record: RunRecord, settings: Settings) -> None:
    """Refuse a recorded command of which a secret was left out."""
    if hides_secret(recorded.value):
        raise MissingFact(
            f"the recorded command ({recorded.source}) lacks what looked like a secret: {redact(recorded.value)}",
            command_again(record, settings, f"--command {shlex.quote(redact(recorded.value))}")
            + "   # with a value that the training takes",
            fact="command",
            looked_in=(recorded.source,),
        )


def _given(
    line: str, source: str, directory: str | None, directory_source: str, snapshot: RepositorySnapshot
) -> Command:
    line = forced_repro(line)
    script = started_script(line, directory or ".", snapshot)
    return Command(
        line=line,
        source=source,
        inferred=False,
        working_directory=directory or ".",
        working_directory_source=directory_source,
        script=script,
        stages=stage_of(snapshot, script) if script else _repro_stages(line, directory or ".", snapshot),
    )


def _same_line(one: Command, other: Command) -> bool:
    return one.working_directory == other.working_directory and _words(one.line) == _words(other.line) != []


def forced_repro(line: str) -> str:
    """Return a command in which `dvc repro` runs what it is asked to run (VERDICTS rule 19).

    As it is it skips what did not change and restores outputs from its run cache, so that nothing would be trained.
    With a target, the target alone is run: its dependencies are restored at their recorded digests.
    """

    def force(match: re.Match[str]) -> str:
        # `exp run` knows no --no-run-cache; --force alone keeps it from there.
        flags = ["--force"] if match["repro"].endswith("run") else ["--force", "--no-run-cache"]
        if _targets(match["rest"]):
            flags.insert(0, "--single-item")
        given = {"-f": "--force", "-s": "--single-item"}
        present = {given.get(word, word) for word in _words(match["rest"])}
        return " ".join([match["repro"], *(flag for flag in flags if flag not in present)]) + match["rest"]

    return _REPRO.sub(force, line)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _targets(rest: str) -> list[str]:
    """Return the targets among what follows `dvc repro`."""
    words = iter(_words(rest))
    targets = []
    for word in words:
        if word in _REPRO_VALUES:
            next(words, None)
        elif not word.startswith("-"):
            targets.append(word)
    return targets


def _repro_stages(line: str, directory: str, snapshot: RepositorySnapshot) -> tuple[Stage, ...]:
    """Return the stages that a `dvc repro` names, whose outs are the training's then."""
    names = {name for match in _REPRO.finditer(line) for name in _targets(match["rest"])}
    return tuple(
        stage
        for stage in stages_of(snapshot)
        if stage.name in names and posixpath.dirname(stage.file) == ("" if directory == "." else directory)
    )


def _working_directory(settings: Settings, facts: CommitFacts) -> tuple[str | None, str]:
    if settings.working_directory:
        return settings.working_directory, settings.source("working_directory")
    if facts.working_directory:
        return facts.working_directory, f"working_directory in {FILE_NAME} at the commit"
    return None, "default: the repository's root"


def started_script(line: str, directory: str, snapshot: RepositorySnapshot) -> str | None:
    """Return the script of the commit that a command starts, by its path or by `-m`; None where none shows."""
    return next(iter(started_scripts(line, directory, snapshot)), None)


def started_scripts(line: str, directory: str, snapshot: RepositorySnapshot) -> list[str]:
    """Return all scripts of the commit that a command starts."""
    try:
        words = shlex.split(line)
    except ValueError:
        return []
    modules = [f"{module.replace('.', '/')}.py" for flag, module in pairwise(words) if flag == "-m"]
    named = [*(word for word in words if word.endswith(".py")), *modules]
    paths = [posixpath.normpath(posixpath.join(directory, name)) for name in named]
    return [path for path in paths if snapshot.has(path)]


def _inferred(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, directory: str | None, directory_source: str
) -> Command:
    script = locate_script(record, snapshot, settings)
    stages = stage_of(snapshot, script.path)
    interface = interface_of(script.path, directory or script.working_directory, snapshot)
    arguments = map_params(record, interface, lambda text: _path_in_tree(text, snapshot))
    agreeing = [stage for stage in stages if _agrees(stage, interface, record)]
    if len(agreeing) == 1 and directory is None:
        return _of_stage(agreeing[0], script, arguments, stages)
    if len(agreeing) > 1:
        commands = [f"--command {shlex.quote(_in_directory(stage))}" for stage in agreeing]
        raise AmbiguousFact(
            f"{script.path} is run by several stages: {', '.join(stage.name for stage in agreeing)}",
            command_again(record, settings, commands[0]),
            fact="command",
            looked_in=tuple(dict.fromkeys(stage.file for stage in agreeing)),
            nearest=tuple(commands),
        )
    where = directory if directory is not None else script.working_directory
    if where == script.working_directory and where != ".":
        directory_source = f"{script.source}: the recorded path starts there"
    line = _start(script, where, interface, snapshot)
    if arguments.words:
        line += " " + quoted(arguments.words)
    if arguments.lacking:
        values = arguments.placeholders
        raise MissingFact(
            f"{script.path} demands {', '.join(arguments.lacking)}, which no recorded param gives",
            command_again(record, settings, f"--command {shlex.quote(f'{line} {values}')}"),
            fact="command",
            looked_in=("params of the run", f"options of {script.path}"),
            nearest=(f"--command {shlex.quote(f'{line} {values}')}",),
        )
    considered = [
        Considered(
            source=f"stage {stage.name} of {stage.file}",
            value=redact(stage.command or ""),
            reason="its values differ from the recorded params",
        )
        for stage in stages
    ]
    count = len(arguments.used)
    params = f"{count} recorded value{'s' if count != 1 else ''} mapped onto its options"
    if not count:
        params = "no recorded value is an option of it"
    return Command(
        line=line,
        source=f"inferred: {script.source} and {params}",
        inferred=True,
        working_directory=where,
        working_directory_source=directory_source,
        uncovered=arguments.uncovered,
        script=script.path,
        stages=stages,
        considered=(*script.considered, *considered, *arguments.considered),
        used=arguments.used,
    )


def interface_of(path: str, directory: str, snapshot: RepositorySnapshot) -> ScriptInterface:
    """Return what a script or notebook of the commit takes where it is started in `directory`."""
    source = snapshot.texts.get(path)
    if source is None:
        return ScriptInterface(unreadable=(f"its source, which was not read: {path}",))
    read = read_notebook_interface if is_notebook(path) else read_interface
    return read(source, surroundings(snapshot, path, directory))


def _of_stage(stage: Stage, script: Script, arguments: Arguments, stages: Sequence[Stage]) -> Command:
    words = shlex.split(stage.command or "")
    named_there = {word.partition("=")[0] for word in words}
    return Command(
        line=stage.command or "",
        source=f"inferred: stage {stage.name} of {stage.file}, which runs the recorded script {script.path}",
        inferred=True,
        working_directory=stage.working_directory,
        working_directory_source=f"stage {stage.name} of {stage.file}",
        uncovered=tuple(text for text in arguments.uncovered if text.split(" ", 1)[0] not in named_there),
        script=script.path,
        stages=(stage, *(other for other in stages if other is not stage)),
        considered=script.considered,
    )


def _agrees(stage: Stage, interface: ScriptInterface, record: RunRecord) -> bool:
    """Tell whether a stage gives the script no other value than the run recorded, as far as both can be read."""
    if stage.command is None:
        return False
    words = shlex.split(stage.command)
    for option in interface.options:
        recorded = record.params.get(option.dest)
        value = effective(option, words)
        if recorded is not None and value is not None and not same_value(recorded, value):
            return False
    return True


def _start(script: Script, directory: str, interface: ScriptInterface, snapshot: RepositorySnapshot) -> str:
    """Return `python PATH`, or `python -m MODULE` where the script's imports work in no other way."""
    if is_notebook(script.path):
        return notebook_line(script.path, directory)
    path = posixpath.relpath(script.path, directory)
    if "/" in path and not path.startswith("..") and _needs_module(script.path, directory, interface, snapshot):
        return f"python -m {path.removesuffix('.py').replace('/', '.')}"
    return f"python {shlex.quote(path)}"


def _needs_module(path: str, directory: str, interface: ScriptInterface, snapshot: RepositorySnapshot) -> bool:
    if interface.relative_imports:
        return True
    own = posixpath.dirname(path)
    paths = [entry.path for entry in snapshot.tree]

    def there(folder: str, name: str) -> bool:
        base = posixpath.normpath(posixpath.join(folder, name))
        return f"{base}.py" in paths or any(other.startswith(base + "/") and other.endswith(".py") for other in paths)

    # `python src/train.py` puts src on the path, not the directory where it is started.
    firsts = {name.partition(".")[0] for name in interface.imported}
    return any(there(directory, name) and not there(own, name) for name in firsts)


def _path_in_tree(text: str, snapshot: RepositorySnapshot) -> str | None:
    """Return the longest end of another machine's path that is a file, a folder or a pointer's out at the commit."""
    parts = [part for part in re.sub(r"^(file:/*)?([A-Za-z]:)?", "", text).replace("\\", "/").split("/") if part]
    known = {entry.path for entry in snapshot.tree} | {out.path for out in snapshot.pointers}
    known |= {path[:end] for path in list(known) for end in range(len(path)) if path[end] == "/"}
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if end in known), None)


def _in_directory(stage: Stage) -> str:
    command = stage.command or ""
    return command if stage.working_directory == "." else f"cd {stage.working_directory} && {command}"


def _project_command(record: RunRecord, snapshot: RepositorySnapshot) -> tuple[str, str] | None:
    """Return the command of an MLflow project's entry point with the recorded params, where it can be filled in."""
    entry = record.tags.get(ENTRY_POINT_TAG, "").strip()
    if not entry:
        return None
    document = load_mapping(snapshot.texts.get("MLproject", ""))
    points = document.get("entry_points")
    body: Any = points.get(entry) if isinstance(points, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("command"), str):
        return None
    declared = body.get("parameters")
    values: dict[str, str] = {}
    for name, specification in (declared if isinstance(declared, dict) else {}).items():
        default = specification.get("default") if isinstance(specification, dict) else None
        value = record.params.get(str(name), str(default) if isinstance(default, str | int | float) else None)
        if value is None:
            return None
        values[str(name)] = shlex.quote(value)
    filled = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), body["command"])
    if re.search(r"\{\w+\}", filled):
        return None
    return filled.strip(), f"tag {ENTRY_POINT_TAG}, entry point {entry} of MLproject"


__all__ = ["Command", "resolve_command", "stages_of", "wanted_paths"]
