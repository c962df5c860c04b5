"""Which later day stands in for the run's own, where the packages of that day cannot be had (`--allow redate`)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from runner.errors import MissingFact, NotByThen
from runner.progress import Progress
from runner.schema.rerun import ResolvedEnvironment

_DAYS = (1, 7)
_MONTHS = (1, 3, 6, 9, 12, 18, 24, 36, 48, 60, 72, 84, 96, 108, 120)

Provision = Callable[[datetime, str], ResolvedEnvironment]
"""Makes the environment of a day; the text says why it is not the run's own."""


def later_days(day: datetime, now: datetime) -> tuple[datetime, ...]:
    """Return the moments that are tried after `day`, in growing steps; the last is the beginning of today.

    The same for every rerun of a run, but for how many there are and the last.
    """
    steps = [*(day + timedelta(days=days) for days in _DAYS), *(_months_after(day, months) for months in _MONTHS)]
    today = now.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return tuple(sorted({moment for moment in (*steps, today) if day < moment <= today}))


def first_that_works(
    first: NotByThen, day: datetime, provision: Provision, *, now: datetime, progress: Progress
) -> ResolvedEnvironment:
    """Return the environment of the first later day whose packages can be had: resolved, built and installed.

    Raises the first error, with what was tried, where no day has them; whatever else `provision` raises.
    """
    days = later_days(day, now)
    for later in days:
        progress.line(f"the packages of {day:%Y-%m-%d} cannot be had; trying those of {later:%Y-%m-%d}")
        try:
            return provision(later, first.cause)
        except MissingFact as missing:
            progress.line(f"nor those of {later:%Y-%m-%d}: {missing.cause}")
    tried = f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}" if days else "none is later"
    raise MissingFact(
        f"{first.cause}; nor can those of a later day ({len(days)} tried: {tried})",
        "; ".join(_without_redate(first.remedy)) or "runner reproduce RUN --python X.Y",
        fact=first.fact,
        looked_in=first.looked_in,
        nearest=first.nearest,
    )


def _months_after(day: datetime, months: int) -> datetime:
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return day.replace(year=year, month=month, day=min(day.day, monthrange(year, month)[1]))


def _without_redate(remedy: str) -> Iterator[str]:
    return (part for part in remedy.split("; ") if "--allow redate" not in part)
