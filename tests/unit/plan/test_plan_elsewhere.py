"""Values of the commit that are not the run's, and how a text that has them is told."""

from __future__ import annotations

import pytest

from runner.plan.elsewhere import differing_texts
from tests.support.facts import run, settings, snapshot

SCRIPT = "import mlflow\nDEPTH = {depth}\nmlflow.log_param('depth', DEPTH)\nmlflow.log_param('kind', '{kind}')\n"
READS = "import yaml, mlflow\ncfg = yaml.safe_load(open('params.yaml'))\nmlflow.log_params(cfg['train'])\n"


def test_a_script_that_logs_other_constants_is_told_from_one_that_logs_the_recorded() -> None:
    files = snapshot({"train.py": SCRIPT.format(depth=8, kind="a")})
    record = run(params={"depth": "5", "kind": "a"})
    found = differing_texts(record, files, settings())
    assert list(found) == ["train.py"]
    assert found["train.py"](SCRIPT.format(depth=5, kind="a"))
    assert not found["train.py"](SCRIPT.format(depth=8, kind="a"))
    assert not found["train.py"](SCRIPT.format(depth=5, kind="b"))
    assert not found["train.py"]("import mlflow\n")


def test_a_configuration_with_other_values_is_told_from_one_with_the_recorded() -> None:
    files = snapshot({"train.py": READS, "params.yaml": "train: {lr: 0.1, n: 2}\n"})
    found = differing_texts(run(params={"lr": "0.5", "n": "2"}), files, settings())
    assert list(found) == ["params.yaml"]
    assert found["params.yaml"]("train: {lr: 0.5, n: 2}\n")
    assert not found["params.yaml"]("train: {lr: 0.5, n: 3}\n")
    assert not found["params.yaml"]("train: {lr: 0.5}\n")
    assert not found["params.yaml"]("- 1\n")


@pytest.mark.parametrize(
    ("script", "params"),
    [
        (SCRIPT.format(depth=5, kind="a"), {"depth": "5", "kind": "a"}),
        (SCRIPT.format(depth=5, kind="a"), {"other": "1"}),
        ("import argparse\np = argparse.ArgumentParser()\np.add_argument('--depth', default=8)\n", {"depth": "5"}),
    ],
)
def test_values_that_are_equal_or_given_by_an_option_are_nowhere_else(script: str, params: dict[str, str]) -> None:
    assert differing_texts(run(params=params), snapshot({"train.py": script}), settings()) == {}


def test_a_command_that_was_given_or_cannot_be_inferred_is_nobodys_to_correct() -> None:
    files = snapshot({"train.py": SCRIPT.format(depth=8, kind="a")})
    record = run(params={"depth": "5"})
    assert differing_texts(record, files, settings(command="python train.py")) == {}
    assert differing_texts(run(script="gone.py", params={"depth": "5"}), files, settings()) == {}
