"""What the training may use."""

from __future__ import annotations

from typing import Any

from runner.schema.plan import Limits
from runner.schema.run_record import RunRecord
from runner.settings import Settings

_UNKNOWN_S = 2 * 3600.0  # for a run that records no duration
_MORE_S = 600.0


def recorded_duration_s(record: RunRecord) -> float | None:
    """Return how long the run took; None where the store lacks a time, or the end is before the start."""
    if record.start_time is None or record.end_time is None:
        return None
    seconds = (record.end_time - record.start_time).total_seconds()
    return seconds if seconds >= 0 else None


def set_limits(record: RunRecord, settings: Settings) -> Limits:
    """Return the limits: as the auditor set them, the time else three times the recorded one and ten minutes."""
    duration = recorded_duration_s(record)
    if settings.timeout_s is not None:
        timeout, source = settings.timeout_s, settings.source("timeout_s")
    elif duration is not None:
        timeout, source = 3 * duration + _MORE_S, f"three times the recorded {duration:.0f} s, and ten minutes"
    else:
        timeout, source = _UNKNOWN_S, "default: the run records no duration"
    given: dict[str, Any] = {
        name: value
        for name, value in (
            ("memory_bytes", settings.memory_bytes),
            ("cpuset", settings.cpuset),
            ("pids", settings.pids),
            ("shm_bytes", settings.shm_bytes),
        )
        if value is not None
    }
    return Limits(timeout_s=timeout, timeout_source=source, **given)
