"""MLflow projects: the entry point's command with what `mlflow run` was told."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import Command, resolve_command
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from tests.support.facts import LATER, TRAIN, pointed, run, settings, snapshot

PROJECT = """
python_env: python_env.yaml
entry_points:
  main:
    parameters:
      depth: {type: int, default: 5}
      data: path
    command: "python train.py --depth {depth} --data {data}"
  wine:
    parameters: {rate: float}
    command: "python wine.py {rate}"
"""
TEXTS = {"wine/MLproject": PROJECT, "wine/train.py": TRAIN, "wine/wine.py": ""}
SOURCE = "file:///Users/luca/Projects/mlflow#wine"


def command(record: RunRecord, repository: RepositorySnapshot) -> Command:
    chosen = settings()
    return resolve_command(record, repository, chosen, commit_facts(repository, chosen))


def project(params: dict[str, str], source: str = SOURCE, entry: str = "main") -> RunRecord:
    return run(tags={"mlflow.project.entryPoint": entry, "mlflow.source.name": source}, params=params)


@pytest.mark.parametrize(
    "source",
    [
        SOURCE,
        "https://git.example/luca/mlflow.git#wine",
        "git@git.example:luca/mlflow.git#wine",
        r"file://C:\Users\luca\mlflow#\wine",
        r"C:\Users\luca\wine",
        "/home/luca/wine",
    ],
)
def test_the_entry_point_runs_in_the_projects_folder_with_the_recorded_params(source: str) -> None:
    found = command(project({"depth": "8", "data": "d.csv"}, source), snapshot(TEXTS))
    assert (found.line, found.working_directory) == ("python train.py --depth 8 --data d.csv", "wine")
    assert found.source == "tag mlflow.project.entryPoint, entry point main of wine/MLproject"
    assert (found.inferred, found.script, found.given_params) == (False, "wine/train.py", ("depth", "data"))
    assert found.variables == {"MLFLOW_EXPERIMENT_NAME": "fraud"}


def test_the_project_at_the_root_of_an_address_without_folder_counts() -> None:
    texts = {"mlproject": PROJECT, **TEXTS}
    assert command(project({"data": "d"}, "https://git.example/x.git"), snapshot(texts)).working_directory == "."


def test_a_default_of_the_commit_stands_for_what_was_not_recorded() -> None:
    assert "--depth 5" in command(project({"data": "d.csv"}), snapshot(TEXTS)).line


def test_another_entry_point_is_the_one_that_was_named() -> None:
    assert command(project({"rate": "0.1"}, entry="wine"), snapshot(TEXTS)).line == "python wine.py 0.1"


@pytest.mark.parametrize(("script", "line"), [("train.py", "python train.py"), ("fit.sh", "bash fit.sh")])
def test_a_scripts_name_is_an_entry_point_of_its_own_with_recorded_options_behind(script: str, line: str) -> None:
    """`mlflow run -e train.py -P depth=8 -P rate=0.5` runs `python train.py --depth 8 --rate 0.5`."""
    texts = {**TEXTS, "wine/fit.sh": "python train.py"}
    found = command(project({"depth": "8", "rate": "0.1", "logged": "x"}, entry=script), snapshot(texts))
    # 0.1 is the script's own default, so that nothing shows that it was given.
    assert found.line == f"{line} --depth 8"
    assert found.inferred
    assert "--depth" in found.source


def test_values_are_taken_as_mlflow_recorded_them_quoted_for_a_shell() -> None:
    found = command(project({"data": "'a b.csv'", "depth": "8"}), snapshot(TEXTS))
    assert found.line.endswith("--data 'a b.csv'")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("/home/luca/Projects/mlflow/wine/data/red.csv", "data/red.csv"),
        (r"'C:\Users\luca\wine\data\red.csv'", "data/red.csv"),
        ("wine/data/red.csv", "data/red.csv"),
        ("data/red.csv", "data/red.csv"),
        ("../shared/a.csv", "../shared/a.csv"),
    ],
)
def test_a_path_of_another_machine_is_that_of_the_commit_from_the_projects_folder(value: str, word: str) -> None:
    texts = {**TEXTS, **dict([pointed("wine/data/red.csv", "a")])}
    assert command(project({"data": value}), snapshot(texts)).line.endswith(f"--data {word}")


@pytest.mark.parametrize(
    ("params", "entry", "cause"),
    [
        ({}, "main", "the run records no data, which tag mlflow.project.entryPoint, entry point main of wine/"),
        ({"data": "s3://b/a.csv"}, "main", "which `mlflow run` downloads before it starts"),
        ({}, "gone", "has no entry point 'gone', by which `mlflow run` started the run; it has main, wine"),
        ({}, "gone.py", "has no entry point 'gone.py'"),
    ],
)
def test_what_keeps_an_entry_point_from_being_known_is_said(params: dict[str, str], entry: str, cause: str) -> None:
    with pytest.raises(MissingFact) as caught:
        command(project(params, entry=entry), snapshot(TEXTS))
    assert caught.value.fact == "command"
    assert cause in caught.value.cause
    assert "runner reproduce" in caught.value.remedy


def test_a_folder_that_the_commit_lacks_is_named_with_the_first_commit_that_has_it() -> None:
    texts = {"old/MLproject": PROJECT, "old/train.py": TRAIN}
    repository = snapshot(texts, first_commit_with={"wine": LATER})
    with pytest.raises(MissingFact) as caught:
        command(project({"depth": "8", "data": "d"}), repository)
    assert f"commit {LATER[:12]} is the first that has it" in caught.value.cause
    assert f"--commit {LATER}" in caught.value.remedy
    assert caught.value.nearest[1] == "--command 'cd old && python train.py --depth 8 --data d'"


def test_variables_of_the_projects_image_are_set_and_those_of_its_host_are_not() -> None:
    text = PROJECT + "docker_env:\n  image: x\n  environment: [[SIZE, '3'], HOME]\n"
    found = command(project({"data": "d"}), snapshot({**TEXTS, "wine/MLproject": text}))
    assert found.variables == {"MLFLOW_EXPERIMENT_NAME": "fraud", "SIZE": "3"}


@pytest.mark.parametrize(
    ("given", "handed"),
    [
        ("cd wine && python train.py --depth=8 --data d.csv", ("depth", "data")),
        ("cd wine && python train.py --depth 9 --data d.csv", ("data",)),
    ],
)
def test_an_auditors_command_hands_on_what_it_names_and_nothing_else(given: str, handed: tuple[str, ...]) -> None:
    record, repository, chosen = project({"depth": "8", "data": "d.csv"}), snapshot(TEXTS), settings(command=given)
    assert resolve_command(record, repository, chosen, commit_facts(repository, chosen)).given_params == handed


def test_wrappers_in_an_entry_point_are_taken_off() -> None:
    text = "entry_points: {main: {command: 'uv run python train.py --literal {{x}}'}}"
    found = command(project({}, "x"), snapshot({"MLproject": text, "train.py": TRAIN}))
    assert found.line == "python train.py --literal {x}"
    assert found.source.endswith("without uv run")
