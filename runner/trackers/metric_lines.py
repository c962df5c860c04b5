"""The text of a metric's file in MLflow's file store, as points. Pure.

A line is `TIME VALUE`, `TIME VALUE STEP`, or since MLflow 3 `TIME VALUE STEP DATASET DIGEST`. Of the last MLflow's own
reader returns step 0; we return the step that was logged. A line always ends in a line feed: where the last does
not, somebody is still writing it, or it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.schema.run_record import MetricPoint


@dataclass(frozen=True)
class MetricText:
    """Points in the order of the lines. `torn` tells that the last line has no end, `unreadable` counts bad lines."""

    points: tuple[MetricPoint, ...]
    torn: bool
    unreadable: int

    @property
    def whole(self) -> bool:
        """Whether every line was read."""
        return not self.torn and not self.unreadable


def parse_metric_lines(text: str) -> MetricText:
    """Return what a metric's file holds.

    A torn last line is not taken for a point: its value, or its step, may lack digits.
    """
    *lines, rest = text.split("\n")
    points = []
    unreadable = 0
    for line in lines:
        if not line.strip():
            continue
        point = _point(line.strip().split(" "))
        if point is None:
            unreadable += 1
        else:
            points.append(point)
    return MetricText(tuple(points), rest.strip() != "", unreadable)


def _point(fields: list[str]) -> MetricPoint | None:
    try:
        step = int(fields[2]) if len(fields) > 2 else 0
        return MetricPoint(timestamp_ms=int(fields[0]), value=float(fields[1]), step=step)
    except (ValueError, IndexError):
        return None
