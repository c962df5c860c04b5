"""Checks: what `runner check` found of many runs, without rerunning any."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from runner.schema.base import UtcTime, Value
from runner.schema.digest import Digest
from runner.schema.reproduction import Missing, RunIdentity


class Auditability(str, Enum):
    """Whether a run can be audited: rerun, with a verdict that says something."""

    AUDITABLE = "auditable"
    LACKING = "lacking"
    UNKNOWN = "unknown"


class Held(str, Enum):
    """What the remotes of a run say of a digest; `unasked` where none of them could be asked from here."""

    HELD = "held"
    ABSENT = "absent"
    REFUSED = "refused"
    UNASKED = "unasked"


class CheckedFile(Value):
    """A file that the rerun needs, and whether a remote holds its bytes. `where` names the remotes that were asked."""

    path: str
    digest: Digest
    role: Literal["input", "output", "unknown"]
    held: Held
    where: tuple[str, ...] = ()


class CheckedFact(Value):
    """A fact that is there, as a person is told it, with its source."""

    fact: str
    value: str
    source: str


class Unreachable(Value):
    """Why it could not be looked: an error of infrastructure, which may be tried again."""

    kind: str
    cause: str
    remedy: str


class CheckedRun(Value):
    """One run: the facts that are there, and all that are missing, the one that would stop a rerun first.

    `saved_by_record` names those of the missing facts that `runner record` would have saved. `weak` are sentences on
    facts that are there and not exact: the best verdict says so.
    """

    run: RunIdentity
    start: UtcTime | None = None
    outcome: Auditability
    facts: tuple[CheckedFact, ...] = ()
    files: tuple[CheckedFile, ...] = ()
    missing: tuple[Missing, ...] = ()
    saved_by_record: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    unreachable: Unreachable | None = None


class Check(Value):
    """All runs that were asked for, in the order in which they were named, then by their start.

    `missing_facts` counts the runs that lack a fact, by fact; `saved_by_record` those that lack nothing but what
    `runner record` would have saved.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    created: UtcTime
    runs: tuple[CheckedRun, ...]
    missing_facts: dict[str, int]
    saved_by_record: int

    @property
    def exit_code(self) -> int:
        """0 where all can be audited, 5 where some could not be looked at, else 3."""
        outcomes = {run.outcome for run in self.runs}
        if Auditability.UNKNOWN in outcomes:
            return 5
        return 3 if Auditability.LACKING in outcomes else 0
