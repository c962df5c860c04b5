"""The changes that no commit held when a run was made, where its tracker kept them as a patch.

W&B keeps `diff.patch`, from the commit to the work tree, and for a commit that was not pushed `diff_COMMIT.patch`, from
the newest ancestor that was. MLflow's git versioning keeps the former as a tag. None has files that git did not track.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runner.schema.run_record import RunRecord

DIFF_TAG = "mlflow.source.git.diff"
_CUT = frozenset({5000, 8000})
"""Lengths at which some version of MLflow cuts a tag: the end of such a text may be missing."""
_OF_WANDB = re.compile(r"diff_(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})\.patch")


@dataclass(frozen=True)
class RecordedPatch:
    """A patch on `base`, or on the recorded commit where that is None; `problem` says why it cannot be applied."""

    text: str
    source: str
    base: str | None = None
    problem: str | None = None


def recorded_patch(record: RunRecord) -> RecordedPatch | None:
    """Return the patch from the recorded commit to the work tree, None where none is recorded."""
    for file in record.patches:
        if file.path == "diff.patch":
            return _patch(file.text, f"{file.path} of the run")
    text = record.tags.get(DIFF_TAG, "")
    if not text.strip():
        return None
    problem = "it may be cut: it has the length at which MLflow cuts tags" if len(text) in _CUT else None
    # MLflow strips the last line's end, which git's format needs.
    return RecordedPatch(text if text.endswith("\n") else f"{text}\n", f"tag {DIFF_TAG}", problem=problem)


def patch_since_pushed(record: RunRecord) -> RecordedPatch | None:
    """Return the patch from the newest ancestor that was pushed to the work tree, None where none is recorded."""
    for file in record.patches:
        match = _OF_WANDB.fullmatch(file.path)
        if match is not None:
            return _patch(file.text, f"{file.path} of the run", match["commit"])
    return None


def _patch(text: str, source: str, base: str | None = None) -> RecordedPatch:
    return RecordedPatch(text, source, base, None if text.strip() else "it is empty, too long, or no text")
