"""Whether one rerun says anything about another run: its commit, data and command are those of the plan. Pure."""

from __future__ import annotations

from runner.errors import MissingFact
from runner.lineage.commit import recorded_commit
from runner.lineage.resolve import commit_facts, resolve_lineage
from runner.plan.build import check_comparable, summarise
from runner.plan.command import resolve_command
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
    if (command.line, command.working_directory) != (plan.command, plan.working_directory):
        return f"its command is {command.line!r}"
    return plan.model_copy(
        update={
            "run": summarise(other, baseline_digest),
            "lineage": lineage,
            "registered": None,
            "options_uncovered": command.uncovered,
            "reference_files": (),
        }
    ).sealed()


def _inputs(files: tuple[LineageFile, ...]) -> set[tuple[str, str]]:
    return {(file.path, str(file.digest)) for file in files if file.role != "output"}
