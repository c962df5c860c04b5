"""The training's container sees its own and nothing else, and its log is kept within limits and without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.engine.interface import ContainerRequest
from runner.inside import layout
from runner.progress import NoProgress
from runner.rerun.train import Trained, train, train_request
from runner.schema.plan import Limits, Plan
from runner.schema.rerun import Ending
from tests.support.fake_engine import FakeEngine, Said, Told, outcome
from tests.support.values import changed, make_plan

PLACE = {"rerun": "r1", "environment_key": "e" * 16, "volume": "cache"}


def request(plan: Plan | None = None) -> ContainerRequest:
    return train_request(plan or make_plan(), **PLACE)


def limits(**fields: Any) -> Limits:
    return Limits(timeout_s=60.0, timeout_source="--timeout", **fields)


def trained(tmp_path: Path, said: Said, *, log_bytes: int = 1 << 20, told: Told | None = None) -> Trained:
    engine = FakeEngine({"train": said})
    plan = make_plan(limits=limits(log_bytes=log_bytes))
    return train(engine, plan, **PLACE, log_file=tmp_path / "train.log", progress=told or NoProgress())


def test_the_training_is_hardened_and_nobody_in_particular() -> None:
    asked = request()
    assert asked.hardened
    assert asked.capabilities == ()
    assert asked.user == f"{layout.TRAINER_UID}:{layout.TRAINER_GID}"
    assert layout.TRAINER_UID > 0
    assert layout.TRAINER_GID > 0


def test_the_training_has_no_network_unless_the_auditor_allowed_it() -> None:
    assert request().network == "none"
    policy = make_plan().policy
    allowed = make_plan(policy=changed(policy, allow=("network",)))
    assert request(allowed).network == "bridge"
    others = ("build-network", "redate", "undated", "line-endings", "cached", "unfinished", "dirty", "evaluation")
    assert request(make_plan(policy=changed(policy, allow=others))).network == "none"


def test_the_training_sees_its_own_sandbox_and_environment_alone() -> None:
    sandbox, environment = request().mounts
    assert (sandbox.volume, sandbox.subpath, sandbox.target) == ("cache", "work/r1/sandbox", "/sandbox")
    assert not sandbox.read_only
    assert (environment.volume, environment.subpath) == ("cache", f"environments/{'e' * 16}")
    assert environment.target == f"{layout.ENVIRONMENTS}/{'e' * 16}"
    assert environment.read_only
    assert request().files == ()
    assert request().stdin is None


def test_where_outputs_of_the_original_and_our_notes_lie_is_not_mounted() -> None:
    for mount in request().mounts:
        assert layout.REFERENCE not in (mount.subpath or "/").split("/")
        assert layout.STATE not in (mount.subpath or "/").split("/")


def test_the_environment_comes_first_on_the_path_and_ours_last() -> None:
    path = request().environment["PATH"].split(":")
    assert path[0] == f"{layout.ENVIRONMENTS}/{'e' * 16}/bin"
    assert path[-1] == layout.TOOLS_PATH
    assert {"/usr/bin", "/bin"} < set(path), "git is there"


def test_home_and_temporary_files_are_the_trainings_own() -> None:
    environment = request().environment
    for name in ("HOME", "TMPDIR", "REPRO_CAPTURE_DIR", "REPRO_WORKSPACE"):
        assert environment[name].startswith(layout.SANDBOX_TARGET + "/")
    assert set(request().tmpfs) == {"/tmp"}


def test_nothing_of_this_hosts_environment_reaches_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "https_proxy", "RUNNER_NAME", "REPRO_X"):
        monkeypatch.setenv(name, "hunter2")
    assert "hunter2" not in repr(request())


def test_variables_of_the_plan_reach_the_training_and_never_replace_ours() -> None:
    ours = request().environment
    theirs = request(make_plan(variables={"SEED": "1", "PATH": "/evil", "REPRO_CAPTURE_DIR": "/evil", "HOME": "/"}))
    assert theirs.environment == {**ours, "SEED": "1"}


def test_the_command_is_one_shell_line_in_which_a_broken_pipe_shows() -> None:
    line = "python train.py --note 'a b' | tee log.txt"
    assert request(make_plan(command=line)).argv == ("bash", "-o", "pipefail", "-c", line)


@pytest.mark.parametrize(
    ("directory", "expected"),
    [(".", "/sandbox/workspace"), ("", "/sandbox/workspace"), ("src/model", "/sandbox/workspace/src/model")],
)
def test_the_command_runs_where_it_was_run(directory: str, expected: str) -> None:
    assert request(make_plan(working_directory=directory)).working_directory == expected


def test_every_limit_of_the_plan_is_asked_for() -> None:
    asked = request(make_plan(limits=limits(memory_bytes=1 << 30, cpuset="0-3", pids=99, shm_bytes=1 << 20)))
    assert (asked.memory_bytes, asked.cpuset, asked.pids, asked.shm_bytes) == (1 << 30, "0-3", 99, 1 << 20)
    assert asked.timeout_s == 60.0


@pytest.mark.parametrize(
    ("ended", "ending"),
    [
        (outcome(0), Ending.FINISHED),
        (outcome(1), Ending.CRASHED),
        (outcome(137), Ending.CRASHED),
        (outcome(137, out_of_memory=True), Ending.OUT_OF_MEMORY),
        (outcome(0, out_of_memory=True), Ending.OUT_OF_MEMORY),
        (outcome(137, out_of_memory=None), Ending.KILLED),
        (outcome(1, out_of_processes=True), Ending.OUT_OF_PROCESSES),
        (outcome(0, out_of_processes=True), Ending.FINISHED),
        (outcome(None, timed_out=True), Ending.TIMED_OUT),
        (outcome(None, stopped=True), Ending.WROTE_TOO_MUCH),
    ],
)
def test_each_way_to_end_is_told_from_the_others(tmp_path: Path, ended: Any, ending: Ending) -> None:
    done = trained(tmp_path, Said(b"epoch 1\n", outcome=ended))
    assert (done.ending, done.exit_code, done.seconds) == (ending, ended.exit_code, 1.5)


def test_both_streams_go_to_the_log_and_on_as_they_come(tmp_path: Path) -> None:
    told = Told()
    done = trained(tmp_path, Said(b"out\n", stderr=b"err\n", size=2), told=told)
    assert (tmp_path / "train.log").read_bytes() == b"err\nout\n"
    assert b"".join(told.logged) == b"err\nout\n"
    assert told.logged[0] == b"er"
    assert done.log_tail == ("err", "out")
    assert not done.log_cut


@given(
    text=st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", b"\xff", "é".encode()])).map(b"".join),
    size=st.integers(1, 50),
    limit=st.integers(1, 60),
)
@settings(deadline=None)
def test_a_log_is_its_first_bytes_in_whatever_pieces_it_came(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, size: int, limit: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    done = trained(folder, Said(text, size=size), log_bytes=limit)
    written = (folder / "train.log").read_bytes()
    assert written[:limit] == text[:limit]
    assert done.log_cut == (len(text) > limit)
    assert (b"the log was cut here" in written) == done.log_cut


def test_a_log_says_once_that_it_was_cut_and_the_end_is_kept_all_the_same(tmp_path: Path) -> None:
    told = Told()
    text = b"".join(b"epoch %d\n" % number for number in range(1000))
    done = trained(tmp_path, Said(text, size=10), log_bytes=100, told=told)
    assert (tmp_path / "train.log").read_bytes() == text[:100] + b"\n[the log was cut here, at 100 bytes]\n"
    assert done.log_tail[-1] == "epoch 999"
    assert len(done.log_tail) == 40
    assert b"".join(told.logged) == text


def test_after_the_cut_nothing_is_kept_but_the_end_which_holds_no_secret(tmp_path: Path) -> None:
    line = b"https://ann:~hunter2~@tracker.example/" + b"x" * 90
    done = trained(tmp_path, Said(b"start\n" + (line + b"\n") * 5000, size=4099), log_bytes=100)
    assert done.log_cut
    assert len(done.log_tail) == 40
    assert "~" not in "".join(done.log_tail)
    assert set(done.log_tail) == {done.log_tail[0]}
    assert (tmp_path / "train.log").stat().st_size < 200


def test_a_log_of_just_the_limit_was_not_cut(tmp_path: Path) -> None:
    done = trained(tmp_path, Said(b"x" * 100), log_bytes=100)
    assert not done.log_cut
    assert (tmp_path / "train.log").read_bytes() == b"x" * 100


def test_the_tail_is_text_whatever_the_training_printed(tmp_path: Path) -> None:
    done = trained(tmp_path, Said(b"caf\xe9\r\nunfinished"))
    assert done.log_tail == ("caf\ufffd", "unfinished")
    assert (tmp_path / "train.log").read_bytes() == b"caf\xe9\r\nunfinished"


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    done = trained(tmp_path, Said(b"x" * 500_000, size=1000))
    (line,) = done.log_tail
    assert len(line) == 2000
    assert (tmp_path / "train.log").stat().st_size == 500_000


def test_a_training_that_prints_nothing_has_an_empty_log(tmp_path: Path) -> None:
    done = trained(tmp_path, Said())
    assert done.log_tail == ()
    assert (tmp_path / "train.log").read_bytes() == b""


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("end", [b"\n", b"\r", b""])
def test_no_secret_that_the_training_prints_is_in_the_log(tmp_path: Path, size: int, end: bytes) -> None:
    text = b"tracking to https://ann:~hunter2~@tracker.example\nepoch 1\nAWS_SECRET_ACCESS_KEY=~hunter2~" + end
    done = trained(tmp_path, Said(text, size=size))
    assert b"~" not in (tmp_path / "train.log").read_bytes()
    assert "~" not in "".join(done.log_tail)
    assert done.log_tail[1] == "epoch 1"
