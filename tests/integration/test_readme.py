"""The README's commands, word for word, in a fresh copy of this checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.readme import blocks

ROOT = Path(__file__).parents[2]
COMMANDS = blocks((ROOT / "README.md").read_text())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone holds: no environment, no cache, nothing that git ignores."""
    target = tmp_path_factory.mktemp("clone")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def type_in(folder: Path, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(clone: Path) -> subprocess.CompletedProcess[str]:
    """The first command, typed once."""
    return type_in(clone, COMMANDS["demo"])


def test_main_command_of_the_readme_works_from_a_fresh_clone(
    clone: Path, demo: subprocess.CompletedProcess[str]
) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "4 of 4 as expected" in demo.stdout
    # Neither --keep nor a folder: nothing stays.
    assert "The folder is removed" in demo.stdout
    assert not (clone / "runner-demo").exists()


def test_reproduce_command_of_the_readme_is_a_command(clone: Path, demo: subprocess.CompletedProcess[str]) -> None:
    # With RUN and URI as they stand, so that the command must refuse them, and say why.
    done = type_in(clone, f"{COMMANDS['reproduce']} --quiet")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "URI" in done.stderr


def test_test_command_of_the_readme_installs_all_that_the_tests_need(clone: Path) -> None:
    # CI runs this command whole, and this test within it: here pytest only collects.
    done = type_in(clone, COMMANDS["tests"], PYTEST_ADDOPTS="--collect-only --quiet -p no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/integration/test_readme.py" in done.stdout
