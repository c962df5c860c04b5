"""The training command: given, configured, recorded, or inferred from the script and the recorded params."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.notebook import is_notebook, notebook_line
from runner.lineage.pipeline import Stage, stage_of, words_of
from runner.lineage.remedy import command_again
from runner.lineage.script import (
    ENTRY_POINT_TAG,
    SOURCE_TAG,
    Script,
    find_script,
    likely_scripts,
    locate_script,
    recorded_names,
)
from runner.lineage.training import hides_secret
from runner.plan.arguments import Arguments, effective, map_params, quoted
from runner.plan.commands.console import ConsoleScript, console_scripts, declared_names, program_name
from runner.plan.commands.offered import offered_commands
from runner.plan.commands.paths import path_in_tree
from runner.plan.commands.places import Place, choose_place
from runner.plan.commands.project import ProjectCommand, project_command, unquoted
from runner.plan.commands.recorded import RecordedCommand, recorded_command
from runner.plan.commands.repro import forced_repro, repro_stages
from runner.plan.commands.start import start_line
from runner.plan.commands.started import shell_script_inlined, started_script
from runner.plan.commands.telling import most_telling
from runner.plan.commands.variables import find_variables, variables_of_file
from runner.plan.commands.wrappers import Unwrapped, without_wrappers
from runner.plan.lists.imports import follow
from runner.plan.notebook import read_notebook_interface
from runner.plan.options import ScriptInterface, read_interface
from runner.plan.options.around import surroundings
from runner.plan.values import same_value
from runner.redact import redact
from runner.schema.lineage import Considered, Provenance
from runner.schema.plan import EnvironmentSpec
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

_EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"


@dataclass(frozen=True)
class Command:
    """One shell line, with where it comes from.

    `script` is the script that it starts, where that is known; `stages` are the stages of `dvc.yaml` that start the
    same script, `stage` the one whose command this is. `recorded` is the line that the run recorded, or that its record
    leads to, where a person gave another. `variables` are set for it, each of which `found` tells of. `given_params`
    are recorded params that `mlflow run` logged as it was told them, and not the training. `console` is the entry point
    of which the line is the name. `used` are the params that its words give.
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
    places_considered: tuple[Considered, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    found: tuple[Provenance, ...] = ()
    given_params: tuple[str, ...] = ()
    console: ConsoleScript | None = None
    used: tuple[str, ...] = ()


def resolve_command(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts) -> Command:
    """Return the command of a run.

    Order: `--command` or `-- CMD`, `runner.yaml`, `runner.yaml` at the commit, the entry point of an MLflow project,
    W&B's program and arguments, the tag `runner.command`, else inferred from the script. Raises MissingFact, or
    AmbiguousFact with commands ready to paste.
    """
    if not settings.command:
        return _command_of_run(record, snapshot, settings, facts)
    directory, directory_source = _working_directory(settings, facts)
    given = _given(settings.command, settings.source("command"), record, snapshot, directory, directory_source)
    try:
        own = _command_of_run(record, snapshot, settings, facts)
    except (MissingFact, AmbiguousFact):
        return given
    handed = tuple(name for name in own.given_params if _hands(given.line, unquoted(record.params.get(name, ""))))
    given = replace(given, given_params=handed)
    return given if _same_line(own, given) else replace(given, recorded=own.line)


def as_installed(command: Command, environment: EnvironmentSpec) -> Command:
    """Return a command that works in the environment: a project's own program is there only if that is installed."""
    console = command.console
    if console is None or environment.image is not None:
        return command
    if environment.install_project and environment.root == console.folder:
        return command
    call = console.call(command.working_directory)
    called = re.sub(rf"(?<![\w./-]){re.escape(console.name)}(?=\s|$)", lambda _: call, command.line, count=1)
    note = f"{command.source}; called as a function, since the environment has no {console.name}"
    return replace(command, line=called, source=note)


def params_given(command: Command, record: RunRecord) -> dict[str, str]:
    """Return the recorded params that the command was handed, as they are recorded."""
    return {name: record.params[name] for name in command.given_params if name in record.params}


def _command_of_run(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts) -> Command:
    """Return the command that the commit or the record holds, else the one that they lead to."""
    directory, directory_source = _working_directory(settings, facts)
    if facts.command:
        source = f"command in {FILE_NAME} at the commit"
        return _given(facts.command, source, record, snapshot, directory, directory_source)
    project = project_command(record, snapshot, partial(interface_of, snapshot=snapshot))
    if project is not None and project.problem is None:
        return _of_project(project, record, snapshot)
    recorded = recorded_command(record, snapshot)
    if recorded is not None:
        _check_whole(recorded, record, settings)
        if directory is None and recorded.folder is not None:
            directory, directory_source = recorded.folder, recorded.folder_source or recorded.source
        return _given(recorded.line, recorded.source, record, snapshot, directory, directory_source)
    if project is not None and not find_script(record, snapshot):
        raise _no_entry_point(project, record, snapshot, settings)
    return _inferred(record, snapshot, settings, directory, directory_source)


def _check_whole(recorded: RecordedCommand, record: RunRecord, settings: Settings) -> None:
    """Refuse a recorded command of which a secret was left out: what is left is another command."""
    if hides_secret(recorded.line):
        raise MissingFact(
            f"the recorded command ({recorded.source}) lacks what looked like a secret: {redact(recorded.line)}",
            command_again(record, settings, f"--command {shlex.quote(redact(recorded.line))}")
            + "   # with a value that the training takes",
            fact="command",
            looked_in=(recorded.source,),
        )


def _given(
    line: str,
    source: str,
    record: RunRecord,
    snapshot: RepositorySnapshot,
    directory: str | None,
    directory_source: str,
    set_by_source: Iterable[tuple[str, str, str]] = (),
) -> Command:
    """Return a command that somebody wrote, without what only its author's machine has around it."""
    folder = directory or "."
    unwrapped = without_wrappers(line, snapshot, folder)
    if (inlined := shell_script_inlined(unwrapped.line, folder, snapshot)) is not None:
        removed = (*unwrapped.removed, *inlined.removed)
        unwrapped = Unwrapped(inlined.line, removed, (*unwrapped.env_files, *inlined.env_files))
    line = forced_repro(unwrapped.line)
    if unwrapped.removed:
        source += f", without {', '.join(redact(text) for text in unwrapped.removed)}"
    files = [posixpath.normpath(posixpath.join(folder, path)) for path in unwrapped.env_files]
    of_files = [variable for path in files for variable in variables_of_file(path, snapshot)]
    script = started_script(line, folder, snapshot)
    read = interface_of(script, folder, snapshot).variables if script is not None else ()
    variables = find_variables(read, record, snapshot, line, (*set_by_source, *of_files))
    return Command(
        line=line,
        source=source,
        inferred=False,
        working_directory=folder,
        working_directory_source=directory_source,
        script=script,
        stages=stage_of(snapshot, script) if script else repro_stages(line, folder, snapshot),
        variables=variables.values,
        found=variables.found,
        console=_console_of(line, snapshot),
    )


def _of_project(project: ProjectCommand, record: RunRecord, snapshot: RepositorySnapshot) -> Command:
    """Return an entry point's command; what was put behind it shows only by the options that the script declares."""
    of_image = [(name, value, "docker_env of the MLproject") for name, value in project.variables]
    if record.experiment_is_named:
        of_image.append((_EXPERIMENT, record.experiment_name, "the run's experiment, as `mlflow run` sets it"))
    found = _given(
        project.line, project.source, record, snapshot, project.folder, "folder of the MLflow project", of_image
    )
    if project.appended:
        options = ", ".join(f"--{name}" for name in project.appended)
        source = f"inferred: {found.source}, and recorded values that it does not declare as {options}"
        found = replace(found, source=source, inferred=True)
    return replace(found, given_params=project.given)


def _no_entry_point(
    project: ProjectCommand, record: RunRecord, snapshot: RepositorySnapshot, settings: Settings
) -> MissingFact:
    offered = tuple(f"--command {shlex.quote(line)}" for line in project.offered)
    offered += tuple(offer.pasted for offer in offered_commands(snapshot))
    if project.first_commit is not None:
        offered = (f"--commit {project.first_commit}", *offered)
    unknown = _led(project.folder, "python SCRIPT ARGUMENTS")
    pasted = offered[0].partition("    ")[0] if offered else f"--command {shlex.quote(unknown)}"
    return MissingFact(
        project.problem or "",
        command_again(record, settings, pasted),
        fact="command",
        looked_in=("--command", f"command in {FILE_NAME}", f"tag {ENTRY_POINT_TAG}", f"tag {SOURCE_TAG}"),
        nearest=offered,
    )


def _hands(line: str, value: str) -> bool:
    """Tell whether a line hands a value on, as a word or behind `=`."""
    return any(value in (word, word.partition("=")[2]) for word in words_of(line))


def _same_line(one: Command, other: Command) -> bool:
    return one.working_directory == other.working_directory and words_of(one.line) == words_of(other.line) != []


def _working_directory(settings: Settings, facts: CommitFacts) -> tuple[str | None, str]:
    if settings.working_directory:
        return settings.working_directory, settings.source("working_directory")
    if facts.working_directory:
        return facts.working_directory, f"working_directory in {FILE_NAME} at the commit"
    return None, "default: the repository's root"


def interface_of(path: str, directory: str, snapshot: RepositorySnapshot) -> ScriptInterface:
    """Return what a script or notebook of the commit takes where it is started in `directory`."""
    source = snapshot.texts.get(path)
    if source is None:
        return ScriptInterface(unreadable=(f"its source, which was not read: {path}",))
    read = read_notebook_interface if is_notebook(path) else read_interface
    return read(source, surroundings(snapshot, path, directory))


def _console_of(line: str, snapshot: RepositorySnapshot) -> ConsoleScript | None:
    """Return the entry point that a line starts with."""
    words = words_of(line)[:1]
    scripts = console_scripts(snapshot, words[0]) if words and "/" not in words[0] else ()
    return scripts[0] if scripts else None


def _inferred(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, directory: str | None, directory_source: str
) -> Command:
    console = _recorded_console(record, snapshot, settings)
    script = _of_console(console, record) if console is not None else _located(record, snapshot, settings)
    stages = stage_of(snapshot, script.path)
    interface = interface_of(script.path, directory or script.working_directory, snapshot)
    arguments = map_params(record, interface, lambda text: path_in_tree(text, snapshot))
    agreeing = [stage for stage in stages if _agrees(stage, interface, record)]
    if len(agreeing) == 1 and directory is None:
        of_stage = _of_stage(agreeing[0], script, arguments, stages, snapshot)
        variables = find_variables(interface.variables, record, snapshot, of_stage.line)
        uncovered = (*_options_alone(of_stage.uncovered), *variables.uncertain)
        return replace(of_stage, variables=variables.values, found=variables.found, uncovered=uncovered)
    if len(agreeing) > 1:
        commands = [f"--command {shlex.quote(_in_directory(stage))}" for stage in agreeing]
        raise AmbiguousFact(
            f"{script.path} is run by several stages: {', '.join(stage.name for stage in agreeing)}",
            command_again(record, settings, commands[0]),
            fact="command",
            looked_in=tuple(dict.fromkeys(stage.file for stage in agreeing)),
            nearest=tuple(commands),
        )
    sources = _sources(script.path, snapshot)
    place = Place(directory, directory_source) if directory is not None else None
    as_recorded = map_params(record, interface, lambda text: text).words  # an absolute path says nothing of a folder
    place = place or choose_place(script, record, snapshot, sources, as_recorded)

    def line_in(folder: str) -> str:
        words = map_params(record, interface, lambda text: _path_from(folder, text, snapshot)).words
        if is_notebook(script.path):
            start = notebook_line(script.path, folder)
        else:
            start = start_line(script.path, folder, snapshot) if console is None else console.name
        return f"{start} {quoted(words)}" if words else start

    if place.ties:
        raise _several_places(place, script, line_in, record, settings)
    line = line_in(place.folder)
    variables = find_variables(interface.variables, record, snapshot, line)
    if arguments.lacking:
        raise _lacking(arguments, line, place.folder, script, record, snapshot, settings)
    count = len(arguments.used)
    params = f"{count} recorded value{'s' if count != 1 else ''} mapped onto its options"
    if not count:
        params = "no recorded value is an option of it"
    return Command(
        line=line,
        source=f"inferred: {script.source} and {params}",
        inferred=True,
        working_directory=place.folder,
        working_directory_source=place.source,
        uncovered=(
            *_options_alone(arguments.uncovered),
            *variables.uncertain,
            *_namesakes(script, record, snapshot),
            *place.uncertain,
        ),
        script=script.path,
        stages=stages,
        considered=(
            *script.considered,
            *_stages_considered(stages),
            *_offers_considered(script, line, snapshot),
            *arguments.considered,
        ),
        used=arguments.used,
        places_considered=place.considered,
        variables=variables.values,
        found=variables.found,
        console=console,
    )


def _located(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> Script:
    """Return the script that the run names; of several that may be meant, the one that what it logged speaks for."""
    found = find_script(record, snapshot)
    chosen = most_telling([script.path for script in found], record, snapshot)
    for script in found:
        if script.path == chosen and len(found) > 1:
            others = tuple(
                Considered(source=other.source, value=other.path, reason="what the run logged is named in the other")
                for other in found
                if other is not script
            )
            return replace(script, considered=(*script.considered, *others))
    try:
        return locate_script(record, snapshot, settings)
    except AmbiguousFact:
        raise
    except MissingFact as missing:
        offers = offered_commands(snapshot)
        if missing.fact == "command" and offers and not recorded_names(record):
            missing.remedy = command_again(record, settings, f"--command {shlex.quote(offers[0].line)}")
        missing.nearest = (*(offer.pasted for offer in offers), *missing.nearest)
        raise


def _recorded_console(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> ConsoleScript | None:
    """Return the entry point that the recorded source is, where it is a program and no script."""
    source = record.tags.get(SOURCE_TAG, "")
    name = program_name(source) if not recorded_names(record) else None
    if name is None:
        return None
    scripts = console_scripts(snapshot, name)
    if len(scripts) > 1:
        lines = [f"--command {shlex.quote(script.call('.') + ' ARGUMENTS')}" for script in scripts]
        raise AmbiguousFact(
            f"{name} is an entry point of {' and of '.join(script.declared_in for script in scripts)}",
            command_again(record, settings, lines[0]),
            fact="command",
            looked_in=tuple(script.declared_in for script in scripts),
            nearest=tuple(lines),
        )
    if not scripts:
        declared = declared_names(snapshot)
        offers = tuple(offer.pasted for offer in offered_commands(snapshot))
        likely = tuple(f"--command {shlex.quote(f'python {shlex.quote(path)}')}" for path in likely_scripts(snapshot))
        pasted = (*offers, *likely, "--command 'python SCRIPT ARGUMENTS'")[0].partition("    ")[0]
        has = f"; they declare {', '.join(declared[:5])}" if declared else ""
        raise MissingFact(
            f"the run was started by the program {name!r}, which no project at the commit declares{has}",
            command_again(record, settings, pasted),
            fact="command",
            looked_in=(f"tag {SOURCE_TAG}", "entry points in pyproject.toml, setup.cfg and setup.py at the commit"),
            nearest=(*offers, *likely),
        )
    return scripts[0]


def _of_console(console: ConsoleScript, record: RunRecord) -> Script:
    source = f"tag {SOURCE_TAG}, entry point {console.name} of {console.declared_in}"
    return Script(console.path, console.folder, source, (), record.tags.get(SOURCE_TAG, ""))


def _sources(path: str, snapshot: RepositorySnapshot) -> list[str]:
    """Return the texts of a script and of the project's own modules that it reaches, as far as they were read."""
    own = follow(snapshot, [path], (posixpath.dirname(path) or ".", ".")).own
    return [snapshot.texts[each] for each in own if each in snapshot.texts]


def _several_places(
    place: Place, script: Script, line_in: Callable[[str], str], record: RunRecord, settings: Settings
) -> AmbiguousFact:
    folders = (place.folder, *place.ties)
    evidence = place.evidence or {}
    shown = " and ".join(f"{', '.join(evidence.get(each, ())[:2])} is in {_in_words(each)}" for each in folders)
    commands = [f"--command {shlex.quote(_led(each, line_in(each)))}" for each in folders]
    return AmbiguousFact(
        f"{script.path} may have been started in {' or in '.join(map(_in_words, folders))}: {shown}",
        command_again(record, settings, commands[0]),
        fact="command",
        looked_in=(script.source, f"paths that {script.path} and its modules name"),
        nearest=tuple(commands),
    )


def _lacking(
    arguments: Arguments,
    line: str,
    folder: str,
    script: Script,
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
) -> MissingFact:
    """Return the error for a demanded option; a document's command for the same script is offered, and not used."""
    own = f"--command {shlex.quote(_led(folder, f'{line} {arguments.placeholders}'))}"
    offers = tuple(offer.pasted for offer in offered_commands(snapshot) if script.path in offer.scripts)
    return MissingFact(
        f"{script.path} demands {', '.join(arguments.lacking)}, which no recorded param gives",
        command_again(record, settings, own),
        fact="command",
        looked_in=("params of the run", f"options of {script.path}"),
        nearest=(own, *offers),
    )


def _led(folder: str, line: str) -> str:
    return line if folder == "." else f"cd {shlex.quote(folder)} && {line}"


def _in_words(folder: str) -> str:
    return "the repository's root" if folder == "." else folder


def _path_from(folder: str, text: str, snapshot: RepositorySnapshot) -> str | None:
    inside = path_in_tree(text, snapshot)
    return None if inside is None else posixpath.relpath(inside, folder)


def _namesakes(script: Script, record: RunRecord, snapshot: RepositorySnapshot) -> tuple[str, ...]:
    """Return that another script of the recorded name may be meant, unless what the run logged speaks for this one."""
    name = posixpath.basename(script.path)
    others = [item.value for item in script.considered if posixpath.basename(item.value) == name]
    others = [path for path in others if snapshot.has(path)]
    if not others or most_telling([script.path, *others], record, snapshot) == script.path:
        return ()
    return (f"script ({', '.join(others[:3])} has the recorded name too)",)


def _stages_considered(stages: Sequence[Stage]) -> tuple[Considered, ...]:
    return tuple(
        Considered(
            source=f"stage {stage.name} of {stage.file}",
            value=redact(stage.command or ""),
            reason="its values differ from the recorded params",
        )
        for stage in stages
    )


def _offers_considered(script: Script, line: str, snapshot: RepositorySnapshot) -> tuple[Considered, ...]:
    return tuple(
        Considered(source=offer.source, value=offer.line, reason="offered there, and used only when asked for")
        for offer in offered_commands(snapshot)
        if script.path in offer.scripts and offer.line != line
    )


def _of_stage(
    stage: Stage, script: Script, arguments: Arguments, stages: Sequence[Stage], snapshot: RepositorySnapshot
) -> Command:
    words = shlex.split(stage.command or "")
    named_there = {word.partition("=")[0] for word in words}
    source = f"inferred: stage {stage.name} of {stage.file}, which runs the recorded script {script.path}"
    unwrapped = without_wrappers(stage.command or "", snapshot, stage.working_directory)
    if unwrapped.removed:
        source += f", without {', '.join(unwrapped.removed)}"
    return Command(
        line=unwrapped.line,
        source=source,
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


def _options_alone(uncovered: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in uncovered if not text.startswith("environment variable "))


def _in_directory(stage: Stage) -> str:
    return _led(stage.working_directory, stage.command or "")
