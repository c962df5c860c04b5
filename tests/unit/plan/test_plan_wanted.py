"""Which texts are read in a second look."""

from __future__ import annotations

from runner.plan.wanted import unread_texts
from tests.support.facts import TRAIN, run, settings, snapshot


def test_a_script_beneath_a_folder_and_included_and_named_lists_are_wanted() -> None:
    texts = {"requirements.txt": "-r deps/base.txt\n-r gone.txt\nnumpy\n"}
    repository = snapshot(texts, files=("src/train.py", "deps/base.txt", "deps/train.txt"))
    chosen = settings(yaml="environment: deps/train.txt")
    assert unread_texts(run(), repository, chosen) == ("deps/base.txt", "deps/train.txt", "src/train.py")


def test_a_list_that_the_commit_names_is_wanted() -> None:
    repository = snapshot({"runner.yaml": "environment: deps.txt", "train.py": TRAIN}, files=("deps.txt",))
    assert unread_texts(run(), repository, settings()) == ("deps.txt",)


def test_nothing_is_wanted_twice() -> None:
    assert unread_texts(run(), snapshot({"train.py": TRAIN, "requirements.txt": "numpy\n"}), settings()) == ()
