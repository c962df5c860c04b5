"""Values: tolerance, last values, forms of stores, curves (VERDICTS rules 1 to 5)."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.compare.canonical import FILE, LARGEST, SQL, form_of
from runner.compare.history import Point, align
from runner.compare.tolerance import bits, compare_numbers, within, worst
from runner.schema.comparison import Outcome
from runner.schema.reproduction import Verdict
from runner.schema.run_record import StoreKind
from tests.support.values import START_MS, captured, history, judge, make_plan, make_record, make_rerun, make_run
from tests.support.values import make_reproduction as reproduce

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TOLERANCE = st.floats(min_value=0, max_value=1e3)


def one_metric(original, rerun, *, store=StoreKind.MLFLOW_FILE, policy=None, **record):
    """Compare one metric, given as history and points, and return it with the whole reproduction."""
    record = make_record(store=store, metrics=(original,), **record)
    plan = make_plan(policy=policy) if policy is not None else make_plan()
    whole = reproduce(record, plan, make_rerun(make_run(metrics=rerun)))
    return whole.comparison.metrics[0], whole


@given(FINITE, FINITE, TOLERANCE, TOLERANCE)
def test_finite_numbers_are_equal_within_atol_plus_rtol_times_the_original(original, rerun, rtol, atol):
    """rule 01"""
    assert within(original, rerun, rtol, atol) == (abs(rerun - original) <= atol + rtol * abs(original))


@pytest.mark.parametrize(
    ("original", "rerun", "equal"),
    [
        (math.nan, math.nan, True),
        (math.inf, math.inf, True),
        (-math.inf, -math.inf, True),
        (math.inf, -math.inf, False),
        (math.inf, 1.0, False),
        (1.0, math.inf, False),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.nan, math.inf, False),
    ],
)
def test_nan_and_infinity_are_equal_only_to_themselves_whatever_the_tolerance(original, rerun, equal):
    """rule 01"""
    assert within(original, rerun, 1e9, 1e9) is equal


def test_the_tolerance_is_of_the_original_and_not_of_the_rerun():
    """rule 01"""
    assert within(110.0, 100.0, 0.0909090909091, 0.0)
    assert not within(100.0, 110.0, 0.0909090909091, 0.0)


@given(st.floats())
def test_a_number_is_bit_equal_to_itself_and_not_to_its_neighbour(value):
    assert compare_numbers(value, value, 0, 0) is Outcome.EQUAL
    if math.isfinite(value):
        flipped = struct.unpack(">d", (int.from_bytes(struct.pack(">d", value), "big") ^ 1).to_bytes(8, "big"))[0]
        assert bits(flipped) != bits(value)
        assert compare_numbers(value, flipped, 0, 0) is not Outcome.EQUAL


def test_the_sign_of_zero_is_a_difference_of_bits():
    assert compare_numbers(0.0, -0.0, 0, 0) is Outcome.WITHIN


def test_the_worst_outcome_counts_and_none_is_equal():
    assert worst([Outcome.EQUAL, Outcome.OUTSIDE, Outcome.WITHIN]) is Outcome.OUTSIDE
    assert worst([]) is Outcome.EQUAL


def test_identical_ignores_tolerances():
    """rule 01"""
    metric, whole = one_metric(history("auc", [0.5]), captured("auc", [math.nextafter(0.5, 1)]))
    assert metric.outcome is Outcome.WITHIN
    assert whole.verdict is Verdict.REPRODUCED


def test_a_number_against_nan_diverges():
    """rule 01"""
    assert one_metric(history("auc", [0.5]), captured("auc", [math.nan]))[1].verdict is Verdict.DIVERGED
    assert one_metric(history("auc", [math.nan]), captured("auc", [0.5]))[1].verdict is Verdict.DIVERGED


def test_equal_nan_alone_is_nothing_compared():
    """rule 01"""
    record = make_record(metrics=(history("auc", [math.nan]),))
    rerun = make_rerun(make_run(metrics=captured("auc", [math.nan])), outputs=())
    decision = judge(record, make_plan(files=(), expected_outputs=()), rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "all that is equal is NaN" in decision.reason


# --- last values


def test_the_last_value_is_that_of_the_last_step_and_time():
    """rule 02"""
    metric, _ = one_metric(
        history("auc", [0.9, 0.1, 0.3], steps=[2, 1, 1]), captured("auc", [0.9, 0.1, 0.3], steps=[2, 1, 1])
    )
    assert (metric.original, metric.rerun) == (0.9, 0.9)


def test_points_that_tie_at_the_end_are_a_set_that_the_reruns_own_last_must_be_in():
    """rule 02"""
    values = [0.9, 0.7, 0.8]
    tied = history("auc", sorted(values), steps=[0, 0, 0], times_ms=[5, 5, 5])
    metric, whole = one_metric(tied, captured("auc", values, steps=[0, 0, 0]), store=StoreKind.MLFLOW_SQLITE)
    assert metric.outcome is Outcome.EQUAL
    assert (metric.original, metric.rerun) == (0.8, 0.8)
    assert "3 points tie" in metric.note
    assert whole.verdict is Verdict.IDENTICAL


def test_a_last_value_outside_the_tied_set_diverges():
    """rule 02"""
    tied = history("auc", [0.7, 0.9], steps=[0, 0], times_ms=[5, 5])
    metric, _ = one_metric(tied, captured("auc", [0.9, 0.71], steps=[0, 0]), store=StoreKind.MLFLOW_SQLITE)
    assert metric.outcome is Outcome.OUTSIDE
    assert metric.original == 0.7


def test_the_sequence_and_not_the_value_decides_the_reruns_last_among_ties():
    """rule 02"""
    last = history("auc", [0.9, 0.1], steps=[0, 0], times_ms=[1, 2])
    metric, _ = one_metric(last, captured("auc", [0.9, 0.1], steps=[0, 0], times_ms=[7, 7]))
    assert (metric.original, metric.rerun, metric.outcome) == (0.1, 0.1, Outcome.EQUAL)


# --- forms of stores


def test_each_kind_of_store_has_its_form():
    """rule 03"""
    assert form_of(make_record(store=StoreKind.MLFLOW_FILE)) == FILE
    assert form_of(make_record(store=StoreKind.MLFLOW_SQLITE)) == SQL
    assert form_of(make_record(store=StoreKind.MLFLOW_HTTP)).drops_duplicates


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1.0, 2.0], set()),
        ([math.inf, 2.0], {"infinity"}),  # also old PostgreSQL, which keeps neither order nor duplicates
        ([-0.0, 2.0], {"sign"}),
        ([1.0, 1.0], {"duplicates", "order"}),
        ([math.nan, math.nan], {"duplicates", "order"}),
        ([0.0, -0.0, math.inf], {"sign", "infinity"}),
    ],
)
def test_a_server_is_taken_for_a_sql_store_but_for_what_it_evidently_keeps(values, kept):
    """rule 03"""
    points = history("m", values, steps=[0] * len(values), times_ms=[0] * len(values))
    form = form_of(make_record(store=StoreKind.MLFLOW_HTTP, metrics=(points,)))
    found = {
        "infinity": not form.clamps_infinity,
        "sign": not form.drops_sign_of_zero,
        "duplicates": not form.drops_duplicates,
        "order": form.keeps_order,
    }
    assert {name for name, keeps in found.items() if keeps} == kept


def test_an_old_database_that_returns_an_infinity_for_the_largest_float_still_drops_duplicates():
    """rule 03"""
    recorded = history("m", [math.inf, 1.0], steps=[0, 1])
    logged = captured("m", [math.inf, math.inf, 1.0], steps=[0, 0, 1], times_ms=[0, 0, 1])
    metric, whole = one_metric(recorded, logged, store=StoreKind.MLFLOW_HTTP)
    assert metric.outcome is Outcome.EQUAL
    assert any("duplicates" in mapping for mapping in whole.comparison.mappings)


@pytest.mark.parametrize("infinity", [math.inf, -math.inf])
def test_infinities_compare_as_a_sql_store_clamps_them(infinity):
    """rule 03"""
    clamped = math.copysign(LARGEST, infinity)
    metric, whole = one_metric(
        history("m", [clamped, 1.0]), captured("m", [infinity, 1.0]), store=StoreKind.MLFLOW_SQLITE
    )
    assert metric.outcome is Outcome.EQUAL
    assert any("infinities" in mapping for mapping in whole.comparison.mappings)
    assert one_metric(history("m", [clamped, 1.0]), captured("m", [infinity, 1.0]))[0].outcome is Outcome.OUTSIDE


def test_the_sign_of_zero_is_lost_in_a_sql_store_and_kept_in_files():
    """rule 03"""
    points = history("m", [0.0, 1.0]), captured("m", [-0.0, 1.0])
    metric, whole = one_metric(*points, store=StoreKind.MLFLOW_SQLITE)
    assert metric.outcome is Outcome.EQUAL
    assert any("sign of zero" in mapping for mapping in whole.comparison.mappings)
    metric, whole = one_metric(*points)
    assert metric.outcome is Outcome.WITHIN
    assert whole.comparison.mappings == ()


def test_points_of_one_millisecond_have_no_order_in_a_sql_store_and_one_in_files():
    """rule 03"""
    points = (
        history("m", [0.1, 0.2, 0.3, 9.0], steps=[0, 0, 0, 1], times_ms=[5, 5, 5, 6]),
        captured("m", [0.3, 0.1, 0.2, 9.0], steps=[0, 0, 0, 1]),
    )
    metric, whole = one_metric(*points, store=StoreKind.MLFLOW_SQLITE)
    assert metric.outcome is Outcome.EQUAL
    assert any("no order" in mapping for mapping in whole.comparison.mappings)
    assert one_metric(*points)[0].outcome is Outcome.OUTSIDE


def test_nan_among_points_of_one_millisecond_finds_its_counterpart():
    """rule 03"""
    metric, _ = one_metric(
        history("m", [math.nan, 0.1, 9.0], steps=[0, 0, 1], times_ms=[5, 5, 6]),
        captured("m", [0.1, math.nan, 9.0], steps=[0, 0, 1]),
        store=StoreKind.MLFLOW_SQLITE,
    )
    assert metric.outcome is Outcome.EQUAL


def test_points_of_different_milliseconds_keep_their_order_in_a_sql_store():
    """rule 03"""
    metric, _ = one_metric(
        history("m", [0.1, 0.2, 9.0], steps=[0, 0, 1], times_ms=[5, 6, 7]),
        captured("m", [0.2, 0.1, 9.0], steps=[0, 0, 1]),
        store=StoreKind.MLFLOW_SQLITE,
    )
    assert metric.outcome is Outcome.OUTSIDE


def test_exact_duplicates_are_dropped_as_a_sql_store_does():
    """rule 03"""
    points = (
        history("m", [0.1, 0.2], steps=[0, 1]),
        captured("m", [0.1, 0.1, 0.2], steps=[0, 0, 1], times_ms=[5, 5, 6]),
    )
    metric, whole = one_metric(*points, store=StoreKind.MLFLOW_SQLITE)
    assert metric.outcome is Outcome.EQUAL
    assert whole.verdict is Verdict.IDENTICAL
    assert any("duplicates" in mapping for mapping in whole.comparison.mappings)
    assert one_metric(*points)[0].outcome is Outcome.OUTSIDE


def test_repeats_that_the_store_may_have_dropped_are_never_identical():
    """rule 03"""
    metric, whole = one_metric(
        history("m", [0.1, 0.2], steps=[0, 1]),
        captured("m", [0.1, 0.1, 0.2], steps=[0, 0, 1], times_ms=[5, 6, 7]),
        store=StoreKind.MLFLOW_SQLITE,
    )
    assert metric.outcome is Outcome.EQUAL
    assert whole.verdict is Verdict.REPRODUCED
    assert any("repeats" in line for line in whole.not_verified)


def test_more_points_than_recorded_that_are_no_repeats_diverge_in_a_sql_store():
    """rule 03"""
    metric, _ = one_metric(
        history("m", [0.1, 0.2], steps=[0, 1]),
        captured("m", [0.1, 0.15, 0.2], steps=[0, 0, 1]),
        store=StoreKind.MLFLOW_SQLITE,
    )
    assert metric.outcome is Outcome.OUTSIDE


def test_fifteen_digits_of_a_server_are_reproduced_at_best():
    """rule 03"""
    exact = [1 / 3, 2 / 7, 5 / 11, 0.5]
    metric, whole = one_metric(
        history("m", [float(f"{value:.15g}") for value in exact]),
        captured("m", exact),
        store=StoreKind.MLFLOW_HTTP,
    )
    assert metric.outcome is Outcome.EQUAL
    assert whole.verdict is Verdict.REPRODUCED
    assert any("15 significant digits" in mapping for mapping in whole.comparison.mappings)
    assert any("last digits" in cap for cap in whole.comparison.caps)


def test_few_short_numbers_are_no_sign_of_fifteen_digits():
    """rule 03"""
    metric, _ = one_metric(history("m", [0.25]), captured("m", [0.25000000000000006]), store=StoreKind.MLFLOW_HTTP)
    assert metric.outcome is Outcome.WITHIN


def test_a_server_with_all_digits_is_compared_with_all_digits():
    """rule 03"""
    _, whole = one_metric(history("m", [1 / 3, 2 / 7]), captured("m", [1 / 3, 2 / 7]), store=StoreKind.MLFLOW_HTTP)
    assert whole.verdict is Verdict.IDENTICAL
    assert whole.comparison.mappings == ()


# --- curves


def test_a_history_that_may_be_cut_or_sampled_is_never_identical():
    """rule 04"""
    metric, whole = one_metric(
        history("m", [0.3, 0.1], steps=[0, 10], complete=False), captured("m", [0.3, 0.2, 0.1], steps=[0, 5, 10])
    )
    assert metric.outcome is Outcome.EQUAL
    assert whole.verdict is Verdict.REPRODUCED
    assert any("cut or sampled" in cap for cap in whole.comparison.caps)


@pytest.mark.parametrize("steps", [[0, 1], [0, 1, 2, 3], [0, 2, 4]])
def test_another_step_grid_is_a_diverged_curve_though_the_last_value_agrees(steps):
    """rule 05"""
    values = [0.5] * (len(steps) - 1) + [0.1]
    metric, whole = one_metric(history("m", [0.5, 0.5, 0.1]), captured("m", values, steps=steps))
    assert metric.original == metric.rerun
    assert not metric.history.same_steps
    assert whole.verdict is Verdict.DIVERGED


def test_a_curve_that_differs_in_the_middle_diverges_and_says_where():
    """rule 05"""
    metric, _ = one_metric(history("m", [0.5, 0.4, 0.3, 0.1]), captured("m", [0.5, 0.4, 0.31, 0.1]))
    assert metric.outcome is Outcome.OUTSIDE
    assert (metric.history.first_difference, metric.history.first_difference_step) == (2, 2)
    assert metric.history.points_equal == 3
    assert metric.history.drift == pytest.approx((0, 0, 0.01, 0))


@pytest.mark.parametrize("unit_ms", [1000, 1])
def test_steps_that_are_times_are_compared_in_order_and_said(unit_ms):
    """rule 05"""
    ours = [(START_MS + 1000 * index) // unit_ms for index in range(3)]
    theirs = [(START_MS + 10**10 + 1000 * index) // unit_ms for index in range(3)]
    metric, whole = one_metric(history("m", [0.5, 0.4, 0.3], steps=ours), captured("m", [0.5, 0.4, 0.3], steps=theirs))
    assert metric.outcome is Outcome.EQUAL
    assert "steps are times" in metric.note
    assert whole.comparison.mappings == ("steps of m are times: compared in order",)
    assert whole.verdict is Verdict.IDENTICAL
    longer = captured("m", [0.5, 0.4, 0.3, 0.3], steps=[*theirs, theirs[-1] + 1000 // unit_ms])
    assert one_metric(history("m", [0.5, 0.4, 0.3], steps=ours), longer)[0].outcome is Outcome.OUTSIDE
    assert one_metric(history("m", [0.5, 0.4, 0.3], steps=ours), longer[:2])[0].outcome is Outcome.OUTSIDE


def test_a_metric_restricted_to_its_last_value_is_never_identical():
    """rule 05"""
    policy = {"metrics": {"m": {"last_only": True}}}
    from runner.schema.plan import Policy

    metric, whole = one_metric(
        history("m", [0.5, 0.1]), captured("m", [0.6, 0.1]), policy=Policy.model_validate(policy)
    )
    assert metric.outcome is Outcome.EQUAL
    assert whole.verdict is Verdict.REPRODUCED
    assert "last value" in whole.reason


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=12))
def test_a_curve_is_always_equal_to_itself_in_every_form(points):
    mine = [Point(step, time, order, value) for order, (step, time, value) in enumerate(points)]
    for form in (FILE, SQL):
        alignment = align(mine, mine, form)
        assert alignment.same_steps
        assert all(bits(pair.original) == bits(pair.rerun) for pair in alignment.pairs)
