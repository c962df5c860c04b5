"""What MLflow's stores have in common: names of files, statuses, lengths at which params are cut. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from runner.schema.run_record import MetricHistory, MetricPoint

RUN_NAME_TAG = "mlflow.runName"
SOURCE_TAG = "mlflow.source.name"
PARENT_TAG = "mlflow.parentRunId"
CONTEXT_TAG = "mlflow.data.context"
LATEST_ONLY = "the store holds only the last value of metric {name!r}"

ENVIRONMENT_FILES = ("requirements.txt", "conda.yaml", "python_env.yaml", "MLmodel")
HYDRA_OVERRIDES = "overrides.yaml"  # in `.hydra`, or wherever a script logged it
ENVIRONMENT_FILE_BYTES = 64 * 1024
ENVIRONMENT_FILE_COUNT = 20
MODELS = "models"  # below it, by id, the environment files of the models that MLflow 3 keeps beside its runs
ARTIFACT_COUNT = 10_000

_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_CUTS = frozenset({250, 500, 6000})  # MLflow 1.x, 1.28 and 2.0 to 2.7, since then
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def status_name(value: Any) -> str:
    """Return the status as a word; the file store writes a number. A run without one counts as running."""
    if value is None:
        return "RUNNING"
    if isinstance(value, str):
        return value
    return _STATUS.get(value, f"UNKNOWN ({value})")


def utc_time(milliseconds: Any) -> datetime | None:
    """Return a time in milliseconds since 1970 as a time; None for none, for zero and for what no calendar holds."""
    try:
        number = int(milliseconds)
        return _EPOCH + timedelta(milliseconds=number) if number > 0 else None
    except (TypeError, ValueError, OverflowError):
        return None


def cut_params(params: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of params that have the length at which some version of MLflow cuts."""
    return tuple(sorted(name for name, value in params.items() if len(value) in _CUTS))


def is_environment_file(path: str) -> bool:
    """Tell whether a file's name is one of those that tell of the run's environment or of its command."""
    return posixpath.basename(path) in (*ENVIRONMENT_FILES, HYDRA_OVERRIDES)


def with_latest(
    histories: Iterable[MetricHistory], latest: Mapping[str, MetricPoint]
) -> tuple[tuple[MetricHistory, ...], list[str]]:
    """Return the histories, sorted by name, checked against the last values that the store keeps apart.

    A metric whose last value its history lacks has lost points: it is not complete, and a note says so.
    """
    found = {history.name: history for history in histories if history.points}
    notes = []
    for name, point in latest.items():
        history = found.get(name)
        if history is None:
            found[name] = MetricHistory(name=name, points=(point,), complete=False)
            notes.append(LATEST_ONLY.format(name=name))
        elif not any(_same(point, other) for other in history.points):
            found[name] = history.model_copy(update={"complete": False})
            notes.append(f"the history of metric {name!r} lacks its own last value")
    return tuple(found[name] for name in sorted(found)), notes


def _same(one: MetricPoint, other: MetricPoint) -> bool:
    equal = one.value == other.value or (one.value != one.value and other.value != other.value)  # NaN
    return equal and one.step == other.step and one.timestamp_ms == other.timestamp_ms
