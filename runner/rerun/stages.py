"""Before phase 3: the stages that make what no store holds, each in a training's own container (VERDICTS rule 19)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.errors import MissingFact
from runner.inside import layout
from runner.progress import Progress
from runner.rerun.exchange import call, inside_argv
from runner.rerun.restore import Restored
from runner.rerun.train import Trained, train
from runner.schema.plan import EarlierStage, Plan
from runner.schema.rerun import Ending, RestoredFile

_SHOWN_LINES = 5


def run_stages(
    engine: Engine,
    plan: Plan,
    restored: Restored,
    *,
    rerun: str,
    environment_key: str,
    volume: str,
    logs: Path,
    progress: Progress,
) -> tuple[RestoredFile, ...]:
    """Run the stages in their order and return what they made, each file compared with the digest of the lock.

    Raises MissingFact where one does not finish well: the training then lacks its inputs, whose bytes are in no store.
    """
    files: list[RestoredFile] = []
    for number, stage in enumerate(restored.stages):
        progress.update(f"running stage {stage.name}, since no store holds what it makes")
        trained = train(
            engine,
            plan.model_copy(update={"command": stage.command, "working_directory": stage.working_directory}),
            rerun=rerun,
            environment_key=environment_key,
            volume=volume,
            log_file=logs / f"stage-{re.sub(r'[^A-Za-z0-9_.@-]', '-', stage.name)}.log",
            progress=progress,
        )
        if trained.ending is not Ending.FINISHED:
            raise _unfinished(stage, trained, restored)
        result = call(
            engine,
            ContainerRequest(
                image=plan.images.tools,
                argv=inside_argv("stage"),
                purpose="stage",
                run=plan.run.id,
                mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
            ),
            payload=_payload(plan, stage, rerun, last=number + 1 == len(restored.stages)),
            progress=progress,
        )
        files += [RestoredFile.model_validate(_known(file), strict=False) for file in result["files"]]
    return tuple(files)


def doubts_of(files: tuple[RestoredFile, ...]) -> tuple[str, ...]:
    """Return in sentences what was rebuilt and is not known to be what the run had."""
    sentences = []
    for file in files:
        if file.rebuilt_by is not None and file.digest != file.expected:
            what = "nothing records its digest" if file.expected is None else f"recorded is {file.expected}"
            sentences.append(f"{file.path} was rebuilt by {file.rebuilt_by} as {file.digest}: {what}")
    return tuple(sentences)


def _payload(plan: Plan, stage: EarlierStage, rerun: str, *, last: bool) -> dict[str, Any]:
    return {
        "rerun": rerun,
        "stage": {"name": stage.name, "file": stage.file, "outs": list(stage.outs)},
        "last": last,
        "expected_outputs": list(plan.expected_outputs),
    }


def _known(file: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in file.items() if name != "entries"}


def _unfinished(stage: EarlierStage, trained: Trained, restored: Restored) -> MissingFact:
    status = "without an exit status" if trained.exit_code is None else f"with exit status {trained.exit_code}"
    how = trained.ending.value if trained.ending is not Ending.CRASHED else status
    lines = [line.strip() for line in trained.log_tail if line.strip()]
    said = f": {lines[-1][:200]}" if lines else ""
    return MissingFact(
        f"stage {stage.name} of {stage.file}, which must make {', '.join(stage.outs) or 'an input'} since no store "
        f"holds it, ended {how}{said}",
        "runner reproduce RUN --remote URL    if a store has what it makes",
        fact="data",
        looked_in=restored.remotes_asked,
        nearest=tuple(lines[-_SHOWN_LINES:]),
    )
