"""What an author's work tree had and the commit has not says nothing about the author: on the real engine and git."""

from __future__ import annotations

import pytest

from runner.schema.reproduction import Verdict
from tests.support.judging import Judge, why
from tests.support.projects import RecordedProject, script
from tests.support.repositories import pointer_text


def test_an_empty_script_is_as_good_as_absent(project: RecordedProject, judge: Judge) -> None:
    """Nothing is started, and the first commit in which it has content is named."""
    project.commit_training("# to be written\n\n")
    project.record()
    later = project.repository.commit({"train.py": script()})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert reproduction.rerun is None
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "script"
    assert f"train.py is empty in commit {project.commit[:12]}" in reproduction.missing.cause
    assert f"--commit {later}" in reproduction.missing.remedy


def test_a_script_that_cannot_log_a_run_is_not_the_one_that_did(project: RecordedProject, judge: Judge) -> None:
    project.commit_training("import steps\nprint(steps.TOTAL)\n", {"steps.py": "TOTAL = 1\n"})
    project.record()
    later = project.repository.commit({"train.py": script()})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "script"
    assert "neither mlflow nor wandb" in reproduction.missing.cause
    assert f"--commit {later}" in reproduction.missing.remedy


@pytest.mark.parametrize(
    "before",
    [
        "Path('data/extra.csv').exists() or exit('dataset not found at data/extra.csv')",
        "Path('data/extra.csv').exists() or (print('Error: no data/extra.csv: file not found'), exit(0))",
        "open('data/extra.csv')",
    ],
    ids=["said and crashed", "said and ended well", "opened"],
)
def test_an_input_that_no_store_holds_is_missing_and_the_nearest_is_named(
    project: RecordedProject, judge: Judge, before: str
) -> None:
    project.commit_training(script(before=before))
    project.record()
    extra = project.store.put(b"8.0\n")
    later = project.repository.commit({"data/extra.csv.dvc": pointer_text("extra.csv", extra)})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "data"
    assert "data/extra.csv" in reproduction.missing.cause
    assert reproduction.missing.looked_in
    assert f"--commit {later}" in reproduction.missing.nearest[0]
    assert f"--commit {later}" in reproduction.missing.remedy


def test_a_file_that_the_training_can_do_without_changes_nothing(project: RecordedProject, judge: Judge) -> None:
    probes = "try: open('data/extra.csv')\nexcept OSError: print('data/extra.csv not found, going on')"
    project.commit_training(script(before=probes))
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert "data/extra.csv" in reproduction.rerun.capture.files_absent


def test_a_name_given_as_a_commit_is_a_usage_error(project: RecordedProject, judge: Judge) -> None:
    from runner.errors import UsageError

    project.commit_training()
    project.record()
    branch = project.repository.git("branch", "--show-current").strip()
    now = project.repository.git("rev-parse", "HEAD").strip()
    with pytest.raises(UsageError) as caught:
        judge(commit=branch)
    assert caught.value.exit_code == 2
    assert f"--commit {now}" in caught.value.remedy
    assert not (judge.folder / "reproductions").exists()
