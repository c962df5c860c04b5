"""What is said beside a verdict: what was lowered, not exact, or given in place of the recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runner.schema.plan import CodeChange, Images, Policy
from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending, PreExistingResult
from tests.support.values import (
    START,
    captured,
    changed,
    judge,
    make_plan,
    make_record,
    make_rerun,
    make_run,
)

DAY = START + timedelta(days=184)
WORSE = make_rerun(make_run(metrics=(*captured("auc", [0.5]), *captured("loss", [0.9], first=50))))


def said(decision, text):
    """Whether a line of `not_verified` holds a text."""
    return any(text in line for line in decision.not_verified)


# --- rules 25 and 26


def test_what_the_plan_had_to_fix_without_a_record_is_not_verified():
    """rule 25"""
    decision = judge(plan=make_plan(not_verified=("BLAS threads: not recorded, 2 used", "time zone: not recorded")))
    assert said(decision, "BLAS threads: not recorded, 2 used")
    assert said(decision, "time zone: not recorded")
    assert said(decision, "rerun on EPYC 7B13")


def redated(**fields):
    """A rerun with packages of a later day than the run's."""
    environment = make_rerun().environment
    values = {"redated": "greenlet 1.0 cannot be built", "as_of": DAY, "build_as_of": DAY, **fields}
    return make_rerun(environment=changed(environment, **values))


def test_a_later_day_is_in_the_reason_and_why_it_is_not_the_runs_own_is_not_verified():
    """rule 26"""
    plan = make_plan(environment=changed(make_plan().environment, exact=False, as_of=START))
    decision = judge(plan=plan, rerun=redated())
    words = "packages as of 2025-09-02, those of 2025-03-02 could not be had"
    assert decision.reason.endswith(f"; {words}")
    assert f"--allow redate: {words}: greenlet 1.0 cannot be built" in decision.not_verified
    assert said(decision, "not pinned, as of 2025-09-02 (")
    assert words not in judge(plan=plan).reason


def test_where_a_lock_decides_it_is_what_builds_that_is_of_a_later_day():
    decision = judge(rerun=redated(as_of=None))
    assert "built with packages as of 2025-09-02, not of 2025-03-02" in decision.reason


def test_what_a_replaced_package_brought_into_a_lock_is_said_to_be_of_the_day():
    plan = make_plan(environment=changed(make_plan().environment, overrides=("torch==2.1.0",), as_of=START))
    rerun = make_rerun(environment=changed(make_rerun().environment, as_of=START))
    line = "environment: changed by --with torch==2.1.0, what that needs besides as of 2025-03-02"
    assert line in judge(plan=plan, rerun=rerun).not_verified


def test_what_came_along_with_a_given_package_is_one_line_and_not_one_for_each():
    ran = make_rerun().environment
    packages = {**ran.packages, **{f"more-{number}": "1.0" for number in range(9)}}
    rerun = make_rerun(environment=changed(ran, packages=packages))
    plan = make_plan(environment=changed(make_plan().environment, overrides=("mlflow==2.22.0",), as_of=START))
    lines = [line for line in judge(plan=plan, rerun=rerun).not_verified if "more-" in line]
    (line,) = lines
    assert line.startswith("environment: 9 packages beyond uv.lock, with --with and what it needs: more-0 1.0, ")
    assert line.endswith(" and 3 more")
    assert sum("more-" in line for line in judge(plan=make_plan(), rerun=rerun).not_verified) == 9


def test_without_a_start_what_is_built_is_built_with_the_packages_of_today():
    rerun = make_rerun(environment=changed(make_rerun().environment, built_from_source=("docopt==1",)))
    plan = make_plan()
    undated = changed(plan, run=changed(plan.run, start_time=None))
    line = "built from source with the packages of today: the run records no start"
    assert line in judge(plan=undated, rerun=rerun).not_verified
    assert line not in judge(plan=plan, rerun=rerun).not_verified


LOWERED = ["network", "build-network", "undated", "policy"]
UNUSED = ["redate", "line-endings", "dirty", "cpu-torch"]


@pytest.mark.parametrize("name", LOWERED)
def test_each_lowered_assurance_is_not_verified_word_for_word(name):
    """rule 26"""
    source = "runner.yaml at the commit (--allow policy)" if name == "policy" else "--allow"
    rerun = make_rerun()
    rerun = changed(rerun, environment=changed(rerun.environment, built_from_source=("docopt",)))
    decision = judge(plan=make_plan(policy=Policy(allow=(name,), source=source)), rerun=rerun)
    assert said(decision, f"--allow {name}: ")


@pytest.mark.parametrize("name", [*LOWERED[1:], *UNUSED])
def test_an_allowance_that_nothing_used_is_not_said_to_have_been(name):
    decision = judge(plan=make_plan(policy=Policy(allow=(name,))))
    assert not said(decision, f"--allow {name}")
    for word in ("line endings", "date was moved", "torch for CPU", "work tree was not clean"):
        assert not said(decision, word)


def test_each_inexactness_of_the_environment_is_not_verified_word_for_word():
    """rule 26"""
    plan = make_plan()
    base = changed(plan.images, base_digest=None)
    assert isinstance(base, Images)
    spec = changed(
        plan.environment, exact=False, as_of=make_record().start_time, overrides=("torch==2.1",), notes=("x",)
    )
    plan = make_plan(environment=spec, images=base, policy=Policy(warm_start=("w.pt",)))
    rerun = make_rerun(
        environment=changed(
            make_rerun().environment,
            python="3.9.2",
            packages={"numpy": "1.25.0", "scikit-learn": "1.4.2"},
            built_from_source=("sgd",),
            notes=("wheel of torch substituted",),
        ),
        capture={"hosts_tried": ("api.example",)},
    )
    decision = judge(plan=plan, rerun=rerun)
    for words in (
        "not pinned, as of 2025-03-02",
        "--with torch==2.1",
        "wheel of torch substituted",
        "built from source: sgd",
        "base image by name, not by digest: python:3.9-slim-bookworm",
        "numpy 1.26.4 recorded, 1.25.0 ran",
        "Python 3.9.18 recorded, 3.9.2 ran",
        "--warm-start w.pt",
        "hosts tried, with the network closed: api.example",
    ):
        assert said(decision, words), words
    assert not any("exact" in line for line in decision.verified)
    none = judge(plan=make_plan(environment=changed(spec, kind="none")), rerun=rerun)
    assert said(none, "nothing names any package")
    recorded = changed(spec, constraints=("scikit-learn==1.4.2", "six==1.16.0"))
    partly = judge(plan=make_plan(environment=recorded), rerun=rerun)
    assert said(partly, "environment: not pinned but for 1 version as recorded, as of 2025-03-02")
    assert not any("exact" in line for line in partly.verified)


def test_a_python_without_a_recorded_patch_version_is_not_verified():
    """rule 26"""
    for recorded, lacks in (("3.9", True), (None, True), ("3.9.18", False)):
        environment = changed(make_plan().environment, python_recorded=recorded)
        decision = judge(plan=changed(make_plan(), environment=environment))
        assert said(decision, "Python patch version: not recorded, 3.9.18 ran") is lacks


def test_another_python_than_recorded_is_in_the_reason_and_another_patch_is_noted():
    """rule 26"""
    environment = make_plan().environment
    given = changed(environment, python_source="--python", python_recorded="3.8.10")
    decision = judge(plan=changed(make_plan(), environment=given))
    assert decision.reason.endswith("; --python 3.9: the run recorded 3.8.10")
    assert decision.not_verified[0] == "--python 3.9: the run recorded 3.8.10"
    patched = judge(plan=changed(make_plan(), environment=changed(environment, python_recorded="3.9.2")))
    assert "3.9.2" not in patched.reason
    assert said(patched, "environment: Python 3.9.2 recorded, 3.9.18 ran")


def test_everything_that_is_wrong_is_told_and_the_first_decides():
    rerun = make_rerun(
        make_run(resumed=True), inputs=(), pre_existing=(PreExistingResult(path="r.json", why="holds results"),)
    )
    decision = judge(rerun=rerun)
    assert decision.reason.endswith("(and 2 more)")
    assert said(decision, "pre-existing result")
    assert said(decision, "continues an earlier one")


def test_secrets_stay_out_of_what_is_not_verified():
    plan = make_plan(not_verified=("remote https://bob:hunter2@example.org was not asked",))
    assert not said(judge(plan=plan), "hunter2")


# --- what was given in place of the recorded, and code that was committed after the run


def of_lineage(**fields):
    """A plan with other facts of its lineage."""
    return make_plan(lineage=changed(make_plan().lineage, **fields))


def test_another_commit_than_the_recorded_stands_in_every_reason_and_is_not_verified():
    plan = of_lineage(recorded_commit="0123456789abcdef")
    for rerun, verdict in ((make_rerun(), Verdict.IDENTICAL), (WORSE, Verdict.DIVERGED)):
        decision = judge(plan=plan, rerun=rerun)
        assert decision.verdict is verdict
        assert "tag git_commit 9f3c2e1d0b4a: the run recorded 0123456789ab" in decision.reason
        assert said(decision, "the run recorded 0123456789ab")
        assert not [line for line in decision.verified if line.startswith("code")]


def test_a_commit_that_nobody_recorded_can_show_agreement_and_no_divergence():
    plan = of_lineage(commit_known=False)
    crashed = make_rerun(ending=Ending.CRASHED, exit_code=1, log_tail=("KeyError: 'x'",))
    for rerun, verdict in (
        (make_rerun(), Verdict.IDENTICAL),
        (WORSE, Verdict.UNVERIFIABLE),
        (crashed, Verdict.UNVERIFIABLE),
    ):
        decision = judge(plan=plan, rerun=rerun)
        assert decision.verdict is verdict, decision.reason
        assert "9f3c2e1d0b4a: the run records no commit" in decision.reason
        assert not [line for line in decision.verified if line.startswith("code")]


def test_another_command_than_the_runs_own_stands_in_every_reason_and_is_not_verified():
    plan = make_plan(command_source="--command", recorded_command="python train.py --depth 9")
    for rerun in (make_rerun(), WORSE, make_rerun(exit_code=1)):
        decision = judge(plan=plan, rerun=rerun)
        words = "--command `python train.py --depth 8`: the run's record gives `python train.py --depth 9`"
        assert words in decision.reason
        assert words in decision.not_verified
        assert not [line for line in decision.verified if line.startswith("command")]


SOON = CodeChange(commit="d" * 40, path="train.py", seconds_after_start=13)


def test_a_divergence_of_code_that_was_committed_right_after_the_start_is_unverifiable_and_names_that_commit():
    """rule 11's kind of excuse: the work tree may have had it, and MLflow does not record whether it was clean."""
    decision = judge(plan=make_plan(code_changed=SOON), rerun=WORSE)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "commit dddddddddddd changed train.py 13 s after the run started" in decision.reason
    assert f"--commit {'d' * 40}" in decision.missing.remedy
    crashed = make_rerun(exit_code=1, ending=Ending.CRASHED, capture={"runs": ()})
    assert judge(plan=make_plan(code_changed=SOON), rerun=crashed).verdict is Verdict.UNVERIFIABLE
    assert judge(rerun=crashed).verdict is Verdict.FAILED


def test_a_record_that_proves_a_clean_work_tree_leaves_the_divergence():
    plan = changed(of_lineage(clean=True), code_changed=SOON)
    assert judge(plan=plan, rerun=WORSE).verdict is Verdict.DIVERGED
    assert judge(plan=make_plan(code_changed=SOON)).verdict is Verdict.IDENTICAL
