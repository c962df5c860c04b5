"""Carrying out a plan: phases 1 to 4, from restored data to what was collected. Plan -> Rerun, by way of an engine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.credentials.host import NO_ACCESS, HostAccess
from runner.engine.interface import Engine
from runner.errors import DiskFull
from runner.network import NetworkSettings
from runner.progress import Progress
from runner.rerun.collect import Collected, collect, discard
from runner.rerun.in_image import environment_of_image
from runner.rerun.preexisting import RecordedResults, find_results
from runner.rerun.prefetch import prefetch
from runner.rerun.provision import as_resolved, provision, ready_keys
from runner.rerun.restore import ImageFor, Restored, restore
from runner.rerun.stages import doubts_of, run_stages
from runner.rerun.supplies import NO_SUPPLIES, Supplies
from runner.rerun.train import Trained, train
from runner.schema.plan import Plan
from runner.schema.rerun import Ending, PreExistingResult, PrefetchedFile, Rerun, ResolvedEnvironment, RestoredFile

_TINY_BYTES = 64 << 20
_NO_SPACE = re.compile(r"No space left on device|Errno 28\b|ENOSPC|Disk quota exceeded")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a rerun happens: an engine, the cache volume, the name of the workspace in it, and this host's settings.

    `build_image` returns the image that phase 2b runs on, made when it is first asked for; `restore_image` that of
    phase 1 for remotes of some schemes, None for the plan's own. `pythons` are others than the plan's that may be
    offered in its place, the best first.
    """

    engine: Engine
    volume: str
    rerun: str
    network: NetworkSettings
    build_image: Callable[[], str]
    host: HostAccess = NO_ACCESS
    pythons: tuple[str, ...] = ()
    restore_image: ImageFor | None = None


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a rerun reads and writes on this host: bundle, mirrors of other repositories, folders for logs and outputs.

    `outs` are the paths of all that DVC ever versioned there: their folders are made, since a clone lacks those that
    hold nothing else, and scripts make none. `sources` maps scripts to their texts: what they import is compiled.
    `supplies` are files and submodules that the workspace gets from this host. `upload_times` date files of package
    indexes that do not.
    `contents` returns the bytes of files at the commit, less those over a size; `recorded` is what the run recorded,
    which they are searched for where the training used them.
    """

    bundle: Path
    package_sources: Path
    dvc_roots: tuple[str, ...]
    outs: tuple[str, ...]
    sources: dict[str, str]
    contents: Callable[[Iterable[str], int], Mapping[str, bytes]]
    recorded: RecordedResults
    logs: Path
    outputs: Path
    upload_times: Mapping[str, str] = field(default_factory=dict)
    supplies: Supplies = NO_SUPPLIES


def carry_out(plan: Plan, place: Place, paper: Paper, *, keep: bool, offline: bool, progress: Progress) -> Rerun:
    """Restore and provision beside each other, train, collect; return what was observed.

    The workspace is removed at the end, unless `keep`. Raises MissingFact where the rerun could not start,
    InfrastructureError where something refused or the disk was full; the caller then removes the workspace by
    `discard_workspace`.
    """
    timings: dict[str, float] = {}
    restored, environment = _prepare(plan, place, paper, offline=offline, progress=progress, timings=timings)
    prefetched: tuple[PrefetchedFile, ...] = ()
    if plan.prefetch:
        with _timed("prefetch", timings, progress):
            prefetched = prefetch(
                place.engine,
                plan,
                rerun=place.rerun,
                environment_key=environment.key,
                volume=place.volume,
                network=place.network,
                progress=progress,
                offline=offline,
            )
    made: tuple[RestoredFile, ...] = ()
    if restored.stages:
        with _timed("stages", timings, progress):
            made = run_stages(
                place.engine,
                plan,
                restored,
                rerun=place.rerun,
                environment_key=environment.key,
                volume=place.volume,
                logs=paper.logs,
                progress=progress,
            )
        restored = replace(restored, files=(*restored.files, *made), doubts=(*restored.doubts, *doubts_of(made)))
    with _timed("train", timings, progress):
        trained = train(
            place.engine,
            plan,
            rerun=place.rerun,
            environment_key=environment.key,
            volume=place.volume,
            log_file=paper.logs / "train.log",
            progress=progress,
        )
    with _timed("collect", timings, progress):
        collected = collect(
            place.engine,
            plan,
            rerun=place.rerun,
            volume=place.volume,
            outputs_folder=paper.outputs,
            keep=keep,
            progress=progress,
        )
    _check_space(trained, collected, place.volume)
    if collected.written_bytes > plan.limits.output_bytes:
        trained = replace(trained, ending=Ending.WROTE_TOO_MUCH)
    results = find_results(
        collected.used_of_commit,
        opened=collected.opened_of_commit,
        command=plan.command,
        recorded=paper.recorded,
        contents=paper.contents,
        allowed=plan.policy.allow_existing,
    )
    observed = _observed(restored, environment, trained, collected, results, timings)
    return observed.model_copy(update={"prefetched": prefetched})


def discard_workspace(plan: Plan, place: Place, progress: Progress) -> None:
    """Remove the workspace of a rerun that was broken off."""
    discard(place.engine, rerun=place.rerun, image=plan.images.tools, volume=place.volume, progress=progress)


def _prepare(
    plan: Plan, place: Place, paper: Paper, *, offline: bool, progress: Progress, timings: dict[str, float]
) -> tuple[Restored, ResolvedEnvironment]:
    """Restore; and make the environment meanwhile, if restore finds that it is not ready."""
    started = time.monotonic()
    ready: list[ResolvedEnvironment] = []
    making: list[Future[ResolvedEnvironment]] = []

    def make() -> ResolvedEnvironment:
        if plan.environment.image is not None:
            return environment_of_image(place.engine, plan)
        return provision(
            place.engine,
            plan,
            rerun=place.rerun,
            volume=place.volume,
            network=place.network,
            build_image=place.build_image,
            progress=progress,
            offline=offline,
            bundle=paper.bundle,
            package_sources=paper.package_sources,
            sources=paper.sources,
            upload_times=paper.upload_times,
            pythons=place.pythons,
        )

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="provision") as pool:

        def on_environment(record: dict[str, Any] | None) -> None:
            if record is not None:
                ready.append(as_resolved(record, cached=True))
            else:
                making.append(pool.submit(make))

        try:
            with _timed("restore", timings, progress):
                restored = restore(
                    place.engine,
                    plan,
                    rerun=place.rerun,
                    bundle=paper.bundle,
                    dvc_roots=paper.dvc_roots,
                    outs=paper.outs,
                    volume=place.volume,
                    environment_keys=ready_keys(plan),
                    on_environment=on_environment,
                    network=place.network,
                    progress=progress,
                    host=place.host,
                    offline=offline,
                    supplies=paper.supplies,
                    image_for=place.restore_image,
                )
            with _timed("provision", timings, progress):
                environment = ready[0] if ready else making[0].result()
        except BaseException:
            place.engine.close()  # ends the other phase's container, and with it its thread
            raise
    if making:
        timings["provision"] = time.monotonic() - started  # beside restore, so both count from the start
    return restored, environment


def _check_space(trained: Trained, collected: Collected, volume: str) -> None:
    """Raise DiskFull for a training that crashed because the volume was full: that is no fault of its author."""
    free = collected.free_bytes
    if trained.ending is not Ending.CRASHED or free is None or free > _TINY_BYTES:
        return
    if any(_NO_SPACE.search(line) for line in trained.log_tail):
        raise DiskFull(
            f"the training ran out of disk space: the volume {volume} has {free >> 20} MiB left",
            "runner setup --prune    or give the engine a larger disk",
        )


@contextmanager
def _timed(phase: str, timings: dict[str, float], progress: Progress) -> Iterator[None]:
    started = time.monotonic()
    with progress.phase(phase):
        yield
    timings[phase] = time.monotonic() - started


def _observed(
    restored: Restored,
    environment: ResolvedEnvironment,
    trained: Trained,
    collected: Collected,
    results: tuple[PreExistingResult, ...],
    timings: dict[str, float],
) -> Rerun:
    after = {file.path: file for file in collected.inputs}
    unobserved = (*collected.capture.unobserved, *collected.cut)
    inputs: tuple[RestoredFile, ...] = tuple(after.get(file.path, file) for file in restored.files)
    return Rerun(
        ending=trained.ending,
        exit_code=trained.exit_code,
        timings=timings,
        capture=collected.capture.model_copy(update={"unobserved": unobserved}),
        inputs=inputs,
        outputs=collected.outputs,
        pre_existing=results,
        environment=environment,
        hardware=collected.hardware,
        remotes_asked=restored.remotes_asked,
        stages_run=tuple(f"{stage.name} of {stage.file}" for stage in restored.stages),
        doubts=restored.doubts,
        log_tail=trained.log_tail,
        log_cut=trained.log_cut,
    )
