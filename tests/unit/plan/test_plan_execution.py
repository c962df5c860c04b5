"""A rerun says something of another run only where commit, data and command are those of its plan."""

from __future__ import annotations

from typing import Any

import pytest

from runner.plan.execution import plan_of_other
from runner.schema.plan import Plan
from tests.support.facts import TRAIN, run, settings
from tests.support.values import md5
from tests.unit.plan.test_plan_build import TAGS, plan, repository

ID = "b" * 32


def other(main: dict[str, str] | None = None, **fields: Any) -> Plan | str:
    """What becomes of another run beside one with the params `main`."""
    own = plan(run(tags=TAGS, params=main or {"depth": "8"}))
    record = run(**{"tags": TAGS, "run_id": ID, "params": {"depth": "8"}, **fields})
    return plan_of_other(own, repository(), record, settings(), "sha256:" + "1" * 64)


def test_a_run_of_the_same_commit_data_and_command_has_the_same_plan_under_its_own_name() -> None:
    found = other()
    assert isinstance(found, Plan)
    assert (found.run.id, found.run.baseline_digest, found.command) == (
        ID,
        "sha256:" + "1" * 64,
        "python train.py --depth 8",
    )


@pytest.mark.parametrize("params", [{}, {"fold": "2"}, {"depth": "8.0"}])
def test_a_run_that_records_fewer_params_than_the_commands_options_is_of_the_same_command(params: Any) -> None:
    assert isinstance(other(params=params), Plan)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"params": {"depth": "9"}}, "its command is"),
        ({"tags": {**TAGS, "git_commit": "d" * 40}}, "it records commit dddddddddddd"),
        ({"tags": {**TAGS, "dvc_data_md5": md5("older").hexdigest}}, "it records other data"),
        ({"status": "RUNNING"}, "RUNNING"),
        ({"metrics": ()}, "no metric"),
        ({"script": "other.py"}, "other.py"),
    ],
)
def test_a_run_of_anything_else_is_not_this_reruns_to_judge(fields: Any, why: str) -> None:
    found = other(**fields)
    assert isinstance(found, str)
    assert why in found


def test_a_value_that_the_command_leaves_to_its_default_is_another_where_the_other_run_records_another() -> None:
    assert isinstance(other(main={}, params={"depth": "7"}), str)


def test_a_run_that_was_made_with_another_environment_variable_is_of_another_command() -> None:
    reads = repository(texts={"train.py": TRAIN + "import os\nROUNDS = os.environ['ROUNDS']\n"})
    own = plan(run(tags={**TAGS, "env.ROUNDS": "4"}, params={"depth": "8"}), reads)
    assert own.variables["ROUNDS"] == "4"
    for value, expected in (("4", Plan), ("5", str)):
        record = run(tags={**TAGS, "env.ROUNDS": value}, run_id=ID, params={"depth": "8"})
        found = plan_of_other(own, reads, record, settings(), "sha256:" + "1" * 64)
        assert isinstance(found, expected), found
