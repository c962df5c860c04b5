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

    A torn last line that has fewer fields than the line before is not taken for a point.
    """
    lines = text.split("\n")
    torn = lines[-1].strip() != ""
    if not torn:
        lines.pop()
    points = []
    unreadable = 0
    fields_before = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.strip().split(" ")
        point = _point(fields)
        cut = torn and number == len(lines) and len(fields) < fields_before
        if point is None or cut:
            unreadable += 1
        else:
            points.append(point)
        fields_before = min(len(fields), 3)
    return MetricText(tuple(points), torn, unreadable)


def _point(fields: list[str]) -> MetricPoint | None:
    try:
        step = int(fields[2]) if len(fields) > 2 else 0
        return MetricPoint(timestamp_ms=int(fields[0]), value=float(fields[1]), step=step)
    except (ValueError, IndexError):
        return None
