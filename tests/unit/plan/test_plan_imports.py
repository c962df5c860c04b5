"""What scripts import, and which distributions that is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runner.plan.lists.found import PackageList
from runner.plan.lists.import_names import DISTRIBUTIONS, NAMESAKES
from runner.plan.lists.imports import distributions_of, follow, infer_list, read_imports, standard_modules
from tests.support.facts import snapshot


def inferred(
    texts: dict[str, str], *, script: str = "train.py", python: str = "3.11", dated: bool = True, **fields: object
) -> PackageList | None:
    found = infer_list(snapshot(texts, **fields), [script], ["."], python, dated=dated)  # type: ignore[arg-type]
    return found[0] if found else None


def lines(texts: dict[str, str], **fields: object) -> tuple[str, ...]:
    found = inferred(texts, **fields)  # type: ignore[arg-type]
    return () if found is None else found.lines


def test_all_imports_are_read_but_those_for_type_checkers() -> None:
    text = """
import os, numpy as np
from sklearn.model_selection import train_test_split
from . import sibling
from .inner import thing
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import onlytypes
else:
    import reallyused
def train():
    import lightgbm
class A:
    def f(self):
        from xgboost import XGBClassifier
try:
    import cupy
except (ImportError, ValueError):
    import fallback
try:
    import needed
except ValueError:
    pass
"""
    found = {(item.module, item.level, item.guarded) for item in read_imports(text)}
    assert {("numpy", 0, False), ("sklearn.model_selection", 0, False), ("", 1, False), ("sibling", 1, False)} <= found
    assert {("inner", 1, False), ("reallyused", 0, False), ("lightgbm", 0, False), ("xgboost", 0, False)} <= found
    assert {("cupy", 0, True), ("fallback", 0, True), ("needed", 0, False)} <= found
    assert not any("onlytypes" in module for module, _, _ in found)
    assert read_imports("print 'python 2'") == []


def test_names_become_distributions_and_the_standard_library_none() -> None:
    text = """
import os, sys, json, mlflow, mlflow.xgboost
import yaml, cv2, sklearn.metrics, dateutil.parser
from PIL import Image
from google.cloud import storage
from dotenv import load_dotenv
from bs4 import BeautifulSoup
import sentence_transformers
"""
    assert lines({"train.py": text}) == (
        "beautifulsoup4",
        "google-cloud-storage",
        "mlflow",
        "opencv-python-headless",
        "pillow",
        "python-dateutil",
        "python-dotenv",
        "pyyaml",
        "scikit-learn",
        "sentence-transformers",
        "xgboost",
    )


def test_a_flavour_of_mlflow_counts_where_it_is_imported() -> None:
    assert lines({"train.py": "import mlflow\nmlflow.sklearn.autolog()\n"}) == ("mlflow",)
    assert lines({"train.py": "from mlflow import sklearn\n"}) == ("mlflow", "scikit-learn")
    assert lines({"train.py": "import mlflow.pytorch\n"}) == ("mlflow", "torch")


def test_imports_are_followed_through_the_repositorys_own_modules() -> None:
    texts = {
        "src/train.py": "import mlflow\nfrom pkg.data import load\nimport helper\n",
        "src/pkg/__init__.py": "import pandas\n",
        "src/pkg/data/__init__.py": "from ..tools import deep\nfrom . import files\n",
        "src/pkg/data/files.py": "import h5py\n",
        "src/pkg/tools/__init__.py": "",
        "src/pkg/tools/deep.py": "import tqdm\n",
        "src/helper.py": "import seaborn\nimport pkg\n",
        "src/unused.py": "import torch\n",
    }
    assert lines(texts, script="src/train.py") == ("h5py", "mlflow", "pandas", "seaborn", "tqdm")
    found = follow(snapshot(texts), ["src/train.py"], ["."])
    assert found.own[0] == "src/train.py"
    assert "src/unused.py" not in found.own
    less = {path: text for path, text in texts.items() if path != "src/pkg/data/files.py"}
    assert follow(snapshot(less, files=("src/pkg/data/files.py",)), ["src/train.py"], ["."]).unread == [
        "src/pkg/data/files.py"
    ]


def test_the_standard_library_is_that_of_the_targets_python() -> None:
    assert "tomllib" in standard_modules("3.11")
    assert "tomllib" not in standard_modules("3.9")
    assert "distutils" in standard_modules("3.11")
    assert lines({"train.py": "import mlflow, distutils.util\n"}, python="3.12") == ("mlflow", "setuptools")
    assert "json" in standard_modules("3.99")


def test_an_unknown_name_is_tried_under_its_own_and_the_list_says_so() -> None:
    found = inferred({"train.py": "import mlflow\nimport obscurelib\n"})
    assert found is not None
    assert found.lines == ("mlflow", "obscurelib")
    assert any("by the name of the import alone: obscurelib (import in train.py)" in note for note in found.notes)
    assert "inferred" in found.source


def test_an_unknown_name_is_not_tried_where_it_may_be_the_repositorys_own() -> None:
    """Whoever publishes under the name of a module of somebody's repository must not get into its rerun."""
    texts = {"train.py": "import sys\nsys.path.append('lib')\nimport mlflow\nimport features\n", "lib/features.py": ""}
    found = inferred(texts)
    assert found is not None
    assert found.lines == ("mlflow",)
    assert any("taken for the repository's own lib/features.py" in note for note in found.notes)


def test_an_unknown_name_is_not_tried_where_no_date_keeps_later_namesakes_out() -> None:
    found = inferred({"train.py": "import mlflow\nimport obscurelib\n"}, dated=False)
    assert found is not None
    assert found.lines == ("mlflow",)
    assert any("later namesake" in note and "obscurelib" in note for note in found.notes)


def test_what_a_script_goes_on_without_is_had_only_where_it_is_known() -> None:
    text = "import mlflow\ntry:\n    import cupy\n    import obscurelib\nexcept ImportError:\n    obscurelib = None\n"
    found = inferred({"train.py": text})
    assert found is not None
    assert found.lines == ("cupy", "mlflow")
    assert any("goes on without them: obscurelib" in note for note in found.notes)


def test_what_no_index_has_under_the_name_is_said_and_left_out() -> None:
    found = inferred(
        {"train.py": "import mlflow\nfrom apex import amp\nimport google.colab\nimport google.strange.x\n"}
    )
    assert found is not None
    assert found.lines == ("mlflow",)
    assert any("NVIDIA's apex" in note for note in found.notes)
    assert any("Google Colab" in note for note in found.notes)
    assert any("not known which distribution has them: google.strange.x" in note for note in found.notes)


def test_of_a_shared_name_what_is_taken_from_it_counts() -> None:
    found = inferred({"train.py": "import mlflow\nfrom google.cloud import storage\n"})
    assert found is not None
    assert found.lines == ("google-cloud-storage", "mlflow")
    assert not any("not known" in note for note in found.notes)


def test_the_tracker_that_recorded_the_run_is_there_even_where_no_import_of_it_shows() -> None:
    found = inferred({"train.py": "import sklearn\n"})
    assert found is not None
    assert found.lines == ("mlflow", "scikit-learn")
    assert any("the run was logged with it" in note for note in found.notes)


def test_a_module_beside_the_script_shadows_a_package_and_a_mere_folder_elsewhere_does_not() -> None:
    assert lines({"train.py": "import mlflow, tqdm\n", "tqdm.py": "import rich\n"}) == ("mlflow", "rich")
    texts = {"src/train.py": "import mlflow\n", "mlflow/compare.py": "import rich\n"}
    assert lines(texts, script="src/train.py") == ("mlflow",)


def test_without_a_script_or_imports_nothing_is_inferred() -> None:
    assert inferred({}) is None
    assert inferred({"train.py": "import os\n"}) is None


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_the_table_holds_what_differs(name: str) -> None:
    known = DISTRIBUTIONS[name]
    assert all(re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:\[[a-z]+\])?", text) for text in known)
    assert known != (name.lower().replace("_", "-"),)
    assert distributions_of(name) == known
    assert name.lower() not in NAMESAKES or len(known) > 1


def test_imports_of_the_project_itself_are_known() -> None:
    """A table that lacks what every second training imports would try such names unguarded."""
    author = Path("runner/demo/author")
    texts = {path.relative_to(author).as_posix(): path.read_text() for path in author.rglob("*.py")}
    script = next(path for path in texts if path.endswith("train.py"))
    found = inferred(texts, script=script)
    assert found is not None
    assert not any("by the name" in note for note in found.notes)
