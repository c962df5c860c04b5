"""Which commit a run was made from."""

from __future__ import annotations

import pytest

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.commit import (
    check_clean,
    check_commits_agree,
    disagreeing_commits,
    is_pointer_file,
    proves_clean,
    recorded_commit,
    recorded_otherwise,
    records_commit,
)
from tests.support.facts import lineage, run, settings, snapshot
from tests.support.values import COMMIT

A, B, C, D, E, F = (digit * 40 for digit in "abcdef")
MLFLOW = "mlflow.source.git.commit"


def test_sources_come_in_the_order_flag_configured_tag_git_commit_git_sha_mlflow_variants() -> None:
    tags = {"release": A, "git_commit": B, "git_sha": C, MLFLOW: D, "commit_hash": E}
    configured = settings(yaml="tags: {commit: release}")
    assert recorded_commit(run(tags=tags), settings(commit="main")).value == "main"
    assert recorded_commit(run(tags=tags), configured).source == "tag release"
    order = []
    for name in ("git_commit", "git_sha", MLFLOW, "commit_hash"):
        found = recorded_commit(run(tags=tags), settings())
        order.append(found.source)
        tags[name] = ""
    assert order == ["tag git_commit", "tag git_sha", f"tag {MLFLOW}", "tag commit_hash"]


def test_tags_come_before_params_and_names_before_both() -> None:
    record = run(tags={"git_commit": "", "git_sha": A}, params={"git_commit": B, "git_sha": C})
    found = recorded_commit(record, settings())
    assert (found.value, found.source) == (B, "param git_commit")
    assert [item.source for item in found.considered] == ["tag git_sha", "param git_sha"]


@pytest.mark.parametrize("name", ["Git.Commit", "git-sha", "commit", "git_hash", "git_revision", "mlflow.git.commit"])
def test_close_variants_of_the_names_count(name: str) -> None:
    assert recorded_commit(run(tags={"git_commit": "", name: A}), settings()).value == A


@pytest.mark.parametrize("text", ["unknown", "None", "abc", "v1.2", "main"])
def test_what_is_no_commit_id_is_considered_and_not_used(text: str) -> None:
    record = run(tags={"git_commit": text, "git_sha": A})
    found = recorded_commit(record, settings())
    assert found.value == A
    assert found.considered[0].reason == "not a commit id"


@pytest.mark.parametrize(
    ("text", "commit"), [("9F3C2E1", "9f3c2e1"), ("v1.0-3-g9f3c2e1", "9f3c2e1"), (f'"{A}"', A), (f"{A}-dirty", A)]
)
def test_short_described_quoted_and_dirty_ids_are_understood(text: str, commit: str) -> None:
    assert recorded_commit(run(tags={"git_commit": text}), settings()).value == commit


def test_a_run_without_commit_is_missing_that_fact_and_the_remedy_can_be_pasted() -> None:
    record = run(tags={"git_commit": "unknown"})
    with pytest.raises(MissingFact) as caught:
        recorded_commit(record, settings())
    assert caught.value.fact == "commit"
    assert caught.value.exit_code == 3
    assert caught.value.remedy == f"runner reproduce {record.run_id} --commit SHA"
    assert caught.value.nearest == ("tag git_commit = unknown: not a commit id",)


def test_a_short_id_agrees_with_the_long_one_that_it_begins() -> None:
    assert disagreeing_commits(run(tags={"git_sha": COMMIT[:8]}), settings()) == ()
    found = recorded_commit(run(tags={"git_sha": COMMIT[:8]}), settings())
    assert found.considered[0].reason == "says the same as tag git_commit"


def test_commits_that_disagree_are_returned_once_each_the_one_in_use_first() -> None:
    record = run(tags={"git_commit": A, MLFLOW: B, "commit": B})
    assert [item.value for item in disagreeing_commits(record, settings())] == [A, B]


def test_a_commit_that_was_given_ends_the_disagreement() -> None:
    assert disagreeing_commits(run(tags={"git_commit": A, MLFLOW: B}), settings(commit=A)) == ()


def test_commits_that_differ_in_pointers_alone_pass_with_a_note() -> None:
    record = run(tags={"git_commit": A, MLFLOW: B})
    commits = disagreeing_commits(record, settings())
    note = check_commits_agree(commits, ["data/a.csv.dvc", "dvc.lock", "data/.gitignore"], record, settings())
    assert note is not None
    assert A[:12] in note
    assert B[:12] in note


@pytest.mark.parametrize("changed", [["train.py", "a.csv.dvc"], None, ["a", "b", "c", "d", "e"]])
def test_commits_that_differ_in_code_are_refused_with_both_shown(changed: list[str] | None) -> None:
    record = run(tags={"git_commit": A, MLFLOW: B})
    with pytest.raises(AmbiguousFact) as caught:
        check_commits_agree(disagreeing_commits(record, settings()), changed, record, settings())
    assert caught.value.nearest == (f"--commit {A}", f"--commit {B}")
    assert f"--commit {A}" in caught.value.remedy


def test_commits_that_agree_need_no_note() -> None:
    assert check_commits_agree((), [], run(), settings()) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/b.dvc", True), ("dvc.lock", True), (".dvc", False), ("x.py", False), (".dvc/config", False)],
)
def test_pointer_files_are_told_from_others(path: str, expected: bool) -> None:
    assert is_pointer_file(path) is expected


@pytest.mark.parametrize(
    "tags",
    [
        {"mlflow.source.git.dirty": "True"},
        {"git_dirty": "true"},
        {"git_clean": "false"},
        {"mlflow.source.git.diff": "diff --git a/train.py b/train.py"},
        {"git_commit": f"{COMMIT}-dirty"},
    ],
)
def test_a_dirty_run_is_refused_and_allowed_only_with_a_note(tags: dict[str, str]) -> None:
    with pytest.raises(MissingFact) as caught:
        check_clean(run(tags=tags), settings())
    assert caught.value.fact == "diff"
    assert "--allow dirty" in caught.value.remedy
    note = check_clean(run(tags=tags), settings(allow=("dirty",)))
    assert note is not None
    assert "--allow dirty" in note


@pytest.mark.parametrize("tags", [{}, {"git_dirty": "False"}, {"git_clean": "yes"}, {"git_diff": "{}"}])
def test_a_clean_run_needs_no_note(tags: dict[str, str]) -> None:
    assert check_clean(run(tags=tags), settings()) is None


@pytest.mark.parametrize(
    ("tags", "clean"),
    [
        ({}, False),
        ({"git_dirty": "False"}, True),
        ({"mlflow.source.git.dirty": "0"}, True),
        ({"git_clean": "yes"}, True),
        ({"git_dirty": "unknown"}, False),
        ({"git_dirty": "true"}, False),
        ({"git_dirty": "false", "is_dirty": "true"}, False),
        ({"git_dirty": "false", "git_commit": f"{COMMIT}-dirty"}, False),
        ({"git_dirty": "false", "git_diff": "+x"}, False),
    ],
)
def test_only_a_record_that_says_so_proves_a_clean_work_tree(tags: dict[str, str], clean: bool) -> None:
    assert proves_clean(run(tags=tags), settings()) is clean


def test_a_commit_that_the_auditor_gave_in_place_of_the_recorded_one_is_told_from_the_recorded_one() -> None:
    record = run(tags={"git_commit": A[:9]})
    assert recorded_otherwise(record, settings(commit=B), B) == A[:9]
    assert recorded_otherwise(record, settings(commit="main"), B) == A[:9]
    assert recorded_otherwise(record, settings(commit="main"), A) is None
    assert recorded_otherwise(record, settings(commit=A[:7]), A) is None
    assert recorded_otherwise(record, settings(), A) is None
    assert recorded_otherwise(run(tags={"git_commit": ""}), settings(commit=B), B) is None
    assert recorded_otherwise(run(tags={"git_commit": A, "git_sha": B}), settings(commit=B), B) is None


def test_the_lineage_holds_both() -> None:
    record = run(tags={"git_dirty": "false"})
    resolved = lineage(record, snapshot(), settings(commit=COMMIT))
    assert (resolved.clean, resolved.recorded_commit) == (True, None)
    other = lineage(run(tags={"git_commit": A}), snapshot(), settings(commit=COMMIT))
    assert (other.clean, other.recorded_commit) == (False, A)


def test_a_commit_that_no_record_names_is_the_auditors_word_alone() -> None:
    assert records_commit(run(tags={"git_commit": COMMIT}), settings(commit=COMMIT))
    assert not records_commit(run(tags={"git_commit": ""}, params={}), settings(commit=COMMIT))
