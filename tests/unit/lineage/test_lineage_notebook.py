"""Notebooks of the commit: their code, and which of them a kernel ran."""

from __future__ import annotations

import json

import pytest

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.notebook import is_kernel, notebook_line, notebooks_of_kernel, read_notebook, with_code
from runner.lineage.script import find_script, locate_script, source_name
from tests.support.facts import run, settings, snapshot

KERNEL = "/home/ann/venv/lib/python3.11/site-packages/ipykernel_launcher.py"


def notebook(*cells: str, tagged: int | None = None) -> str:
    """Return a notebook of these code cells."""
    return json.dumps(
        {
            "nbformat": 4,
            "cells": [
                {
                    "cell_type": "code",
                    "source": cell.splitlines(keepends=True),
                    "metadata": {"tags": ["parameters"]} if index == tagged else {},
                }
                for index, cell in enumerate(cells)
            ],
        }
    )


def test_code_is_read_without_what_is_not_python() -> None:
    found = read_notebook(
        notebook(
            "%matplotlib inline\nimport mlflow\nif x:\n    !ls\nfiles = !ls\nprint?",
            "%%bash\nrm -rf /",
            "%%time\nfit(a == b, 'c=%d' % 3)",
        )
    )
    assert found is not None
    assert found.cells == (
        "pass\nimport mlflow\nif x:\n    pass\npass\npass",
        "",
        "fit(a == b, 'c=%d' % 3)",
    )
    compile(found.code, "notebook", "exec")


def test_the_cell_of_parameters_and_what_cells_install_are_told() -> None:
    found = read_notebook(notebook("!pip install -q xgboost==1.7\n%pip install optuna", "lr = 1", tagged=1))
    assert found is not None
    assert (found.parameters, found.installs) == ("lr = 1", ("-q xgboost==1.7", "optuna"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": 3}', "[" * 100_000])
def test_what_is_no_notebook_is_none(text: str) -> None:
    assert read_notebook(text) is None


def test_a_notebooks_code_stands_in_for_its_text_where_imports_are_read() -> None:
    files = snapshot({"a.ipynb": notebook("import xgboost"), "b.ipynb": "{", "c.py": "import c"})
    assert with_code(files, "a.ipynb").texts["a.ipynb"] == "import xgboost\n"
    assert with_code(files, "b.ipynb") == with_code(files, "c.py") == with_code(files, None) == files


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        (KERNEL, True),
        (r"C:\Users\ann\lib\site-packages\ipykernel_launcher.py", True),
        ("/usr/local/lib/python3.10/dist-packages/colab_kernel_launcher.py", True),
        ("train.py", False),
        ("", False),
    ],
)
def test_a_kernel_is_known_by_its_program(name: str, kernel: bool) -> None:
    assert is_kernel(name) is kernel
    assert (source_name(run(script=name)) is None) is (kernel or not name)


def test_a_notebook_that_is_named_runs_in_its_own_folder() -> None:
    files = snapshot({"work/Train it.ipynb": notebook("import mlflow")})
    (found,) = find_script(run(script="/home/ann/p/work/Train it.ipynb"), files)
    assert (found.path, found.working_directory) == ("work/Train it.ipynb", "work")
    assert notebook_line(found.path, found.working_directory).endswith(
        "-k python3 'Train it.ipynb' /tmp/executed.ipynb"
    )
    assert notebook_line(found.path).startswith("cd work && ")


TRACKS = "import mlflow\nmlflow.set_experiment('{0}')\nmlflow.log_metric('{1}', 1)\n"


@pytest.mark.parametrize(
    ("notebooks", "found", "why"),
    [
        ({"a": "import mlflow", "b": "import pandas"}, ("a",), "the commit's only notebook that tracks runs"),
        ({"a": TRACKS.format("fraud", "x"), "b": TRACKS.format("o", "x")}, ("a",), "only notebook that names its exp"),
        (
            {"a": TRACKS.format("x", "auc"), "b": TRACKS.format("x", "y")},
            ("a",),
            "only notebook that names its metrics",
        ),
        ({"a": "import mlflow", "b": "import mlflow"}, ("a", "b"), ""),
        ({"a": "import pandas"}, (), ""),
    ],
)
def test_the_notebook_of_a_kernel_is_the_one_that_most_speaks_for(
    notebooks: dict[str, str], found: tuple[str, ...], why: str
) -> None:
    texts = {f"{name}.ipynb": notebook(code) for name, code in notebooks.items()}
    texts[".ipynb_checkpoints/a-checkpoint.ipynb"] = notebook("import mlflow")
    record = run(script=KERNEL)
    record = record.model_copy(update={"metrics": (record.metrics[0].model_copy(update={"name": "auc"}),)})
    paths, reason = notebooks_of_kernel(record, snapshot(texts))
    assert paths == tuple(f"{name}.ipynb" for name in found)
    assert why in reason


def test_several_notebooks_that_are_equally_good_are_offered() -> None:
    files = snapshot({"a.ipynb": notebook("import mlflow"), "n/b.ipynb": notebook("import mlflow")})
    with pytest.raises(AmbiguousFact) as caught:
        locate_script(run(script=KERNEL), files, settings())
    assert "may be any of a.ipynb, n/b.ipynb" in caught.value.cause
    assert "papermill" in caught.value.remedy
    assert [line.startswith("--command ") for line in caught.value.nearest] == [True, True]


def test_a_kernel_whose_commit_has_no_notebook_that_tracks_is_a_missing_fact() -> None:
    with pytest.raises(MissingFact, match="no notebook of the commit tracks runs"):
        locate_script(run(script=KERNEL), snapshot({"a.ipynb": notebook("import pandas")}), settings())
