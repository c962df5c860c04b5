"""Runs of other years: whatever lists their packages, the rerun has the Python and the versions that they had.

In the full tier: `test_environment_sources.py`, `test_lists_rerun.py` and `test_pythons.py` have a small one of each.

Each is trained for real by its author (tests/support/authors.py), then reproduced with no flag but the tracker's place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Verdict
from runner.settings import Flags, load_settings
from tests.support.authors import Author, author_run
from tests.support.locking import locked

SKLEARN = """\
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

x, y = load_iris(return_X_y=True)
with mlflow.start_run():
    model = LogisticRegression(C=0.3, max_iter=500)
    mlflow.log_param("C", 0.3)
    mlflow.log_metric("log_loss", log_loss(y, cross_val_predict(model, x, y, method="predict_proba")))
"""
XGBOOST = """\
import mlflow
import numpy
import xgboost

generator = numpy.random.RandomState(7)
x = generator.rand(400, 5)
y = x @ numpy.arange(5.0) + generator.rand(400)
with mlflow.start_run():
    seen = {}
    data = xgboost.DMatrix(x, label=y)
    xgboost.train({"max_depth": 3, "seed": 7}, data, num_boost_round=20, evals=[(data, "train")], evals_result=seen)
    mlflow.log_param("max_depth", 3)
    for step, value in enumerate(seen["train"]["rmse"]):
        mlflow.log_metric("rmse", value, step=step)
"""
TORCH = """\
import mlflow
import torch

torch.manual_seed(7)
torch.set_num_threads(1)
x = torch.randn(64, 4)
y = x @ torch.tensor([1.0, -2.0, 3.0, 0.5])
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
with mlflow.start_run():
    mlflow.log_param("lr", 0.05)
    for step in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x).squeeze(), y)
        loss.backward()
        optimizer.step()
        mlflow.log_metric("loss", loss.item(), step=step)
"""


LIGHTGBM = """\
import lightgbm
import mlflow
import numpy

generator = numpy.random.RandomState(7)
x = generator.rand(400, 5)
y = x @ numpy.arange(5.0) + generator.rand(400)
with mlflow.start_run():
    seen = {}
    data = lightgbm.Dataset(x, label=y)
    parameters = {"objective": "l2", "verbose": -1, "seed": 7, "deterministic": True, "num_threads": 1}
    lightgbm.train(parameters, data, 20, valid_sets=[data], callbacks=[lightgbm.record_evaluation(seen)])
    mlflow.log_param("objective", "l2")
    for step, value in enumerate(seen["training"]["l2"]):
        mlflow.log_metric("l2", value, step=step)
"""
# Only its record tells the packages: MLflow writes those of a model beside it.
MODEL = (
    SKLEARN.replace("import mlflow\n", "import mlflow\nimport mlflow.sklearn\n")
    + """\
    mlflow.sklearn.log_model(model.fit(x, y), "model")
"""
)
CONDA = """\
name: iris
channels: [conda-forge]
dependencies:
  - python=3.9
  - scikit-learn=1.0.2
  - numpy=1.21.5
  - libgfortran5=11
  - pip
  - pip:
      - mlflow==1.24.0
"""
SETUP = """\
from setuptools import setup

setup(name="iris", version="1", py_modules=[], install_requires=["mlflow>=1.10,<2", "scikit-learn"])
"""
PDM = """\
[project]
name = "trees"
version = "0.1.0"
requires-python = "==3.11.*"
dependencies = ["mlflow-skinny==2.16.2", "xgboost==2.0.3", "numpy<2"]

[tool.pdm]
distribution = false
"""
PIPENV = """\
[[source]]
url = "https://pypi.org/simple"
verify_ssl = true
name = "pypi"

[packages]
mlflow-skinny = "==2.16.2"
scikit-learn = "==1.2.2"
numpy = "==1.24.4"

[requires]
python_version = "3.11"
"""
UV = """\
[project]
name = "iris"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["mlflow-skinny==3.4.0", "scikit-learn==1.7.2"]
"""
TORCH_PINS = "mlflow-skinny==1.30.0\ntorch==1.12.1\nnumpy==1.23.5\nsetuptools==65.5.0\n"


@dataclass(frozen=True)
class Kind:
    """A kind of list: what is committed, who trains with what, and how the plan names its source.

    `locked` names the tool that locks the project, from which manifest; what it then installs, the author has.
    `system` are Debian packages that author and auditor name.
    """

    files: dict[str, str | bytes | None]
    author: Author
    source: str
    locked: tuple[str, str] | None = None
    system: tuple[str, ...] = ()


def python(minor: str) -> dict[str, str | bytes | None]:
    return {".python-version": f"{minor}\n"}


KINDS = {
    "unpinned requirements of 2025, 3.13, xgboost": Kind(
        {"train.py": XGBOOST, "requirements.txt": "mlflow-skinny\nxgboost\nnumpy\n", **python("3.13")},
        Author("3.13", "2025-09-15", "mlflow-skinny\nxgboost\nnumpy\n"),
        "requirements.txt at the commit (not pinned)",
    ),
    "unpinned requirements of 2021, 3.9, sklearn": Kind(
        {"train.py": SKLEARN, "requirements.txt": "mlflow\nscikit-learn\n", **python("3.9")},
        Author("3.9", "2021-06-15", "mlflow\nscikit-learn\n"),
        "requirements.txt at the commit (not pinned)",
    ),
    "unpinned requirements of 2023, 3.11, sklearn": Kind(
        {"train.py": SKLEARN, "requirements.txt": "mlflow\nscikit-learn\n", **python("3.11")},
        Author("3.11", "2023-09-15", "mlflow\nscikit-learn\n"),
        "requirements.txt at the commit (not pinned)",
    ),
    "pinned requirements of 2022, 3.9, torch": Kind(
        {"train.py": TORCH, "requirements.txt": TORCH_PINS, **python("3.9.13")},
        Author("3.9", "2022-12-01", TORCH_PINS),
        "requirements.txt at the commit",
    ),
    "conda environment of 2022, 3.9, sklearn": Kind(
        {"train.py": SKLEARN, "environment.yml": CONDA},
        Author("3.9", "2022-04-01", "mlflow==1.24.0\nscikit-learn==1.0.2\nnumpy==1.21.5\n"),
        "environment.yml at the commit",
    ),
    "setup.py of 2020, 3.9, sklearn": Kind(
        {"train.py": SKLEARN, "setup.py": SETUP, **python("3.9")},
        Author("3.9", "2020-12-30", "mlflow>=1.10,<2\nscikit-learn\n"),
        "setup.py at the commit (not pinned)",
    ),
    "imports alone of 2024, 3.11, sklearn": Kind(
        {"train.py": SKLEARN, **python("3.11")},
        Author("3.11", "2024-03-01", "mlflow\nscikit-learn\n"),
        "imports of train.py (inferred: nothing lists packages)",
    ),
    "a logged model's packages of 2024, 3.11, sklearn": Kind(
        {"train.py": MODEL},
        Author("3.11", "2024-08-01", "mlflow\nscikit-learn==1.4.2\n"),
        "",
    ),
    "pdm.lock, 3.11, xgboost": Kind(
        {"train.py": XGBOOST}, Author("3.11", "2024-11-01", ""), "pdm.lock at the commit", locked=("pdm", PDM)
    ),
    "Pipfile.lock, 3.11, sklearn": Kind(
        {"train.py": SKLEARN}, Author("3.11", "2024-02-01", ""), "Pipfile.lock at the commit", locked=("pipenv", PIPENV)
    ),
    "uv.lock, 3.13, sklearn": Kind(
        {"train.py": SKLEARN, **python("3.13")},
        Author("3.13", "2025-11-01", ""),
        "uv.lock at the commit",
        locked=("uv", UV),
    ),
    "pylock.toml, 3.13, sklearn": Kind(
        {"train.py": SKLEARN, **python("3.13")},
        Author("3.13", "2025-11-01", ""),
        "pylock.toml at the commit",
        locked=("pylock", "mlflow-skinny==3.4.0\nscikit-learn==1.7.2\n"),
    ),
    "pinned requirements of 2024, 3.11, lightgbm": Kind(
        {
            "train.py": LIGHTGBM,
            "requirements.txt": "mlflow-skinny==2.16.2\nlightgbm==4.5.0\nnumpy==1.26.4\n",
            **python("3.11"),
        },
        Author("3.11", "2024-10-01", "mlflow-skinny==2.16.2\nlightgbm==4.5.0\nnumpy==1.26.4\n"),
        "requirements.txt at the commit",
        system=("libgomp1",),
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("name", KINDS)
def test_a_run_of_another_year_is_identical_with_the_packages_that_it_had(
    name: str, shared_engine: DockerEngine, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    kind = KINDS[name]
    files, author = kind.files, replace(kind.author, system=kind.system)
    if kind.locked is not None:
        more, packages = locked(*kind.locked, tmp_path / "locking")
        files, author = {**files, **more}, replace(author, packages=packages, dated=False)
    run = author_run(shared_engine, author, files, tmp_path)
    folder = tmp_path / "auditor"
    folder.mkdir()
    settings = load_settings(Flags(tracker=str(run.tracker), system_packages=kind.system), {}, folder)

    times = []
    for _ in range(2):  # the second finds what the first made
        started = time.monotonic()
        evidence = reproduce(run.run_id, settings, progress=NoProgress(), engine=shared_engine).reproduction
        times.append(time.monotonic() - started)
        assert evidence.plan is not None
        assert evidence.plan.environment.source.startswith(kind.source)
        assert evidence.plan.environment.python == kind.author.python
        assert evidence.verdict is Verdict.IDENTICAL, evidence.reason
    record_property("seconds", f"{times[0]:.1f} cold, {times[1]:.1f} warm")
