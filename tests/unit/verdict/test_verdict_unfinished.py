"""A crash of what we guessed says nothing about the author; a crash of what was recorded does."""

from __future__ import annotations

import pytest

from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending
from runner.schema.run_record import TextFile
from tests.support.values import START, captured, changed, judge, make_plan, make_record, make_rerun, make_run

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


def test_a_module_that_a_lock_does_not_name_was_there_for_a_run_that_finished():
    decision = judge(rerun=crashed())
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "does not list it, and the recorded run, which finished, had it" in decision.reason
    assert judge(make_record(status="FAILED"), rerun=crashed()).verdict is Verdict.FAILED


def test_a_missing_module_is_offered_with_the_version_that_the_run_recorded():
    listed = TextFile(path="model/requirements.txt", text="seaborn==0.13.2\n")
    decision = judge(make_record(environment_files=(listed,)), rerun=crashed())
    assert decision.missing is not None
    assert "--with seaborn==0.13.2" in decision.missing.remedy


@pytest.mark.parametrize("ending", [Ending.FINISHED, Ending.OUT_OF_MEMORY, Ending.CRASHED])
def test_a_commit_that_no_run_recorded_makes_no_run_failed(ending):
    plan = make_plan(lineage=changed(make_plan().lineage, commit_known=False))
    code = 0 if ending is Ending.FINISHED else 1
    decision = judge(plan=plan, rerun=make_rerun(ending=ending, exit_code=code, log_tail=(), capture={"runs": ()}))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "; but the run records no commit, and 9f3c2e1d0b4a may not be the one" in decision.reason
    if ending is Ending.FINISHED:
        assert decision.reason.startswith("the command ended well, and logged no run; but")
    assert (
        judge(rerun=make_rerun(ending=ending, exit_code=code, log_tail=(), capture={"runs": ()})).verdict
        is Verdict.FAILED
    )


PACKAGE = '  File "/cache/environments/k/lib/python3.11/site-packages/pycaret/memory.py", line 3, in <module>'
OWN = '  File "/sandbox/workspace/train.py", line 3, in <module>'


@pytest.mark.parametrize(
    ("frames", "exception", "excused"),
    [
        ((OWN, PACKAGE), "ImportError: cannot import name '_format' from 'joblib.memory'", True),
        ((OWN, PACKAGE), "AttributeError: 'Series' object has no attribute 'append'", True),
        ((OWN,), "AttributeError: module 'numpy' has no attribute 'float'", True),
        ((OWN,), "ImportError: cannot import name 'x' from 'own' (/sandbox/workspace/own.py)", False),
        ((OWN,), "AttributeError: 'Trainer' object has no attribute 'x'", False),
        ((OWN, PACKAGE), "ValueError: too few rows", False),
    ],
)
def test_versions_that_do_not_fit_are_ours_where_they_were_chosen_for_a_day(frames, exception, excused):
    plan = with_environment(exact=False, as_of=START)
    decision = judge(plan=plan, rerun=crashed("Traceback (most recent call last):", *frames, exception))
    assert decision.verdict is (Verdict.UNVERIFIABLE if excused else Verdict.FAILED), decision.reason
    assert (exception in decision.reason) is excused
    assert judge(rerun=crashed("Traceback", *frames, exception)).verdict is Verdict.FAILED


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_failed_when_it_was_recorded_is_excused_like_any_other(status):
    """It recorded itself, so that it had MLflow at least: what broke here may not be what broke there."""
    plan = with_environment(exact=False, as_of=START)
    decision = judge(make_record(status=status), plan, crashed())
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "no module seaborn" in decision.reason


def test_a_run_that_failed_as_recorded_failed_and_says_so():
    decision = judge(make_record(status="FAILED"), rerun=crashed("ValueError: too few rows"))
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
    other = changed(rerun, log_tail=("ValueError: too few rows",))
    assert judge(plan=opened, rerun=other).verdict is Verdict.FAILED
    silent = crashed("Traceback", OFFLINE)  # what another program asked for is seen in the log alone
    assert "asked for another host: the network is closed" in judge(rerun=silent).reason


def tried(*hosts, run=None, **fields):
    """A rerun that asked for these hosts."""
    runs = () if run is None else (run,)
    return make_rerun(capture={"hosts_tried": hosts, "runs": runs}, log_tail=("download failed",), **fields)


ENDS = {
    "a crash": tried("archive.example", ending=Ending.CRASHED, exit_code=1),
    "a run that was logged as failed": tried("archive.example", run=make_run(status="FAILED")),
    "no run": tried("archive.example"),
    "other numbers": tried("archive.example", run=make_run(metrics=captured("auc", [0.1]))),
}


@pytest.mark.parametrize("kind", ENDS)
def test_whatever_comes_of_a_host_that_the_closed_network_kept_away_is_no_fault_of_the_author(kind):
    """rule 28: many swallow the exception, and the log says nothing."""
    for status in ("FINISHED", "FAILED"):
        decision = judge(make_record(status=status), rerun=ENDS[kind])
        assert decision.verdict is Verdict.UNVERIFIABLE
        assert "archive.example" in decision.reason
        assert "network is closed while training" in decision.reason
        assert decision.missing is not None
        assert "--allow network" in decision.missing.remedy


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost", "Tracker.example"])
def test_this_machine_and_the_tracker_that_the_capture_stands_for_excuse_nothing(kind, host):
    record = make_record(uri="https://tracker.example:5000")
    rerun = changed(ENDS[kind], capture=changed(ENDS[kind].capture, hosts_tried=(host,)))
    assert judge(record, rerun=rerun).verdict in (Verdict.FAILED, Verdict.DIVERGED)


@pytest.mark.parametrize("ending", [Ending.OUT_OF_MEMORY, Ending.TIMED_OUT, Ending.WROTE_TOO_MUCH])
def test_what_our_limits_ended_is_not_blamed_on_the_network(ending):
    assert judge(rerun=tried("archive.example", ending=ending, exit_code=1)).verdict is Verdict.FAILED


def test_numbers_that_agree_though_a_host_was_asked_for_agree():
    assert judge(rerun=tried("archive.example", run=make_run())).verdict is Verdict.IDENTICAL


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


def test_a_library_that_the_image_lacks_comes_before_a_doubt_of_the_commit():
    plan = make_plan(lineage=changed(make_plan().lineage, commit_known=False))
    log = "OSError: libgomp.so.1: cannot open shared object file: No such file or directory"
    decision = judge(plan=plan, rerun=crashed("Traceback (most recent call last):", log))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.missing is not None
    assert "--system-packages libgomp1" in decision.missing.remedy
