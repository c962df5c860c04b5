"""What of the texts that MLflow writes into a model stays when it is logged again, and that nothing else is lost."""

from __future__ import annotations

import pytest

from runner.schema.model_text import LONGEST_TEXT, parts_of

MLMODEL = """\
artifact_path: model
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    python_version: 3.9.18
  sklearn:
    code: null
    sklearn_version: 1.4.2
mlflow_version: 2.22.0
model_size_bytes: 5000
model_uuid: 0123
run_id: ab12
signature:
  inputs: '[{"name": "x"}]'
utc_time_created: '2025-03-02 10:00:00.000001'
"""
CONDA = """\
channels:
- conda-forge
dependencies:
- python=3.9.18
- pip<=23.0.1
- pip:
  - mlflow==2.22.0
  - scikit-learn==1.4.2
name: mlflow-env
"""
PYTHON_ENV = """\
python: 3.9.18
build_dependencies:
- pip==23.0.1
- setuptools==58.1.0
- wheel
dependencies:
- -r requirements.txt
"""


def parts(path: str, text: str) -> dict[str, str]:
    found = parts_of(path, text.encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("path", "text", "now", "again"),
    [
        ("MLmodel", MLMODEL, "run_id: ab12", "run_id: cd34"),
        ("MLmodel", MLMODEL, "model_uuid: 0123", "model_uuid: m-4567\nmodel_id: m-4567"),
        ("MLmodel", MLMODEL, "utc_time_created: '2025", "utc_time_created: '2026"),
        ("MLmodel", MLMODEL, "artifact_path: model", "artifact_path: file:///srv/1/models/m-1/artifacts"),
        ("MLmodel", MLMODEL, "model_size_bytes: 5000", "model_size_bytes: 5010"),
        ("MLmodel", MLMODEL, "python_version: 3.9.18", "python_version: 3.9.2"),
        ("conda.yaml", CONDA, "python=3.9.18", "python=3.9.2"),
        ("conda.yaml", CONDA, "pip<=23.0.1", "pip"),
        ("python_env.yaml", PYTHON_ENV, "python: 3.9.18", "python: 3.9.2"),
        ("python_env.yaml", PYTHON_ENV, "- pip==23.0.1\n- setuptools==58.1.0\n- wheel", "- setuptools==65.5.0"),
    ],
)
def test_what_differs_each_time_a_model_is_logged_does_not_count(path: str, text: str, now: str, again: str) -> None:
    assert now in text
    assert parts(path, text.replace(now, again)) == parts(path, text)


@pytest.mark.parametrize(
    ("path", "text", "now", "swapped"),
    [
        ("MLmodel", MLMODEL, "loader_module: mlflow.sklearn", "loader_module: evil"),
        ("MLmodel", MLMODEL, "model_path: model.pkl", "model_path: ../other.pkl"),
        ("MLmodel", MLMODEL, "code: null", "code: 'null'"),
        ("MLmodel", MLMODEL, "code: null", "code: code"),
        ("MLmodel", MLMODEL, "python_version: 3.9.18", "python_version: 3.11.2"),
        ("MLmodel", MLMODEL, "python_version: 3.9.18", "python_version: 3.9.18; evil"),
        ("MLmodel", MLMODEL, "sklearn_version: 1.4.2", "sklearn_version: 1.4.3"),
        ("MLmodel", MLMODEL, '"name": "x"', '"name": "y"'),
        ("MLmodel", MLMODEL, "mlflow_version: 2.22.0", "mlflow_version: 2.22.0\nmetadata: {run_id: ab}"),
        ("conda.yaml", CONDA, "scikit-learn==1.4.2", "scikit-learn==1.4.1"),
        ("conda.yaml", CONDA, "- pip<=23.0.1", "- pip<=23.0.1\n- evil"),
        ("conda.yaml", CONDA, "pip<=23.0.1", "pip @ https://evil.example/pip.whl"),
        ("conda.yaml", CONDA, "- conda-forge", "- evil"),
        ("conda.yaml", CONDA, "python=3.9.18", "python=3.10.1"),
        ("python_env.yaml", PYTHON_ENV, "- wheel", "- wheel\n- evil"),
        ("python_env.yaml", PYTHON_ENV, "-r requirements.txt", "-r other.txt"),
    ],
)
def test_everything_else_counts(path: str, text: str, now: str, swapped: str) -> None:
    assert now in text
    assert parts(path, text.replace(now, swapped)) != parts(path, text)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("model.pkl", MLMODEL.encode()),
        ("nested/MLmodel", MLMODEL.encode()),
        ("requirements.txt", b"a: 1\n"),
        ("MLmodel", b""),
        ("MLmodel", b"just text"),
        ("MLmodel", b"- a\n"),
        ("MLmodel", b"a: 1\na: 2\n"),
        ("MLmodel", b"? [a]\n: 1\n"),
        ("MLmodel", b"a: &a [1]\nb: *a\n"),
        ("MLmodel", b"a: " + b"[" * 1000),
        ("MLmodel", b"a: [1"),
        ("MLmodel", b"a: !!python/object/apply:os.system ['true']\n"),
        ("MLmodel", b"!own {a: 1}"),
        ("MLmodel", b"\xff\xfe"),
        ("MLmodel", b"a: " + b"x" * LONGEST_TEXT),
    ],
    ids=str,
)
def test_of_any_other_text_the_bytes_count(path: str, data: bytes) -> None:
    assert parts_of(path, data) is None
