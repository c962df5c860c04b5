"""Stores differ in what they keep of a value: both sides are put into the form of the original's (VERDICTS rule 3).

What MLflow's stores do, measured: the file store keeps every value and their order. The SQL stores clamp infinities to
the largest float, lose the sign of zero, drop exact duplicates (same key, step, time and value) and return points of
the same millisecond in no order of their own. Old PostgreSQL returns 15 digits, at which the largest float is more than
it is, and comes as an infinity. Behind a server any may stand.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from runner.compare.tolerance import bits
from runner.schema.run_record import MetricHistory, RunRecord, StoreKind

LARGEST = sys.float_info.max


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a kind of store keeps. `digits` is how many significant digits survive, None for all."""

    store: str
    clamps_infinity: bool = False
    drops_sign_of_zero: bool = False
    drops_duplicates: bool = False
    keeps_order: bool = True
    digits: int | None = None

    def of(self, value: float) -> float:
        """Return a value as this kind of store returns it."""
        if math.isnan(value):
            return value
        if self.clamps_infinity and math.isinf(value):
            return math.copysign(LARGEST, value)
        if self.drops_sign_of_zero and value == 0:
            return 0.0
        if self.digits is not None and math.isfinite(value):
            return float(f"{value:.{self.digits}g}")
        return value

    def mappings(self, values: Iterable[float]) -> set[str]:
        """Name the mappings that change any of these values."""
        used = set()
        for value in values:
            if self.clamps_infinity and math.isinf(value):
                used.add(f"infinities are ±{LARGEST:.16e} ({self.store})")
            elif self.drops_sign_of_zero and value == 0 and math.copysign(1.0, value) < 0:
                used.add(f"the sign of zero is lost ({self.store})")
            elif self.digits is not None and math.isfinite(value) and self.of(value) != value:
                used.add(f"{self.digits} significant digits ({self.store})")
        return used

    def rounded(self, values: Iterable[float]) -> bool:
        """Tell whether digits of any of these values would not survive."""
        return self.digits is not None and any(
            math.isfinite(value) and float(f"{value:.{self.digits}g}") != value for value in values
        )

    @property
    def duplicates_dropped(self) -> str:
        """The mapping's name."""
        return f"exact duplicates of a point are dropped ({self.store})"

    @property
    def order_lost(self) -> str:
        """The mapping's name."""
        return f"points of the same step and millisecond have no order ({self.store})"


FILE = Form(store="file store")
SQL = Form(store="SQL store", clamps_infinity=True, drops_sign_of_zero=True, drops_duplicates=True, keeps_order=False)
WANDB = Form(store="W&B's file")
"""W&B writes every number with all its digits, NaN and infinities as words of JSON, in the order of logging."""
WANDB_SERVER = Form(store="W&B's server", drops_sign_of_zero=True)
"""What W&B's client sends has whole floats as integers, and with them a minus zero as zero."""


def form_of(record: RunRecord) -> Form:
    """Return the canonical form for a record's kind of store.

    A server does not say which store it has: it is taken for a SQL store, but for what it evidently keeps. An infinity
    does not tell that it keeps duplicates: at 15 digits the largest float is returned as one.
    """
    if record.store is StoreKind.MLFLOW_FILE:
        return FILE
    if record.store is StoreKind.MLFLOW_SQLITE:
        return SQL
    if record.store is StoreKind.WANDB_FILE:
        return WANDB
    if record.store is StoreKind.WANDB_API:
        return WANDB_SERVER
    values = [point.value for history in record.metrics for point in history.points]
    keeps_duplicates = any(map(_has_duplicates, record.metrics))  # only the file store does
    return Form(
        store="server with a file store" if keeps_duplicates else "server",
        clamps_infinity=not any(map(math.isinf, values)),
        drops_sign_of_zero=not any(value == 0 and math.copysign(1.0, value) < 0 for value in values),
        drops_duplicates=not keeps_duplicates,
        keeps_order=keeps_duplicates,
        digits=15 if _has_fifteen_digits(values) else None,
    )


def _has_duplicates(history: MetricHistory) -> bool:
    return len({(point.step, point.timestamp_ms, bits(point.value)) for point in history.points}) < len(history.points)


def _has_fifteen_digits(values: Iterable[float]) -> bool:
    """Tell whether all values fit into 15 digits while several need every one of them, which is no accident."""
    finite = {value for value in values if math.isfinite(value)}
    if any(float(f"{value:.15g}") != value for value in finite):
        return False
    return sum(float(f"{value:.14g}") != value for value in finite) >= 3
