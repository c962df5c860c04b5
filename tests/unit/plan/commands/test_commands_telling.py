"""Of several scripts that a run may name, what it logged speaks for the one that names it."""

from __future__ import annotations

import pytest

from runner.errors import AmbiguousFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import Command, resolve_command
from runner.plan.commands.telling import most_telling
from runner.schema.snapshot import RepositorySnapshot
from tests.support.facts import TRAIN, run, settings, snapshot

LOGS = "mlflow.log_metric('auc', 1)\nmlflow.log_params({'depth': 1})\n"


def command(repository: RepositorySnapshot, script: str = "train.py") -> Command:
    chosen = settings()
    return resolve_command(run(script=script), repository, chosen, commit_facts(repository, chosen))


@pytest.mark.parametrize(
    ("one", "other", "telling"),
    [
        (LOGS, "print()", "a.py"),
        (LOGS, "mlflow.log_metric('auc', 1)", "a.py"),
        (LOGS, LOGS, None),
        ("log('auc')", "log('loss')", None),
        ("", "", None),
        ("parser.add_argument('--depth')", "x", "a.py"),
        ("log_params(depth = 3)", "depths = 3", "a.py"),
    ],
)
def test_a_script_that_names_all_that_others_do_and_more_is_telling(one: str, other: str, telling: str | None) -> None:
    repository = snapshot({"a.py": one, "b.py": other})
    assert most_telling(["a.py", "b.py"], run(), repository) == telling
    assert most_telling(["a.py", "unread.py"], run(), repository) is None


def test_the_telling_one_of_two_scripts_is_taken_and_the_other_is_shown() -> None:
    found = command(snapshot({"a/train.py": LOGS, "b/train.py": "print()"}))
    assert (found.line, found.working_directory) == ("python train.py", "a")
    assert [item.value for item in found.considered if item.source != "params of the run"][:1] == ["b/train.py"]


def test_two_scripts_that_are_equally_telling_are_refused_with_both_commands() -> None:
    with pytest.raises(AmbiguousFact) as caught:
        command(snapshot({"a/train.py": LOGS, "b/train.py": LOGS}))
    assert caught.value.nearest == ("--command 'cd a && python train.py'", "--command 'cd b && python train.py'")


def test_a_namesake_of_the_script_at_the_root_makes_it_uncertain_unless_the_run_speaks_for_the_root() -> None:
    """A divergence under it says nothing then (VERDICTS rule 11)."""
    found = command(snapshot({"train.py": LOGS + TRAIN, "old/train.py": LOGS + TRAIN}))
    assert found.script == "train.py"
    assert found.uncovered == ("script (old/train.py has the recorded name too)",)
    assert command(snapshot({"train.py": LOGS + TRAIN, "old/train.py": "print()"})).uncovered == ()
