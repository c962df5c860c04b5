"""A machine without internet: what `setup --save` wrote is all that a rerun needs there, beside the project itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.prepare import Prepared
from tests.support.command import CommandLine, Said
from tests.support.more_engines import Engines
from tests.support.projects import RUN_ID, RecordedProject

VOLUME = "reproducibility-runner-test-carried"


def cut_off(typed: CommandLine, *arguments: str) -> Said:
    """Run the command where this host has no network either; a socket's path leads out all the same."""
    from tests.support.command import RUNNER

    process = subprocess.run(
        ["unshare", "-n", *RUNNER, *arguments],
        cwd=typed.folder,
        env=typed.variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(process.returncode, process.stdout, process.stderr)


@pytest.fixture(scope="module")
def far(engines: Engines) -> dict[str, str]:
    """The variables of the machine without internet."""
    return {**engines.environment("cut-off"), "REPRO_CACHE_VOLUME": VOLUME}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordedProject:
    """A project with its run, and a package that the training imports."""
    folder = tmp_path_factory.mktemp("author")
    project = RecordedProject(folder)
    project.commit_training()
    project.record()
    return project


@pytest.fixture(scope="module")
def here(recorded: RecordedProject, shared_images: Prepared, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The machine with internet, on which the run was reproduced once."""
    typed = CommandLine(tmp_path_factory.mktemp("first") / "here", tracker=recorded.tracker)
    said = typed.run("reproduce", RUN_ID, "--json")
    assert said.code == 0, said.err
    return typed


@pytest.fixture(scope="module")
def saved(here: CommandLine) -> tuple[Path, dict[str, Any]]:
    """What was saved there."""
    said = here.run("setup", "--save", "saved.tar", "--python", "3.11", "--json")
    assert said.code == 0, said.err
    assert not (here.folder / "saved.tar.part").exists()
    return here.folder / "saved.tar", said.document


def test_a_machine_without_internet_reproduces_with_what_was_saved(
    recorded: RecordedProject,
    saved: tuple[Path, dict[str, Any]],
    far: dict[str, str],
    tmp_path: Path,
) -> None:
    typed = CommandLine(tmp_path / "there", tracker=recorded.tracker, **far)
    loaded = cut_off(typed, "setup", "--load", str(saved[0]), "--json")
    assert loaded.code == 0, loaded.err
    assert loaded.document["digest"] == saved[1]["digest"]
    assert loaded.document["environments"] >= 1
    said = cut_off(typed, "reproduce", RUN_ID, "--offline", "--json")
    assert said.code == 0, said.err
    assert said.document["verdict"] == "identical"
    assert said.document["rerun"]["environment"]["cached"]
    again = cut_off(typed, "setup", "--load", str(saved[0]), "--json")
    assert (again.code, again.document["environments"]) == (0, 0), "what is there stays"
