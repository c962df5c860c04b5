"""When each minor version of Python was released: a run had none that came after it."""

from __future__ import annotations

from collections.abc import Iterable
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


_SUPPORTED_DAYS = 4 * 365
_WHEELS_AFTER_DAYS = 180


def in_the_place_of(minor: str, admitted: Iterable[str], moment: datetime | None) -> tuple[str, ...]:
    """Return the other minor versions that `admitted` has, those first that a run of `moment` may be tried with.

    Packages of a day have wheels for some years' Pythons, and not yet for the newest; among these and among the rest
    the nearest comes first.
    """

    def rank(other: str) -> tuple[bool, int, int]:
        age = None if moment is None else (moment.date() - _RELEASED[other]).days
        has_wheels = age is None or _WHEELS_AFTER_DAYS <= age <= _SUPPORTED_DAYS
        return not has_wheels, abs(_number(other) - _number(minor)), _number(other)

    return tuple(sorted((other for other in admitted if other in _RELEASED and other != minor), key=rank))


def _number(minor: str) -> int:
    return int(minor.partition(".")[2])


def released_by(moment: datetime | None) -> tuple[str, ...]:
    """Return the minor versions that were there, the newest first; all where nobody knows the moment."""
    there = [minor for minor, day in _RELEASED.items() if moment is None or day < moment.date()]
    return tuple(reversed(there))
