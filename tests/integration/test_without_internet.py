"""A machine without internet: what `setup --save` wrote is all that a rerun needs there, beside the project itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import connect
from runner.engine.find import find_engine
from runner.prepare import Prepared
from tests.support.command import RUNNER, CommandLine, Said
from tests.support.more_engines import Engines
from tests.support.projects import RUN_ID, RecordedProject

VOLUME = "reproducibility-runner-test-carried"


def cut_off(typed: CommandLine, *arguments: str) -> Said:
    """Run the command where this host has no network either; a socket's path leads out all the same."""
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


def test_a_file_that_was_cut_off_or_changed_is_refused_before_the_engine_hears_of_it(
    saved: tuple[Path, dict[str, Any]], far: dict[str, str], tmp_path: Path
) -> None:
    typed = CommandLine(tmp_path / "there", **far)
    cut = typed.folder / "cut.tar"
    shutil.copyfile(saved[0], cut)
    os.truncate(cut, saved[0].stat().st_size // 2)
    said = cut_off(typed, "setup", "--load", "cut.tar", "--json")
    assert said.code == 2
    assert "cut.tar is not whole" in said.document["error"]["cause"]
    cut.unlink()
    engine = connect(find_engine({**os.environ, **far}))
    try:
        assert engine.client.images() == []
        assert not engine.has_volume(VOLUME)
    finally:
        engine.close()


def test_without_images_nothing_is_made_or_pulled_offline(
    recorded: RecordedProject, far: dict[str, str], tmp_path: Path
) -> None:
    typed = CommandLine(tmp_path / "there", tracker=recorded.tracker, **far)
    said = cut_off(typed, "reproduce", RUN_ID, "--offline", "--json")
    assert said.code == 5
    error = said.document["error"]
    assert error["kind"] == "image-unavailable"
    assert "--offline" in error["cause"]
    assert "runner setup --load FILE" in error["remedy"]


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


def test_pruning_there_says_what_it_removes_and_what_it_keeps(far: dict[str, str], tmp_path: Path) -> None:
    # By the command line: on an engine of the tests' own nobody else's images and caches can go.
    typed = CommandLine(tmp_path / "there", **far)
    said = cut_off(typed, "setup", "--prune", "--keep-size", "1k", "--dry-run", "--json")
    assert said.code == 0, said.err
    would = {line["kind"] for line in said.document["removed"]}
    assert {"environments", "wheels", "locks"} <= would
    assert {line["kind"] for line in said.document["kept"]} >= {"image"}
    said = cut_off(typed, "setup", "--prune", "--keep-size", "1k")
    assert said.code == 0, said.err
    assert re.search(r"^removed +[\d.]+ MB  environments +\w{12} Python 3\.11\.\d+, \d+ packages", said.out, re.M)
    assert re.search(r"^kept +[\d.]+ MB  image +reproducibility-runner/tools:", said.out, re.M)
    again = cut_off(typed, "setup", "--prune", "--older-than", "30d", "--json")
    assert again.document["removed"] == []
    old = cut_off(typed, "setup", "--prune", "--older-than", "1s", "--json")
    assert {line["kind"] for line in old.document["removed"]} >= {"image"}, "no rerun used them for a second"
