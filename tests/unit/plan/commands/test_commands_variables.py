"""Environment variables that the training reads, and commands that documents and automation offer."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import Command, resolve_command
from runner.plan.commands.offered import offered_commands
from runner.schema.snapshot import RepositorySnapshot
from tests.support.facts import TRAIN, run, settings, snapshot

READS = "import os\nepochs = int(os.getenv('EPOCHS', '5'))\n"
WORKFLOW = """
jobs:
  train:
    env:
      EPOCHS: 3
    steps:
      - run: |
          pip install -r requirements.txt
          uv run python train.py --depth 3
        working-directory: .
"""


def command(repository: RepositorySnapshot, tags: dict[str, str] | None = None, **fields: object) -> Command:
    chosen = settings()
    return resolve_command(run(tags=tags, **fields), repository, chosen, commit_facts(repository, chosen))


@pytest.mark.parametrize("tag", ["EPOCHS", "env.EPOCHS", "env_epochs"])
def test_a_tag_of_a_variable_is_its_value(tag: str) -> None:
    found = command(snapshot({"train.py": READS}), {tag: "50"}, params={})
    assert (found.variables, found.uncovered) == ({"EPOCHS": "50"}, ())
    assert [(item.fact, item.value, item.source) for item in found.found] == [
        ("variable EPOCHS", "EPOCHS=50", f"tag {tag}")
    ]


def test_a_param_of_its_name_is_taken_for_it_and_pins_nothing() -> None:
    found = command(snapshot({"train.py": READS}), params={"epochs": "50"})
    assert found.variables == {"EPOCHS": "50"}
    assert found.uncovered == ("environment variable EPOCHS (its value is taken from param epochs)",)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Makefile", "export EPOCHS = 3\ntrain:\n\tpython train.py\n"),
        ("Makefile", "train:\n\tA=1 EPOCHS=3 python train.py\n"),
        (".github/workflows/ci.yml", WORKFLOW),
        (".env", "# EPOCHS=9\nEPOCHS=3\n"),
        ("Dockerfile", "FROM python:3.11\nENV EPOCHS=3\n"),
    ],
)
def test_what_only_automation_sets_is_shown_and_not_set(path: str, text: str) -> None:
    found = command(snapshot({"train.py": READS, path: text}), params={})
    assert found.variables == {}
    assert found.uncovered == (f"environment variable EPOCHS ({path} sets EPOCHS=3)",)


def test_a_variable_that_the_command_itself_sets_needs_nothing() -> None:
    found = command(
        snapshot({"train.py": READS}), {"runner.command": "EPOCHS=7 python train.py"}, params={"epochs": "7"}
    )
    assert (found.line, found.variables) == ("EPOCHS=7 python train.py", {})


def test_a_committed_file_of_variables_counts_where_the_recorded_command_loads_it() -> None:
    texts = {"train.py": READS, ".env": "export EPOCHS='7'\nAPI_TOKEN=abc\n"}
    found = command(snapshot(texts), {"runner.command": "pipenv run python train.py"}, params={})
    assert found.variables == {"EPOCHS": "7"}
    assert found.found[0].source == ".env at the commit"


@pytest.mark.parametrize("value", ["x\ny", "v" * 300, "https://u:p@host/x"])
def test_a_value_that_is_no_plain_one_or_a_secret_is_not_handed_on(value: str) -> None:
    assert command(snapshot({"train.py": READS}), {"EPOCHS": value}, params={}).variables == {}


def test_commands_of_documents_are_considered_and_never_used() -> None:
    texts = {
        "train.py": TRAIN,
        "README.md": "# Run\n```\n$ uv run python train.py --depth 2 \\\n    --rate 0.3\n```\nOr `python other.py`.\n",
        "Makefile": "PY = python\nDEPTH ?= 9\ntrain: data\n\t@$(PY) train.py --depth $(DEPTH)\n\techo done\n",
        ".github/workflows/ci.yml": WORKFLOW,
    }
    repository = snapshot(texts)
    found = command(repository, params={})
    assert found.line == "python train.py"
    assert [(item.source, item.value) for item in found.considered] == [
        ("target train of Makefile", "python train.py --depth 9"),
        (".github/workflows/ci.yml", "cd . && python train.py --depth 3"),
        ("README.md", "python train.py --depth 2 --rate 0.3"),
    ]
    assert all(item.reason == "offered there, and used only when asked for" for item in found.considered)


def test_a_document_offers_its_command_where_the_record_leads_to_none() -> None:
    texts = {"fit.py": TRAIN, "README.md": "    python fit.py --depth 2\n"}
    with pytest.raises(MissingFact) as caught:
        command(snapshot(texts), script=None)
    assert "--command 'python fit.py --depth 2'" in caught.value.remedy
    assert caught.value.nearest == ("--command 'python fit.py --depth 2'    README.md",)


def test_a_document_offers_its_command_where_an_option_is_demanded() -> None:
    source = TRAIN + "parser.add_argument('--stage', required=True)\n"
    texts = {"train.py": source, "Makefile": "train:\n\tpython train.py --stage fit\n"}
    with pytest.raises(MissingFact) as caught:
        command(snapshot(texts), params={})
    assert caught.value.nearest == (
        "--command 'python train.py --stage VALUE'",
        "--command 'python train.py --stage fit'    target train of Makefile",
    )


@pytest.mark.parametrize(
    "line",
    ["python train.py --token abc123def", "python train.py --depth $DEPTH", "python train.py --depth <DEPTH>", "ls"],
)
def test_lines_that_hold_secrets_or_places_to_fill_in_are_not_offered(line: str) -> None:
    assert offered_commands(snapshot({"train.py": TRAIN, "README.md": f"    {line}\n"})) == ()
