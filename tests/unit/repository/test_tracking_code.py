"""Whether a script of the commit could have logged its run, and since which commit it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.repository.history import first_commit_where, read_snapshot
from runner.repository.mirror import Mirror, open_mirror
from runner.repository.tracking_code import is_untracked, mentions_tracking
from runner.schema.script import has_code
from tests.support.repositories import Repository


def mirror_of(repository: Repository) -> Mirror:
    return open_mirror(str(repository.path), repository.path.parent / "cache", commit=None)


@pytest.mark.parametrize(
    ("files", "untracked"),
    [
        ({"train.py": "print(1)\n"}, True),
        ({"train.py": "import mlflow\n"}, False),
        ({"train.py": "from transformers import MLflowCallback\n"}, False),
        ({"train.py": "import wandb\n"}, False),
        ({"train.py": "import steps\n", "steps.py": "TOTAL = 1\n"}, True),
        ({"train.py": "import steps\n", "steps.py": "import mlflow\n"}, False),
        ({"train.py": "from .lib import (\n    log,\n)\n", "lib/log.py": "import mlflow\n"}, False),
        ({"train.py": "from lib.log import start\n", "lib/__init__.py": "", "lib/log.py": "import mlflow\n"}, False),
        ({"train.py": "import lib\n", "lib/__init__.py": "from . import a\n", "lib/a.py": "import mlflow\n"}, False),
        ({"train.py": "print(1)\n", "other.py": "import mlflow\n"}, True),
        ({"train.py": "import subprocess\n", "other.py": "import mlflow\n"}, False),
        ({"train.py": "import subprocess\n", "other.py": "print(1)\n"}, True),
    ],
)
def test_a_script_is_untracked_only_if_nothing_that_it_may_run_names_a_tracker(
    tmp_path: Path, files: dict[str, str], untracked: bool
) -> None:
    repository = Repository(tmp_path / "project")
    commit = repository.commit(files)
    mirror = mirror_of(repository)
    assert is_untracked(mirror, read_snapshot(mirror, commit), "train.py") is untracked


def test_the_first_commit_after_the_runs_is_named_before_an_earlier_one(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    earlier = repository.commit({"train.py": "import mlflow\n"})
    run = repository.commit({"train.py": "print(1)\n"})
    repository.commit({"train.py": "print(2)\n"})
    mirror = mirror_of(repository)
    assert first_commit_where(mirror, run, "train.py", mentions_tracking) == earlier
    later = repository.commit({"train.py": "import mlflow  # again\n"})
    repository.commit({"train.py": "import mlflow  # and again\n"})
    assert first_commit_where(mirror_of(repository), run, "train.py", mentions_tracking) == later
    assert first_commit_where(mirror, run, "other.py", mentions_tracking) is None


def test_an_empty_script_has_its_first_commit_with_code(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    run = repository.commit({"train.py": "# to come\n\n"})
    repository.commit({"train.py": "# soon\n"})
    later = repository.commit({"train.py": "# here\nprint(1)\n"})
    snapshot = read_snapshot(mirror_of(repository), run, wanted_paths=("train.py",), wanted_texts=("train.py",))
    assert snapshot.first_commit_with == {"train.py": later}


@pytest.mark.parametrize(("source", "expected"), [("", False), ("\ufeff\n # x\n", False), ("# x\npass", True)])
def test_white_space_and_comments_are_no_code(source: str, expected: bool) -> None:
    assert has_code(source) is expected


def test_a_name_is_resolved_to_what_it_names_now(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    first = repository.commit({"a": "1"})
    repository.git("tag", "v1")
    second = repository.commit({"a": "2"})
    branch = repository.git("branch", "--show-current").strip()
    mirror = mirror_of(repository)
    assert [mirror.named(name) for name in ("v1", branch, "nothing")] == [first, second, None]
