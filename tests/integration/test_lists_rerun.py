"""Whole reproductions whose packages come from a lock, or from requirements as Windows and monorepos have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.schema.reproduction import Verdict
from tests.integration.test_provision_trees import package
from tests.support.judging import Judge, why
from tests.support.lock_files import text
from tests.support.projects import REQUIREMENTS, RecordedProject, script


def test_requirements_in_utf_16_with_a_folder_of_the_repository_train_identically(
    project: RecordedProject, judge: Judge
) -> None:
    """As PowerShell's `pip freeze > requirements.txt` writes them, edited by hand."""
    listed = f"{REQUIREMENTS}-e ./tools/sums\n".replace("\n", "\r\n")
    files = {"requirements.txt": listed.encode("utf-16"), **package("sums_tools", "half = 0.5", "tools/sums/")}
    project.commit_training(script(before="import sums_tools\nassert sums_tools.half == 0.5"), files)
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert reproduction.rerun.environment.packages["sums-tools"] == "1.0"
    assert any("tools/sums of the repository was installed" in line for line in reproduction.not_verified)


@pytest.mark.full
def test_a_lock_of_any_tool_is_the_environment_that_trains(
    project: RecordedProject, judge: Judge, tmp_path: Path
) -> None:
    folder = tmp_path / "locking"
    folder.mkdir()
    dependencies = ", ".join(f'"{line}"' for line in REQUIREMENTS.split())
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "sums"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = [{dependencies}]\n'
    )
    export = [Path(sys.executable).with_name("uv"), "export", "--quiet", "--format", "pylock.toml"]
    done = subprocess.run([*export, "--no-emit-project"], cwd=folder, check=True, capture_output=True, text=True)
    # It decides alone: what the other list asks for cannot be had.
    files: dict[str, str | bytes | None] = {"pylock.toml": done.stdout, "requirements.txt": "no-such-package==1\n"}
    project.commit_training(files=files)
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.plan is not None
    assert reproduction.plan.environment.source == "pylock.toml at the commit"
    assert any("packages, exact (pylock.toml at the commit)" in line for line in reproduction.verified)


def test_a_lock_of_another_project_makes_a_run_unverifiable_though_another_list_is_there(
    project: RecordedProject, judge: Judge
) -> None:
    manifest = text("poetry-1.8/pyproject.toml").replace("~8.1", "~8.0")
    project.commit_training(files={"poetry.lock": text("poetry-1.8/poetry.lock"), "pyproject.toml": manifest})
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.verdict.exit_code == 3
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "environment"
    assert "poetry.lock at the commit was not made from pyproject.toml as it is there" in reproduction.missing.cause
    assert "`environment: requirements.txt` in runner.yaml" in reproduction.missing.remedy
    assert reproduction.rerun is None
