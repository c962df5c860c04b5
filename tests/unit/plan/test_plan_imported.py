"""What the scripts of a training import, whatever lists its packages."""

from __future__ import annotations

from runner.plan.environment import specify_environment
from runner.plan.lists.imported import imported_modules
from runner.plan.lists.imports import read_imports
from runner.schema.plan import EnvironmentSpec
from runner.settings import CommitFacts
from tests.support.facts import run, settings, snapshot
from tests.support.lock_files import text as lock_text


def names(texts: dict[str, str], **fields: object) -> dict[str, tuple[str, ...]]:
    found = imported_modules(snapshot(texts, **fields), ["train.py"], ["."], "3.11")  # type: ignore[arg-type]
    return {module.name: module.distributions for module in found}


def at_once(texts: dict[str, str]) -> set[str]:
    found = imported_modules(snapshot(texts), ["train.py"], ["."], "3.11")
    return {module.name for module in found if module.at_once}


def test_imports_are_told_by_their_top_level_modules_with_their_distributions() -> None:
    text = (
        "import os, mlflow.sklearn, imblearn.over_sampling\nfrom own_thing import x\nfrom google.cloud import storage\n"
    )
    assert names({"train.py": text}) == {
        "mlflow": ("mlflow",),
        "imblearn": ("imbalanced-learn",),
        "own_thing": (),
        "google.cloud.storage": ("google-cloud-storage",),
    }


def test_modules_of_the_repository_are_followed_and_are_none() -> None:
    texts = {"train.py": "import helper\n", "helper.py": "import seaborn, datasets\n", "lib/datasets.py": ""}
    # Which of both `datasets` is meant hangs on a path that is set while running.
    assert names(texts) == {"seaborn": ("seaborn",)}


def test_what_scripts_go_on_without_and_what_no_index_has_is_left_out() -> None:
    text = "try:\n    import cupy\nexcept ImportError:\n    import numpy\nimport google.colab, detectron2\n"
    assert names({"train.py": text}) == {}


def test_only_what_starting_the_training_imports_is_imported_at_once() -> None:
    texts = {
        "train.py": "import numpy\nimport helper\ndef plot():\n    import matplotlib\n    import rare\n"
        "if __name__ == '__main__':\n    import wandb\nwith open('x') as file:\n    import yaml\n",
        "helper.py": "import pandas\nclass A:\n    import seaborn\n    def f(self):\n        import shap\n",
        "rare.py": "import torch\n",
    }
    assert at_once(texts) == {"numpy", "pandas", "seaborn", "yaml"}
    assert {"matplotlib", "wandb", "shap", "torch"} <= names(texts).keys()
    assert not next(item for item in read_imports("def f():\n    import six\n")).at_once


def specified(texts: dict[str, str], **flags: object) -> EnvironmentSpec:
    return specify_environment(
        run(environment_files=()), snapshot(texts), settings(**flags), CommitFacts(), "train.py", scripts=["train.py"]
    )[0]


def test_what_a_list_lacks_may_be_added_where_it_is_open_and_never_where_it_is_a_lock() -> None:
    script = {"train.py": "import mlflow, imblearn\n"}
    for listed, adds in (
        ({"requirements.txt": "mlflow\n"}, True),
        ({"requirements.txt": "mlflow==2.9.2\n"}, True),  # and what that needs is open
        ({name: lock_text(f"poetry-1.8/{name}") for name in ("poetry.lock", "pyproject.toml")}, False),
    ):
        spec = specified({**script, **listed})
        assert (spec.adds_imports, [module.name for module in spec.imports]) == (adds, ["imblearn", "mlflow"])


def test_only_what_conda_itself_installed_is_conda_s() -> None:
    conda = (
        "dependencies:\n- numpy=1.19.2=py38_0\n- sip=4.19.13=py38_0\n- pytorch=1.8.0\n- pip:\n"
        "  - mlflow==1.14.1\n  - numpy==1.19.2\n"
    )
    assert specified({"train.py": "import mlflow\n", "environment.yml": conda}).from_conda == ("sip", "torch")
