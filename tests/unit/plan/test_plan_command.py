"""The training command: given, configured, recorded, else inferred."""

from __future__ import annotations

import pytest

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import Command, resolve_command
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings
from tests.support.facts import TRAIN, pointed, run, settings, snapshot

PARAMS = {"depth": "8", "rate": "0.1"}
PROJECT = """
entry_points:
  main:
    parameters:
      depth: {type: int, default: 5}
      rate: float
    command: "python train.py --depth {depth} --rate {rate}"
"""


def command(record: RunRecord, repository: RepositorySnapshot, chosen: Settings | None = None) -> Command:
    chosen = chosen or settings()
    return resolve_command(record, repository, chosen, commit_facts(repository, chosen))


def test_sources_come_in_the_order_flag_configuration_commit_project_tag_script() -> None:
    tags = {"mlflow.project.entryPoint": "main", "runner.command": "tagged"}
    texts = {"train.py": TRAIN, "MLproject": PROJECT, "runner.yaml": "command: theirs"}
    record = run(tags=tags)
    order = [
        command(record, snapshot(texts), settings(command="given", yaml="command: mine")),
        command(record, snapshot(texts), settings(yaml="command: mine")),
        command(record, snapshot(texts)),
    ]
    del texts["runner.yaml"]
    order.append(command(record, snapshot(texts)))
    del texts["MLproject"]
    order.append(command(record, snapshot(texts)))
    order.append(command(run(), snapshot(texts)))
    assert [(item.line, item.source, item.inferred) for item in order] == [
        ("given", "--command", False),
        ("mine", "command in runner.yaml", False),
        ("theirs", "command in runner.yaml at the commit", False),
        (
            "python train.py --depth 8 --rate 0.1",
            "tag mlflow.project.entryPoint, entry point main of MLproject",
            False,
        ),
        ("tagged", "tag runner.command", False),
        (
            "python train.py --depth 8 --rate 0.1",
            "inferred: tag mlflow.source.name and 2 recorded values mapped onto its options",
            True,
        ),
    ]


def test_a_command_after_dashes_is_quoted_and_knows_its_script() -> None:
    chosen = settings(argv=("python", "train.py", "--name", "a b"))
    found = command(run(), snapshot({"train.py": TRAIN}), chosen)
    assert (found.line, found.source) == ("python train.py --name 'a b'", "the command after --")
    assert found.script == "train.py"


@pytest.mark.parametrize("line", ["make train", "python 'open", "python gone.py"])
def test_a_command_need_not_name_a_script(line: str) -> None:
    assert command(run(), snapshot({"train.py": TRAIN}), settings(command=line)).script is None


def test_a_working_directory_is_taken_from_configuration() -> None:
    texts = {"src/train.py": TRAIN, "runner.yaml": "working_directory: src"}
    mine = command(run(), snapshot(texts), settings(yaml="working_directory: src", command="python train.py"))
    theirs = command(run(script="src/train.py"), snapshot(texts))
    assert (mine.working_directory, mine.script) == ("src", "src/train.py")
    assert mine.working_directory_source == "working_directory in runner.yaml"
    assert theirs.line == "python train.py --depth 8 --rate 0.1"
    assert theirs.working_directory_source == "working_directory in runner.yaml at the commit"


def test_a_script_beneath_a_folder_starts_there() -> None:
    found = command(run(script="train.py"), snapshot({"src/train.py": TRAIN}))
    assert (found.line.split()[1], found.working_directory) == ("train.py", "src")
    assert "recorded path starts there" in found.working_directory_source


@pytest.mark.parametrize(
    ("source", "files", "start"),
    [
        ("from . import model", (), "python -m src.train"),
        ("import src.model", ("src/model.py",), "python -m src.train"),
        ("import model", ("src/model.py",), "python src/train.py"),
        ("import numpy", (), "python src/train.py"),
    ],
)
def test_a_script_is_started_the_way_in_which_its_imports_work(source: str, files: tuple[str, ...], start: str) -> None:
    found = command(run(script="src/train.py", params={}), snapshot({"src/train.py": source}, files=files))
    assert found.line == start


def test_uncovered_options_are_told() -> None:
    source = TRAIN + "parser.add_argument('--data', default=os.environ['DATA'])\n"
    found = command(run(), snapshot({"train.py": source}))
    assert found.uncovered == ("--data (default os.environ['DATA'])",)


def test_a_script_that_was_not_read_is_uncovered_as_a_whole() -> None:
    found = command(run(), snapshot(files=("train.py",)))
    assert found.line == "python train.py"
    assert "was not read" in found.uncovered[0]


def test_a_demanded_option_without_record_is_missing_with_the_rest_ready_to_paste() -> None:
    source = TRAIN + "parser.add_argument('--data', required=True)\n"
    with pytest.raises(MissingFact) as caught:
        command(run(), snapshot({"train.py": source}))
    assert caught.value.fact == "command"
    assert caught.value.nearest == ("--command 'python train.py --depth 8 --rate 0.1 --data VALUE'",)


def test_a_param_with_a_path_of_another_machine_finds_its_pointer() -> None:
    source = TRAIN + "parser.add_argument('--data')\n"
    texts = {"train.py": source, **dict([pointed("data/a.csv", "a")])}
    for text, word in ((r"D:\fraud\data\a.csv", "data/a.csv"), ("/x/data", "data")):
        assert f"--data {word}" in command(run(params={"data": text}), snapshot(texts)).line


def stages(**commands: str) -> str:
    return "stages:\n" + "".join(
        f"  {name}:\n    cmd: {text}\n    outs: [{name}.pkl]\n" for name, text in commands.items()
    )


def test_a_stage_that_runs_the_script_with_the_recorded_values_is_the_command() -> None:
    texts = {"train.py": TRAIN, "dvc.yaml": stages(fit="python train.py --depth 8")}
    found = command(run(), snapshot(texts))
    assert found.line == "python train.py --depth 8"
    assert found.source == "inferred: stage fit of dvc.yaml, which runs the recorded script train.py"
    assert found.inferred
    assert found.stages[0].outs == ("fit.pkl",)


def test_wrappers_of_a_stages_command_are_taken_off() -> None:
    texts = {"train.py": TRAIN, "dvc.yaml": stages(fit="uv run python train.py --depth 8")}
    found = command(run(), snapshot(texts))
    assert found.line == "python train.py --depth 8"
    assert found.source.endswith("without uv run")


def test_a_stage_covers_what_it_names_itself() -> None:
    source = TRAIN + "parser.add_argument('--data', default=os.environ['DATA'])\n"
    texts = {"train.py": source, "dvc.yaml": stages(fit="python train.py --depth 8 --data d.csv")}
    assert command(run(), snapshot(texts)).uncovered == ()


def test_a_stage_with_other_values_is_considered_only() -> None:
    texts = {"train.py": TRAIN, "dvc.yaml": stages(fit="python train.py --depth 3")}
    found = command(run(), snapshot(texts))
    assert found.line == "python train.py --depth 8 --rate 0.1"
    assert found.considered[0].source == "stage fit of dvc.yaml"


def test_of_several_stages_the_one_that_agrees_is_taken() -> None:
    texts = {"train.py": TRAIN, "dvc.yaml": stages(a="python train.py --depth 3", b="python train.py --depth 8")}
    assert command(run(), snapshot(texts)).stages[0].name == "b"


def test_several_stages_that_agree_are_refused_with_commands_to_paste() -> None:
    texts = {
        "train.py": TRAIN,
        "p/dvc.yaml": stages(a="python ../train.py --depth 8", b="python ../train.py --depth=8"),
    }
    with pytest.raises(AmbiguousFact) as caught:
        command(run(), snapshot(texts))
    assert caught.value.nearest[0] == "--command 'cd p && python ../train.py --depth 8'"


@pytest.mark.parametrize(
    "project",
    [
        "",
        "entry_points: {main: 3}",
        "entry_points: {main: {command: 'x {unknown}'}}",
        "entry_points: {main: {command: 'x', parameters: {needed: string}}}",
    ],
)
def test_an_entry_point_that_cannot_be_filled_in_is_passed_over(project: str) -> None:
    record = run(tags={"mlflow.project.entryPoint": "main"})
    assert command(record, snapshot({"train.py": TRAIN, "MLproject": project})).inferred


def test_values_of_an_entry_point_are_quoted() -> None:
    record = run(tags={"mlflow.project.entryPoint": "main"}, params={"rate": "1; rm -rf /"})
    assert command(record, snapshot({"MLproject": PROJECT})).line == "python train.py --depth 5 --rate '1; rm -rf /'"


@pytest.mark.parametrize(
    ("tags", "given", "recorded"),
    [
        ({"runner.command": "make train"}, "make  train", None),
        ({"runner.command": "make train"}, "make other", "make train"),
        ({"runner.command": "dvc repro train"}, "dvc repro train", None),
        ({}, "python train.py --depth 8 --rate 0.1", None),
        ({}, "python train.py --depth 9", "python train.py --depth 8 --rate 0.1"),
    ],
)
def test_a_command_that_was_given_in_place_of_the_runs_own_knows_that_one(
    tags: dict[str, str], given: str, recorded: str | None
) -> None:
    found = command(run(tags=tags, params=PARAMS), snapshot({"train.py": TRAIN}), settings(command=given))
    assert (found.source, found.inferred, found.recorded) == ("--command", False, recorded)


def test_a_command_that_was_given_where_nothing_leads_to_one_stands_for_none() -> None:
    assert command(run(script=None), snapshot({"train.py": TRAIN}), settings(command="make")).recorded is None


def test_a_recorded_command_runs_where_it_was_started_unless_configuration_says_otherwise() -> None:
    record = run(tags={"runner.command": "python train.py", "runner.working_directory": "src"})
    repository = snapshot({"src/train.py": TRAIN})
    found = command(record, repository)
    assert (found.working_directory, found.working_directory_source) == ("src", "tag runner.working_directory")
    assert found.script == "src/train.py"
    assert command(record, repository, settings(yaml="working_directory: lib")).working_directory == "lib"


def test_a_recorded_command_without_its_secret_is_asked_for_ready_to_paste() -> None:
    record = run(tags={"runner.command": "python train.py --api-key '***'"})
    with pytest.raises(MissingFact, match="lacks what looked like a secret") as caught:
        command(record, snapshot({"train.py": TRAIN}))
    assert "--command 'python train.py --api-key " in caught.value.remedy
    given = command(record, snapshot({"train.py": TRAIN}), settings(command="python train.py"))
    assert given.line == "python train.py"
