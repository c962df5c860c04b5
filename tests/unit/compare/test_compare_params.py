"""Was it the same experiment: params (VERDICTS rule 10)."""

from __future__ import annotations

import pytest

from runner.compare.params import compare_params, same_params, why_equal, why_not_decisive, with_params_given
from runner.schema.comparison import Outcome
from runner.schema.reproduction import Verdict
from tests.support.values import RERUN_ID, judge, make_plan, make_record, make_rerun, make_run


def compared(original, rerun, name="p", **record):
    """Compare one param."""
    params = {} if rerun is None else {name: rerun}
    return compare_params(make_record(params={name: original}, **record), make_run(params=params))[0]


@pytest.mark.parametrize(
    ("original", "rerun"),
    [
        ("8", "8"),
        ("8", "8.0"),
        ("0.001", "1e-3"),
        ("True", "true"),
        ("None", "null"),
        ("nan", "NaN"),
        ("inf", "Infinity"),
        ("[1, 2]", "[1.0,2]"),
        ("{'a': 1, 'b': (2,)}", "{'b': (2.0,), 'a': 1}"),
        ("[nan]", "[nan]"),
        ("<Net object at 0x7f8a1c2d3e40>", "<Net object at 0x55d0aa>"),
        ("[<A at 0x1>, 8]", "[<A at 0x2>, 8]"),
        ("/home/bob/acme/data/x.csv", "/sandbox/workspace/data/x.csv"),
        ("file:///C:/Users/bob/acme/data", "file:///sandbox/workspace/data"),
        (r"C:\Users\bob\acme\data\x.csv", "/sandbox/workspace/data/x.csv"),
        ("['/srv/acme/a', '/srv/acme/b']", "['/sandbox/workspace/a', '/sandbox/workspace/b']"),
        ("/home/bob/.cache/x", "/sandbox/home/.cache/x"),
    ],
)
def test_params_are_equal_if_their_text_or_their_value_is(original, rerun):
    """rule 10"""
    assert compared(original, rerun).outcome is Outcome.EQUAL


@pytest.mark.parametrize(
    ("original", "rerun"),
    [
        ("8", "9"),
        ("1", "True"),
        ("0", "None"),
        ("[1, 2]", "(1, 2)"),
        ("[1, 2]", "[1, 2, 3]"),
        ("[True]", "[1]"),
        ("{'a': 1}", "{'a': 2}"),
        ("{'a': 1}", "{'b': 1}"),
        ("'a'", "'b'"),
        ("'1'", "2"),
        ("0xdeadbeef", "0xdeadbee0"),
        ("data/v1.csv", "data/v2.csv"),
        ("/home/bob/acme/data/x.csv", "/sandbox/workspace/data/y.csv"),
        ("['/srv/acme/a', '/opt/b']", "['/sandbox/workspace/a', '/sandbox/workspace/b']"),
        ("acme/data", "/sandbox/workspace/data"),
        ("nan", "1"),
        ("[" * 5000, "[" * 4999),
        ("", "0"),
    ],
)
def test_params_that_mean_something_else_differ(original, rerun):
    """rule 10"""
    assert compared(original, rerun).outcome is Outcome.OUTSIDE


def test_a_text_that_the_store_cut_is_equal_as_far_as_it_goes():
    """rule 10"""
    text = "x" * 500
    assert compared(text, text + "y", params_truncated=("p",)).outcome is Outcome.EQUAL
    assert compared(text[:-3] + "...", text + "y", params_truncated=("p",)).outcome is Outcome.EQUAL
    assert compared(text, "y" + text, params_truncated=("p",)).outcome is Outcome.OUTSIDE
    assert compared(text, text + "y").outcome is Outcome.OUTSIDE
    assert why_equal("", "anything", truncated=True) is None


def test_a_missing_param_is_missing_and_an_extra_one_decides_nothing():
    """rule 10"""
    assert compared("8", None).outcome is Outcome.MISSING
    extra = compare_params(make_record(params={}), make_run(params={"new": "1"}))[0]
    assert (extra.outcome, extra.decisive) == (Outcome.EXTRA, False)


@pytest.mark.parametrize(
    ("name", "original", "rerun"),
    [
        ("hostname", "gpu-17", "c0ffee"),
        ("trainer/device", "cuda:0", "cpu"),
        ("pid", "17", "1"),
        ("timestamp", "1700000000", "1800000000"),
        ("args.output_dir", "outputs/2024-01-01/10-11-12", "outputs/2026-05-05/01-02-03"),
        ("log_path", "/var/log/a", "/sandbox/home/b"),
        ("model_path", "/mnt/disk/model.pkl", "/opt/model.pkl"),
        ("scratch_dir", "/scratch/bob/17", "/sandbox/tmp/tmpx81"),
    ],
)
def test_params_that_name_host_device_process_time_or_place_are_reported_and_not_decisive(name, original, rerun):
    """rule 10"""
    param = compared(original, rerun, name)
    assert (param.outcome, param.decisive) == (Outcome.OUTSIDE, False)
    assert "not decisive" in param.note


@pytest.mark.parametrize(
    ("name", "original", "rerun"),
    [
        ("time_steps", "10", "20"),
        ("device_count", "1", "2"),
        ("data_path", "data/v1.csv", "data/v2.csv"),
        ("data_path", "/mnt/v1.csv", "/mnt/v2.csv"),
        ("path", "data/a", None),
        ("depth", "8", "9"),
    ],
)
def test_a_param_is_never_waived_by_a_part_of_its_name_or_for_another_file(name, original, rerun):
    """rule 10"""
    assert why_not_decisive(name, original, rerun) is None


@pytest.mark.parametrize("params", [{"depth": "9", "rate": "0.1"}, {"depth": "8"}])
def test_another_param_is_diverged_where_the_command_was_recorded_and_unverifiable_where_inferred(params):
    """rule 10"""
    rerun = make_rerun(make_run(params=params))
    recorded = judge(rerun=rerun)
    assert recorded.verdict is Verdict.DIVERGED
    assert "param" in recorded.reason
    inferred = judge(plan=make_plan(command_inferred=True), rerun=rerun)
    assert inferred.verdict is Verdict.UNVERIFIABLE
    assert "another experiment" in inferred.reason
    assert "--command 'python train.py --depth 8 ARGUMENTS'" in inferred.missing.remedy


def test_a_param_that_is_not_decisive_leaves_the_verdict_and_is_said():
    """rule 10"""
    record = make_record(params={"depth": "8", "host": "gpu-17"})
    decision = judge(record, rerun=make_rerun(make_run(params={"depth": "8", "host": "c0ffee"})))
    assert decision.verdict is Verdict.IDENTICAL
    assert any("param host" in line for line in decision.not_verified)


def test_secrets_in_params_stay_out_of_the_reason():
    record = make_record(params={"api_token": "hunter2secret"})
    decision = judge(record, rerun=make_rerun(make_run(params={"api_token": "othersecret"})))
    assert decision.verdict is Verdict.DIVERGED
    assert "hunter2secret" not in decision.reason
    assert "othersecret" not in decision.reason


def test_runs_with_the_same_decisive_params_are_alike():
    record = make_record(params={"depth": "8", "host": "a"})
    assert same_params(record, {"depth": "8.0", "host": "b", "more": "1"})
    assert not same_params(record, {"host": "a"})


def test_params_that_mlflow_run_logged_need_not_be_logged_again() -> None:
    """They were handed to the command, which had them; what the training logs by itself is compared all the same."""
    record = make_record(params={"depth": "8", "rate": "0.1"})
    plan = make_plan(params_given={"depth": "8"})
    assert judge(record, plan, make_rerun(make_run(params={"rate": "0.1"}))).verdict is Verdict.IDENTICAL
    assert judge(record, plan, make_rerun(make_run(params={"rate": "0.1", "depth": "9"}))).verdict is Verdict.DIVERGED
    assert judge(record, make_plan(), make_rerun(make_run(params={"rate": "0.1"}))).verdict is Verdict.DIVERGED


def test_params_that_mlflow_run_logged_are_those_of_the_first_run_that_is_nested_in_none() -> None:
    record = make_record(params={"depth": "8"})
    nested = make_run(run_id="1" * 32, params={"rate": "0.1"}, parent_run_id=RERUN_ID, started=2)
    second = make_run(run_id="2" * 32, params={}, started=3)
    plan = make_plan(params_given={"depth": "8"})
    completed = with_params_given(plan, make_rerun(make_run(params={}), nested, second))
    assert [run.params for run in completed.capture.runs] == [{"depth": "8"}, {"rate": "0.1"}, {}]
    assert judge(record, plan, make_rerun(second)).verdict is Verdict.IDENTICAL
