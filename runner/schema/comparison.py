"""Comparison: original against rerun, thing by thing, without a verdict yet. The sides are `original` and `rerun`."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from runner.schema.base import Number, Value
from runner.schema.digest import Digest
from runner.schema.model_files import RegisteredComparison


class Outcome(str, Enum):
    """How one thing compares."""

    EQUAL = "equal"  # bit-equal in the canonical form of the original's store
    WITHIN = "within"  # within the tolerance of the policy
    OUTSIDE = "outside"
    MISSING = "missing"  # recorded, and not there in the rerun
    EXTRA = "extra"  # not recorded, and there in the rerun
    IGNORED = "ignored"
    NOT_COMPARED = "not compared"  # the note says why


class HistoryComparison(Value):
    """The curve of a metric. `first_difference` is the index of the first point outside; steps are the original's.

    `drift` holds the largest absolute difference in each of up to 16 equal parts of the curve, for drawing it.
    """

    points_original: int
    points_rerun: int
    points_equal: int
    points_within: int
    same_steps: bool
    first_difference: int | None = None
    first_difference_step: int | None = None
    drift: tuple[Number, ...] = ()


class MetricComparison(Value):
    """One metric. `original` and `rerun` are last values by VERDICTS rule 2; differences are of these.

    `kind` tells a plain metric from one that cannot show anything (`constant`: `epoch`, `n_samples`, a param; `nan`:
    nothing but NaN on both sides; `later`: recorded after the run's end).
    """

    name: str
    original: Number | None
    rerun: Number | None
    outcome: Outcome
    absolute_difference: Number | None = None
    relative_difference: Number | None = None
    rtol: Number = 0.0
    atol: Number = 0.0
    history: HistoryComparison | None = None
    kind: Literal["measured", "constant", "nan", "later"] = "measured"
    note: str | None = None


class ParamComparison(Value):
    """One param; `decisive` is false for those that name host, device, process, time or path."""

    name: str
    original: str | None
    rerun: str | None
    outcome: Outcome
    decisive: bool = True
    note: str | None = None


class FileComparison(Value):
    """A model, artifact or other output with a recorded digest against what the rerun wrote."""

    path: str
    original: Digest | None
    rerun: Digest | None
    outcome: Outcome
    written: bool | None = None
    note: str | None = None


class EnvironmentDifference(Value):
    """A package, or Python itself, as recorded and as it ran."""

    name: str
    original: str | None
    rerun: str | None
    outcome: Literal["same", "added", "removed", "changed"]


class Comparison(Value):
    """All of it. `matched_run` is the captured run that is the original's counterpart, None where none or several are.

    `match_problem` says in a sentence why none was matched; `mappings` lists the canonical forms applied (rule 3);
    `notes` are sentences on what does not fit well without deciding anything, such as another run name.
    """

    schema_version: Literal[1] = 1
    matched_run: str | None
    matched_status: str | None = None
    match_problem: str | None = None
    metrics: tuple[MetricComparison, ...]
    params: tuple[ParamComparison, ...]
    outputs: tuple[FileComparison, ...]
    registered: RegisteredComparison | None = None
    environment: tuple[EnvironmentDifference, ...] = ()
    mappings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ignored_metrics: int = 0
    capped: Literal["identical", "reproduced"] = "identical"
    caps: tuple[str, ...] = ()
