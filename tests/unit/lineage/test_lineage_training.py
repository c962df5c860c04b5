"""What `runner record` wrote is read back, and nothing that it did not."""

from __future__ import annotations

import pytest

from runner.lineage.commit import proves_clean
from runner.lineage.image import recorded_images
from runner.lineage.training import training_directory, training_notes
from runner.plan.python_records import recorded_pythons
from runner.settings import CommitFacts
from tests.support.facts import run, settings


@pytest.mark.parametrize(
    ("value", "path"), [(".", "."), ("src", "src"), ("a/b", "a/b"), ("../x", None), ("/abs", None), ("", None)]
)
def test_the_directory_is_within_the_repository_or_none(value: str, path: str | None) -> None:
    found = training_directory(run(tags={"runner.working_directory": value}))
    assert (found and found.value) == path


def test_what_no_commit_holds_and_what_was_not_pushed_is_said() -> None:
    notes = training_notes(run(tags={"git_untracked": "helper.py", "git_unpushed": "true"}))
    assert [note.rpartition("(")[2] for note in notes] == ["tag git_untracked)", "tag git_unpushed)"]
    assert training_notes(run(tags={"git_unpushed": "false"})) == ()


def test_a_tree_with_sources_that_no_commit_holds_is_not_proven_clean() -> None:
    assert proves_clean(run(tags={"git_dirty": "false"}), settings())
    assert not proves_clean(run(tags={"git_untracked": "helper.py"}), settings())


def test_image_and_python_have_their_tags_as_source() -> None:
    record = run(tags={"runner.image": "registry.example/a:1", "runner.python": "3.9.18"})
    (image,) = recorded_images(record, settings(), CommitFacts())
    assert (image.reference, image.source) == ("registry.example/a:1", "tag runner.image")
    assert "tag runner.python (3.9.18)" in [hit.named for hit in recorded_pythons(record)]
