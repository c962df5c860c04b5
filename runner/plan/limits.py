"""What the training may use."""

from __future__ import annotations

from typing import Any

from runner.errors import UsageError
from runner.schema.notation import highest_cpu
from runner.schema.plan import Limits
from runner.schema.run_record import RunRecord
from runner.settings import Settings

_UNKNOWN_S = 2 * 3600.0  # for a run that records no duration
_MORE_S = 600.0
_LEAST_BYTES = 6 << 20  # docker's own limit


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
            ("output_bytes", settings.output_bytes),
            ("log_bytes", settings.log_bytes),
            ("gpus", settings.gpus),
            ("gpus_source", settings.source("gpus") if settings.gpus is not None else None),
        )
        if value is not None
    }
    return Limits(timeout_s=timeout, timeout_source=source, **given)


def check_fit(limits: Limits, *, cpus: int, memory_bytes: int) -> None:
    """Raise UsageError where an engine with so much has not what the limits ask for; 0 bytes are unknown."""
    if limits.cpuset is not None and highest_cpu(limits.cpuset) >= cpus:
        has = "one processor" if cpus == 1 else f"{cpus} processors (0-{cpus - 1})"
        raise UsageError(f"the processors {limits.cpuset} were asked for; the engine has {has}", f"--cpus {cpus}")
    asked = limits.memory_bytes
    if asked is not None and memory_bytes and asked > memory_bytes:
        raise UsageError(
            f"{asked >> 20} MiB of memory were asked for; the engine has {memory_bytes >> 20} MiB",
            f"--memory {memory_bytes >> 20}m, or an engine on a larger machine (DOCKER_HOST)",
        )
    if asked is not None and asked < _LEAST_BYTES:
        raise UsageError(f"{asked} bytes of memory are less than an engine can limit to", "--memory 6m or more")
