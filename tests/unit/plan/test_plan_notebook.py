"""A notebook as a command, and what running it needs."""

from __future__ import annotations

import pytest

from runner.lineage.resolve import commit_facts
from runner.plan.arguments import Arguments, map_params
from runner.plan.command import resolve_command
from runner.plan.environment import specify_environment
from runner.plan.notebook import read_notebook_interface
from runner.plan.options.interface import NOWHERE
from tests.support.facts import run, settings, snapshot
from tests.unit.lineage.test_lineage_notebook import KERNEL, notebook

PARAMETERS = "lr = 0.1\nname: str = 'a'\nlayers = [1]\nfast = False\nseed = None\n"


def mapped(params: dict[str, str], code: str = "") -> Arguments:
    return map_params(
        run(params=params), read_notebook_interface(notebook(PARAMETERS, code, tagged=0), NOWHERE), {}.get
    )


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"lr": "0.5"}, ("-p", "lr", "0.5")),
        ({"name": "10"}, ("-r", "name", "10")),
        ({"layers": "[1, 2]"}, ("-y", "layers: [1, 2]")),
        ({"fast": "True"}, ("-p", "fast", "True")),
        ({"seed": "None"}, ("-p", "seed", "None")),
        ({"other": "1"}, ()),
    ],
)
def test_a_recorded_value_is_a_parameter_of_its_own_type(params: dict[str, str], words: tuple[str, ...]) -> None:
    assert mapped(params).words == words


def test_a_parameter_is_known_by_what_the_notebook_logs() -> None:
    assert mapped({"rate": "0.5"}, "mlflow.log_param('rate', lr)").words == ("-p", "lr", "0.5")
    assert mapped({"rate": "0.5"}, "lr = 3\nmlflow.log_param('rate', lr)").words == ()


def test_packages_that_a_cell_installs_are_offered() -> None:
    (found,) = mapped({}, "!pip install xgboost==1.7").considered
    assert (found.value, "--with" in found.reason) == ("xgboost==1.7", True)


def test_a_notebook_without_parameters_takes_nothing_and_what_it_reads_of_the_environment_is_told() -> None:
    """rule 11"""
    source = notebook("import os, argparse\nn = os.environ['N_TREES']\np.add_argument('--x')")
    found = map_params(run(params={"x": "1"}), read_notebook_interface(source, NOWHERE), {}.get)
    assert (found.words, found.uncovered) == ((), ("environment variable N_TREES",))


def test_what_cannot_be_read_is_said() -> None:
    assert "cells" in read_notebook_interface("{", NOWHERE).unreadable[0]
    assert "cells" in read_notebook_interface(notebook("def ("), NOWHERE).unreadable[0]


def test_the_command_of_a_kernels_run_is_papermills() -> None:
    files = snapshot({"work/a.ipynb": notebook(PARAMETERS, "import mlflow", tagged=0)})
    record = run(script=KERNEL, params={"lr": "0.5"})
    chosen = settings()
    command = resolve_command(record, files, chosen, commit_facts(files, chosen))
    assert command.line == (
        "python -m papermill --no-progress-bar --log-output -k python3 a.ipynb /tmp/executed.ipynb -p lr 0.5"
    )
    assert (command.working_directory, command.script, command.inferred) == ("work", "work/a.ipynb", True)
    assert "only notebook that tracks runs" in command.source


@pytest.mark.parametrize(
    ("listed", "added"),
    [
        ("mlflow==2.22.5\n", ("papermill", "ipykernel")),
        ("mlflow==2.22.5\nipykernel==6.29.0\n", ("papermill",)),
        ("mlflow==2.22.5\nPaperMill>=2\nipykernel\n", ()),
    ],
)
def test_what_runs_a_notebook_is_added_where_no_list_has_it(listed: str, added: tuple[str, ...]) -> None:
    files = snapshot({"a.ipynb": notebook("import mlflow"), "requirements.txt": listed})
    chosen = settings()
    facts = commit_facts(files, chosen)
    spec, _, _ = specify_environment(run(), files, chosen, facts, "a.ipynb", needed=("papermill", "ipykernel"))
    assert spec.overrides == added
    assert any("a notebook needs them" in note for note in spec.notes) is bool(added)
    plain, _, _ = specify_environment(run(), files, chosen, facts, "a.ipynb")
    assert plain.overrides == ()
