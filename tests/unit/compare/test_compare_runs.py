"""Which captured run is the original's (VERDICTS rule 12)."""

from __future__ import annotations

import pytest

from runner.compare.build import compare
from runner.compare.runs import match_run
from runner.schema.reproduction import Verdict
from tests.support.values import AUC, captured, judge, make_plan, make_record, make_rerun, make_run


def matched(record, *runs):
    """Return the matched run's id, or the problem."""
    match = match_run(record, make_plan(), make_rerun(*runs))
    return match.run.run_id if match.run is not None else match.problem


def run(run_id, started=1, **fields):
    """A captured run with an id."""
    return make_run(run_id=run_id, started=started, **fields)


def test_no_captured_run_is_no_match():
    """rule 12"""
    rerun = make_rerun(capture={"runs": ()})
    assert match_run(make_record(), make_plan(), rerun).problem == "the training logged no run"
    assert compare(make_record(), make_plan(), rerun).matched_run is None


def test_the_only_captured_run_is_the_counterpart_and_what_does_not_fit_is_said():
    """rule 12"""
    other = run("a", name="other", experiment="another", parent_run_id="p")
    match = match_run(make_record(), make_plan(), make_rerun(other))
    assert match.run.run_id == "a"
    assert len(match.notes) == 3
    assert any('"other" logged' in line for line in judge(rerun=make_rerun(other)).not_verified)


@pytest.mark.parametrize(
    "difference",
    [
        {"parent_run_id": "a"},
        {"experiment": "another"},
        {"name": "rf-depth-9"},
        {"params": {"depth": "9", "rate": "0.1"}},
        {"tags": {"fold": "2"}},
    ],
)
def test_each_key_alone_finds_the_counterpart(difference):
    """rule 12"""
    assert matched(make_record(), run("a"), run("b", 2, **difference)) == "a"
    assert matched(make_record(), run("b", 1, **difference), run("a", 2)) == "a"


def test_a_child_finds_a_child():
    """rule 12"""
    record = make_record(tags={"mlflow.parentRunId": "p", "git_commit": "x"})
    assert matched(record, run("parent"), run("child", 2, parent_run_id="parent")) == "child"


def test_a_name_that_mlflow_made_up_is_no_key_and_no_surprise():
    """rule 12"""
    record = make_record(name="bold-fox-123")
    match = match_run(record, make_plan(), make_rerun(run("a", name="shy-owl-77")))
    assert match.run.run_id == "a"
    assert match.notes == ()


def test_tags_of_mlflow_itself_are_no_key():
    """rule 12"""
    record = make_record(tags={"fold": "1", "mlflow.user": "bob"})
    runs = run("a", tags={"fold": "1", "mlflow.user": "trainer"}), run("b", 2, tags={"fold": "2", "mlflow.user": "bob"})
    assert matched(record, *runs) == "a"


def test_metrics_are_never_a_key():
    """rule 12"""
    runs = run("a", metrics=captured("auc", AUC)), run("b", 2, metrics=captured("auc", [0.1]))
    assert "2 of the runs" in matched(make_record(), *runs)


def test_runs_that_are_still_alike_are_unverifiable_and_listed():
    """rule 12"""
    decision = judge(rerun=make_rerun(*(run(f"{index}aaaaaaa", index) for index in range(8))))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "0aaaaaaa" in decision.reason
    assert "and 2 more" in decision.reason
    assert decision.missing.fact == "captured run"


def test_several_runs_of_other_params_are_none_of_them_the_counterpart():
    """rule 12"""
    runs = [run(name, params={"depth": name}) for name in ("2", "4")]
    assert "none of the 2 runs" in matched(make_record(), *runs)


def test_the_place_among_siblings_decides_if_both_sides_have_equally_many():
    """rule 12"""
    record = make_record(run_id="y", siblings=("x", "y", "z"))
    assert matched(record, run("c", 3), run("b", 2), run("a", 1)) == "b"
    assert "2 of the runs" in matched(record, run("b", 2), run("a", 1))
    assert "3 of the runs" in matched(make_record(), run("c", 3), run("b", 2), run("a", 1))


def test_the_place_of_another_one_is_no_place():
    """rule 12"""
    record = make_record(run_id="y", siblings=("x", "y", "z"))
    other = {"params": {"depth": "1"}}
    assert "2 of the runs" in matched(record, run("a", 1), run("b", 2, **other), run("c", 3))


def test_siblings_of_several_parents_have_no_place():
    """rule 12"""
    record = make_record(run_id="y", siblings=("x", "y"), tags={"mlflow.parentRunId": "p"})
    runs = [run("a", 1, parent_run_id="p1"), run("b", 2, parent_run_id="p2")]
    assert "2 of the runs" in matched(record, *runs)
