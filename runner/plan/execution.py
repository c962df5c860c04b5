"""Whether one rerun says anything about another run: its commit, data and command are those of the plan. Pure."""

from __future__ import annotations

import shlex

from runner.errors import MissingFact
from runner.lineage.commit import recorded_commit
from runner.lineage.resolve import commit_facts, resolve_lineage
from runner.plan.arguments import effective
from runner.plan.build import check_comparable, summarise
from runner.plan.command import Command, as_installed, interface_of, params_given, resolve_command
from runner.plan.commands.started import started_script
from runner.plan.values import same_value
from runner.schema.lineage import LineageFile, Provenance
from runner.schema.plan import Plan
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings


def plan_of_other(
    plan: Plan, snapshot: RepositorySnapshot, other: RunRecord, settings: Settings, baseline_digest: str
) -> Plan | str:
    """Return the plan as that of another run, with what is recorded of it, or why it is the plan of no such run.

    What is carried out is the same to the letter; the outputs that are compared are the other run's own.
    """
    try:
        check_comparable(other, settings)
        commit = recorded_commit(other, settings)
        if not plan.lineage.commit.startswith(commit.value.strip().lower()):
            return f"it records commit {commit.value[:12]}"
        repository = Provenance(fact="repository", value=plan.lineage.repository, source="as planned")
        lineage = resolve_lineage(other, snapshot, settings, repository, commit)
        command = resolve_command(other, snapshot, settings, commit_facts(snapshot, settings))
    except MissingFact as missing:
        return missing.cause
    if _inputs(lineage.files) != _inputs(plan.lineage.files):
        return "it records other data"
    command = as_installed(command, plan.environment)
    unlike = _unlike(plan, command, other, snapshot)
    if unlike is not None:
        return unlike
    return plan.model_copy(
        update={
            "run": summarise(other, baseline_digest),
            "lineage": lineage.model_copy(update={"patch": plan.lineage.patch}),
            "registered": None,
            "options_uncovered": command.uncovered,
            "params_given": params_given(command, other),
            "reference_files": (),
        }
    ).sealed()


def _unlike(plan: Plan, command: Command, other: RunRecord, snapshot: RepositorySnapshot) -> str | None:
    """Return in what the command of another run is not the plan's, None where it is the same."""
    if command.working_directory != plan.working_directory:
        return f"its command was started in {command.working_directory}"
    for name, value in command.variables.items():
        if plan.variables.get(name) != value:
            return f"its {name} was another"
    if command.line != plan.command and not (command.inferred and _agrees(plan.command, command, other, snapshot)):
        return f"its command is {command.line!r}"
    return None


def _agrees(line: str, command: Command, other: RunRecord, snapshot: RepositorySnapshot) -> bool:
    """Tell whether a command starts the script that another run names, with no other value than it recorded.

    Of several runs of an execution each records its own params, and few all of the command's options.
    """
    started = started_script(line, command.working_directory, snapshot)
    if started is None or started not in snapshot.texts or started != command.script:
        return False
    words = shlex.split(line)
    for option in interface_of(started, command.working_directory, snapshot).options:
        recorded, value = other.params.get(option.dest), effective(option, words)
        if recorded is not None and (value is None or not same_value(recorded, value)):
            return False
    return True


def _inputs(files: tuple[LineageFile, ...]) -> set[tuple[str, str]]:
    return {(file.path, str(file.digest)) for file in files if file.role != "output"}
