"""What of a run's config, history and summary is a param, a point of a metric, or neither. For files and the API alike.

The history's value of a name and its summary are two metrics: the summary may be a minimum, or set by hand. What W&B
itself adds (`_step`, `_runtime`, `_timestamp`, `_wandb`) is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from runner.inside.wandb.records import HistoryRow

SUMMARY = " (summary)"
"""Ends the name of a metric that is the summary's."""

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DEEPEST = 20


def params(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a config as params: nested names joined by dots, values as MLflow writes them.

    The online API wraps each value as `{"value": …}`; unwrap it first, with `unwrapped`.
    """
    found: dict[str, str] = {}
    for name, value in config.items():
        if name != "_wandb":
            _flatten(name, value, found)
    return found


def unwrapped(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config of `config.yaml` or of the API without the `value` and `desc` around each entry."""
    return {
        name: value["value"] if isinstance(value, Mapping) and value.keys() <= {"value", "desc"} else value
        for name, value in config.items()
        if name != "wandb_version"
    }


def history_points(
    rows: Iterable[HistoryRow], start_ms: int | None
) -> tuple[list[tuple[str, float, int, int]], set[str]]:
    """Return all numbers of a history as (name, value, step, milliseconds), and the names of what is no number."""
    points: list[tuple[str, float, int, int]] = []
    other: set[str] = set()
    for row in rows:
        at = _milliseconds(row.values.get("_timestamp"), start_ms)
        numbers, rest = _numbers(row.values)
        other |= rest
        points += [(name, value, row.step, at) for name, value in numbers.items()]
    return points, other - {name for name, _, _, _ in points}


def summary_points(
    summary: Mapping[str, Any], start_ms: int | None
) -> tuple[list[tuple[str, float, int, int]], set[str]]:
    """Return the numbers of a summary as points of metrics of their own, and the names of what is no number."""
    at = _milliseconds(summary.get("_timestamp"), start_ms)
    numbers, other = _numbers(summary)
    return [(name + SUMMARY, value, 0, at) for name, value in sorted(numbers.items())], other


def last_time_ms(rows: Iterable[HistoryRow], start_ms: int | None) -> int | None:
    """Return when the last row was logged, None where no row tells."""
    times = [_milliseconds(row.values.get("_timestamp"), None) for row in rows]
    return max(filter(None, times), default=start_ms)


def _numbers(values: Mapping[str, Any]) -> tuple[dict[str, float], set[str]]:
    numbers: dict[str, float] = {}
    other: set[str] = set()
    for name, value in values.items():
        if not name.startswith("_"):
            _sort(name, value, numbers, other)
    return numbers, other


def _sort(name: str, value: Any, numbers: dict[str, float], other: set[str], depth: int = 0) -> None:
    if isinstance(value, Mapping) and "_type" not in value and depth < _DEEPEST:
        for key, item in value.items():
            _sort(f"{name}.{key}", item, numbers, other, depth + 1)
        return
    number = as_number(value)
    if number is None:
        other.add(name)
    else:
        numbers[name] = number


def as_number(value: Any) -> float | None:
    """Return a value of W&B's JSON as a number; None for what is none, and for a whole number that no float holds."""
    if isinstance(value, str):
        return _NUMBERS.get(value)
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _flatten(name: str, value: Any, found: dict[str, str], depth: int = 0) -> None:
    if isinstance(value, Mapping) and value and depth < _DEEPEST:
        for key, item in value.items():
            _flatten(f"{name}.{key}", item, found, depth + 1)
    else:
        found[name] = value if isinstance(value, str) else str(value)


def _milliseconds(timestamp: Any, start_ms: int | None) -> int:
    if isinstance(timestamp, (int, float)) and math.isfinite(timestamp) and 0 <= timestamp < 1e12:
        return int(timestamp * 1000)
    return start_ms or 0
