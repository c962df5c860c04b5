"""Whole reproductions on each Python that a base image can be made for, chosen by what run or commit records."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from runner.engine.base_image import SUITES
from runner.engine.docker import DockerEngine
from runner.errors import MissingFact
from runner.planning import plan_run
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.projects import RUN_ID, RecordedProject, script

OLD = "setuptools<80\n"
MLFLOW_1_30 = f"mlflow-skinny==1.30.1\n{OLD}"
MLFLOW_2_2 = f"mlflow-skinny==2.2.2\n{OLD}"
MLFLOW_2_22 = "mlflow-skinny==2.22.0\n"
MLFLOW_TODAY = "mlflow-skinny==3.17.2\n"

JUNE_2024_MS = 1_717_200_000_000
BY_MODEL = "python_env.yaml of the logged model"
BY_VERSION_FILE = ".python-version at the commit"
BY_BOUND = "requires-python of pyproject.toml"
BY_LOCK = "requires-python of uv.lock"

# What only a Python of that version can run, so that a wrong choice cannot pass.
SAYS_ITS_VERSION = "import sys\nassert '%d.%d' % sys.version_info[:2] == '{minor}', sys.version\n"


def record_with_python(project: RecordedProject, minor: str, requirements: str, by: str) -> None:
    """Have the project's commit, or its run, say with which Python it was made."""
    files: dict[str, str | bytes | None] = {"requirements.txt": requirements, ".python-version": None}
    if by == BY_VERSION_FILE:
        files[".python-version"] = f"{minor}\n"
    elif by == BY_BOUND:
        files["pyproject.toml"] = f'[project]\nname = "sums"\nversion = "1"\nrequires-python = "=={minor}.*"\n'
    elif by == BY_LOCK:
        # A lock of another tool's that has no packages of ours: its bound counts, its packages do not.
        files["uv.lock"] = f'version = 1\nrequires-python = "=={minor}.*"\n'
    project.commit_training(script(before=SAYS_ITS_VERSION.format(minor=minor)), files)
    project.record(start_ms=int(time.time() * 1000))  # when all of these packages were there
    if by == BY_MODEL:
        model = project.tracker / "417" / RUN_ID / "artifacts" / "model"
        model.mkdir()
        (model / "python_env.yaml").write_text(f"python: {minor}.2\nbuild_dependencies:\n- pip\ndependencies: []\n")


def judge(project: RecordedProject, engine: DockerEngine, folder: Path, **flags: Any) -> Reproduction:
    folder.mkdir()
    settings = load_settings(Flags(**{"tracker": str(project.tracker), **flags}), {}, folder)
    return reproduce(RUN_ID, settings, progress=NoProgress(), engine=engine).reproduction


@pytest.mark.parametrize(
    ("minor", "requirements", "by"),
    [
        pytest.param("3.9", MLFLOW_2_2, BY_MODEL, id="3.9 mlflow-2.2"),
        pytest.param("3.13", MLFLOW_TODAY, BY_VERSION_FILE, id="3.13 mlflow-today"),
        *(
            pytest.param(minor, requirements, by, id=f"{minor} {name}", marks=pytest.mark.full)
            for minor, name, requirements, by in (
                ("3.9", "mlflow-1.30", MLFLOW_1_30, BY_BOUND),
                ("3.9", "mlflow-2.22", MLFLOW_2_22, BY_MODEL),
                ("3.11", "mlflow-1.30", MLFLOW_1_30, BY_VERSION_FILE),
                ("3.11", "mlflow-2.2", MLFLOW_2_2, BY_BOUND),
                ("3.11", "mlflow-2.22", MLFLOW_2_22, BY_MODEL),
                ("3.11", "mlflow-today", MLFLOW_TODAY, BY_MODEL),
                ("3.13", "mlflow-2.22", MLFLOW_2_22, BY_BOUND),
                ("3.14", "mlflow-today", MLFLOW_TODAY, BY_BOUND),
            )
        ),
    ],
)
def test_a_run_is_identical_on_the_python_that_it_was_recorded_with(
    minor: str, requirements: str, by: str, shared_engine: DockerEngine, tmp_path: Path
) -> None:
    """The base image is made where it is not there; restore, provision and collect run on it too."""
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    record_with_python(project, minor, requirements, by)
    reproduction = judge(project, shared_engine, tmp_path / "elsewhere")
    assert reproduction.verdict is Verdict.IDENTICAL, (reproduction.reason, reproduction.rerun)
    assert reproduction.plan is not None
    assert reproduction.rerun is not None
    assert reproduction.plan.images.base_origin in (f"mmdebstrap {SUITES[minor]}", "registry")
    assert reproduction.rerun.environment.python.startswith(f"{minor}.")
    assert reproduction.rerun.capture.problems == ()
    assert reproduction.rerun.capture.mlflow_processes == 1
    assert {str(file.digest) for file in reproduction.rerun.inputs} == {
        f"md5:{project.stored_data.digest.hexdigest}",
        f"md5:{project.stored_model.digest.hexdigest}",
    }


@pytest.mark.parametrize("minor", ["3.7", "3.12"])
def test_a_python_that_no_image_can_be_had_for_is_named_with_those_that_can(
    minor: str, shared_engine: DockerEngine, tmp_path: Path
) -> None:
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    record_with_python(project, minor, MLFLOW_2_22, BY_VERSION_FILE)
    reproduction = judge(project, shared_engine, tmp_path / "elsewhere")
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.verdict.exit_code == 3
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "python"
    assert f"Python {minor}" in reproduction.missing.cause
    for other in SUITES:
        assert other in reproduction.missing.remedy
    assert reproduction.rerun is None


def test_a_run_that_records_no_python_gets_the_newest_that_its_packages_have_wheels_for(
    shared_engine: DockerEngine, tmp_path: Path
) -> None:
    """numpy 1.22 has wheels up to Python 3.10: of those with an image, only 3.9 can be had without building."""
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    files = {"requirements.txt": f"{MLFLOW_2_2}numpy==1.22.4\n", ".python-version": None}
    project.commit_training(script(before=SAYS_ITS_VERSION.format(minor="3.9")), files)
    project.record(start_ms=JUNE_2024_MS)
    reproduction = judge(project, shared_engine, tmp_path / "elsewhere")
    assert reproduction.verdict is Verdict.IDENTICAL, (reproduction.reason, reproduction.rerun)
    assert reproduction.rerun is not None
    assert reproduction.rerun.environment.python.startswith("3.9.")
    note = next(line for line in reproduction.not_verified if line.startswith("Python 3.9: no record names the run's"))
    assert "3.12 (" in note
    assert "3.13" not in note, "it was not there yet"
    assert "3.11 (numpy 1.22.4 has no wheel for it)" in note


def test_a_plan_says_that_its_python_cannot_be_had(shared_engine: DockerEngine, tmp_path: Path) -> None:
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    record_with_python(project, "3.7", MLFLOW_2_22, BY_VERSION_FILE)
    settings = load_settings(Flags(tracker=str(project.tracker)), {}, tmp_path)
    with pytest.raises(MissingFact, match=r"Python 3\.7") as caught:
        plan_run(RUN_ID, settings, progress=NoProgress())
    assert (caught.value.exit_code, caught.value.fact) == (3, "python")
    assert "--python" in caught.value.remedy


def test_another_python_that_the_auditor_gives_is_in_every_reason(shared_engine: DockerEngine, tmp_path: Path) -> None:
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    project.commit_training(files={".python-version": "3.8.10\n"})
    project.record()
    reproduction = judge(project, shared_engine, tmp_path / "elsewhere", python="3.11")
    assert reproduction.verdict is Verdict.IDENTICAL
    assert reproduction.reason.endswith("; --python 3.11: the run recorded 3.8.10")
    assert reproduction.not_verified[0] == "--python 3.11: the run recorded 3.8.10"
