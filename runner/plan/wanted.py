"""Which texts of the commit the decisions need beyond those that every snapshot holds."""

from __future__ import annotations

import posixpath

from runner.errors import MissingFact
from runner.lineage.agreement import lacking_of_lock
from runner.lineage.packages import linux_markers, recorded_packages
from runner.lineage.pipeline import chain_to, lacking_vars, stages_of
from runner.lineage.resolve import commit_facts
from runner.lineage.script import find_script
from runner.plan.command import resolve_command, started_scripts
from runner.plan.constraints import usable
from runner.plan.environment import folders_of
from runner.plan.lists.find import find_lists, lacking_files
from runner.plan.lists.imports import follow
from runner.plan.lists.requirements import read_files
from runner.plan.stages import stages_run
from runner.plan.system_packages import list_paths
from runner.schema.plan import DEFAULT_PYTHON
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings


def unread_texts(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> tuple[str, ...]:
    """Return paths of the commit whose texts the plan needs and the snapshot lacks; read them and ask again.

    These are the run's script where it lies beneath a folder that the record does not name, a dependency file that
    configuration names, what lists of packages include, and lists of Debian packages. Texts that cannot be read stay
    unread: ask a few times.
    """
    facts = commit_facts(snapshot, settings)
    wanted = [script.path for script in find_script(record, snapshot)]
    folders = [posixpath.dirname(path) for path in wanted]
    wanted += list_paths([*filter(None, (settings.working_directory, facts.working_directory)), *folders])
    named = settings.environment or facts.environment
    if named:
        wanted.append(named)
    lists = [path for path in snapshot.texts if path == named or path.rpartition("/")[2].startswith("requirements")]
    for path in lists:
        wanted += read_files(snapshot.texts, path).lacking
    wanted += lacking_files(snapshot)
    wanted += lacking_vars(snapshot)
    scripts = {script.path for script in find_script(record, snapshot)}
    for stage in stages_of(snapshot):
        if any(stage.runs(script) for script in scripts):
            wanted += lacking_of_lock(stage, snapshot)
    files = {entry.path for entry in snapshot.tree if entry.kind == "file"}
    return tuple(sorted({path for path in wanted if path in files and path not in snapshot.texts}))


def unread_modules(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> tuple[str, ...]:
    """Return the repository's modules that must be read to tell what a training imports that nothing lists.

    What they import in turn shows when they are read: ask until there is nothing more.
    """
    facts = commit_facts(snapshot, settings)
    try:
        command = resolve_command(record, snapshot, settings, facts)
        folders = folders_of(command.script, command.working_directory)
        # Whether anything lists packages does not hang on the machine that they are for.
        recorded = usable(recorded_packages(record, linux_markers(f"{DEFAULT_PYTHON}.0", "x86_64")))
        lists = find_lists(record, snapshot, settings, facts, folders, recorded)
        if lists and not lists[0].recorded:
            return ()
    except MissingFact:
        return ()  # and without it there is no plan either, which says so
    scripts = started_scripts(command.line, command.working_directory, snapshot) or [command.script or ""]
    needs = [dep for stage in stages_run(command, snapshot) for dep in stage.deps]
    for stage in chain_to(needs, stages_of(snapshot), but=stages_run(command, snapshot)):
        scripts += started_scripts(stage.command or "", stage.working_directory, snapshot)
    return tuple(follow(snapshot, scripts, folders).unread)
