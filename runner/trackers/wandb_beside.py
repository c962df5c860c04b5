"""The files that W&B keeps beside a run's values, wherever they lie: which are its own, and what is read of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from runner.schema.run_record import Artifact, TextFile
from runner.trackers.recorded import ENVIRONMENT_FILE_BYTES
from runner.trackers.wandb_record import ENVIRONMENT_FILES, METADATA, PATCH, Beside

PATCH_BYTES = 16 << 20
_METADATA_BYTES = 1 << 20
_OWN = re.compile(
    r"wandb-[\w-]+\.json|config\.yaml|output\.log|requirements\.txt|conda-environment\.yaml|diff\w*\.patch|code/.*",
    re.DOTALL,
)

Read = Callable[[str, int], "bytes | None"]
"""Returns the bytes of a file by its name; None where there is none, or it is longer than the limit."""


def is_own_file(path: str) -> bool:
    """Tell whether W&B wrote a file by itself, so that it is no artifact of the run."""
    return _OWN.fullmatch(path) is not None


def read_beside(
    read: Read, names: Iterable[str], *, artifacts: tuple[Artifact, ...], notes: Iterable[str] = ()
) -> Beside:
    """Read metadata, packages and patches of a run whose files have these names.

    A patch that cannot be read is one without a text: a run that has it is none of a clean commit.
    """
    patches, said = [], list(notes)
    for name in filter(PATCH.fullmatch, names):
        data = read(name, PATCH_BYTES)
        if data is None:
            said.append(f"{name} could not be read whole: it is over {PATCH_BYTES} bytes, or not as it is listed")
        patches.append(TextFile(path=name, text="" if data is None else data.decode("utf-8", "surrogateescape")))
    return Beside(
        metadata=_metadata(read),
        environment_files=tuple(_texts(read)),
        patches=tuple(patches),
        artifacts=artifacts,
        notes=tuple(said),
    )


def _metadata(read: Read) -> dict[str, Any]:
    data = read(METADATA, _METADATA_BYTES)
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _texts(read: Read) -> list[TextFile]:
    texts = []
    for name, meant in ENVIRONMENT_FILES.items():
        data = read(name, ENVIRONMENT_FILE_BYTES)
        if data is not None:
            texts.append(TextFile(path=meant, text=data.decode("utf-8", "replace")))
    return texts
