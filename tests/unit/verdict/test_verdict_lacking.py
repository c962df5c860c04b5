"""What the commit lacks of the author's work tree excuses an end without a run, a crash and a divergence alone."""

from __future__ import annotations

import pytest

from runner.schema.reproduction import Verdict
from runner.schema.rerun import Ending
from runner.schema.snapshot import LfsPointer
from runner.verdict.lacking import (
    Elsewhere,
    Place,
    absent_paths,
    held_elsewhere,
    in_another_folder,
    lacking_file,
    lacking_script,
    may_be_excused,
    unfetched,
)
from tests.support.facts import snapshot
from tests.support.values import COMMIT, DATA, MODEL, changed, judge, make_plan, make_rerun

CRASH = {"ending": Ending.CRASHED, "exit_code": 1}
NO_RUN = {"runs": ()}


def looked_for(*log, plan=None, **fields):
    return absent_paths(plan or make_plan(), make_rerun(log_tail=log, **fields))


@pytest.mark.parametrize(
    "line",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/x.csv'",
        "OSError: /sandbox/workspace/data/x.csv does not exist.",
        "Error: dataset not found at data/x.csv",
        "could not find ./data/x.csv, giving up",
        "no such file: data/x.csv",
    ],
)
def test_a_path_that_the_log_says_is_not_there_was_looked_for(line):
    assert looked_for(line, **CRASH) == ("data/x.csv",)
    assert looked_for(line, capture=NO_RUN) == ("data/x.csv",)


@pytest.mark.parametrize(
    "line",
    [
        "No such file or directory: '/home/ann/x.csv'",
        "https://example.org/data/x.csv not found",
        "read data/x.csv, 8 rows",
        'File "/sandbox/workspace/train.py", line 2: not found',
        "2026/11/24 13:01:07 INFO mlflow.tracking.fluent: Experiment with name 'sums' does not exist.",
        "AttributeError: numpy.float not found",
        "KeyError: 'a.b' not found in axis",
        "external/local_xla/tsl/cuda/cudart_stub.cc:32] Could not find cuda drivers on your machine",
        f"{MODEL} not found",
        f"{DATA} not found",
    ],
)
def test_what_lies_elsewhere_is_code_or_is_ours_was_not_looked_for(line):
    assert looked_for(line, **CRASH) == ()


def test_what_was_opened_and_not_there_comes_first_where_the_log_says_it_too():
    capture = {"files_absent": ("conf/a.json", "data/x.csv")}
    assert looked_for("data/x.csv not found", capture=capture, **CRASH) == ("data/x.csv", "conf/a.json")
    assert looked_for(capture={**capture, "files_opened": ("conf/a.json",)}) == ("data/x.csv",)


def test_what_libraries_look_for_everywhere_is_no_file_of_the_author_unless_the_log_misses_it():
    """GitPython looks for `.git` in every folder above a script: else no run of MLflow's would ever diverge."""
    probed = ("scripts/.git", ".env", "matplotlibrc", ".dvc/config.json", "src/helper.py")
    assert looked_for(capture={"files_absent": probed}) == ()
    said = "FileNotFoundError: [Errno 2] No such file or directory: 'matplotlibrc'"
    assert looked_for(said, capture={"files_absent": probed}, **CRASH) == ("matplotlibrc",)


def test_a_file_without_an_extension_is_known_by_pythons_own_words():
    assert looked_for("FileNotFoundError: [Errno 2] No such file or directory: 'data/train'", **CRASH) == (
        "data/train",
    )
    assert looked_for("labels.csv is missing", **CRASH) == ("labels.csv",)


LFS = snapshot(lfs=(LfsPointer(path="data/names.bin", oid="9f" * 32, size_bytes=860388),))


def test_a_training_that_opened_a_pointer_of_git_lfs_says_nothing_whatever_came_out():
    """VERDICTS rule 20: it was given some lines of text as its data."""
    for fields in ({}, CRASH):
        rerun = make_rerun(**fields, capture={"files_opened": ("data/names.bin",)})
        decision = judge(rerun=rerun, unfetched=unfetched(make_plan(), rerun, LFS))
        assert decision.verdict is Verdict.UNVERIFIABLE
        assert decision.reason.startswith(
            f"the training opened data/names.bin, which is in Git LFS (sha256 {'9f' * 32}, 860388"
        )
    assert unfetched(make_plan(), make_rerun(), LFS) is None, "which no training opened"


HELD = ("data/external/casas.csv", "old/data/external/casas.csv", "src/models/train.py")


def test_what_the_commit_holds_below_another_folder_is_named_with_the_working_directory_that_leads_there():
    plan = make_plan(working_directory="src/models", command="python train.py --depth 8")
    there = held_elsewhere("src/models/data/external/casas.csv", plan.working_directory, HELD)
    assert there == Elsewhere("data/external/casas.csv", ".")
    missing = in_another_folder(plan, "src/models/data/external/casas.csv", there, "src/models/train.py")
    assert (
        "holds data/external/casas.csv: it fits where the command is called in the repository's root" in missing.cause
    )
    assert "--command 'python src/models/train.py --depth 8'" in missing.remedy
    assert missing.fact == "command"


def test_the_working_directory_may_be_a_folder_of_the_commit_too():
    there = held_elsewhere("data/x.csv", ".", ("src/data/x.csv", "src/train.py"))
    assert there == Elsewhere("src/data/x.csv", "src")
    missing = in_another_folder(make_plan(command="python src/train.py"), "data/x.csv", there, "src/train.py")
    assert "--command 'cd src && python train.py'" in missing.remedy
    shell = make_plan(command="PYTHONPATH=.. python src/train.py")
    assert "--command 'cd src && COMMAND'" in in_another_folder(shell, "data/x.csv", there, "src/train.py").remedy


def test_another_file_of_the_same_name_is_not_taken_for_what_was_looked_for():
    assert held_elsewhere("data/x.csv", ".", ("x.csv", "other/x.csv", "src/mydata/x.csv")) is None
    assert held_elsewhere("x.csv", "src", ("a/x.csv",)) is None


def test_a_capture_that_is_not_whole_is_excused_by_nothing():
    rerun = make_rerun(capture={"problems": ("no Python of the training loaded the capture",)})
    assert not may_be_excused(judge(rerun=rerun), rerun)


def test_a_path_is_meant_from_the_working_directory():
    assert looked_for("../x.csv not found", plan=make_plan(working_directory="src"), **CRASH) == ("x.csv",)


def test_an_agreement_is_no_matter_of_what_is_lacking():
    lacking = lacking_file(make_plan(), "data/x.csv", None)
    agreed = judge(lacking=lacking)
    assert agreed.verdict is Verdict.IDENTICAL
    assert not may_be_excused(agreed, make_rerun())


@pytest.mark.parametrize("fields", [CRASH, {"capture": NO_RUN}])
def test_a_file_that_no_store_holds_is_missing_and_no_failure_of_the_author(fields):
    rerun = make_rerun(**fields)
    if "capture" in fields:
        rerun = changed(rerun, capture=changed(rerun.capture, runs=()))
    assert judge(rerun=rerun).verdict is Verdict.FAILED
    decision = judge(
        rerun=rerun, lacking=lacking_file(make_plan(), "data/x.csv", Place(commit="ab" * 20, pointed=True))
    )
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.missing is not None
    assert decision.missing.fact == "data"
    assert f"--commit {'ab' * 20}" in decision.missing.remedy
    assert decision.missing.nearest[0].endswith("has a pointer of it")


@pytest.mark.parametrize("ending", [Ending.OUT_OF_MEMORY, Ending.TIMED_OUT, Ending.WROTE_TOO_MUCH, Ending.KILLED])
def test_an_end_that_no_file_explains_stays_what_it_is(ending):
    rerun = make_rerun(ending=ending, exit_code=1)
    assert not may_be_excused(judge(rerun=rerun), rerun)


def test_nothing_near_leaves_a_pointer_to_be_typed():
    missing = lacking_file(make_plan(), "data/x y.csv", None)
    assert "--pointer 'md5:DIGEST=data/x y.csv'" in missing.remedy
    assert missing.nearest == ()


def test_a_script_that_names_no_tracker_is_named_with_the_first_commit_that_does():
    missing = lacking_script(make_plan(), "train.py", "cd" * 20)
    assert f"train.py of commit {COMMIT[:12]}" in missing.cause
    assert f"commit {('cd' * 20)[:12]} is the first" in missing.cause
    assert f"--commit {'cd' * 20}" in missing.remedy
    assert "--commit SHA" in lacking_script(make_plan(), "train.py", None).remedy
