"""The verdict from values: what excludes it, caps it and is said beside it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runner.schema.comparison import Outcome
from runner.schema.digest import DigestValue
from runner.schema.plan import MetricPolicy, Policy
from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending, PreExistingResult, TrackerRead
from runner.schema.run_record import DatasetInput
from runner.settings import Flags
from runner.verdict.policy import looser_than_default, requirement_met
from tests.support.values import (
    DATA,
    MODEL,
    captured,
    changed,
    data_file,
    history,
    judge,
    make_plan,
    make_record,
    make_reproduction,
    make_rerun,
    make_run,
    md5,
    model_file,
    restored,
    written,
)

WORSE = make_rerun(make_run(metrics=(*captured("auc", [0.5]), *captured("loss", [0.9], first=50))))


def existing(path):
    """A result that the commit holds, as it is told by its name."""
    return PreExistingResult(path=path, why="holds results, by its name")


def said(decision, text):
    """Whether a line of `not_verified` holds a text."""
    return any(text in line for line in decision.not_verified)


def test_a_rerun_that_agrees_in_every_bit_is_identical_and_says_what_that_rests_on():
    decision = judge()
    assert decision.verdict is Verdict.IDENTICAL
    assert decision.reason == "both metrics bit-equal, model byte-equal"
    text = "\n".join(decision.verified)
    for words in (
        "commit 9f3c2e1",
        "opened by the training",
        "exact",
        "2 bit-equal",
        "5 of 5 points",
        "2 logged again",
    ):
        assert words in text
    assert f"output: {MODEL}" in text


# --- from `identical`, change one thing


def flip(value: float, bit: int) -> float:
    """Flip one bit of a float."""
    number = int.from_bytes(struct.pack(">d", value), "big") ^ (1 << bit)
    return struct.unpack(">d", number.to_bytes(8, "big"))[0]


VALUES = st.lists(st.floats(allow_nan=False), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.data())
def test_one_bit_of_any_metric_point_on_either_side_is_no_longer_identical(values, data):
    index = data.draw(st.integers(0, len(values) - 1))
    spoilt = list(values)
    spoilt[index] = flip(values[index], data.draw(st.integers(0, 63)))
    for recorded, logged in ((spoilt, values), (values, spoilt)):
        record = make_record(metrics=(history("m", recorded),))
        assert judge(record, rerun=make_rerun(make_run(metrics=captured("m", logged)))).verdict is not Verdict.IDENTICAL
    record = make_record(metrics=(history("m", values),))
    assert judge(record, rerun=make_rerun(make_run(metrics=captured("m", values)))).verdict is Verdict.IDENTICAL


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 127), st.sampled_from(["output", "restored", "expected", "lineage data", "lineage model"]))
def test_one_bit_of_any_digest_is_no_longer_identical(bit, where):
    def spoilt(text: str) -> DigestValue:
        return DigestValue("md5", f"{int(md5(text).hexdigest, 16) ^ (1 << bit):032x}")

    plan, rerun = make_plan(), make_rerun()
    if where == "output":
        rerun = make_rerun(outputs=(written(digest=spoilt("model")),))
    elif where == "restored":
        rerun = make_rerun(inputs=(restored(digest=spoilt("data")),))
    elif where == "expected":
        rerun = make_rerun(inputs=(restored(expected=spoilt("data")),))
    elif where == "lineage data":
        plan = make_plan(files=(data_file(digest=spoilt("data")), model_file()))
    else:
        plan = make_plan(files=(data_file(), model_file(digest=spoilt("model"))))
    assert judge(plan=plan, rerun=rerun).verdict is not Verdict.IDENTICAL


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["depth", "rate"]), st.text(min_size=0, max_size=6), st.booleans())
def test_one_param_is_no_longer_identical(name, text, recorded):
    params = {"depth": "8", "rate": "0.1"}
    assume(judge_same(params[name], text) is False)
    spoilt = {**params, name: text}
    record = make_record(params=spoilt if recorded else params)
    rerun = make_rerun(make_run(params=params if recorded else spoilt))
    assert judge(record, rerun=rerun).verdict is Verdict.DIVERGED


def judge_same(original: str, rerun: str) -> bool:
    """Whether two texts are one number."""
    try:
        return float(original) == float(rerun)
    except ValueError:
        return False


@given(st.integers(-255, 255).filter(bool))
def test_any_exit_status_but_zero_is_failed(code):
    assert judge(rerun=make_rerun(exit_code=code)).verdict is Verdict.FAILED


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED", "FAILED", "KILLED", "UNKNOWN", ""])
def test_any_other_status_of_either_side_is_no_longer_identical(status):
    assert judge(make_record(status=status)).verdict is not Verdict.IDENTICAL
    assert judge(rerun=make_rerun(make_run(status=status))).verdict is Verdict.FAILED


# --- rule 8


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(rtol=0.5), "rtol 0.5"),
        (Policy(atol=0.1), "atol 0.1"),
        (Policy(metrics={"auc": MetricPolicy(rtol=0.5)}), "auc: rtol 0.5"),
        (Policy(metrics={"auc": MetricPolicy(atol=0.5)}), "auc: atol 0.5"),
        (Policy(metrics={"loss": MetricPolicy(last_only=True)}), "loss: last value only"),
        (Policy(metrics={"loss": MetricPolicy(ignore=True)}), "ignores loss"),
        (Policy(ignore=("loss",)), "ignores loss"),
        (Policy(only=("auc",)), "only auc"),
    ],
)
def test_a_policy_looser_than_the_default_stands_in_every_reason(policy, words):
    """rule 08"""
    plan = make_plan(policy=policy)
    for rerun in (make_rerun(), WORSE, make_rerun(exit_code=1), make_rerun(inputs=())):
        decision = judge(plan=plan, rerun=rerun)
        assert "looser than default" in decision.reason
        assert words in decision.reason


def test_a_policy_as_strict_as_the_default_or_stricter_is_not_mentioned():
    """rule 08"""
    for policy in (Policy(), Policy(rtol=0.0), Policy(metrics={"auc": MetricPolicy(rtol=0.0, atol=0.0)})):
        assert looser_than_default(policy) == ()
        assert "looser" not in judge(plan=make_plan(policy=policy)).reason


# --- rule 11


def test_a_divergence_under_an_inferred_command_is_unverifiable_and_names_the_uncovered_options():
    """rule 11"""
    plan = make_plan(command_inferred=True, options_uncovered=("--seed", "--folds"))
    decision = judge(plan=plan, rerun=WORSE)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "--seed, --folds" in decision.reason
    assert "2 of 2 compared metrics" in decision.reason
    assert decision.missing.fact == "command"


def test_a_divergence_with_every_option_covered_or_a_recorded_command_is_diverged():
    """rule 11"""
    assert judge(plan=make_plan(command_inferred=True), rerun=WORSE).verdict is Verdict.DIVERGED
    assert judge(plan=make_plan(options_uncovered=("--seed",)), rerun=WORSE).verdict is Verdict.DIVERGED


def test_an_inferred_command_that_agrees_is_identical_and_said_to_be_inferred():
    """rule 11"""
    decision = judge(plan=make_plan(command_inferred=True, options_uncovered=("--seed",)))
    assert decision.verdict is Verdict.IDENTICAL
    assert said(decision, "command: inferred")


# --- rules 13 to 15


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED"])
def test_a_run_that_has_not_ended_is_unverifiable_unless_allowed_and_then_never_identical(status):
    """rule 13"""
    record = make_record(status=status, end_time=None)
    decision = judge(record)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "--allow unfinished" in decision.missing.remedy
    allowed = judge(record, make_plan(policy=Policy(allow=("unfinished",))))
    assert allowed.verdict is Verdict.REPRODUCED
    assert status in allowed.reason
    assert said(allowed, "--allow unfinished")


def test_a_record_that_changed_during_the_rerun_is_unverifiable():
    """rule 13"""
    assert judge(record_changed=True).verdict is Verdict.UNVERIFIABLE


def test_a_run_of_unknown_status_is_unverifiable():
    """rule 13"""
    assert judge(make_record(status="LOST")).verdict is Verdict.UNVERIFIABLE


def test_a_run_that_continues_an_earlier_one_is_unverifiable():
    """rule 14"""
    decision = judge(rerun=make_rerun(make_run(resumed=True)))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "continues an earlier one" in decision.reason


def test_a_read_of_the_tracker_before_the_run_ended_is_unverifiable_and_named():
    """rule 15"""
    reads = (TrackerRead(sequence=90, what="search_runs", detail="experiment fraud"),)
    for rerun in (make_rerun(capture={"reads": reads}), make_rerun(make_run(ended=None), capture={"reads": reads})):
        decision = judge(rerun=rerun)
        assert decision.verdict is Verdict.UNVERIFIABLE
        assert "search_runs experiment fraud" in decision.reason


def test_a_read_of_the_tracker_hides_a_divergence_that_it_may_have_caused():
    """rule 15"""
    reads = (TrackerRead(sequence=5, what="load_model", detail="models:/fraud/7"),)
    run = make_run(metrics=(*captured("auc", [0.5]), *captured("loss", [0.9], first=50)))
    assert judge(rerun=make_rerun(run, capture={"reads": reads})).verdict is Verdict.UNVERIFIABLE


def test_a_read_of_the_tracker_after_the_run_ended_is_harmless():
    """rule 15"""
    reads = (TrackerRead(sequence=101, what="search_runs", detail=""),)
    assert judge(rerun=make_rerun(capture={"reads": reads})).verdict is Verdict.IDENTICAL


# --- rules 16 and 18


def test_the_recorded_model_given_to_the_command_is_evaluated_and_not_trained():
    """rule 16"""
    given_model = restored(path=MODEL, expected=md5("model"), digest=md5("model"), role="output")
    rerun = make_rerun(inputs=(restored(), given_model))
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "evaluated, not trained" in decision.reason
    allowed = judge(plan=make_plan(policy=Policy(allow=("evaluation",))), rerun=rerun)
    assert allowed.verdict is Verdict.REPRODUCED
    assert "evaluated, not trained" in allowed.reason
    assert said(allowed, "--allow evaluation")
    aside = make_rerun(inputs=(restored(), changed(given_model, place="reference")))
    assert judge(rerun=aside).verdict is Verdict.IDENTICAL


def test_a_result_that_the_commit_already_holds_and_the_training_read_is_unverifiable():
    """rule 18"""
    rerun = make_rerun(pre_existing=(existing("results/best.ckpt"),))
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "pre-existing result" in decision.reason
    assert "--allow existing:results/best.ckpt" in decision.missing.remedy


@pytest.mark.parametrize(("allowed", "ok"), [("results/best.ckpt", True), ("results/", True), ("result", False)])
def test_an_existing_result_is_allowed_by_its_path_or_folder_and_said(allowed, ok):
    """rule 18"""
    plan = make_plan(policy=Policy(allow=("existing",), allow_existing=(allowed,)))
    decision = judge(plan=plan, rerun=make_rerun(pre_existing=(existing("results/best.ckpt"),)))
    assert (decision.verdict is Verdict.IDENTICAL) is ok
    assert said(decision, f"--allow existing:{allowed}")


# --- rules 20, 21 and 28


@pytest.mark.parametrize(
    "inputs",
    [
        (),
        (restored(place="missing", digest=None),),
        (restored(place="reference"),),
        (restored(digest=md5("other data")),),
        (restored(expected=md5("other data"), digest=md5("other data")),),
        (restored(unchanged=False),),
        (restored(unchanged=None),),
    ],
)
def test_an_input_that_was_not_restored_has_other_bytes_or_was_changed_is_unverifiable(inputs):
    """rule 20"""
    for runs in ((), (make_run(metrics=captured("auc", [0.5])),)):
        decision = judge(rerun=make_rerun(*runs, inputs=inputs))
        assert decision.verdict is Verdict.UNVERIFIABLE
        assert DATA in decision.reason
        assert decision.missing.fact == "data"


def test_a_reference_model_that_no_store_holds_is_not_verified_and_nothing_more():
    """rule 20"""
    gone = restored(path=MODEL, expected=md5("model"), digest=None, role="output", place="missing", held_by=None)
    decision = judge(rerun=make_rerun(inputs=(restored(), gone)))
    assert decision.verdict is Verdict.IDENTICAL
    assert said(decision, "no store that answered holds the recorded models/model.joblib")


def test_a_file_of_unknown_role_counts_as_input_unless_it_was_kept_aside():
    """rule 20"""
    plan = make_plan(files=(data_file(role="unknown"), model_file()))
    assert judge(plan=plan, rerun=make_rerun(inputs=(restored(digest=md5("x")),))).verdict is Verdict.UNVERIFIABLE
    aside = make_rerun(inputs=(restored(digest=md5("x"), place="reference"),))
    assert judge(plan=plan, rerun=aside).verdict is Verdict.IDENTICAL
    output = make_plan(files=(data_file(), model_file(role="unknown")))
    assert judge(plan=output).verdict is Verdict.IDENTICAL


def test_a_file_of_unknown_role_that_was_never_read_or_written_first_is_no_input():
    """rule 20"""
    plan = make_plan(files=(data_file(), data_file(path="m.bin", role="unknown")))
    worse = make_run(metrics=captured("auc", [0.5]))

    def verdict(*runs, capture=(), **file):
        other = restored(path="m.bin", role="unknown", **file)
        return judge(plan=plan, rerun=make_rerun(*runs, inputs=(restored(), other), capture=dict(capture))).verdict

    overwritten = {"unchanged": False, "opened": True}
    assert verdict(opened=False, held_by="cache") is Verdict.IDENTICAL
    assert verdict(worse, opened=False) is Verdict.DIVERGED
    assert verdict(**overwritten) is Verdict.UNVERIFIABLE
    assert verdict(capture={"files_opened": ("m.bin",)}, **overwritten) is Verdict.IDENTICAL
    before = {"files_opened": ("m.bin",), "files_opened_before_output": ("m.bin",)}
    assert verdict(capture=before, **overwritten) is Verdict.UNVERIFIABLE


def test_what_the_tracker_could_not_read_whole_is_not_verified():
    assert said(judge(make_record(notes=("artifacts beyond 10,000 were not listed",))), "artifacts beyond 10,000")


def test_what_went_unseen_is_not_verified_and_no_failure():
    decision = judge(rerun=make_rerun(capture={"unobserved": ("more than 9 files were opened",)}))
    assert decision.verdict is Verdict.IDENTICAL
    assert said(decision, "more than 9 files")


def test_data_that_was_never_opened_is_left_out_of_what_is_verified():
    """rule 21"""
    decision = judge(rerun=make_rerun(inputs=(restored(opened=False),)))
    assert decision.verdict is Verdict.IDENTICAL
    assert not any(DATA in line for line in decision.verified)
    assert said(decision, "never opened")
    assert any(DATA in line for line in judge().verified)


def test_a_difference_is_unverifiable_where_the_data_was_never_opened():
    """rule 21"""
    run = make_run(metrics=captured("auc", [0.5]))
    decision = judge(rerun=make_rerun(run, inputs=(restored(opened=False),)))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "never opened it" in decision.reason
    assert judge(rerun=make_rerun(run)).verdict is Verdict.DIVERGED


def test_data_whose_reading_could_not_be_observed_is_said():
    """rule 21"""
    decision = judge(rerun=make_rerun(inputs=(restored(opened=None),)))
    assert decision.verdict is Verdict.IDENTICAL
    assert not any(DATA in line for line in decision.verified)
    assert said(decision, "could not be observed")


@pytest.mark.parametrize("held_by", ["cache", None])
def test_data_that_the_cache_alone_has_is_unverifiable_unless_allowed(held_by):
    """rule 28"""
    rerun = make_rerun(inputs=(restored(held_by=held_by),))
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "only the local cache has it" in decision.reason
    allowed = judge(plan=make_plan(policy=Policy(allow=("cached",))), rerun=rerun)
    assert allowed.verdict is Verdict.IDENTICAL
    assert said(allowed, f"--allow cached: {DATA}")
    assert not any(DATA in line for line in allowed.verified)


def test_data_read_from_a_service_is_unverifiable_and_named_without_its_password():
    """rule 28"""
    source = '{"uri": "postgresql://bob:hunter2@db.example/sales?table=t"}'
    record = make_record(dataset_inputs=(DatasetInput(name="sales", digest="d", source=source),))
    decision = judge(record, make_plan(policy=Policy(allow=("network",))))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "sales" in decision.reason
    assert "hunter2" not in decision.reason
    local = make_record(dataset_inputs=(DatasetInput(name="sales", digest="d", source="/data/x.csv"),))
    assert judge(local, make_plan(policy=Policy(allow=("network",)))).verdict is Verdict.IDENTICAL
    # Without a network the service was not read: the bytes came from what was restored.
    assert judge(record).verdict is Verdict.IDENTICAL


def test_a_dataset_of_a_service_is_pinned_by_a_file_that_was_restored_and_read():
    """rule 28"""
    source = '{"uri": "s3://bucket/sales.csv"}'
    record = make_record(dataset_inputs=(DatasetInput(name="sales", digest="d", source=source),))
    decision = judge(record, make_plan(policy=Policy(allow=("network",))))
    assert "`inputs: {sales: PATH}`" in decision.missing.remedy
    pinned = judge(record, make_plan(policy=Policy(allow=("network",), inputs={"sales": DATA})))
    assert pinned.verdict is Verdict.IDENTICAL
    assert said(pinned, f"inputs in runner.yaml: that {DATA} is the dataset sales")
    for inputs, file in (({"sales": "other.csv"}, restored()), ({"sales": DATA}, restored(opened=False))):
        plan = make_plan(policy=Policy(allow=("network",), inputs=inputs))
        assert judge(record, plan, make_rerun(inputs=(file,))).verdict is Verdict.UNVERIFIABLE


def test_a_difference_is_unverifiable_where_the_closed_network_may_have_made_it():
    """rule 28"""
    worse = captured("auc", [0.5])
    tried = {"hosts_tried": ("data.example",)}
    asked = judge(rerun=make_rerun(make_run(metrics=worse), capture=tried))
    assert asked.verdict is Verdict.UNVERIFIABLE
    assert "asked for data.example" in asked.reason
    assert "--allow network" in asked.missing.remedy
    source = '{"uri": "postgresql://db.example/sales"}'
    record = make_record(dataset_inputs=(DatasetInput(name="sales", digest="d", source=source),))
    assert "sales" in judge(record, rerun=make_rerun(make_run(metrics=worse))).reason
    opened = make_plan(policy=Policy(allow=("network",)))
    assert judge(plan=opened, rerun=make_rerun(make_run(metrics=worse), capture=tried)).verdict is Verdict.DIVERGED
    assert judge(rerun=make_rerun(capture=tried)).verdict is Verdict.IDENTICAL


# --- rule 27


def test_nothing_repeats_a_training_to_have_a_better_verdict():
    """rule 27: repeats come with a policy of intervals, or not at all."""
    words = {word for name in (*Flags.model_fields, *Policy.model_fields) for word in name.split("_")}
    assert not words & {"repeat", "repeats", "retries", "runs", "interval", "level", "confidence"}


# --- rule 24


@pytest.mark.parametrize(
    ("rerun", "words"),
    [
        (make_rerun(ending=Ending.CRASHED, exit_code=1), "exit status 1"),
        (make_rerun(exit_code=3), "exit status 3"),
        (make_rerun(exit_code=None), "without an exit status"),
        (make_rerun(ending=Ending.OUT_OF_MEMORY), "killed for memory"),
        (make_rerun(ending=Ending.KILLED, exit_code=137), "killed (exit status 137), from outside or for memory"),
        (make_rerun(ending=Ending.OUT_OF_PROCESSES, exit_code=1), "no more processes and threads (--pids-limit 4096)"),
        (make_rerun(ending=Ending.WROTE_TOO_MUCH), "wrote more than it may (16 GiB: limits.output of runner.yaml)"),
        (make_rerun(ending=Ending.TIMED_OUT, exit_code=None), "did not end within 960 s"),
        (make_rerun(capture={"runs": ()}), "logged no run"),
        (make_rerun(make_run(status=None)), "never ended"),
        (make_rerun(make_run(status="FAILED")), "is FAILED"),
        (make_rerun(capture={"problems": ("an MLflow process had no capture",)}), "no capture"),
    ],
)
def test_a_command_that_did_not_finish_well_is_failed_with_its_reason(rerun, words):
    """rule 24"""
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.FAILED
    assert words in decision.reason
    assert not any(line.startswith(("metrics", "params", "output")) for line in decision.verified)


@pytest.mark.parametrize(("memory", "words"), [(8 << 30, "limit 8 GiB"), (512 << 20, "limit 512 MiB")])
def test_out_of_memory_names_the_limit(memory, words):
    """rule 24"""
    plan = make_plan(limits=changed(make_plan().limits, memory_bytes=memory))
    assert words in judge(plan=plan, rerun=make_rerun(ending=Ending.OUT_OF_MEMORY, exit_code=137)).reason


def test_another_run_of_the_same_command_may_have_failed():
    """rule 24"""
    other = make_run(run_id="other", name="other", params={"depth": "1"}, status="FAILED")
    assert judge(rerun=make_rerun(make_run(), other)).verdict is Verdict.IDENTICAL


def test_a_run_that_failed_and_fails_again_says_so():
    """rule 24"""
    decision = judge(make_record(status="FAILED"), rerun=make_rerun(exit_code=1))
    assert decision.verdict is Verdict.FAILED
    assert "so had the recorded run" in decision.reason


# --- requirements


@pytest.mark.parametrize(
    ("require", "verdict", "met"),
    [
        (None, Verdict.DIVERGED, True),
        ("identical", Verdict.IDENTICAL, True),
        ("identical", Verdict.REPRODUCED, False),
        ("reproduced", Verdict.IDENTICAL, True),
        ("reproduced", Verdict.REPRODUCED, True),
        ("reproduced", Verdict.DIVERGED, False),
        ("reproduced", Verdict.UNVERIFIABLE, False),
        ("reproduced", Verdict.FAILED, False),
    ],
)
def test_a_requirement_is_met_by_its_verdict_and_better(require, verdict, met):
    reproduction = make_reproduction(verdict=verdict)
    assert requirement_met(reproduction, Policy(require=require)) is met


def test_completeness_is_met_only_if_nothing_is_left_open():
    policy = Policy(require_complete=True)
    assert not requirement_met(make_reproduction(), policy)
    assert requirement_met(make_reproduction(not_verified=()), policy)


def test_exit_zero_is_never_given_with_nothing_compared():
    """rule 06"""
    record = make_record(metrics=())
    rerun = make_rerun(make_run(metrics=()), outputs=())
    decision = judge(record, make_plan(files=(data_file(),), expected_outputs=()), rerun)
    assert decision.verdict.exit_code == 3


def test_a_comparison_within_the_tolerance_is_reproduced_and_counts_what_is_equal():
    """rule 01"""
    near = make_run(
        metrics=(
            *captured("auc", [0.912874131 * (1 + 1e-9)]),
            *captured("loss", [0.9, 0.5, 0.30000000000000004, 0.25], first=50),
        )
    )
    whole = make_reproduction(rerun=make_rerun(near))
    assert whole.verdict is Verdict.REPRODUCED
    assert whole.reason.startswith("both metrics within tolerance (1 bit-equal)")
    assert [metric.outcome for metric in whole.comparison.metrics] == [Outcome.WITHIN, Outcome.EQUAL]


def test_two_outputs_are_counted():
    plan = make_plan(files=(data_file(), model_file(), model_file(path="out/scaler.bin", digest=md5("scaler"))))
    rerun = make_rerun(outputs=(written(), written(path="out/scaler.bin", digest=md5("scaler"))))
    assert "2 outputs byte-equal" in judge(plan=plan, rerun=rerun).reason
    one = make_plan(files=(data_file(), model_file(path="out/scaler.bin", digest=md5("scaler"))), expected_outputs=())
    assert "out/scaler.bin byte-equal" in judge(plan=one, rerun=rerun).reason
