"""Which texts of the commit the decisions need beyond those that every snapshot holds."""

from __future__ import annotations

import posixpath

from runner.errors import MissingFact
from runner.lineage.agreement import lacking_of_lock
from runner.lineage.notebook import is_kernel, notebook_paths, with_code
from runner.lineage.pipeline import chain_to, lacking_vars, stages_of
from runner.lineage.resolve import commit_facts
from runner.lineage.script import SOURCE_TAG, find_script
from runner.plan.command import resolve_command
from runner.plan.commands.console import console_scripts, program_name
from runner.plan.commands.offered import offered_paths
from runner.plan.commands.places import candidate_folders
from runner.plan.commands.project import project_command
from runner.plan.commands.recorded import recorded_command
from runner.plan.commands.started import shell_scripts, started_scripts
from runner.plan.commands.wrappers import env_files
from runner.plan.environment import folders_of
from runner.plan.lists.find import lacking_files
from runner.plan.lists.imports import follow
from runner.plan.lists.requirements import read_files
from runner.plan.options.around import unread_around
from runner.plan.stages import stages_run
from runner.plan.system_packages import list_paths
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import CommitFacts, Settings


def unread_texts(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> tuple[str, ...]:
    """Return paths of the commit whose texts the plan needs and the snapshot lacks; read them and ask again.

    These are the run's script where it lies beneath a folder that the record does not name, what around it tells of its
    options, a dependency file that configuration names, what lists of packages include, and lists of Debian packages.
    Texts that cannot be read stay unread: ask a few times.
    """
    facts = commit_facts(snapshot, settings)
    scripts = find_script(record, snapshot)
    wanted = [script.path for script in scripts]
    if not scripts and is_kernel(record.tags.get(SOURCE_TAG, "")):
        wanted += notebook_paths(snapshot)
    for script in scripts:
        directory = settings.working_directory or facts.working_directory or script.working_directory
        wanted += unread_around(snapshot, script.path, directory)
    folders = [posixpath.dirname(script.path) for script in scripts]
    wanted += [other.value for script in scripts for other in script.considered]
    wanted += [*offered_paths(), *_of_commands(record, snapshot, settings, facts)]
    wanted += list_paths([*filter(None, (settings.working_directory, facts.working_directory)), *folders])
    named = settings.environment or facts.environment
    if named:
        wanted.append(named)
    lists = [path for path in snapshot.texts if path == named or path.rpartition("/")[2].startswith("requirements")]
    for path in lists:
        wanted += read_files(snapshot.texts, path).lacking
    wanted += lacking_files(snapshot)
    wanted += lacking_vars(snapshot)
    for stage in stages_of(snapshot):
        if any(stage.runs(script.path) for script in scripts):
            wanted += lacking_of_lock(stage, snapshot)
    files = {entry.path for entry in snapshot.tree if entry.kind == "file"}
    return tuple(sorted({path for path in wanted if path in files and path not in snapshot.texts}))


def _of_commands(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts) -> list[str]:
    """Return the scripts that recorded commands start, those of shell scripts too, and where entry points lie."""
    lines = [(line, settings.working_directory or ".") for line in (settings.command, facts.command) if line]
    recorded = recorded_command(record, snapshot)
    if recorded is not None:
        lines.append((recorded.line, recorded.folder or facts.working_directory or "."))
    project = project_command(record, snapshot)
    if project is not None and project.line:
        lines.append((project.line, project.folder))
    found = [path for line, folder in lines for path in shell_scripts(line, folder, snapshot)]
    found += [path for line, folder in lines for path in started_scripts(line, folder, snapshot)]
    for line, folder in lines:
        found += [posixpath.normpath(posixpath.join(folder, path)) for path in env_files(line, folder, snapshot)]
    program = program_name(record.tags.get(SOURCE_TAG, ""))
    return [*found, *(script.path for script in (console_scripts(snapshot, program) if program else ()))]


def unread_modules(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> tuple[str, ...]:
    """Return the repository's modules that must be read to tell what a training imports.

    What they import in turn shows when they are read: ask until there is nothing more.
    """
    facts = commit_facts(snapshot, settings)
    if settings.command is None and (modules := _of_places(record, snapshot)):
        return modules
    try:
        command = resolve_command(record, snapshot, settings, facts)
        folders = folders_of(command.script, command.working_directory)
    except MissingFact:
        return ()  # and without it there is no plan either, which says so
    scripts = started_scripts(command.line, command.working_directory, snapshot) or [command.script or ""]
    needs = [dep for stage in stages_run(command, snapshot) for dep in stage.deps]
    for stage in chain_to(needs, stages_of(snapshot), but=stages_run(command, snapshot)):
        scripts += started_scripts(stage.command or "", stage.working_directory, snapshot)
    return tuple(follow(with_code(snapshot, command.script), scripts, folders).unread)


def _of_places(record: RunRecord, snapshot: RepositorySnapshot) -> tuple[str, ...]:
    """Return the modules that tell in which folder the run's script was started, where its name leaves that open."""
    open_ones = [script for script in find_script(record, snapshot) if len(candidate_folders(script, snapshot)) > 1]
    reached = (follow(snapshot, [script.path], folders_of(script.path, ".")) for script in open_ones)
    return tuple(dict.fromkeys(path for each in reached for path in each.unread))
