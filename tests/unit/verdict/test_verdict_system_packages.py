"""A training that lacks a library of the system is unverifiable, with the command that supplies it."""

from __future__ import annotations

from runner.schema.plan import OfferedPackages, Plan, SystemPackages
from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending
from runner.verdict.system_packages import lacking_packages
from tests.support.values import captured, changed, judge, make_plan, make_rerun, make_run

GOMP = "OSError: libgomp.so.1: cannot open shared object file: No such file or directory"
GL = "ImportError: libGL.so.1: cannot open shared object file: No such file or directory"
UNHEARD = "ImportError: libunheard.so.3: cannot open shared object file: No such file or directory"
CUDA = "ImportError: libcudart.so.11.0: cannot open shared object file: No such file or directory"


def crashed(*log: str):
    return make_rerun(log_tail=log, ending=Ending.CRASHED, exit_code=1)


def given(*names: str, offered: tuple[str, ...] = ()) -> Plan:
    offers = (OfferedPackages(source="apt.txt at the commit", names=offered),) if offered else ()
    return changed(make_plan(), system_packages=SystemPackages(names=names, source="--system-packages", offered=offers))


def remedy(plan: Plan, *log: str) -> str:
    missing = lacking_packages(plan, crashed(*log))
    assert missing is not None
    assert missing.fact == "environment"
    return missing.remedy


def test_a_crash_for_a_missing_library_is_unverifiable_and_says_how_to_supply_it():
    rerun = crashed("Traceback", GOMP)
    decision = judge(rerun=rerun)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "lacks libgomp.so.1" in decision.reason
    assert decision.missing.remedy.startswith("runner reproduce ")
    assert "--system-packages libgomp1" in decision.missing.remedy
    other = crashed("Traceback", "OSError: something else")
    assert judge(rerun=other).verdict is Verdict.FAILED


def test_a_divergence_after_such_a_complaint_blames_nobody():
    worse = make_run(metrics=(*captured("auc", [0.5]), *captured("loss", [0.9], first=50)))
    assert judge(rerun=make_rerun(worse)).verdict is Verdict.DIVERGED
    decision = judge(rerun=make_rerun(worse, log_tail=("sh: 1: ffmpeg: not found",)))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "--system-packages ffmpeg" in decision.missing.remedy


def test_the_remedy_keeps_what_was_given_and_names_all_that_is_missed():
    assert "--system-packages libgl1,libgomp1" in remedy(given("libgl1"), GOMP)
    assert "--system-packages libgl1,libgomp1" in remedy(make_plan(), GL, GOMP)


def test_a_package_that_is_there_is_not_asked_for_again():
    assert lacking_packages(given("libgomp1=12.2"), crashed(GOMP)) is None
    plan = given("xgboost-deps")
    there = changed(plan, images=changed(plan.images, system_packages={"libgomp1": "12.2"}))
    assert lacking_packages(there, crashed(GOMP)) is None


def test_an_unheard_library_is_named_and_what_the_commit_installs_is_offered():
    assert "--system-packages NAME" in remedy(make_plan(), UNHEARD)
    assert "libunheard.so.3" in remedy(make_plan(), UNHEARD)
    assert "--system-packages libodd3" in remedy(given(offered=("libodd3",)), UNHEARD)
    missing = lacking_packages(given(offered=("libodd3",)), crashed(GOMP))
    assert missing.nearest == ("--system-packages libodd3    as apt.txt at the commit has it",)


def test_a_library_of_the_gpus_driver_is_in_no_package_of_debians():
    assert "--base-image REF" in remedy(given(offered=("libgl1",)), CUDA)


def test_a_log_without_a_complaint_excuses_nothing():
    assert lacking_packages(make_plan(), crashed("ValueError: no")) is None


def test_system_packages_and_a_base_image_by_tag_are_not_verified_word_for_word():
    plan = given("libgomp1=12.2", "sox")
    images = changed(
        plan.images,
        base="acme/base:1",
        base_digest="sha256:" + "ab" * 32,
        base_origin="--base-image",
        system_packages={"libgomp1": "12.2", "sox": "14.4", "libsox3": "14.4"},
    )
    lines = judge(plan=changed(plan, images=images)).not_verified
    assert "system packages: libgomp1 12.2, sox 14.4 by --system-packages; no record names them" in lines
    assert "base image by tag, which may be moved: acme/base:1 was sha256:abababababab" in lines
    by_digest = changed(images, base="acme/base@sha256:" + "ab" * 32)
    assert not [line for line in judge(plan=changed(plan, images=by_digest)).not_verified if "base image" in line]
