"""Room for what is about to be pulled: too little is said before, not found out after hours. Standard library only."""

from __future__ import annotations

import os

from runner.inside import layout
from runner.inside.protocol import DISK_FULL, PhaseError

_RESERVE = 64 << 20


def check_space(expected_bytes: int) -> None:
    """Raise PhaseError where the cache volume has no room for so much."""
    status = os.statvfs(layout.OBJECTS)
    free = status.f_bavail * status.f_frsize
    if expected_bytes and expected_bytes + _RESERVE > free:
        raise PhaseError(
            DISK_FULL,
            f"{in_words(expected_bytes)} are to be pulled, and the cache volume has {in_words(free)} left",
            "runner setup --prune    or give the engine a larger disk",
        )


def in_words(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"
