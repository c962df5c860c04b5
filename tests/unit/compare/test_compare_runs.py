"""Which captured run is the original's (VERDICTS rule 12)."""

from __future__ import annotations

import pytest

from runner.compare.build import compare
from runner.compare.runs import is_unnamed, match_run
from runner.schema.reproduction import Verdict
from tests.support.values import AUC, captured, changed, judge, make_plan, make_record, make_rerun, make_run


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


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"experiment": "another"}, 'experiment: "fraud" recorded, "another" logged'),
        ({"experiment": None, "experiment_id": "7"}, 'experiment: "fraud" recorded, "7" logged'),
        ({"parent_run_id": "p"}, "parent run: none recorded, one logged"),
        ({"tags": {"dataset": "wine"}}, 'tag dataset: "iris" recorded, "wine" logged'),
    ],
)
def test_a_run_that_the_script_says_to_be_another_is_not_shown_to_be_the_recorded_one_though_it_is_alone(fields, said):
    """rule 12"""
    record = make_record(tags={"dataset": "iris", "git_commit": "x"})
    for other in (make_run(tags={"dataset": "iris"}), make_run(metrics=captured("auc", [0.1]), tags={})):
        decision = judge(record, rerun=make_rerun(changed(other, **{"tags": {"dataset": "iris"}, **fields})))
        assert decision.verdict is Verdict.UNVERIFIABLE
        assert "is not shown to be the recorded one" in decision.reason
        assert said in decision.reason
    assert judge(record, rerun=make_rerun(make_run(tags={"dataset": "iris"}))).verdict is Verdict.IDENTICAL


def test_a_tag_that_no_run_logs_may_be_a_persons_and_is_a_note_and_decides_where_another_run_has_it():
    """rule 12: people tag runs in MLflow's pages, which nobody can tell from the record."""
    record = make_record(tags={"approved": "yes", "git_commit": "x"})
    decision = judge(record, rerun=make_rerun(make_run(tags={})))
    assert decision.verdict is Verdict.IDENTICAL
    assert 'tag approved: "yes" recorded, none logged' in decision.not_verified
    without, other = make_run(tags={}), make_run(run_id="b", started=2, name="other", tags={"approved": "no"})
    assert judge(record, rerun=make_rerun(without, other)).verdict is Verdict.UNVERIFIABLE


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "other"}, 'run name: "rf-depth-8" recorded, "other" logged'),
        ({"experiment": "Default"}, 'experiment: "fraud" recorded, "Default" logged'),
        ({"experiment": None}, 'experiment: "fraud" recorded, none logged'),
        ({"tags": {"fold": "1"}}, 'tag fold: none recorded, "1" logged'),
        ({"params": {"depth": "8", "rate": "0.1", "warm": "1"}}, "params logged that the record lacks: warm"),
    ],
)
def test_what_may_come_from_elsewhere_is_a_note_on_the_only_captured_run(fields, said):
    """rule 12"""
    decision = judge(rerun=make_rerun(make_run(**fields)))
    assert decision.verdict is Verdict.IDENTICAL
    assert said in decision.not_verified


@pytest.mark.parametrize(
    ("tag", "recorded", "logged"),
    [
        ("hostname", "ann-laptop", "sandbox"),
        ("timestamp", "12:00", "13:00"),
        ("rate", "0.10", "0.1"),
        ("mlflow.note.content", "a person's words", None),
        ("git_branch", "main", None),
        ("dvc.model.md5", "0" * 32, "1" * 32),
        ("OMP_NUM_THREADS", "2", None),
    ],
)
def test_tags_of_circumstances_and_of_facts_that_are_compared_otherwise_are_no_key(tag, recorded, logged):
    """rules 12 and 22"""
    record = make_record(tags={tag: recorded})
    plan = make_plan(variables={"OMP_NUM_THREADS": "2"})
    rerun = make_rerun(make_run(tags={} if logged is None else {tag: logged}))
    assert match_run(record, plan, rerun).run is not None


def test_a_run_that_failed_before_it_set_its_tags_failed():
    """rule 12"""
    assert judge(make_record(tags={"fold": "1"}), rerun=make_rerun(make_run(status="FAILED", tags={}))).verdict is (
        Verdict.FAILED
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"experiment": "another"}, "is in the recorded experiment"),
        ({"name": "other"}, "has the recorded name"),
        ({"parent_run_id": "p"}, "is at the recorded place"),
        ({"tags": {"fold": "2"}}, "has the recorded tags"),
    ],
)
def test_a_key_that_no_run_has_leaves_none_whatever_the_next_ones_say(fields, said):
    """rule 12"""
    record = make_record(tags={"fold": "1"}, run_id="a", siblings=("a", "b"))
    runs = [run("a", **{"tags": {"fold": "1"}, **fields}), run("b", 2, **{"params": {"depth": "9"}, **fields})]
    problem = matched(record, *runs)
    if "tags" in fields:  # by then its params have left one of them
        assert "the likeliest of 2 runs" in problem
        assert 'tag fold: "1" recorded, "2" logged' in problem
    else:
        assert "none of the 2 runs" in problem
        assert said in problem
        assert "recorded, " in problem  # what they all have otherwise


def test_an_experiment_whose_name_the_store_lost_tells_no_run_apart():
    """rule 12"""
    record = make_record(experiment_id="1", experiment_name="1")
    assert matched(record, run("a", experiment="fraud")) == "a"
    assert matched(record, run("a", experiment="fraud"), run("b", 2, experiment="1")) == "b"
    decision = judge(record, rerun=make_rerun(make_run(experiment="fraud")))
    assert decision.verdict is Verdict.IDENTICAL
    assert 'experiment: its name is not recorded, "fraud" logged' in decision.not_verified


def test_a_run_of_the_recorded_experiment_comes_before_one_of_an_unknown_one():
    """rule 12"""
    assert matched(make_record(), run("a", experiment=None), run("b", 2)) == "b"
    assert matched(make_record(), run("a", experiment=None), run("b", 2, experiment="another")) == "a"


def test_a_name_that_a_person_gave_later_tells_no_runs_apart():
    """rule 12"""
    runs = run("a", name="shy-owl-77"), run("b", 2, name="bold-fox-1", params={"depth": "9", "rate": "0.1"})
    assert matched(make_record(name="the best"), *runs) == "a"
    named = run("c", 3, name="other")
    assert matched(make_record(name="the best"), *runs, named) == "a"
    assert "has the recorded name" in matched(make_record(name="bold-fox-123"), named, run("d", 4, name="more"))


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


def test_every_name_that_mlflow_makes_up_is_none_of_the_authors() -> None:
    from mlflow.utils import name_utils

    made_up = [
        f"{predicate}-{noun}-{number}"
        for predicate in name_utils._GENERATOR_PREDICATES
        for noun in name_utils._GENERATOR_NOUNS
        for number in (0, 999)
    ]
    assert [name for name in made_up if not is_unnamed(name)] == []
    assert not any(map(is_unnamed, ("exp-lr-1", "first", "depth-8", "a-run-1")))
