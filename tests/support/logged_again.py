"""A rerun that logs exactly what the original logged, to be held against what each kind of store made of it."""

from __future__ import annotations

from runner.compare.metrics import MetricResult, compare_metrics
from runner.schema.plan import Policy
from runner.schema.rerun import CapturedPoint
from runner.schema.run_record import RunRecord
from tests.support.mlflow_stores import LOGGED
from tests.support.values import make_run


def compared_with_the_same_again(record: RunRecord) -> MetricResult:
    """Compare the record of the run `base` of `mlflow_stores.WRITER` with a run that logs its points again."""
    points = tuple(
        CapturedPoint(sequence=number, name=name, value=value, timestamp_ms=5_000_000 + time_ms, step=step)
        for number, (name, value, time_ms, step) in enumerate(LOGGED)
    )
    return compare_metrics(record, make_run(metrics=points), Policy())
