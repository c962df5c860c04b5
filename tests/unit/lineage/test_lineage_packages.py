"""What the environment files of a run's models record, and which counts where they disagree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.lineage.packages import RecordedPackages, linux_markers, recorded_packages
from runner.schema.model_files import RegisteredModel
from runner.schema.run_record import TextFile
from tests.support.models import registered
from tests.support.values import make_record

MARKERS = linux_markers("3.11.2", "x86_64")
HISTORY = "mlflow.log-model.history"


def recorded(files: dict[str, str], *, history: Any = None, model: RegisteredModel | None = None) -> RecordedPackages:
    tags = {} if history is None else {HISTORY: history if isinstance(history, str) else json.dumps(history)}
    texts = tuple(TextFile(path=path, text=text) for path, text in files.items())
    return recorded_packages(make_record(environment_files=texts, tags=tags), MARKERS, model)


TWO = {"first/requirements.txt": "a==1\nb==1\n", "second/requirements.txt": "a==2\nc==1\n"}


def test_what_models_agree_on_is_recorded_and_what_they_disagree_on_is_not() -> None:
    found = recorded(TWO)
    assert found.versions == {"b": "1", "c": "1"}
    assert found.disagreements == (
        "models of the run list several versions of a (1 in first/requirements.txt, 2 in second/requirements.txt): "
        "none of them counts",
    )
    assert not recorded({"m/requirements.txt": "a==1.0\n", "n/requirements.txt": "a==1.0\n"}).disagreements


@pytest.mark.parametrize(
    ("history", "version"),
    [
        ([{"artifact_path": "first"}, {"artifact_path": "second"}], "2"),
        ([{"artifact_path": "second"}, {"artifact_path": "first"}], "1"),
        ([{"artifact_path": "elsewhere"}], None),
        ([{"artifact_path": ["first"]}], None),
        ("no JSON", None),
        ("{}", None),
        ("[3]", None),
        ("[" * 100_000, None),
    ],
)
def test_the_model_that_was_logged_last_decides(history: Any, version: str | None) -> None:
    assert recorded(TWO, history=history).versions.get("a") == version


def test_a_registered_model_decides_before_the_one_that_was_logged_last() -> None:
    history = [{"artifact_path": "first"}, {"artifact_path": "second"}]
    found = recorded(TWO, history=history, model=registered(path="first"))
    assert found.versions["a"] == "1"
    assert "that of first, which is registered, counts" in found.disagreements[0]
    by_id = {"models/m-1/requirements.txt": "a==3\n", "models/m-2/requirements.txt": "a==4\n"}
    assert recorded(by_id, model=registered(path=None, model_id="m-2")).versions == {"a": "4"}


def test_of_what_conda_lists_the_index_has_packages_by_its_own_names_and_libraries_are_left_out() -> None:
    text = (
        "dependencies:\n- python=3.11.2\n- pip\n- conda-forge::numpy=1.26.4=py311h\n- scipy=1.11\n- zlib=1.2.13\n"
        "- pandas==2.1\n- pytorch=2.1.0\n- pip:\n  - six==1.16.0\n"
    )
    found = recorded({"m/conda.yaml": text})
    versions = {"python": "3.11.2", "numpy": "1.26.4", "pandas": "2.1", "torch": "2.1.0", "six": "1.16.0"}
    assert found.versions == versions
    assert found.unpinned == {"scipy": "scipy==1.11.*"}
    assert found.left_out == ("zlib=1.2.13 (a package of conda)",)


def test_the_list_of_requirements_counts_before_condas() -> None:
    files = {"m/conda.yaml": "dependencies:\n- pip:\n  - a==1\n", "m/requirements.txt": "a[x]==2\n"}
    found = recorded(files)
    assert (found.versions, found.pins["a"].extras, found.disagreements) == ({"a": "2"}, ("x",), ())


def test_what_names_no_release_is_left_out_with_its_reason() -> None:
    text = "-e .\n--extra-index-url https://files.example\na @ https://files.example/a.whl\nb ~ 1\nc>=1\n# d==1\n"
    found = recorded({"m/requirements.txt": text, "m/python_env.yaml": "dependencies:\n- -r requirements.txt\n"})
    assert [line.rpartition(" (")[2] for line in found.left_out] == [
        "no release of a package)",
        "no release of a package)",
        "an address, no release)",
        "no requirement)",
    ]
    assert (found.versions, found.unpinned) == ({}, {"c": "c>=1"})
