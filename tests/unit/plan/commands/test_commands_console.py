"""Console scripts: programs that the project itself installs."""

from __future__ import annotations

import pytest

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import Command, as_installed, resolve_command
from runner.plan.commands.console import console_scripts, program_name
from runner.schema.plan import EnvironmentSpec
from runner.schema.snapshot import RepositorySnapshot
from tests.support.facts import TRAIN, run, settings, snapshot
from tests.support.values import make_plan

POETRY = '[tool.poetry]\nname = "forest"\n[tool.poetry.scripts]\ntrain = "forest.train:main"\n'
BIN = "/home/t/forest/.venv/bin/train"


def command(repository: RepositorySnapshot, source: str = BIN, **fields: object) -> Command:
    chosen = settings()
    return resolve_command(run(script=source, **fields), repository, chosen, commit_facts(repository, chosen))


def environment(**fields: object) -> EnvironmentSpec:
    return make_plan().environment.model_copy(update=fields)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (BIN, "train"),
        (r"C:\Users\t\forest\.venv\Scripts\train.exe", "train"),
        (r"C:\Users\t\forest\Scripts\train-script.py", "train"),
        ("/usr/local/bin/mlflow", "mlflow"),
        ("train.py", None),
        ("scripts/train.py", None),
        ("", None),
    ],
)
def test_a_recorded_source_is_a_program_by_its_place(source: str, name: str | None) -> None:
    assert program_name(source) == name


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pyproject.toml", POETRY),
        ("pyproject.toml", '[tool.poetry.scripts]\ntrain = {reference = "forest.train:main", type = "console"}\n'),
        ("pyproject.toml", '[project.scripts]\ntrain = "forest.train:main"\n'),
        ("setup.cfg", "[options.entry_points]\nconsole_scripts =\n  other = a:b\n  train = forest.train:main [x]\n"),
        ("setup.py", "setup(entry_points={'console_scripts': ['train = forest.train:main']})"),
        ("setup.py", "setup(entry_points='''\n   [console_scripts]\n   train = forest.train:main\n   ''')"),
    ],
)
@pytest.mark.parametrize("folder", ["", "src/"])
def test_entry_points_are_read_from_each_kind_of_project(path: str, text: str, folder: str) -> None:
    found = command(snapshot({path: text, f"{folder}forest/train.py": TRAIN}))
    assert (found.line, found.script) == ("train --depth 8 --rate 0.1", f"{folder}forest/train.py")
    assert found.source.startswith(f"inferred: tag mlflow.source.name, entry point train of {path}")
    assert found.inferred


def test_tools_for_windows_are_no_console_scripts() -> None:
    texts = {"pyproject.toml": '[project.gui-scripts]\ntrain = "forest.train:main"\n', "forest/train.py": TRAIN}
    assert console_scripts(snapshot(texts), "train") == ()


def test_the_options_are_those_of_the_module_that_defines_the_function() -> None:
    texts = {"pyproject.toml": POETRY, "forest/train.py": "from .cli import main\n", "forest/cli.py": TRAIN}
    assert command(snapshot(texts)).script == "forest/cli.py"


def test_a_program_of_no_project_is_missing_with_what_they_declare() -> None:
    texts = {"pyproject.toml": POETRY, "forest/train.py": TRAIN, "Makefile": "fit:\n\tpoetry run train --depth 2\n"}
    with pytest.raises(MissingFact) as caught:
        command(snapshot(texts), "/x/bin/fit")
    assert caught.value.cause.endswith("which no project at the commit declares; they declare train")
    assert caught.value.nearest[0] == "--command 'train --depth 2'    target fit of Makefile"


def test_two_projects_with_one_program_are_refused_with_a_command_for_each() -> None:
    texts = {f"{name}/pyproject.toml": POETRY for name in "ab"} | {f"{name}/forest/train.py": TRAIN for name in "ab"}
    with pytest.raises(AmbiguousFact, match=r"entry point of a/pyproject.toml and of b/pyproject.toml") as caught:
        command(snapshot(texts))
    assert len(caught.value.nearest) == 2


def test_a_program_that_the_environment_has_not_is_called_as_a_function() -> None:
    texts = {"pyproject.toml": POETRY, "src/forest/train.py": TRAIN}
    found = command(snapshot(texts))
    assert as_installed(found, environment(install_project=True, root=".")) is found
    called = as_installed(found, environment(install_project=False))
    assert called.line == (
        "PYTHONPATH=src python -c 'import sys; from forest.train import main as run; "
        "sys.argv[0] = '\"'\"'train'\"'\"'; sys.exit(run())' --depth 8 --rate 0.1"
    )
    assert "the environment has no train" in called.source


def test_a_recorded_command_that_starts_a_program_knows_its_script() -> None:
    repository = snapshot({"pyproject.toml": POETRY, "forest/train.py": TRAIN})
    chosen = settings(command="poetry run train --depth 8")
    found = resolve_command(run(), repository, chosen, commit_facts(repository, chosen))
    assert (found.line, found.script) == ("train --depth 8", "forest/train.py")
    assert found.source == "--command, without poetry run"
