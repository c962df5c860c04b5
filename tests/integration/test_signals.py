"""Whatever stops the runner, and whenever: nothing of it is left, and it says so in a line."""

from __future__ import annotations

import os
import pty
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from tests.support.command import CommandLine, Said, Started, left_in_engine, work_folders
from tests.support.projects import REQUIREMENTS, RUN_ID, RecordedProject

SLOW = ("-v", "--", "python", "-c", "import time; print('training now', flush=True); time.sleep(300)")
QUICK = ("--", "python", "-c", "print('training now', flush=True)")

# What it says on standard error when it has come so far, and what it was asked to do.
MOMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fetch": ("fetching http://", ()),
    "restore": ("  cloning", SLOW),
    "pull": ("  asking the remote", SLOW),
    "provision-cold": ("  resolving packages", SLOW),
    "after-restore": ("restore: done", SLOW),
    "after-provision": ("provision: done", SLOW),
    "train": ("training now", SLOW),
    "after-train": ("train: done", QUICK),
    "collect": ("  reading the capture", QUICK),
    "remove": ("  removing the workspace", QUICK),
    "after-collect": ("collect: done", QUICK),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CASES = [
    pytest.param(
        moment, number, marks=() if number is SIGNALS[place % 3] else pytest.mark.full, id=f"{moment}-{number.name}"
    )
    for place, moment in enumerate(MOMENTS)
    for number in SIGNALS
]


class Stage:
    """A recorded run, a prompt, and a look at what is left."""

    def __init__(self, folder: Path, engine: DockerEngine, images: Prepared) -> None:
        self.project = RecordedProject(folder / "author")
        self.project.commit_training()
        self.project.record()
        self.engine = engine
        self.images = images
        self.typed = CommandLine(folder / "here", tracker=self.project.tracker)

    def start(self, *arguments: str) -> Started:
        return self.typed.start("reproduce", RUN_ID, *arguments)

    def assert_nothing_left(self, process: int) -> None:
        assert left_in_engine(self.engine, process) == []
        assert work_folders(self.engine, self.images.tools) == []
        assert self.typed.files() == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, shared_engine: DockerEngine, shared_images: Prepared) -> Stage:
    """One for all, with an environment that is ready."""
    stage = Stage(tmp_path_factory.mktemp("signals"), shared_engine, shared_images)
    warm = CommandLine(stage.typed.folder.parent / "warm", tracker=stage.project.tracker)
    said = warm.run("reproduce", RUN_ID)
    assert said.code == 0, said.err
    return stage


@pytest.fixture
def silent_server() -> Iterator[str]:
    """An address at which a server listens that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/project.git"


@pytest.fixture
def cold(stage: Stage, tmp_path: Path) -> Stage:
    """A stage whose environment nobody has made."""
    other = Stage.__new__(Stage)
    other.__dict__ |= stage.__dict__
    other.project = RecordedProject(tmp_path / "author")
    other.project.commit_training(
        files={"requirements.txt": f"{REQUIREMENTS}idna==3.{random.SystemRandom().choice('567')}\n"}
    )
    other.project.record()
    other.typed = CommandLine(tmp_path / "here", tracker=other.project.tracker)
    return other


def assert_stopped(said: Said, number: int) -> None:
    assert said.code == 128 + number, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    about = [line for line in said.err.splitlines() if signal.Signals(number).name in line]
    assert about == said.err.splitlines()[-1:] != [], said.err
    assert "same command again" in about[0]


@pytest.mark.parametrize(("moment", "number"), CASES)
def test_a_signal_in_any_phase_leaves_nothing(
    stage: Stage, cold: Stage, silent_server: str, moment: str, number: signal.Signals
) -> None:
    stage = cold if moment == "provision-cold" else stage
    text, arguments = MOMENTS[moment]
    for _ in range(10):
        started = stage.start(*(("--repo", silent_server) if moment == "fetch" else ()), *arguments)
        started.wait_for(text)
        started.stop(number)
        said = started.end()
        if said.out == "" or arguments is not QUICK:
            break
        _remove(stage.typed.folder)  # the verdict was out before the signal came: this moment is short
    assert_stopped(said, number)
    stage.assert_nothing_left(started.pid)


SEED = 20261123


@pytest.mark.parametrize("delay", [pytest.param(n, marks=() if n < 3 else pytest.mark.full) for n in range(40)])
def test_a_signal_at_a_random_time_leaves_nothing(stage: Stage, delay: int) -> None:
    """Up to the length of a whole rerun; what has ended by then has ended well."""
    chance = random.Random(SEED + delay)
    number = chance.choice(SIGNALS)
    started = stage.start(*QUICK)
    started.wait_until_it_hears()
    time.sleep(chance.uniform(0, 3.5))
    started.stop(number)
    said = started.end()
    if said.out == "":
        assert_stopped(said, number)
        stage.assert_nothing_left(started.pid)
    else:  # the verdict was out already
        assert said.code in (4, 128 + number)
        assert left_in_engine(stage.engine, started.pid) == []
        assert not [path for path in stage.typed.files() if "/." in path and not path.endswith(".gitignore")]
        _remove(stage.typed.folder)


@pytest.mark.parametrize("moment", ["restore", "train", "collect"])
def test_more_signals_do_not_break_the_cleaning_up(stage: Stage, moment: str) -> None:
    text, arguments = MOMENTS[moment]
    started = stage.start(*arguments)
    started.wait_for(text)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        started.stop(number)
        time.sleep(0.05)
    assert_stopped(started.end(), signal.SIGINT)
    stage.assert_nothing_left(started.pid)


def test_a_signal_is_one_document_with_json(stage: Stage) -> None:
    started = stage.start("--json", *SLOW)
    started.wait_for("training now")
    started.stop(signal.SIGTERM)
    said = started.end()
    assert said.code == 143
    assert said.document["error"] | {"remedy": ""} == {
        "code": 143,
        "kind": "interrupted",
        "cause": "stopped by SIGTERM",
        "remedy": "",
        "retryable": True,
    }
    stage.assert_nothing_left(started.pid)


def test_a_signal_while_the_workspace_is_to_be_kept_takes_it_away(stage: Stage) -> None:
    started = stage.start("--keep", *SLOW)
    started.wait_for("training now")
    started.stop(signal.SIGINT)
    assert_stopped(started.end(), signal.SIGINT)
    stage.assert_nothing_left(started.pid)


def test_a_terminal_that_is_closed_ends_it_like_sighup(stage: Stage) -> None:
    """The terminal takes its output no more: that must not break the cleaning up."""
    near, far = pty.openpty()
    started = stage.typed.start("reproduce", RUN_ID, *SLOW, stdin=far, stdout=far, stderr=far, start_new_session=True)
    os.close(far)
    shown = b""
    while b"training now" not in shown:
        shown += os.read(near, 1 << 16)
    os.close(near)
    started.stop(signal.SIGHUP)
    assert started.end().code == 129
    stage.assert_nothing_left(started.pid)


@pytest.mark.parametrize("moment", ["provision-cold", "train", "collect"])
def test_what_a_killed_runner_left_goes_at_the_next_start(stage: Stage, cold: Stage, moment: str) -> None:
    """Nobody can clean up after SIGKILL but the next one, of whatever run."""
    stage = cold if moment == "provision-cold" else stage
    text, arguments = MOMENTS[moment]
    started = stage.start(*arguments)
    started.wait_for(text)
    started.stop(signal.SIGKILL)
    started.end()
    assert left_in_engine(stage.engine, started.pid) != []
    assert stage.typed.files() != []
    other = stage.start("--python", "3.11", *SLOW)
    other.wait_for("training now")
    assert left_in_engine(stage.engine, started.pid) == []
    assert len(work_folders(stage.engine, stage.images.tools)) == 1
    other.stop(signal.SIGTERM)
    other.end()
    stage.assert_nothing_left(other.pid)


@pytest.mark.parametrize("how", ["kill", "remove"])
def test_a_training_container_that_somebody_kills_is_never_a_divergence(stage: Stage, how: str) -> None:
    started = stage.start(*SLOW)
    started.wait_for("training now")
    (container,) = [name for name in left_in_engine(stage.engine, started.pid) if name.endswith("-train")]
    if how == "kill":
        stage.engine.client.kill(container.lstrip("/"))
    else:
        stage.engine.client.remove_container(container.lstrip("/"), force=True)
    said = started.end()
    if how == "kill":
        assert said.code == 4, said.err
        assert "FAILED" in said.out
        assert "137" in said.out
    else:  # whether it can still be asked how it ended is chance
        assert said.code in (4, 5), said.err
        assert "137" in said.out or "engine" in said.err
    assert left_in_engine(stage.engine, started.pid) == []
    assert work_folders(stage.engine, stage.images.tools) == []
    _remove(stage.typed.folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
    folder.mkdir()
