"""Reproduction: the evidence. All that was recorded, decided, done and compared, with the verdict."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from runner.schema.base import UtcTime, Value
from runner.schema.comparison import Comparison
from runner.schema.invocation import Invocation
from runner.schema.lineage import Lineage
from runner.schema.plan import Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord


class Verdict(str, Enum):
    """What an auditor may rely on; see docs/verdicts.md."""

    IDENTICAL = "identical"
    REPRODUCED = "reproduced"
    DIVERGED = "diverged"
    UNVERIFIABLE = "unverifiable"
    FAILED = "failed"

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this verdict."""
        return {"identical": 0, "reproduced": 0, "diverged": 1, "unverifiable": 3, "failed": 4}[self.value]


class Missing(Value):
    """Why a run is unverifiable: the fact, where it was looked for, what came near and how to supply it."""

    fact: str
    cause: str
    remedy: str
    looked_in: tuple[str, ...] = ()
    nearest: tuple[str, ...] = ()
    found_otherwise: tuple[str, ...] = ()


class Decision(Value):
    """A verdict with its reason in a sentence, and what it does and does not rest on.

    `missing` tells for `unverifiable` which fact is missing and how to supply it.
    """

    verdict: Verdict
    reason: str
    verified: tuple[str, ...] = ()
    not_verified: tuple[str, ...] = ()
    missing: Missing | None = None


class RunIdentity(Value):
    """The original run's identity, also where nothing else of it could be used.

    `model` is the title of the registered model that was asked for, such as `fraud v7`.
    """

    id: str
    uri: str
    name: str | None = None
    experiment: str | None = None
    model: str | None = None

    @classmethod
    def of(cls, record: RunRecord, model: str | None = None) -> RunIdentity:
        """Return the identity of a recorded run."""
        return cls(id=record.run_id, uri=record.uri, name=record.name, experiment=record.experiment_name, model=model)


class OtherRun(Value):
    """What the same rerun says of another run that the execution of the original made.

    `matched_run` is its counterpart among what the training logged, `compared` the number of its metrics that were
    compared.
    """

    run: RunIdentity
    verdict: Verdict
    reason: str
    matched_run: str | None = None
    compared: int = 0


class Reproduction(Value):
    """The evidence of one rerun; `invocation` is what was typed.

    What was not reached is None; `stopped_before` then names the phase. `others` are runs that the same execution made;
    the verdict is of `run` alone.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    created: UtcTime
    verdict: Verdict
    reason: str
    verified: tuple[str, ...]
    not_verified: tuple[str, ...]
    run: RunIdentity
    invocation: Invocation = Invocation()
    record: RunRecord | None = None
    lineage: Lineage | None = None
    plan: Plan | None = None
    rerun: Rerun | None = None
    comparison: Comparison | None = None
    missing: Missing | None = None
    others: tuple[OtherRun, ...] = ()
    stopped_before: Literal["lineage", "plan", "restore", "provision", "train", "compare"] | None = None
    timings: dict[str, float] = {}
