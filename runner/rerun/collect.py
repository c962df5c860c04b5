"""Phase 4 from the host: what the training left, read by our own reader in a container without network."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.engine.interface import ContainerRequest, Engine, VolumeMount
from runner.inside import layout
from runner.progress import Progress
from runner.rerun.exchange import call, inside_argv
from runner.schema.model_text import parts_of
from runner.schema.plan import Plan
from runner.schema.rerun import CaptureReport, Hardware, OutputFile, RestoredFile

COPY_BYTES = 64 << 20  # of outputs that go into the evidence


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What phase 4 observed.

    `used_of_commit` are files of the commit that may have fed a logged value, `opened_of_commit` all that were opened
    at any time, which may have fed an output; `free_bytes` is what the volume had left, `written_bytes` what the
    training wrote, `cut` says what went over a limit or could not be seen.
    """

    capture: CaptureReport
    inputs: tuple[RestoredFile, ...]
    outputs: tuple[OutputFile, ...]
    used_of_commit: tuple[str, ...]
    opened_of_commit: tuple[str, ...]
    hardware: Hardware
    cut: tuple[str, ...]
    free_bytes: int | None = None
    written_bytes: int = 0


def collect(
    engine: Engine,
    plan: Plan,
    *,
    rerun: str,
    volume: str,
    outputs_folder: Path,
    keep: bool,
    progress: Progress,
) -> Collected:
    """Read capture and outputs of a rerun, copy small outputs to a folder, and remove the workspace unless `keep`."""
    writer = _Outputs(outputs_folder)
    result = call(
        engine,
        ContainerRequest(
            image=plan.images.tools,
            argv=inside_argv("collect"),
            purpose="collect",
            run=plan.run.id,
            mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
        ),
        payload={
            "rerun": rerun,
            "expected_outputs": list(plan.expected_outputs),
            "output_bytes": plan.limits.output_bytes,
            "copy_bytes": COPY_BYTES,
            "remove": not keep,
        },
        progress=progress,
        on_note=writer.take,
    )
    hardware = dict(result["hardware"])
    if plan.environment.image is not None:
        hardware |= {"libc": None, "compiler": None}  # those of our image were not the training's
    return Collected(
        capture=CaptureReport.model_validate(_taken_apart(result["capture"]), strict=False),
        inputs=tuple(
            RestoredFile.model_validate({name: file[name] for name in file if name != "entries"}, strict=False)
            for file in result["inputs"]
        ),
        outputs=tuple(OutputFile.model_validate(file, strict=False) for file in result["outputs"]),
        used_of_commit=tuple(result["used_of_commit"]),
        opened_of_commit=tuple(result["opened_of_commit"]),
        hardware=Hardware.model_validate(hardware, strict=False),
        cut=tuple(result["cut"]),
        free_bytes=result.get("free_bytes"),
        written_bytes=result.get("written_bytes", 0),
    )


def _taken_apart(capture: dict[str, Any]) -> dict[str, Any]:
    """Put the parts of MLflow's own texts in the place of the texts, which may be long and hold anything.

    Only at the top of a model are they MLflow's; deeper in, a file of such a name is anybody's.
    """
    for files in (run["artifacts"] for run in capture["runs"]):
        for file in files.values():
            file.pop("text")
    for model in (*capture["models"], *capture["versions"]):
        model["files"] = {path: _with_parts(path, file) for path, file in model["files"].items()}
    return capture


def _with_parts(path: str, file: dict[str, Any]) -> dict[str, Any]:
    text = (file.get("text") or "").encode()
    parts = parts_of(path, text) if file["sha256"] == f"sha256:{hashlib.sha256(text).hexdigest()}" else None
    return {**file, "text": None, "parts": parts}


def discard(engine: Engine, *, rerun: str, image: str, volume: str, progress: Progress) -> None:
    """Remove a rerun's workspace without collecting anything of it."""
    request = ContainerRequest(
        image=image,
        argv=inside_argv("discard"),
        purpose="discard",
        mounts=(VolumeMount(volume=volume, target=layout.CACHE),),
    )
    call(engine, request, payload={"reruns": [rerun]}, progress=progress)


class _Outputs:
    """Writes the copies of outputs, under names that cannot leave their folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str, value: Any) -> None:
        if name != "output":
            return
        parts = [part for part in str(value["path"]).split("/") if part not in ("", ".", "..")]
        target = self._folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The training chose the names: one may be a file where another wants a folder only if it changed meanwhile.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            file.write(base64.b64decode(value["data"]))
