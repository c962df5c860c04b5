"""The whole flow of a rerun on one page: read this first.

    run reference ─▶ RunRecord ─▶ Lineage ─▶ Plan ─▶ Rerun ─▶ Comparison ─▶ Reproduction ─▶ report, evidence

Diverged, unverifiable and failed are values, each with its evidence; only usage, infrastructure and our own bugs leave
as exceptions. The original tracker, repository and remote are only ever read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runner import __version__, interrupts
from runner.compare.build import compare
from runner.credentials.host import NO_ACCESS
from runner.engine.labels import cache_volume
from runner.errors import InfrastructureError, MissingFact
from runner.evidence.folder import EvidenceFolder, evidence_folder
from runner.finding import Asked, find_run
from runner.lineage.remedy import pasted_remedy
from runner.network import read_network_settings
from runner.others import judge_others
from runner.plan.limits import check_fit
from runner.planning import Found, ImagesFor, cache_folder, make_plan, package_sources_folder
from runner.prepare import (
    base_python,
    ensure_build_image,
    ensure_image_for_remotes,
    images_of,
    open_engine,
    prepare,
    with_training_image,
)
from runner.progress import NoProgress, Progress
from runner.report.markdown import render_markdown
from runner.repository.bundle import cached_bundle
from runner.rerun.carry_out import Paper, Place, carry_out, discard_workspace
from runner.rerun.lacking import commit_lacks
from runner.rerun.preexisting import recorded_results
from runner.rerun.provision import lacks_wheels
from runner.rerun.supplies import Supplies, fetch_inputs, room_for_supplies
from runner.schema.plan import EnvironmentSpec, Images, Plan
from runner.schema.reproduction import Missing, Reproduction, Verdict
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
from runner.settings import Settings
from runner.trackers.baseline import baseline_digest
from runner.trackers.execution import other_runs
from runner.verdict.decide import decide
from runner.verdict.lacking import lacking_submodule, may_be_excused, unfetched

if TYPE_CHECKING:
    from runner.engine.docker import DockerEngine

Phase = Literal["lineage", "plan", "restore", "provision"]


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """A reproduction and the folder that holds its evidence. `kept` names the workspace that `--keep` left."""

    reproduction: Reproduction
    evidence: Path
    kept: str | None = None

    @property
    def evidence_shown(self) -> str:
        """Where the evidence is, as a person would type it: by the link to the newest, where there is one."""
        latest = self.evidence.with_name("latest")
        path = latest if latest.is_symlink() and latest.resolve() == self.evidence.resolve() else self.evidence
        relative = os.path.relpath(path)
        return str(path) if relative.startswith("..") else relative


def reproduce(run: str, settings: Settings, *, progress: Progress, engine: DockerEngine | None = None) -> Reproduced:
    """Rerun a recorded run and give a verdict.

    `engine` is opened, and closed, here unless the caller gives one. Raises UsageError where no run is meant,
    InfrastructureError where something refused, Interrupted; nothing is then left behind.
    """
    started = time.monotonic()
    asked = find_run(run, settings)
    record, settings, found = asked.record, asked.settings, Found(asked=asked)
    now = datetime.now(timezone.utc)
    with evidence_folder(settings.out, record.run_id, now, Path(settings.folder)) as evidence:
        kept, stay = None, _nothing
        try:
            with _opened(engine, progress) as session:
                settings = _with_base_python(session, settings, progress)
                images_for = _images_for(session, settings, progress)
                plan = make_plan(
                    record,
                    settings,
                    images_for,
                    found,
                    progress,
                    lacks_wheels=partial(_lacks_wheels, session, settings, progress),
                    confirm=True,
                )
                check_fit(plan.limits, cpus=session.info.cpus, memory_bytes=session.info.memory_bytes)
                others = _others(asked, progress)
                rerun, stay = _rerun(record, plan, session, evidence, found, settings, progress)
                kept = session.session_id if settings.keep else None
            reproduction = _judged(asked, plan, rerun, found, others)
        except MissingFact as missing:
            reproduction = _unverifiable(asked, found, missing)
        seconds = time.monotonic() - started
        reproduction = reproduction.model_copy(update={"timings": {**reproduction.timings, "total": seconds}})
        folder = evidence.finish(
            {"reproduction.json": reproduction.to_json(indent=2) + "\n", "report.md": render_markdown(reproduction)}
        )
    stay()
    return Reproduced(reproduction=reproduction, evidence=folder, kept=kept)


def _nothing() -> None:
    """Stay where nothing was kept."""


@contextmanager
def _opened(engine: DockerEngine | None, progress: Progress) -> Iterator[DockerEngine]:
    """Return an engine session of this rerun's own, so that what it leaves can be told from others'."""
    from runner.engine.docker import connect

    session = open_engine(progress) if engine is None else connect(engine.address)
    try:
        yield session
    finally:
        session.close()


def _with_base_python(session: DockerEngine, settings: Settings, progress: Progress) -> Settings:
    if settings.base_image is None:
        return settings
    return settings.model_copy(
        update={"base_python": base_python(session, settings.base_image, progress, offline=settings.offline)}
    )


def _images_for(session: DockerEngine, settings: Settings, progress: Progress) -> ImagesFor:
    def images_for(environment: EnvironmentSpec) -> Images:
        prepared = prepare(
            session,
            python=environment.tools_python,
            python_others=environment.python_others,
            base_image=settings.base_image,
            system_packages=settings.system_packages,
            progress=progress,
            offline=settings.offline,
        )
        return with_training_image(
            session, images_of(prepared), environment, offline=settings.offline, progress=progress
        )

    return images_for


def _upload_times(settings: Settings) -> Mapping[str, str]:
    return {} if settings.upload_times is None else settings.upload_times.times


def _lacks_wheels(session: DockerEngine, settings: Settings, progress: Progress, plan: Plan) -> str | None:
    return lacks_wheels(
        session,
        plan,
        volume=cache_volume(),
        network=read_network_settings(),
        progress=progress,
        offline=settings.offline,
        upload_times=_upload_times(settings),
    )


def _rerun(
    record: RunRecord,
    plan: Plan,
    session: DockerEngine,
    evidence: EvidenceFolder,
    found: Found,
    settings: Settings,
    progress: Progress,
) -> tuple[Rerun, Callable[[], None]]:
    """Carry out the plan; where it breaks off, take its workspace away before anybody hears of it.

    Call what is returned beside the rerun once it is certain that a workspace that was kept is to stay.
    """
    from runner.engine.base_image import obtainable

    assert found.mirror is not None and found.snapshot is not None  # noqa: S101, PT018  # a plan was made of them
    assert found.parts is not None  # noqa: S101  # with them
    place = Place(
        engine=session,
        volume=cache_volume(),
        rerun=session.session_id,
        network=read_network_settings(),
        host=found.host or NO_ACCESS,
        build_image=partial(ensure_build_image, session, plan, progress=progress, offline=settings.offline),
        restore_image=partial(ensure_image_for_remotes, session, plan, progress=progress, offline=settings.offline),
        pythons=obtainable(session, plan.environment.python_others),
    )
    paper = Paper(
        bundle=cached_bundle(found.mirror, plan.lineage.tree),
        package_sources=package_sources_folder(),
        dvc_roots=found.snapshot.dvc_roots,
        outs=tuple(
            sorted({out.path for out in found.snapshot.pointers} | {out.path for out in found.snapshot.history})
        ),
        sources={path: text for path, text in found.snapshot.texts.items() if path.endswith(".py")},
        upload_times=_upload_times(settings),
        contents=found.parts.contents,
        recorded=recorded_results(record, plan),
        logs=evidence.logs,
        outputs=evidence.outputs,
    )

    def take_away() -> None:
        session.close()  # ends what still runs; a session of its own then takes the workspace away
        with suppress(InfrastructureError), _opened(session, NoProgress()) as fresh:
            discard_workspace(plan, replace(place, engine=fresh), NoProgress())
        forget()

    forget = interrupts.note(take_away)
    sources = {pin.path: pin.source for pin in settings.inputs.values()}
    try:
        with room_for_supplies(cache_folder()) as room:
            inputs = fetch_inputs(sources, Path(settings.folder), room)
            files = {**found.parts.fetch(plan, progress), **found.parts.mended(plan, room), **inputs}
            supplies = Supplies(files, found.parts.bundles(plan))
            paper = replace(paper, supplies=supplies)
            rerun = carry_out(plan, place, paper, keep=settings.keep, offline=settings.offline, progress=progress)
    except BaseException:
        take_away()
        raise
    if not settings.keep:
        forget()
    return rerun, forget


def _others(asked: Asked, progress: Progress) -> tuple[RunRecord, ...]:
    """Return the other runs of the same execution; a tracker that cannot list them costs the run itself nothing."""
    try:
        return other_runs(asked.tracker, asked.record)
    except InfrastructureError as error:
        progress.line(f"other runs of the same execution are not looked for: {error.cause}")
        return ()


def _judged(asked: Asked, plan: Plan, rerun: Rerun, found: Found, others: Sequence[RunRecord]) -> Reproduction:
    """Compare, read the record and the registered model once more (VERDICTS rules 9 and 13), and decide."""
    record = asked.record
    now, change = asked.read_again(plan.registered)
    comparison = compare(record, plan, rerun)
    judge = partial(
        decide,
        plan,
        record,
        rerun,
        comparison,
        record_changed=now is None or baseline_digest(now) != plan.run.baseline_digest,
        registered_change=change,
        unfetched=None if found.snapshot is None else unfetched(plan, rerun, found.snapshot),
    )
    decision = judge()
    if may_be_excused(decision, rerun) and found.mirror is not None and found.snapshot is not None:
        lacking = commit_lacks(plan, rerun, found.mirror, found.snapshot)
        lacking = lacking or lacking_submodule(plan, found.snapshot)
        decision = judge(lacking=lacking)
    return Reproduction(
        tool_version=__version__,
        created=datetime.now(timezone.utc),
        verdict=decision.verdict,
        reason=decision.reason,
        verified=decision.verified,
        not_verified=decision.not_verified,
        run=asked.identity,
        invocation=asked.settings.invocation,
        record=record,
        lineage=plan.lineage,
        plan=plan,
        rerun=rerun,
        comparison=comparison,
        missing=decision.missing,
        others=() if found.snapshot is None else judge_others(others, asked, plan, found.snapshot, rerun, comparison),
        timings=rerun.timings,
    )


def _unverifiable(asked: Asked, found: Found, missing: MissingFact) -> Reproduction:
    """Return the reproduction of a run for which a fact is missing, with all that was found otherwise."""
    phase: Phase = "lineage"
    if found.lineage is not None:
        phase = "plan"
    if found.plan is not None:
        phase = "provision" if missing.fact in ("environment", "python") else "restore"
    return Reproduction(
        tool_version=__version__,
        created=datetime.now(timezone.utc),
        verdict=Verdict.UNVERIFIABLE,
        reason=missing.cause,
        verified=(),
        not_verified=found.plan.not_verified if found.plan is not None else (),
        run=asked.identity,
        invocation=asked.settings.invocation,
        record=asked.record,
        lineage=found.lineage,
        plan=found.plan,
        missing=Missing(
            fact=missing.fact,
            cause=missing.cause,
            # Phases do not know how the run was named; what is pasted must.
            remedy=pasted_remedy(missing.remedy, asked.record, asked.settings),
            looked_in=missing.looked_in,
            nearest=missing.nearest,
            found_otherwise=found.facts(except_for=missing.fact),
        ),
        stopped_before=phase,
    )
