"""Which of many runs can be audited: the table over plans. Reads everything that a plan reads, and starts no container.

named and selected runs -> for each: the plan, or all that it lacks -> one question to each remote -> rows
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from runner import __version__
from runner.errors import InfrastructureError, MissingFact, RunNotFound
from runner.inside.chain import overlap
from runner.planning import Found, images_there_for, make_plan, with_told_python
from runner.progress import NoProgress, Progress
from runner.schema.check import (
    Auditability,
    Check,
    CheckedFact,
    CheckedFile,
    CheckedRun,
    Held,
    Unreachable,
)
from runner.schema.reproduction import Missing, RunIdentity

if TYPE_CHECKING:
    from runner.finding import Asked
    from runner.rerun.holdings import Answers
    from runner.schema.lineage import Lineage
    from runner.schema.plan import Plan, Remote
    from runner.settings import Settings
    from runner.trackers.interface import Selection

_TOLD_EVERY = 20  # runs
_SAVED_BY_RECORD = frozenset(
    {"command", "commit", "data", "environment", "pointer", "repository", "script", "working directory"}
)
"""Facts that `runner record` logs with a run, or makes sure of before it trains."""


@dataclass
class _Looked:
    """What was found of one run; `remotes` are those that may hold its files."""

    identity: RunIdentity
    asked: Asked | None = None
    found: Found = field(default_factory=Found)
    missing: tuple[MissingFact, ...] = ()
    unreachable: InfrastructureError | None = None
    remotes: tuple[Remote, ...] = ()


def check_runs(names: Sequence[str], selection: Selection | None, settings: Settings, progress: Progress) -> Check:
    """Return for each run whether it can be audited: of those that are named, and of those that are selected.

    Raises UsageError where none is meant, and whatever `find_run` raises.
    """
    from runner.credentials.host import NO_ACCESS
    from runner.network import read_network_settings
    from runner.rerun.holdings import Question, ask_remotes

    settings = with_told_python(settings)
    with progress.phase("look"):
        looked: list[_Looked] = []
        for each in _meant(names, selection, settings):
            looked.append(each if each.asked is None else _look(each.asked))
            if len(looked) % _TOLD_EVERY == 0:
                progress.update(f"{len(looked)} runs")
    if not looked:
        raise RunNotFound("no run is meant: the selection matches none", "runner check --experiment NAME")
    with progress.phase("remotes"):
        questions = (
            Question(
                remote=remote,
                digest=file.digest,
                snapshot=each.found.snapshot,
                host=each.found.host or NO_ACCESS,
            )
            for each in looked
            for remote in each.remotes
            for file in _needed(each)
        )
        answers = ask_remotes(questions, read_network_settings(), offline=settings.offline)
    return summarise([_row(each, answers) for each in looked])


def _meant(names: Sequence[str], selection: Selection | None, settings: Settings) -> Iterator[_Looked]:
    """Yield the runs that are named, then those that are selected, each once, or why one cannot be read."""
    from runner.finding import Asked, find_run, open_named_tracker

    seen = set()
    for name in names:
        asked = find_run(name, settings)
        if (asked.record.uri, asked.record.run_id) not in seen:
            seen.add((asked.record.uri, asked.record.run_id))
            yield _Looked(asked.identity, asked)
    if selection is None:
        return
    _, tracker = open_named_tracker(settings)
    for run in tracker.select(selection):
        if (tracker.uri, run.run_id) in seen:
            continue
        try:
            asked = Asked(record=tracker.read_run(run.run_id), settings=settings, tracker=tracker)
        except InfrastructureError as error:
            identity = RunIdentity(id=run.run_id, uri=tracker.uri, name=run.name, experiment=run.experiment)
            yield _Looked(identity, unreachable=error)
        else:
            yield _Looked(asked.identity, asked)


def _look(asked: Asked) -> _Looked:
    """Plan one run, and where that stops, look for everything else that it lacks."""
    from runner.plan.build import missing_facts
    from runner.plan.remotes import choose_remotes

    looked = _Looked(asked.identity, asked, Found(asked=asked))
    found, settings = looked.found, asked.settings
    try:
        plan = make_plan(asked.record, settings, images_there_for(settings), found, NoProgress())
        looked.remotes = plan.remotes
    except InfrastructureError as error:
        looked.unreachable = error
    except MissingFact as missing:
        looked.missing = (missing,)
        if found.snapshot is None or found.lineage is None or found.host is None:
            return looked
        others = missing_facts(asked.record, found.snapshot, found.lineage, settings, host=found.host)
        looked.missing += tuple(other for other in others if other.fact != missing.fact)
        if all(each.fact != "remote" for each in looked.missing):
            looked.remotes, _ = choose_remotes(asked.record, found.snapshot, found.lineage, settings, found.host)
    return looked


def _needed(looked: _Looked) -> list[CheckedFile]:
    """Return the files that the rerun cannot do without: what is only compared with need not be there."""
    lineage = looked.found.lineage
    return [
        CheckedFile(path=file.path, digest=file.digest, role=file.role, held=Held.UNASKED)
        for file in (lineage.files if lineage is not None else ())
        if file.role != "output" and file.use == "training"
    ]


def _row(looked: _Looked, answers: Answers) -> CheckedRun:
    from runner.lineage.remedy import pasted_remedy

    asked = looked.asked
    if asked is None:
        return CheckedRun(
            run=looked.identity, outcome=Auditability.UNKNOWN, unreachable=_unreachable(looked.unreachable)
        )
    files = tuple(_answered(file, looked.remotes, answers) for file in _needed(looked))
    missing = [_as_value(each, asked) for each in looked.missing]
    made = _made_by(looked.found.plan)
    gone = [file for file in files if file.held is Held.ABSENT and not any(overlap(file.path, out) for out in made)]
    if gone and all(each.fact not in ("data", "remote") for each in missing):
        others = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        missing.append(
            Missing(
                fact="data",
                cause=f"no remote holds {gone[0].path} {gone[0].digest.short}{others}",
                remedy=pasted_remedy("runner reproduce RUN --remote URL_OR_PATH", asked.record, asked.settings),
                looked_in=gone[0].where,
            )
        )
    refused = next((file for file in files if file.held is Held.REFUSED), None)
    unreachable = looked.unreachable or (answers.error_of(looked.remotes) if refused is not None else None)
    outcome = Auditability.LACKING if missing else Auditability.AUDITABLE
    return CheckedRun(
        run=looked.identity,
        start=asked.record.start_time,
        outcome=Auditability.UNKNOWN if unreachable is not None else outcome,
        facts=tuple(_facts(looked.found)),
        files=files,
        missing=tuple(missing),
        saved_by_record=tuple(each.fact for each in missing if each.fact in _SAVED_BY_RECORD),
        weak=tuple(_weak(looked.found.plan, files)),
        unreachable=_unreachable(unreachable),
    )


def _made_by(plan: Plan | None) -> dict[str, str]:
    """Return what stages of the commit make again where no remote holds it, with the stage of each."""
    return {out: stage.name for stage in (plan.earlier_stages if plan is not None else ()) for out in stage.outs}


def _unreachable(error: InfrastructureError | None) -> Unreachable | None:
    return None if error is None else Unreachable(kind=error.kind, cause=error.cause, remedy=error.remedy)


def _answered(file: CheckedFile, remotes: Sequence[Remote], answers: Answers) -> CheckedFile:
    """Return the file with what the remotes say of it: held by one is held, and absent only where all could tell."""
    states = [(remote, answers.state(remote, file.digest)) for remote in remotes]
    held = [remote.name for remote, state in states if state is Held.HELD]
    if held:
        return file.model_copy(update={"held": Held.HELD, "where": tuple(held[:1])})
    said = {state for _, state in states}
    state = next((each for each in (Held.REFUSED, Held.UNASKED, Held.ABSENT) if each in said), Held.UNASKED)
    return file.model_copy(update={"held": state, "where": tuple(f"{remote.name} {remote.url}" for remote in remotes)})


def _facts(found: Found) -> Iterator[CheckedFact]:
    """Yield the facts that are there, each with where it was found."""
    lineage: Lineage | None = found.lineage
    plan = found.plan
    provenance = (*(lineage.provenance if lineage is not None else ()), *(plan.provenance if plan is not None else ()))
    for fact in provenance:
        yield CheckedFact(fact=fact.fact, value=fact.value, source=fact.source)


def _weak(plan: Plan | None, files: Sequence[CheckedFile]) -> Iterator[str]:
    """Yield what is there and lowers what can be said: the verdict would name it."""
    if plan is not None:
        spec = plan.environment
        if not spec.exact:
            as_of = f", as of {spec.as_of:%Y-%m-%d}" if spec.as_of is not None else ""
            yield f"environment: {spec.source} does not pin its packages{as_of}"
        if plan.command_inferred:
            yield f"command: {plan.command_source}"
        if not plan.lineage.commit_known:
            yield "commit: the run records none"
        if not plan.lineage.files:
            yield "data: the run records no digest"
    for file in files:
        stages = [name for out, name in _made_by(plan).items() if overlap(file.path, out)]
        if file.held is Held.ABSENT and stages:
            yield f"data: no remote holds {file.path}; stage {stages[0]} makes it again"
    unasked = sum(file.held is Held.UNASKED for file in files)
    if unasked:
        yield f"data: {unasked} of {len(files)} digests could be looked for in no remote from here"


def _as_value(missing: MissingFact, asked: Asked) -> Missing:
    from runner.lineage.remedy import pasted_remedy

    return Missing(
        fact=missing.fact,
        cause=missing.cause,
        remedy=pasted_remedy(missing.remedy, asked.record, asked.settings),
        looked_in=missing.looked_in,
        nearest=missing.nearest,
    )


def summarise(rows: Sequence[CheckedRun]) -> Check:
    """Return the rows with how many runs lack each fact, the commonest first."""
    counts: dict[str, int] = {}
    for row in rows:
        for fact in dict.fromkeys(each.fact for each in row.missing):
            counts[fact] = counts.get(fact, 0) + 1
    return Check(
        tool_version=__version__,
        created=datetime.now(timezone.utc),
        runs=tuple(rows),
        missing_facts=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        saved_by_record=sum(
            bool(row.missing) and all(each.fact in _SAVED_BY_RECORD for each in row.missing) for row in rows
        ),
    )
