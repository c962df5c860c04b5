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


class DatasetComparison(Value):
    """A dataset that the run said it was given: MLflow's digests of it, of all that have this name and context."""

    name: str
    context: str | None
    original: tuple[str, ...]
    rerun: tuple[str, ...]
    outcome: Outcome

    @property
    def title(self) -> str:
        """The dataset's name with what it was for."""
        return f"{self.name} ({self.context})" if self.context else self.name


PackageOutcome = Literal["same", "added", "removed", "changed", "unknown"]


class PackageComparison(Value):
    """A package, or Python itself, as recorded and as it ran.

    `unknown` is one of which no version is recorded; `added` one that a record of all packages does not have.
    `recorded_by` tells whether the run recorded the version or its commit pins it. `moves_numbers` tells whether
    another version can move numbers.
    """

    name: str
    original: str | None
    rerun: str | None
    outcome: PackageOutcome
    recorded_by: Literal["run", "commit"] | None = None
    moves_numbers: Literal["can", "perhaps", "not by itself"] = "perhaps"

    @property
    def differs(self) -> bool:
        """Tell whether it ran otherwise than recorded."""
        return self.outcome in ("changed", "added", "removed")

    @property
    def words(self) -> str:
        """The difference in words: `torch 2.1.0 recorded, 2.1.2 ran`."""
        return f"{self.name} {self.original or 'not'} recorded, {self.rerun or 'none'} ran"


class PlatformComparison(Value):
    """The operating system that was recorded, if any, and the platform of the rerun.

    `gpu_original` is the sign by which the run is known to have used a GPU, `gpus_rerun` are those that the rerun used.
    """

    original: str | None
    rerun: str
    gpu_original: str | None = None
    gpus_rerun: tuple[str, ...] = ()
    outcome: Literal["same", "changed", "unknown"]

    @property
    def lacks_gpu(self) -> bool:
        """Tell whether the run used a GPU and the rerun did not."""
        return self.gpu_original is not None and not self.gpus_rerun


class EnvironmentComparison(Value):
    """The environment that trained beside the recorded one.

    `packages` are all that were recorded by the run or that ran; `counts` are of their outcomes. `complete` tells that
    the commit has a record of all packages (a lock). `whole` tells whether all packages together are those of which the
    run recorded a digest, None where it recorded none, `whole_source` where that is. `reading` is the line that says
    which differences could move numbers. A difference explains a divergence; it decides about none.
    """

    packages: tuple[PackageComparison, ...] = ()
    counts: dict[str, int] = {}
    complete: bool = False
    python: PackageComparison | None = None
    platform: PlatformComparison | None = None
    whole: bool | None = None
    whole_source: str | None = None
    reading: str = ""

    @property
    def recorded(self) -> tuple[PackageComparison, ...]:
        """The packages of which the run itself recorded the version."""
        return tuple(package for package in self.packages if package.recorded_by == "run")

    @property
    def differing(self) -> tuple[PackageComparison, ...]:
        """The packages that ran otherwise than recorded."""
        return tuple(package for package in self.packages if package.differs)


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
    datasets: tuple[DatasetComparison, ...] = ()
    registered: RegisteredComparison | None = None
    environment: EnvironmentComparison = EnvironmentComparison()
    mappings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ignored_metrics: int = 0
    capped: Literal["identical", "reproduced"] = "identical"
    caps: tuple[str, ...] = ()

    @property
    def compared(self) -> tuple[MetricComparison, ...]:
        """The metrics that decide: those that were compared, and those that were not logged again."""
        decided = (Outcome.EQUAL, Outcome.WITHIN, Outcome.OUTSIDE, Outcome.MISSING)
        return tuple(metric for metric in self.metrics if metric.outcome in decided)
