"""Filters of runs in MLflow's own words, for stores that no server filters: MLflow's parser, on our records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from runner.errors import UsageError
from runner.redact import redact
from runner.schema.run_record import MetricPoint, RunRecord, StoreKind


def parse_filter(text: str) -> Callable[[RunRecord], bool]:
    """Return what tells whether a filter lets a run through. Raises UsageError for a text that is no filter."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.search_utils import SearchUtils

    try:
        SearchUtils.parse_search_filter(text)
        SearchUtils.filter([_run(_NOTHING)], text)  # a number that is none is found only where it is compared
    except (MlflowException, ValueError) as error:
        raise no_filter(text, getattr(error, "message", str(error))) from error
    return lambda record: bool(SearchUtils.filter([_run(record)], text))


def no_filter(text: str, why: str) -> UsageError:
    """Return the error for a text that is no filter."""
    return UsageError(
        redact(f"--filter {text!r} is none of MLflow's: {why}".rstrip(". ")),
        "--filter \"metrics.auc > 0.9 and params.depth = '8'\"    as MLflow's search_runs takes it",
    )


_NOTHING = RunRecord(
    run_id="", uri="", store=StoreKind.MLFLOW_FILE, experiment_id="", experiment_name="", name=None, status="FINISHED",
    start_time=None, end_time=None, params={}, tags={}, metrics=(),
)  # fmt: skip


def _run(record: RunRecord) -> Any:
    """Return a record as MLflow's own entity, with the latest values as MLflow takes them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunData, RunInfo, RunInputs, RunTag

    latest = {history.name: max(history.points, key=_recency) for history in record.metrics if history.points}
    info = RunInfo(
        run_id=record.run_id,
        experiment_id=record.experiment_id,
        user_id=record.tags.get("mlflow.user", ""),
        status=record.status,
        start_time=_milliseconds(record.start_time) or 0,  # MLflow knows no run without a start
        end_time=_milliseconds(record.end_time),
        lifecycle_stage=record.lifecycle_stage,
        artifact_uri=record.artifact_root,
        run_name=record.name,
    )
    data = RunData(
        metrics=[Metric(name, point.value, point.timestamp_ms, point.step) for name, point in latest.items()],
        params=[Param(name, value) for name, value in record.params.items()],
        tags=[RunTag(name, value) for name, value in record.tags.items()],
    )
    datasets = [
        DatasetInput(
            Dataset(name=each.name, digest=each.digest, source_type="", source=each.source or ""),
            [InputTag("mlflow.data.context", each.context)] if each.context else [],
        )
        for each in record.dataset_inputs
    ]
    return Run(info, data, RunInputs(dataset_inputs=datasets))


def _recency(point: MetricPoint) -> tuple[int, int, float]:
    return point.step, point.timestamp_ms, point.value


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)
