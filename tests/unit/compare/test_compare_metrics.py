"""Which metrics are compared at all (VERDICTS rules 6, 7 and 13)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runner.compare.names import CONSTANT_METRICS, IGNORED_METRICS, RENAMES, renamed_to
from runner.schema.comparison import Outcome
from runner.schema.plan import MetricPolicy, Policy
from runner.schema.reproduction import Verdict
from runner.schema.run_record import MetricHistory
from tests.support.values import (
    AUC,
    captured,
    changed,
    history,
    make_plan,
    make_record,
    make_reproduction,
    make_rerun,
    make_run,
)

LATE_MS = 10 * 60 * 1000


def reproduce(recorded, logged, *, policy=None, outputs=False, **record):
    """Reproduce a run with these metrics; without outputs, so that metrics alone decide."""
    plan = {} if outputs else {"files": (), "expected_outputs": ()}
    if policy is not None:
        plan["policy"] = policy
    rerun = make_rerun(make_run(metrics=tuple(point for points in logged for point in points)))
    return make_reproduction(make_record(metrics=tuple(recorded), **record), make_plan(**plan), rerun)


def metric(whole, name):
    """The comparison of one metric."""
    return next(found for found in whole.comparison.metrics if found.name == name)


@pytest.mark.parametrize("name", ["system/cpu_utilization_percentage", "train_time", "epoch_s"])
def test_clocks_and_system_metrics_are_ignored_and_counted_in_the_reason(name):
    """rule 06"""
    whole = reproduce(
        [history("auc", AUC), history(name, [12.1])], [captured("auc", AUC), captured(name, [14.8], first=50)]
    )
    assert metric(whole, name).outcome is Outcome.IGNORED
    assert (metric(whole, name).original, metric(whole, name).rerun) == (12.1, 14.8)
    assert whole.verdict is Verdict.IDENTICAL
    assert "1 metric ignored" in whole.reason


@pytest.mark.parametrize("name", ["time_to_event_mae", "test/train_time", "systems", "timeliness", "my_runtime_score"])
def test_nothing_is_ignored_by_a_part_of_its_name(name):
    """rule 06"""
    whole = reproduce([history(name, [12.1])], [captured(name, [14.8])])
    assert whole.verdict is Verdict.DIVERGED


def test_a_metric_named_by_the_auditor_is_never_ignored():
    """rule 06"""
    pair = [history("train_time", [12.1])], [captured("train_time", [14.8])]
    assert reproduce(*pair, policy=Policy(only=("train_time",))).verdict is Verdict.DIVERGED
    policy = Policy(only=("train_time",), ignore=("train_time",))
    assert reproduce(*pair, policy=policy).verdict is Verdict.DIVERGED
    policy = Policy(metrics={"train_time": MetricPolicy(rtol=0.5)})
    assert reproduce(*pair, policy=policy).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("name", ["epoch", "n_samples", "depth", "train/epoch", "val/Global_Step", "lr"])
def test_constants_of_the_runs_size_alone_are_nothing_compared(name):
    """rule 06"""
    whole = reproduce([history(name, [8.0])], [captured(name, [8.0])])
    assert metric(whole, name).kind == "constant"
    assert whole.verdict is Verdict.UNVERIFIABLE
    assert f"nothing was compared but {name}" in whole.reason


def test_a_constant_that_differs_diverges_all_the_same():
    """rule 06"""
    assert reproduce([history("epoch", [8.0])], [captured("epoch", [9.0])]).verdict is Verdict.DIVERGED


def test_only_ignored_metrics_are_nothing_compared():
    """rule 06"""
    whole = reproduce([history("train_time", [8.0])], [captured("train_time", [9.0])])
    assert whole.verdict is Verdict.UNVERIFIABLE
    assert "all 1 recorded metrics are ignored" in whole.reason
    assert "--metric train_time" in whole.missing.remedy


def test_no_metric_at_all_is_nothing_compared():
    """rule 06"""
    whole = reproduce([], [captured("auc", AUC)])
    assert whole.verdict is Verdict.UNVERIFIABLE
    assert metric(whole, "auc").outcome is Outcome.EXTRA


def test_the_lists_of_names_are_exact_and_apart():
    """rule 06"""
    assert not IGNORED_METRICS & CONSTANT_METRICS
    assert not any(set("*?[") & set(name) for name in IGNORED_METRICS | CONSTANT_METRICS)


def test_metrics_that_the_policy_ignores_or_does_not_name_are_not_compared():
    recorded = [history("auc", AUC), history("loss", [0.5])]
    logged = [captured("auc", AUC), captured("loss", [0.9], first=50)]
    for policy in (
        Policy(ignore=("loss",)),
        Policy(metrics={"loss": MetricPolicy(ignore=True)}),
        Policy(only=("auc",)),
    ):
        whole = reproduce(recorded, logged, policy=policy)
        assert metric(whole, "loss").outcome is Outcome.IGNORED
        assert whole.verdict is Verdict.IDENTICAL


def test_a_metric_that_is_named_and_not_recorded_is_unverifiable():
    whole = reproduce(
        [history("auc", AUC)], [captured("auc", AUC), captured("f1", [1.0], first=50)], policy=Policy(only=("f1",))
    )
    assert whole.verdict is Verdict.UNVERIFIABLE
    assert "--metric names f1" in whole.reason


def test_a_metric_without_values_is_not_compared():
    whole = reproduce([history("auc", AUC), MetricHistory(name="none", points=())], [captured("auc", AUC)])
    assert metric(whole, "none").outcome is Outcome.NOT_COMPARED


# --- rule 7


def test_a_missing_metric_diverges_and_an_extra_one_is_reported():
    """rule 07"""
    whole = reproduce([history("auc", AUC), history("f1", [0.5])], [captured("auc", AUC)])
    assert metric(whole, "f1").outcome is Outcome.MISSING
    assert whole.verdict is Verdict.DIVERGED
    assert "f1 was not logged again" in whole.reason
    whole = reproduce([history("auc", AUC)], [captured("auc", AUC), captured("f1", [0.5], first=50)])
    assert metric(whole, "f1").outcome is Outcome.EXTRA
    assert whole.verdict is Verdict.IDENTICAL


@pytest.mark.parametrize(("old", "new"), RENAMES)
def test_a_known_rename_of_a_library_counts_with_an_equal_value_in_either_direction(old, new):
    """rule 07"""
    for recorded, logged in ((old, new), (new, old)):
        histories = [history(recorded, AUC), history("f1", [0.5])]
        whole = reproduce(histories, [captured(logged, AUC), captured("f1", [0.5], first=50)])
        assert whole.verdict is Verdict.IDENTICAL
        assert logged in metric(whole, recorded).note
        assert len(whole.comparison.metrics) == 2


def test_a_rename_with_another_value_or_outside_the_table_is_missing():
    """rule 07"""
    whole = reproduce([history("acc", [0.5])], [captured("accuracy", [0.6])])
    assert metric(whole, "acc").outcome is Outcome.MISSING
    assert whole.verdict is Verdict.DIVERGED
    assert reproduce([history("auc", [0.5])], [captured("roc_auc", [0.5])]).verdict is Verdict.DIVERGED
    assert renamed_to("auc") == ()


def test_a_recorded_name_is_never_taken_for_another_ones_new_name():
    """rule 07"""
    whole = reproduce([history("acc", [0.5]), history("accuracy", [0.5])], [captured("accuracy", [0.5])])
    assert metric(whole, "acc").outcome is Outcome.MISSING


def test_a_metric_recorded_after_the_runs_end_is_unverifiable_and_not_diverged():
    """rule 07"""
    late = history("human_score", [0.7], times_ms=[LATE_MS])
    whole = reproduce([history("auc", AUC), late], [captured("auc", AUC)])
    assert metric(whole, "human_score").kind == "later"
    assert whole.verdict is Verdict.UNVERIFIABLE
    assert "recorded later" in whole.reason
    assert "--metric auc" in whole.missing.remedy
    alone = reproduce([late], [captured("auc", AUC)])
    assert alone.verdict is Verdict.UNVERIFIABLE
    assert alone.missing.remedy.startswith("runner reproduce")


def test_a_later_metric_does_not_hide_a_divergence():
    """rule 07"""
    late = history("human_score", [0.7], times_ms=[LATE_MS])
    assert reproduce([history("auc", AUC), late], [captured("auc", [0.1])]).verdict is Verdict.DIVERGED


def test_values_within_seconds_of_the_end_or_of_a_run_without_an_end_are_the_runs_own():
    """rule 07"""
    end = make_record().end_time
    close = history("f1", [0.7], times_ms=[2 * 60 * 1000 + 2000])
    assert reproduce([history("auc", AUC), close], [captured("auc", AUC)], end_time=end).verdict is Verdict.DIVERGED
    late = history("f1", [0.7], times_ms=[LATE_MS])
    assert reproduce([history("auc", AUC), late], [captured("auc", AUC)], end_time=None).verdict is Verdict.DIVERGED
    ended = end + timedelta(hours=1)
    assert reproduce([history("auc", AUC), late], [captured("auc", AUC)], end_time=ended).verdict is Verdict.DIVERGED


def test_points_added_to_a_curve_later_leave_the_rest_to_be_compared():
    """rule 07"""
    grown = history("loss", [0.5, 0.4, 0.9], times_ms=[0, 1000, LATE_MS])
    whole = reproduce([history("auc", AUC), grown], [captured("auc", AUC), captured("loss", [0.5, 0.4], first=50)])
    assert metric(whole, "loss").kind == "later"
    assert "1 of 3 points" in metric(whole, "loss").note
    assert whole.verdict is Verdict.UNVERIFIABLE
    whole = reproduce([history("auc", AUC), grown], [captured("auc", AUC), captured("loss", [0.5, 0.7], first=50)])
    assert whole.verdict is Verdict.DIVERGED


# --- rule 13


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_of_a_run_that_ended_early_only_recorded_steps_are_compared_and_never_identical(status):
    """rule 13"""
    whole = reproduce(
        [history("loss", [0.5, 0.4])], [captured("loss", [0.5, 0.4, 0.3, 0.2])], status=status, outputs=True
    )
    assert metric(whole, "loss").outcome is Outcome.EQUAL
    assert metric(whole, "loss").rerun == 0.4
    assert whole.verdict is Verdict.REPRODUCED
    assert status in whole.reason


def test_recorded_steps_of_a_run_that_ended_early_are_compared_in_full():
    """rule 13"""
    whole = reproduce([history("loss", [0.5, 0.4])], [captured("loss", [0.6, 0.4, 0.3])], status="KILLED")
    assert whole.verdict is Verdict.DIVERGED
    whole = reproduce([history("loss", [0.5, 0.4])], [captured("loss", [0.5])], status="KILLED")
    assert whole.verdict is Verdict.DIVERGED
    whole = reproduce([history("loss", [0.5])], [captured("loss", [0.5], steps=[7])], status="KILLED")
    assert whole.verdict is Verdict.DIVERGED


def test_steps_that_are_times_of_a_run_that_ended_early_are_compared_in_order():
    """rule 13"""
    from tests.support.values import START_MS

    ours = [START_MS, START_MS + 1000]
    theirs = [START_MS + 10**10 + 1000 * index for index in range(3)]
    whole = reproduce(
        [history("loss", [0.5, 0.4], steps=ours)], [captured("loss", [0.5, 0.4, 0.3], steps=theirs)], status="KILLED"
    )
    assert whole.verdict is Verdict.REPRODUCED


def test_differences_that_have_no_number_are_none_and_not_nan():
    whole = reproduce(
        [history("a", [0.0]), history("b", [1e-320])], [captured("a", [1.0]), captured("b", [1e308], first=50)]
    )
    assert metric(whole, "a").relative_difference is None
    assert metric(whole, "a").absolute_difference == 1.0
    infinite = reproduce([history("a", [float("inf")])], [captured("a", [float("nan")])])
    assert metric(infinite, "a").absolute_difference is None
    assert changed(metric(whole, "a"), note="x").note == "x"
