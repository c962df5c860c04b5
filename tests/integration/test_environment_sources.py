"""Whole reproductions of small projects by each kind of list that is no lock, and by none, on the real engine."""

from __future__ import annotations

import os

import pytest

from runner.schema.reproduction import Reproduction, Verdict
from tests.support.judging import Judge, why
from tests.support.package_index import PackageIndex
from tests.support.projects import RecordedProject, script

MLFLOW = "mlflow-skinny==2.22.5"
NO_LIST: dict[str, str | bytes | None] = {"requirements.txt": None}

CONDA = f"""
name: sums
channels: [conda-forge]
dependencies:
  - python=3.11
  - conda-forge::msgpack-python=1.1.0
  - zlib=1.3.1
  - r-base=4.3
  - pip
  - pip:
      - {MLFLOW}
"""
USES_MSGPACK = "import msgpack\nassert msgpack.version == (1, 1, 0), msgpack.version\n"

SETUP = """
from pathlib import Path
from setuptools import find_packages, setup

setup(
    name="sums",
    version="1",
    package_dir={"": "lib"},
    packages=find_packages("lib"),
    install_requires=Path(__file__).with_name("needs.txt").read_text().splitlines(),
)
"""
SETUP_THAT_MUST_RUN = """
from setuptools import setup

needs = []
for name, version in (("mlflow-skinny", "2.22.5"),):
    needs.append(name + "==" + version)
setup(name="sums", version="1", py_modules=[], install_requires=needs)
"""
DYNAMIC = """
[project]
name = "sums"
version = "1"
dynamic = ["dependencies"]
requires-python = "==3.11.*"
[tool.setuptools.dynamic]
dependencies = { file = ["needs.txt"] }
"""


def reproduced(judge: Judge, source: str, **flags: object) -> Reproduction:
    found = judge(**flags)
    assert found.verdict is Verdict.IDENTICAL, why(found)
    assert found.plan is not None
    assert found.plan.environment.source == source
    assert any(source in line for line in found.not_verified) or found.plan.environment.exact
    return found


def test_a_project_of_conda_trains_with_what_the_index_has_of_it(project: RecordedProject, judge: Judge) -> None:
    project.commit_training(script(before=USES_MSGPACK), {**NO_LIST, "environment.yml": CONDA})
    project.record()
    found = reproduced(judge, "environment.yml at the commit")
    assert found.rerun is not None
    assert found.rerun.environment.packages["msgpack"] == "1.1.0"
    said = "\n".join(found.not_verified)
    assert "no index of Python packages has: r-base" in said
    assert "as other builds" in said


def test_a_setup_script_is_read_without_being_run_and_its_package_is_installed(
    project: RecordedProject, judge: Judge
) -> None:
    files = {
        **NO_LIST,
        "setup.py": SETUP,
        "needs.txt": f"{MLFLOW}\n",
        "lib/sums/__init__.py": "FACTOR = 1\n",
    }
    project.commit_training(script(before="import sums\nassert sums.FACTOR == 1\n"), files)
    project.record()
    found = reproduced(judge, "setup.py at the commit")
    assert found.plan is not None
    assert found.plan.environment.lines == ("-r needs.txt",)


@pytest.mark.full
def test_what_a_setup_script_tells_only_when_it_runs_its_build_tells(project: RecordedProject, judge: Judge) -> None:
    project.commit_training(files={**NO_LIST, "setup.py": SETUP_THAT_MUST_RUN})
    project.record()
    found = reproduced(judge, "setup.py at the commit (not pinned)")
    assert found.rerun is not None
    assert found.rerun.environment.packages["mlflow-skinny"] == "2.22.5"
    assert any("only when it is run" in line for line in found.not_verified)


def test_dynamic_dependencies_of_a_project_that_is_no_package_are_those_of_their_file(
    project: RecordedProject, judge: Judge
) -> None:
    project.commit_training(files={**NO_LIST, "pyproject.toml": DYNAMIC, "needs.txt": f"{MLFLOW}\n"})
    project.record()
    found = reproduced(judge, "pyproject.toml at the commit")
    assert found.plan is not None
    assert not found.plan.environment.install_project


def test_a_project_that_lists_nothing_trains_with_what_it_imports_as_of_its_day(
    project: RecordedProject, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = script(before="import numerals\nimport msgpack\nfrom deeper.steps import halve\n")
    files = {**NO_LIST, "deeper/steps.py": "import obscurelib\nhalve = obscurelib.halve\n"}
    files["numerals.py"] = ""
    project.commit_training(text, files)
    project.record()
    with PackageIndex() as index:
        # The real MLflow takes half a minute to fetch; the tier of everything has it.
        index.add_wheel("mlflow", "2.22.5", {"unused.py": ""}, MLFLOW)
        index.add_wheel("obscurelib", "1.0", {"obscurelib.py": "def halve(x): return x / 2\n"})
        index.add_wheel("numerals", "1.0", {"numerals.py": "raise SystemExit('an outsider')\n"})
        monkeypatch.setenv("UV_INDEX", f"{index.address} {os.environ.get('UV_INDEX', '')}".strip())
        found = reproduced(
            judge, "imports of train.py and 2 modules of the repository (inferred: nothing lists packages)"
        )
    assert found.plan is not None
    assert found.rerun is not None
    assert found.plan.environment.lines == ("mlflow", "msgpack", "obscurelib")
    assert "numerals" not in found.rerun.environment.packages
    assert any("by the name of the import alone: obscurelib" in line for line in found.not_verified)


@pytest.mark.full
def test_imports_alone_bring_the_real_mlflow_and_scikit_learn(project: RecordedProject, judge: Judge) -> None:
    project.commit_training(script(before="import mlflow.sklearn\nimport yaml\n"), NO_LIST)
    project.record()
    found = reproduced(judge, "imports of train.py (inferred: nothing lists packages)")
    assert found.rerun is not None
    assert {"mlflow", "scikit-learn", "pyyaml"} <= found.rerun.environment.packages.keys()
