"""A crash of what we guessed says nothing about the author; a crash of what was recorded does."""

from __future__ import annotations

import pytest

from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending
from tests.support.values import START, changed, judge, make_plan, make_record, make_rerun, make_run

LOG = ("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'seaborn'")


def crashed(*log, ending=Ending.CRASHED, **fields):
    """A rerun of which the command ended with exit status 1."""
    capture = {"runs": ()}
    return make_rerun(ending=ending, exit_code=1, log_tail=log or LOG, capture=capture, **fields)


def with_environment(**fields):
    """A plan with another list of packages."""
    return make_plan(environment=changed(make_plan().environment, **fields))


@pytest.mark.parametrize("fields", [{"exact": False, "as_of": START}, {"as_of": START}, {"kind": "none"}])
def test_a_module_that_no_whole_list_names_is_missing_from_our_environment_and_no_failure(fields):
    decision = judge(plan=with_environment(**fields), rerun=crashed())
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "no module seaborn" in decision.reason
    assert decision.missing is not None
    assert decision.missing.fact == "environment"
    assert "--with seaborn" in decision.missing.remedy
    assert "metrics" not in "".join(decision.verified)


def test_a_module_that_a_lock_does_not_name_was_not_there_for_the_author_either():
    assert judge(rerun=crashed()).verdict is Verdict.FAILED


def test_a_run_that_failed_when_it_was_recorded_may_have_failed_for_that_module():
    plan = with_environment(exact=False, as_of=START)
    decision = judge(make_record(status="FAILED"), plan, crashed())
    assert decision.verdict is Verdict.FAILED
    assert "so had the recorded run" in decision.reason


@pytest.mark.parametrize(
    "log", [("ValueError: No module named 'seaborn'",), (LOG[1], *("epoch",) * 9), ("print: " + LOG[1],)]
)
def test_only_the_exception_at_the_logs_end_counts(log):
    plan = with_environment(exact=False, as_of=START)
    assert judge(plan=plan, rerun=crashed(*log)).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "ending",
    [Ending.OUT_OF_MEMORY, Ending.TIMED_OUT, Ending.KILLED, Ending.OUT_OF_PROCESSES, Ending.WROTE_TOO_MUCH],
)
def test_memory_and_time_are_no_missing_module(ending):
    plan = with_environment(exact=False, as_of=START)
    assert judge(plan=plan, rerun=crashed(ending=ending)).verdict is Verdict.FAILED


OFFLINE = "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>"


def test_a_crash_for_the_network_that_we_close_is_no_failure_of_the_author():
    """rule 28"""
    rerun = crashed("Traceback", OFFLINE)
    rerun = changed(rerun, capture=changed(rerun.capture, hosts_tried=("archive.example",)))
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "the training asked for archive.example: the network is closed" in decision.reason
    assert decision.missing is not None
    assert (decision.missing.fact, "--allow network" in decision.missing.remedy) == ("data", True)
    opened = make_plan(policy={"allow": ("network",)})
    decision = judge(plan=opened, rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "archive.example: it could not be reached" in decision.reason
    assert judge(rerun=changed(rerun, log_tail=("ValueError: too few rows",))).verdict is Verdict.FAILED


def test_an_inferred_command_that_lacks_what_nothing_pins_may_crash_for_that():
    """rule 11, for a crash"""
    plan = make_plan(command_inferred=True, options_uncovered=("sys.argv",))
    decision = judge(plan=plan, rerun=crashed("IndexError: list index out of range"))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.missing is not None
    assert decision.missing.fact == "command"
    assert "sys.argv" in decision.reason
    covered = make_plan(command_inferred=True)
    assert judge(plan=covered, rerun=crashed("IndexError: list index out of range")).verdict is Verdict.FAILED


def test_a_command_that_ended_well_is_judged_as_ever():
    plan = make_plan(command_inferred=True, options_uncovered=("sys.argv",))
    assert judge(plan=plan, rerun=make_rerun(make_run(status="FAILED"))).verdict is Verdict.FAILED
