"""Whether what a command runs was changed soon after the run started."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runner.lineage.resolve import commit_facts
from runner.plan.code import code_changed_soon
from runner.plan.command import resolve_command
from runner.schema.plan import CodeChange
from runner.schema.snapshot import LaterChange
from tests.support.facts import LATER, TRAIN, run, settings, snapshot
from tests.support.values import START

IMPORTS = f"import numpy\nimport tools\nfrom models.forest import Forest\n{TRAIN}"
TREE = {
    "train.py": IMPORTS,
    "tools.py": "import deeper",
    "deeper.py": "",
    "models/forest.py": "",
    "models/leaf.py": "",
    "other.py": "",
    "src/app/main.py": "from . import part\n",
    "src/app/part.py": "",
    "conf/a.yaml": "",
    "run.sh": "",
    "dvc.yaml": "stages:\n  fit:\n    cmd: python other.py\n",
    "README.md": "",
}


def changed(path: str, seconds: float = 13, **flags: str) -> CodeChange | None:
    """The change that counts, where one commit changes one path so long after the run's start."""
    change = LaterChange(commit=LATER, path=path, time=START + timedelta(seconds=seconds))
    source, chosen, record = snapshot(TREE, later_changes=(change,)), settings(**flags), run()
    command = resolve_command(record, source, chosen, commit_facts(source, chosen))
    return code_changed_soon(record, source, command)


@pytest.mark.parametrize("path", ["train.py", "tools.py", "deeper.py", "models/forest.py", "models/leaf.py"])
def test_the_script_and_what_it_imports_count(path: str) -> None:
    assert changed(path) == CodeChange(commit=LATER, path=path, seconds_after_start=13)


@pytest.mark.parametrize("path", ["README.md", "other.py", "models/note.md", "conf/a.yaml", "data.csv.dvc"])
def test_what_the_command_does_not_run_does_not_count(path: str) -> None:
    assert changed(path) is None


@pytest.mark.parametrize(("seconds", "counts"), [(-1, False), (0, True), (3600, True), (3601, False)])
def test_only_an_hour_after_the_start_counts(seconds: float, counts: bool) -> None:
    assert (changed("train.py", seconds) is not None) is counts


@pytest.mark.parametrize(
    ("command", "path", "counts"),
    [
        ("python other.py --config=conf/a.yaml", "other.py", True),
        ("python other.py --config=conf/a.yaml", "conf/a.yaml", True),
        ("python other.py --config=conf/a.yaml", "train.py", False),
        ("cd src && python -m app.main", "src/app/part.py", True),
        ("dvc repro fit", "other.py", True),
        ("bash run.sh", "run.sh", True),
        ("bash run.sh", "other.py", False),
        ("make train", "other.py", True),
        ("make train", "README.md", False),
    ],
)
def test_what_a_given_command_names_counts_and_any_code_where_it_names_none(
    command: str, path: str, counts: bool
) -> None:
    assert (changed(path, command=command) is not None) is counts
