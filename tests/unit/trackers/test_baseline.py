"""The digest that tells whether a record changed between two reads (VERDICTS rule 13)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from runner.schema.digest import DigestValue
from runner.schema.run_record import Artifact, MetricHistory, MetricPoint, RunRecord, StoreKind
from runner.trackers.baseline import baseline_digest

TIME = datetime(2025, 3, 2, tzinfo=timezone.utc)


def record(**changes: Any) -> RunRecord:
    points = (
        MetricPoint(step=0, timestamp_ms=1, value=float("nan")),
        MetricPoint(step=1, timestamp_ms=2, value=float("inf")),
    )
    fields: dict[str, Any] = {
        "run_id": "a" * 32,
        "uri": "file:///store",
        "store": StoreKind.MLFLOW_FILE,
        "experiment_id": "1",
        "experiment_name": "alpha",
        "name": "base",
        "status": "FINISHED",
        "start_time": TIME,
        "end_time": TIME,
        "params": {"depth": "8"},
        "tags": {"git_commit": "abc"},
        "metrics": (MetricHistory(name="loss", points=points), MetricHistory(name="acc", points=points[:1])),
    }
    return RunRecord(**{**fields, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"status": "RUNNING"},
        {"start_time": None},
        {"end_time": datetime(2025, 3, 3, tzinfo=timezone.utc)},
        {"params": {"depth": "9"}},
        {"tags": {}},
        {"metrics": ()},
        {"lifecycle_stage": "deleted"},
        {"name": "renamed"},
        {"artifacts": (Artifact(path="model.pkl", digest=DigestValue("md5", "0" * 32)),)},
        {"metrics": (MetricHistory(name="loss", points=(MetricPoint(step=0, timestamp_ms=1, value=0.0),)),)},
    ],
)
def test_a_change_of_what_the_run_says_changes_the_digest(change: dict[str, Any]) -> None:
    assert baseline_digest(record(**change)) != baseline_digest(record())


def test_the_digest_does_not_hang_on_order_or_on_where_it_was_read() -> None:
    one = record()
    moved = record(
        metrics=one.metrics[::-1], uri="http://host", store=StoreKind.MLFLOW_HTTP, artifacts=(Artifact(path="a"),)
    )
    assert baseline_digest(moved) == baseline_digest(one)
