"""Commands that the run recorded, in the spelling of the machine that it ran on."""

from __future__ import annotations

import json

import pytest

from runner.errors import MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import Command, resolve_command
from runner.schema.snapshot import RepositorySnapshot
from tests.support.facts import TRAIN, pointed, run, settings, snapshot

TEXTS = {"src/train.py": TRAIN, **dict([pointed("data/a b.csv", "a")])}


def command(tags: dict[str, str], repository: RepositorySnapshot | None = None, **fields: object) -> Command:
    repository, chosen = repository or snapshot(TEXTS), settings()
    return resolve_command(run(tags=tags, **fields), repository, chosen, commit_facts(repository, chosen))


@pytest.mark.parametrize(
    ("recorded", "line", "folder"),
    [
        ("python src/train.py --depth 8", "python src/train.py --depth 8", "."),
        (r"C:\Python\python.exe src\train.py --depth 8", "python src/train.py --depth 8", "."),
        (r"python C:\Users\ann\fraud\src\train.py", "python src/train.py", "."),
        ("/home/ann/.venv/bin/python -u /home/ann/fraud/src/train.py", "python -u src/train.py", "."),
        ("python src/train.py --data '/home/ann/fraud/data/a b.csv'", "python src/train.py --data 'data/a b.csv'", "."),
        ("python src/train.py --data=/home/ann/fraud/data", "python src/train.py --data=data", "."),
        ("python src/train.py --data /mnt/elsewhere/x.csv", "python src/train.py --data /mnt/elsewhere/x.csv", "."),
        ("cd /home/ann/fraud && uv run python src/train.py", "python src/train.py", "."),
        ("cd /home/ann/fraud/src && python train.py", "cd src && python train.py", "."),
    ],
)
def test_a_recorded_line_has_the_paths_of_the_commit(recorded: str, line: str, folder: str) -> None:
    found = command({"runner.command": recorded})
    assert (found.line, found.working_directory, found.script, found.inferred) == (line, folder, "src/train.py", False)
    assert found.source.startswith("tag runner.command")


def test_a_recorded_folder_is_the_working_directory() -> None:
    tags = {"runner.command": "python train.py", "runner.working_directory": "src"}
    found = command(tags)
    assert (found.working_directory, found.working_directory_source) == ("src", "tag runner.working_directory")
    assert found.script == "src/train.py"


@pytest.mark.parametrize(
    ("tags", "line", "folder"),
    [
        ({"wandb.program": "/home/ann/fraud/src/train.py"}, "python src/train.py", "."),
        ({"wandb.program": r"D:\fraud\src\train.py"}, "python src/train.py", "."),
        ({"wandb.program": "train.py"}, "python train.py", "src"),
        ({"wandb.program": "src/train.py"}, "python src/train.py", "."),
        (
            {"wandb.program": "/x/train.py", "wandb.code_path": "src/train.py", "wandb.code_path_local": "train.py"},
            "python train.py",
            "src",
        ),
    ],
)
def test_the_program_that_wandb_recorded_runs_with_its_arguments(tags: dict[str, str], line: str, folder: str) -> None:
    arguments = ["--depth=8", "--name", "a b"]
    found = command({**tags, "wandb.args": json.dumps(arguments)}, script=None)
    assert (found.line, found.working_directory) == (f"{line} --depth=8 --name 'a b'", folder)
    assert (found.source, found.inferred) == ("tags wandb.program and wandb.args", False)


def test_wandbs_program_comes_before_the_tag_of_a_record() -> None:
    tags = {"wandb.program": "src/train.py", "runner.command": "python other.py"}
    assert command(tags, script=None).source.startswith("tags wandb.program")


@pytest.mark.parametrize(
    "tags",
    [
        {"wandb.program": "src/train.py", "wandb.args": "not json"},
        {"wandb.program": "src/train.py", "wandb.args": "{}"},
        {"wandb.program": "<python with no main file>"},
    ],
)
def test_what_wandb_recorded_otherwise_is_no_command(tags: dict[str, str]) -> None:
    assert command(tags, script="src/train.py").inferred


def test_a_program_that_several_files_may_be_is_no_command() -> None:
    repository = snapshot(files=("a/train.py", "b/train.py", "src/main.py"))
    assert command({"wandb.program": "train.py"}, repository, script="src/main.py").inferred


def test_a_recorded_command_without_its_secret_is_refused() -> None:
    with pytest.raises(MissingFact) as caught:
        command({"runner.command": "python src/train.py --api-key ***"})
    assert caught.value.fact == "command"
    assert "lacks what looked like a secret" in caught.value.cause
