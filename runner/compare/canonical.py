"""Stores differ in what they keep of a value: both sides are put into the form of the original's (VERDICTS rule 3).

What MLflow's stores do, measured: the file store keeps every value and their order. The SQL stores clamp infinities to
the largest float, lose the sign of zero, drop exact duplicates (same key, step, time and value) and return points of
the same millisecond in no order of their own. Old PostgreSQL returns 15 digits. Behind a server either may stand.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

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


def form_of(record: RunRecord) -> Form:
    """Return the canonical form for a record's kind of store.

    A server does not say which store it has. What only the file store keeps (an infinity, a negative zero, an exact
    duplicate) tells, else it is taken for a SQL store.
    """
    if record.store is StoreKind.MLFLOW_FILE:
        return FILE
    if record.store is StoreKind.MLFLOW_SQLITE:
        return SQL
    if any(_kept_by_files_only(history) for history in record.metrics):
        return replace(FILE, store="server with a file store")
    form = replace(SQL, store="server")
    return replace(form, digits=15) if _has_fifteen_digits(record.metrics) else form


def _kept_by_files_only(history: MetricHistory) -> bool:
    seen = set()
    for point in history.points:
        if math.isinf(point.value) or (point.value == 0 and math.copysign(1.0, point.value) < 0):
            return True
        key = (point.step, point.timestamp_ms, point.value)
        if key in seen:
            return True
        seen.add(key)
    return False


def _has_fifteen_digits(histories: tuple[MetricHistory, ...]) -> bool:
    """Tell whether all values fit into 15 digits while several need every one of them, which is no accident."""
    values = {point.value for history in histories for point in history.points if math.isfinite(point.value)}
    if any(float(f"{value:.15g}") != value for value in values):
        return False
    return sum(float(f"{value:.14g}") != value for value in values) >= 3
