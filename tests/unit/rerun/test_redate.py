"""Which later days are tried where the run's own has no packages, and what is said where none has."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from runner.errors import IndexUnavailable, MissingFact, NotByThen
from runner.progress import NoProgress
from runner.rerun.redate import first_that_works, later_days
from runner.schema.rerun import ResolvedEnvironment
from tests.support.values import make_rerun

DAY = datetime(2021, 8, 31, 9, 30, tzinfo=timezone.utc)
NOW = datetime(2022, 4, 2, 12, 0, tzinfo=timezone.utc)
FIRST = NotByThen(
    "a 1 cannot be built", "runner reproduce RUN --allow redate    to take others; runner X", fact="environment"
)


def test_later_days_come_in_growing_steps_up_to_today() -> None:
    assert [f"{day:%Y-%m-%d %H:%M}" for day in later_days(DAY, NOW)] == [
        "2021-09-01 09:30",
        "2021-09-07 09:30",
        "2021-09-30 09:30",  # no 31st
        "2021-11-30 09:30",
        "2022-02-28 09:30",
        "2022-04-02 00:00",
    ]


def test_they_are_the_same_whenever_it_is_asked_but_for_the_last() -> None:
    later = later_days(DAY, datetime(2024, 1, 1, 3, tzinfo=timezone.utc))
    assert later[:5] == later_days(DAY, NOW)[:5]
    assert later_days(NOW, NOW) == ()


def test_the_first_day_that_works_is_taken_and_told_why() -> None:
    asked: list[tuple[datetime, str]] = []
    environment = make_rerun().environment

    def provision(day: datetime, why: str) -> ResolvedEnvironment:
        asked.append((day, why))
        if len(asked) < 3:
            raise MissingFact("nor this", "", fact="environment")
        return environment

    found = first_that_works(FIRST, DAY, provision, now=NOW, progress=NoProgress())
    assert found is environment
    assert asked == [(day, FIRST.cause) for day in later_days(DAY, NOW)[:3]]


def test_where_no_day_works_the_run_is_as_unverifiable_as_before_and_redating_is_not_offered_again() -> None:
    def provision(day: datetime, why: str) -> ResolvedEnvironment:
        raise MissingFact("nor this", "", fact="environment")

    with pytest.raises(MissingFact) as caught:
        first_that_works(FIRST, DAY, provision, now=NOW, progress=NoProgress())
    assert not isinstance(caught.value, NotByThen)
    assert caught.value.cause == (
        "a 1 cannot be built; nor can those of a later day (6 tried: 2021-09-01 to 2022-04-02)"
    )
    assert caught.value.remedy == "runner X"


def test_an_index_that_breaks_off_is_no_reason_to_take_a_later_day() -> None:
    def provision(day: datetime, why: str) -> ResolvedEnvironment:
        raise IndexUnavailable("gone", "runner doctor")

    with pytest.raises(IndexUnavailable):
        first_that_works(FIRST, DAY, provision, now=NOW, progress=NoProgress())
