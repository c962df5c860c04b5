"""When each minor version of Python was released: a run had none that came after it."""

from __future__ import annotations

from datetime import date, datetime

_RELEASED = {
    "3.6": date(2016, 12, 23),
    "3.7": date(2018, 6, 27),
    "3.8": date(2019, 10, 14),
    "3.9": date(2020, 10, 5),
    "3.10": date(2021, 10, 4),
    "3.11": date(2022, 10, 24),
    "3.12": date(2023, 10, 2),
    "3.13": date(2024, 10, 7),
    "3.14": date(2025, 10, 7),
}
KNOWN = tuple(_RELEASED)
"""Minor versions, the oldest first."""


def released_by(moment: datetime | None) -> tuple[str, ...]:
    """Return the minor versions that were there, the newest first; all where nobody knows the moment."""
    there = [minor for minor, day in _RELEASED.items() if moment is None or day < moment.date()]
    return tuple(reversed(there))
