"""The lines of a metric's file."""

from __future__ import annotations

import math

import pytest

from runner.schema.run_record import MetricPoint
from runner.trackers.metric_lines import parse_metric_lines


def values(text: str) -> list[tuple[int, float, int]]:
    return [(point.timestamp_ms, point.value, point.step) for point in parse_metric_lines(text).points]


def test_the_three_formats_of_a_line_are_read_with_the_step_that_was_logged() -> None:
    assert values("10 0.5\n11 0.25 3\n12 0.125 4 train-set d0ca2a63\n") == [(10, 0.5, 0), (11, 0.25, 3), (12, 0.125, 4)]


def test_a_dataset_name_with_spaces_does_not_spoil_its_line() -> None:
    assert values("12 0.125 4 my train set d0ca2a63\n") == [(12, 0.125, 4)]


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity", "-Infinity"])
def test_values_that_are_not_finite_are_read(text: str) -> None:
    (point,) = parse_metric_lines(f"1 {text} 0\n").points
    expected = float(text)
    assert point.value == expected or (math.isnan(point.value) and math.isnan(expected))


def test_order_duplicates_and_the_sign_of_zero_are_kept() -> None:
    assert values("2 1.0 0\n2 1.0 0\n1 0.5 0\n") == [(2, 1.0, 0), (2, 1.0, 0), (1, 0.5, 0)]
    assert math.copysign(1, parse_metric_lines("1 -0.0 0\n").points[0].value) == -1


def test_line_feeds_of_windows_change_nothing() -> None:
    found = parse_metric_lines("1 0.5 0\r\n2 0.25 1\r\n")
    assert found.whole
    assert len(found.points) == 2


@pytest.mark.parametrize("torn", ["17", "17 ", "17 0.", "17 0.25", "17 0.25 ", "17 0.25 1"])
def test_a_torn_last_line_is_told_and_is_no_point_for_it_may_lack_digits(torn: str) -> None:
    found = parse_metric_lines("1 0.5 0\n" + torn)
    assert found.torn
    assert not found.whole
    assert found.points == (MetricPoint(timestamp_ms=1, value=0.5, step=0),)


def test_a_line_that_is_no_point_is_counted() -> None:
    found = parse_metric_lines("1 0.5 0\nnonsense\n3 0.1 2\n")
    assert (len(found.points), found.unreadable, found.whole) == (2, 1, False)
