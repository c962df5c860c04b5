"""Which stages of the commit a command runs, and those that come before it where no store holds what they make."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from runner.errors import MissingFact
from runner.lineage.agreement import locked_deps, stale
from runner.lineage.files import AT_COMMIT
from runner.lineage.pipeline import (
    Stage,
    chain_to,
    is_repro,
    pipeline_problems,
    stages_of,
    stages_of_line,
)
from runner.lineage.remedy import command_again
from runner.plan.command import Command, resolve_command
from runner.schema.lineage import Lineage
from runner.schema.plan import EarlierStage
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import CommitFacts, Settings


def own_stages(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, facts: CommitFacts
) -> tuple[Stage, ...] | None:
    """Return the stages that the run's command runs; None where there is no command yet, of which the plan tells why.

    Raises MissingFact for a `dvc repro` on a pipeline that DVC refuses.
    """
    try:
        command = resolve_command(record, snapshot, settings, facts)
    except MissingFact:
        return None
    check_repro(command, record, snapshot, settings)
    return stages_run(command, snapshot)


def stages_run(command: Command, snapshot: RepositorySnapshot) -> tuple[Stage, ...]:
    """Return the stages that a command runs: those that it names or is, else those of the script that it starts."""
    named = stages_of_line(command.line, command.working_directory, stages_of(snapshot))
    if named or is_repro(command.line):
        return named
    return command.stages[:1] if command.source.startswith("inferred: stage ") else command.stages


def check_repro(command: Command, record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> None:
    """Raise MissingFact where the command is a `dvc repro` of a pipeline that DVC refuses."""
    if not is_repro(command.line):
        return
    folder = "" if command.working_directory == "." else command.working_directory
    for problem in pipeline_problems(snapshot):
        if posixpath.dirname(problem.pointer) == folder:
            raise MissingFact(
                f"{problem.pointer} at commit {snapshot.commit[:12]} is refused by DVC, and the command is "
                f"`{command.line}`: {problem.problem}",
                command_again(record, settings, "--command 'COMMAND OF THE STAGE'"),
                fact="command",
                looked_in=(f"{problem.pointer} at commit {snapshot.commit[:12]}",),
            )


def needs_of(
    own: Sequence[Stage], lineage: Lineage, snapshot: RepositorySnapshot, script: str | None
) -> tuple[str, ...]:
    """Return the paths that a training reads, as far as they are known.

    The dependencies of its stages, and the files that are pulled for it; without a stage also the outs of others that
    its script speaks of.
    """
    made = {out for stage in own for out in stage.outs}
    needs = [dep for stage in own for dep in stage.deps if dep not in made]
    needs += [file.path for file in lineage.files if file.role != "output" and file.use == "training"]
    if not own and script is not None:
        text = snapshot.texts.get(script, "")
        outs = {out for stage in stages_of(snapshot) for out in stage.outs}
        needs += [out for out in outs if out in text]
    return tuple(sorted(set(needs)))


def earlier_stages(
    own: Sequence[Stage], needs: Sequence[str], lineage: Lineage, snapshot: RepositorySnapshot
) -> tuple[EarlierStage, ...]:
    """Return the stages that make what a training needs, in the order in which they run.

    Frozen ones are left out: their author does not want them run again. So are those whose command stays open.
    """
    stages = [stage for stage in stages_of(snapshot) if not stage.frozen]
    recorded = {file.path for file in lineage.files if not file.source.startswith(AT_COMMIT)}
    told_by_lock = chain_to([path for path in needs if path not in recorded], stages, but=own)
    return tuple(
        _planned(stage, stage in told_by_lock, snapshot)
        for stage in chain_to(needs, stages, but=own)
        if stage.command is not None
    )


def _planned(stage: Stage, told_by_lock: bool, snapshot: RepositorySnapshot) -> EarlierStage:
    return EarlierStage(
        name=stage.name,
        file=stage.file,
        command=stage.command or "",
        working_directory=stage.working_directory,
        deps=stage.deps,
        outs=stage.outs,
        persistent=stage.persistent,
        locked=locked_deps(stage, snapshot) if told_by_lock else {},
        stale=tuple(stale(stage, snapshot)) if told_by_lock else (),
    )
