"""What one container per request must hold, on every engine: the contract of `runner.engine.interface`.

This machine's engine is held to all of it, the others to what is marked `core`; `pytest -m full` holds all to all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.engine import labels
from runner.engine.base_image import ensure_base_image
from runner.engine.docker import DockerEngine, connect
from runner.engine.find import EngineAddress
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.engine.sweep import clear_work, sweep
from runner.errors import EngineUnavailable, ImageUnavailable, InternalError, UsageError
from tests.support.engines import MIB, Pieces, left_of, run
from tests.support.more_engines import NAMES, Engines


def core(test: Any) -> Any:
    """Mark what every engine is held to in the default tier."""
    test.core = True
    return test


def at_a_socket(test: Any) -> Any:
    """Mark what is about an engine's own socket."""
    test.at_a_socket = True
    return test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        always = {"docker", "elsewhere", "tls", "podman"} if hasattr(metafunc.function, "core") else {"docker"}
        able = [
            name for name in NAMES if not hasattr(metafunc.function, "at_a_socket") or name not in {"tls", "context"}
        ]
        names = [pytest.param(name, marks=() if name in always else pytest.mark.full) for name in able]
        metafunc.parametrize("engine", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, engines: Engines) -> Iterator[DockerEngine]:
    """The engine of that name, found as a user's variables name it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engines.environment(request.param).items():
            patch.delenv("DOCKER_HOST", raising=False)
            patch.setenv(name, value)
        engine = connect()
        yield engine
        session = engine.session_id
        engine.close()
        assert left_of(engine, session) == []
        assert labels.session_volume(session) not in [one["Name"] for one in engine.client.volumes()["Volumes"] or ()]


@pytest.fixture(scope="module")
def image(engine: DockerEngine) -> str:
    return ensure_base_image(engine).reference


@pytest.fixture(scope="module")
def volume(engine: DockerEngine, image: str) -> Iterator[str]:
    """A volume with two work folders in it."""
    name = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    engine.ensure_volume(name)
    script = "mkdir -p /v/work/a/tree /v/work/b/tree; echo mine > /v/work/a/tree/f; echo other > /v/work/b/tree/f"
    try:
        made = run(engine, shell(image, script, mounts=(VolumeMount(volume=name, target="/v"),)))
        assert made.outcome.exit_code == 0, made.err
        yield name
    finally:
        engine.client.remove_volume(name)


def shell(image: str, script: str, **options: object) -> ContainerRequest:
    return ContainerRequest(image=image, argv=("sh", "-c", script), purpose="test", **options)  # type: ignore[arg-type]


def python(image: str, script: str, **options: object) -> ContainerRequest:
    argv = ("python3", "-c", textwrap.dedent(script))
    return ContainerRequest(image=image, argv=argv, purpose="test", **options)  # type: ignore[arg-type]


@core
def test_output_streams_and_exit_status_are_told_apart(engine: DockerEngine, image: str) -> None:
    ran = run(
        engine,
        shell(image, 'echo out; echo "err $X" >&2; pwd; exit 7', environment={"X": "y"}, working_directory="/usr"),
    )
    assert (ran.out, ran.err, ran.outcome.exit_code) == ("out\n/usr\n", "err y\n", 7)
    assert not ran.outcome.timed_out
    assert not ran.outcome.out_of_memory
    assert left_of(engine, engine.session_id) == []


@core
def test_a_command_that_is_not_there_ends_with_127(engine: DockerEngine, image: str) -> None:
    request = ContainerRequest(image=image, argv=("no-such-command",), purpose="test")
    assert run(engine, request).outcome.exit_code == 127


@core
def test_standard_input_arrives_whole_and_ends(engine: DockerEngine, image: str) -> None:
    ran = run(engine, shell(image, "wc -c", stdin=[b"x" * MIB] * 3))
    assert ran.out.strip() == str(3 * MIB)


def test_input_that_nobody_reads_does_not_hang(engine: DockerEngine, image: str) -> None:
    assert run(engine, shell(image, "true", stdin=[b"x" * MIB] * 3, timeout_s=30)).outcome.exit_code == 0


@core
def test_much_output_on_both_streams_neither_hangs_nor_gets_lost(engine: DockerEngine, image: str) -> None:
    script = """
        import os
        for stream in (2, 1):
            for _ in range(80):
                os.write(stream, b"x" * 65536)
    """
    out, err = Pieces(), Pieces()
    outcome = engine.run(python(image, script, timeout_s=60), stdout=out, stderr=err)
    assert outcome.exit_code == 0
    assert [sum(map(len, sink.pieces)) for sink in (out, err)] == [5 * MIB, 5 * MIB]
    assert max(map(len, out.pieces)) <= 1 << 16, "output is handed on as it comes"


@core
def test_much_output_passes_while_the_input_stays_open(engine: DockerEngine, image: str) -> None:
    ended = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"go\n"
        ended.wait(60)

    script = "import os, sys; sys.stdin.readline(); [os.write(1, b'x' * 65536) for _ in range(80)]"
    out = Pieces()
    outcome = engine.run(python(image, script, stdin=pieces(), timeout_s=30), stdout=out, stderr=Pieces())
    ended.set()
    assert (outcome.exit_code, sum(map(len, out.pieces))) == (0, 5 * MIB)


def test_output_is_handed_on_before_the_end(engine: DockerEngine, image: str) -> None:
    out, seen = Pieces(), threading.Event()

    def take(data: bytes) -> None:
        out(data)
        seen.set()

    def answer() -> Iterator[bytes]:
        assert seen.wait(120)
        yield b"go on\n"

    outcome = engine.run(
        shell(image, "echo a; read line; echo b", stdin=answer(), timeout_s=180), stdout=take, stderr=Pieces()
    )
    assert (outcome.exit_code, out.text()) == (0, "a\nb\n")


def test_a_sink_that_fails_stops_and_removes_the_container(engine: DockerEngine, image: str) -> None:
    def broken(_: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        engine.run(shell(image, "echo a; sleep 60"), stdout=broken, stderr=Pieces())
    assert left_of(engine, engine.session_id) == []


@core
def test_a_timeout_kills_at_once_and_keeps_the_output(engine: DockerEngine, image: str) -> None:
    began = time.monotonic()
    ran = run(engine, shell(image, "trap '' TERM; echo before; sleep 600", timeout_s=5.0))
    assert ran.outcome.timed_out
    assert ran.outcome.exit_code is None
    assert ran.out == "before\n"
    # What it takes besides is to make, kill and remove it: an engine's own `stop` would wait ten seconds more.
    assert time.monotonic() - began - ran.outcome.seconds < 10


def test_a_clock_that_is_set_back_delays_no_timeout(
    engine: DockerEngine, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86400)
    outcome = run(engine, shell(image, "sleep 300", timeout_s=1.0)).outcome
    assert outcome.timed_out
    assert outcome.seconds < 150, "by a clock that nobody set"


def test_what_is_asked_to_stop_is_ended(engine: DockerEngine, image: str) -> None:
    stop = threading.Event()
    out = Pieces()

    def take(data: bytes) -> None:
        out(data)
        stop.set()

    outcome = engine.run(shell(image, "echo up; sleep 60"), stdout=take, stderr=Pieces(), stop=stop)
    assert (outcome.stopped, outcome.timed_out, outcome.exit_code) == (True, False, None)
    assert out.text() == "up\n"
    assert left_of(engine, engine.session_id) == []


def test_a_timeout_holds_for_a_container_that_closed_its_output(engine: DockerEngine, image: str) -> None:
    ran = run(engine, shell(image, "exec >&- 2>&-; sleep 60", timeout_s=1.5))
    assert ran.outcome.timed_out


def test_a_container_that_closes_its_output_is_waited_for(engine: DockerEngine, image: str) -> None:
    assert run(engine, shell(image, "exec >&- 2>&-; sleep 1; exit 3")).outcome.exit_code == 3


HOG = "python3 -c 'x = bytearray(400 << 20)'"


@core
@pytest.mark.parametrize(
    ("script", "status"), [(f"exec {HOG}", 137), (f"{HOG}; echo the shell goes on; exit 0", 0)], ids=["main", "child"]
)
def test_a_kill_for_memory_is_seen_for_the_main_process_and_for_a_child(
    engine: DockerEngine, image: str, script: str, status: int
) -> None:
    ran = run(engine, shell(image, script, memory_bytes=64 * MIB))
    assert ran.outcome.out_of_memory
    assert ran.outcome.exit_code == status


@core
def test_an_end_by_signal_is_not_taken_for_memory(engine: DockerEngine, image: str) -> None:
    ran = run(engine, shell(image, "sh -c 'kill -9 $$'; exit 137", memory_bytes=64 * MIB))
    assert (ran.outcome.exit_code, ran.outcome.out_of_memory) == (137, False)


@core
def test_a_sub_folder_is_mounted_alone(engine: DockerEngine, image: str, volume: str) -> None:
    mount = VolumeMount(volume=volume, target="/work", subpath="work/a/tree")
    ran = run(
        engine, shell(image, "cat /work/f; ls /work /work/..; echo new > /work/g; cat /proc/mounts", mounts=(mount,))
    )
    assert ran.out.startswith("mine\n")
    assert "other" not in ran.out
    assert left_of(engine, engine.session_id) == [], "the sub-folder's own volume goes with the container"
    again = run(engine, shell(image, "cat /v/work/a/tree/g", mounts=(VolumeMount(volume=volume, target="/v"),)))
    assert again.out == "new\n"


@core
def test_a_read_only_sub_folder_cannot_be_written_even_by_root(engine: DockerEngine, image: str, volume: str) -> None:
    mount = VolumeMount(volume=volume, target="/work", subpath="work/b/tree", read_only=True)
    ran = run(engine, shell(image, "echo x > /work/f", mounts=(mount,)))
    assert ran.outcome.exit_code != 0
    assert "Read-only" in ran.err


@pytest.mark.parametrize("subpath", ["../x", "/etc", "work/a/tree/deeper", "work//a", "."])
def test_a_sub_path_that_could_lead_elsewhere_is_refused(
    engine: DockerEngine, image: str, volume: str, subpath: str
) -> None:
    with pytest.raises(InternalError):
        run(engine, shell(image, "true", mounts=(VolumeMount(volume=volume, target="/w", subpath=subpath),)))


def test_a_sub_folder_that_is_not_there_is_an_error_and_leaves_nothing(
    engine: DockerEngine, image: str, volume: str
) -> None:
    mount = VolumeMount(volume=volume, target="/w", subpath="work/none/tree")
    with pytest.raises(EngineUnavailable, match=r"work/none/tree|no such file"):
        run(engine, shell(image, "true", mounts=(mount,)))
    assert left_of(engine, engine.session_id) == []


@core
def test_a_hardened_container_can_do_nothing_but_compute(engine: DockerEngine, image: str) -> None:
    script = """
        grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status
        touch /x 2>/dev/null || echo read-only root
        touch /tmp/x && echo writable tmp
        ls /sys/class/net | grep -v -E '^(lo|sit0|ip6tnl0|tunl0)$' || echo no network
        id -u
        python3 -c 'import socket; print(socket.gethostbyname(socket.gethostname()))'
    """
    ran = run(engine, shell(image, script, hardened=True, user="10001:10001", tmpfs={"/tmp": "mode=1777,size=16m"}))
    assert ran.out.split("\n") == [
        "CapBnd:\t0000000000000000" if "CapBnd" in line else line
        for line in (
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "read-only root",
            "writable tmp",
            "no network",
            "10001",
            "127.0.0.1",
            "",
        )
    ]


@core
def test_a_capability_that_was_asked_for_is_given_back_alone(engine: DockerEngine, image: str) -> None:
    ran = run(engine, shell(image, "grep CapEff /proc/self/status", hardened=True, capabilities=("CHOWN",)))
    assert ran.out.split() == ["CapEff:", "0000000000000001"]


@core
def test_limits_hold(engine: DockerEngine, image: str) -> None:
    script = """
        import os, subprocess
        print(len(os.sched_getaffinity(0)), os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize)
        started = 0
        try:
            for started in range(100):
                subprocess.Popen(["sleep", "300"])
        except BlockingIOError:
            print("limited", started < 32)
    """
    ran = run(engine, python(image, script, cpuset="0", pids=32, shm_bytes=128 * MIB))
    assert ran.out.split() == ["1", str(128 * MIB), "limited", "True"]


def test_gpus_that_the_engine_cannot_give_are_an_error_of_usage_and_leave_nothing(
    engine: DockerEngine, image: str
) -> None:
    request = shell(image, "echo there", gpus="all")
    if engine.info.gpus:
        assert run(engine, request).out == "there\n"
        return
    with pytest.raises(UsageError, match="GPUs were asked for") as caught:
        run(engine, request)
    assert "--gpus none" in caught.value.remedy


def test_a_bridge_is_had_only_when_asked_for(engine: DockerEngine, image: str) -> None:
    assert "eth0" not in run(engine, shell(image, "ls /sys/class/net")).out
    assert "eth0" in run(engine, shell(image, "ls /sys/class/net", network="bridge")).out


@core
def test_files_are_there_before_the_start(engine: DockerEngine, image: str) -> None:
    files = (("/etc/one", b"1\n"), ("/new/folder/two", b"2\n" * MIB), ("/new/run", b"#!/bin/sh\necho ran\n"))
    ran = run(engine, shell(image, "cat /etc/one; wc -c < /new/folder/two; /new/run", files=files))
    assert ran.out.split() == ["1", str(2 * MIB), "ran"]
    with pytest.raises(InternalError, match="read-only root"):
        run(engine, shell(image, "true", hardened=True, files=(("/etc/one", b""),)))


@core
def test_a_missing_image_is_named(engine: DockerEngine) -> None:
    with pytest.raises(ImageUnavailable, match="no/such:image"):
        run(engine, shell("no/such:image", "true"))
    assert engine.image_digest("no/such:image") is None
    assert left_of(engine, engine.session_id) == []


CHILD = """
import signal, sys
from runner.engine.docker import connect
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.errors import Interrupted
def stop(number, frame):
    raise Interrupted(number)
signal.signal(signal.SIGTERM, stop)
engine = connect(session=sys.argv[1])
mounts = (VolumeMount(volume=sys.argv[3], target="/w", subpath="work/a/tree"),)
request = ContainerRequest(image=sys.argv[2], argv=("sh", "-c", "echo up; sleep 60"), purpose="test", mounts=mounts)
print("connected", flush=True)
try:
    engine.run(request, stdout=lambda data: print(data.decode(), end="", flush=True), stderr=print)
finally:
    engine.close()
"""


def start_child(session: str, image: str, volume: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, session, image, volume],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(labels.__file__).parents[2])},
    )


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2, None])
def test_a_signal_at_any_moment_leaves_nothing(
    engine: DockerEngine, image: str, volume: str, delay_s: float | None
) -> None:
    session = labels.new_session()
    child = start_child(session, image, volume)
    assert child.stdout is not None
    assert child.stdout.readline() == "connected\n"
    if delay_s is None:
        assert child.stdout.readline() == "up\n"
    else:
        time.sleep(delay_s)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=120) != 0
    assert left_of(engine, session) == []
    assert labels.session_volume(session) not in [one["Name"] for one in engine.client.volumes()["Volumes"]]


def test_what_a_killed_process_left_is_swept_and_its_work_cleared(
    engine: DockerEngine, image: str, volume: str
) -> None:
    session = labels.new_session()
    whole = (VolumeMount(volume=volume, target="/v"),)
    run(engine, shell(image, f"mkdir -p /v/work/{session}-1/tree /v/work/kept/tree", mounts=whole))
    child = start_child(session, image, volume)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["connected\n", "up\n"]
    assert session not in sweep(engine).sessions, "a living process is left alone"
    assert len(left_of(engine, session)) == 2
    child.kill()
    child.wait()
    swept = sweep(engine)
    assert session in swept.sessions
    assert "a" in swept.reruns
    assert left_of(engine, session) == []
    clear_work(engine, swept, image=image, volume=volume)
    assert run(engine, shell(image, "ls /v/work", mounts=whole)).out.split() == ["b", "kept"]
    assert session not in sweep(engine).sessions
    run(engine, shell(image, "mkdir -p /v/work/a/tree; echo mine > /v/work/a/tree/f", mounts=whole))


def test_sessions_of_other_hosts_are_left_alone(engine: DockerEngine) -> None:
    session = labels.new_session()
    name = labels.session_volume(session)
    tags = {labels.LABEL: session, labels.OWNER: "0123456789ab:1:2"}
    engine.client.create_volume(name, labels=tags)
    try:
        assert session not in sweep(engine).sessions
    finally:
        engine.client.remove_volume(name)


def test_closing_stops_what_other_threads_run_and_may_be_repeated(image: str, engine: DockerEngine) -> None:
    other = connect()
    raised: list[BaseException] = []
    up = threading.Event()

    def work() -> None:
        try:
            other.run(shell(image, "echo up; sleep 60"), stdout=lambda _: up.set(), stderr=Pieces())
        except EngineUnavailable as error:
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert up.wait(120)
    other.close()
    other.close()
    for thread in threads:
        thread.join(120)
    assert len(raised) == 2
    assert left_of(engine, other.session_id) == []
    with pytest.raises(EngineUnavailable, match="closed"):
        run(other, shell(image, "true"))


class TlsFront:
    """The engine's socket behind TLS on a port of the loopback address."""

    def __init__(self, folder: Path, target: str) -> None:
        self.certificate, key = folder / "ca.pem", folder / "key.pem"
        subprocess.run(
            (
                "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
                f"-addext subjectAltName=DNS:localhost -keyout {key} -out {self.certificate}"
            ).split(),
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._target = target
        self._listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port: int = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except (OSError, ValueError):
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._connections += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@at_a_socket
def test_an_engine_behind_tls_works_and_its_loss_is_told(engine: DockerEngine, image: str, tmp_path: Path) -> None:
    front = TlsFront(tmp_path, engine.address.url.removeprefix("unix://"))
    address = EngineAddress(
        url=f"tcp://localhost:{front.port}", origin="test", tls=True, ca_file=str(front.certificate)
    )
    remote = connect(address)
    ran = run(remote, shell(image, "wc -c", stdin=[b"x" * MIB], files=(("/f", b"x"),)))
    assert ran.out.strip() == str(MIB)
    with pytest.raises(EngineUnavailable):
        remote.run(shell(image, "echo up; sleep 60"), stdout=lambda _: front.cut(), stderr=Pieces())
    remote.close()
    # The engine could not be told to stop it; a session at the engine's own socket can.
    again = connect(engine.address, session=remote.session_id)
    assert len(left_of(again, remote.session_id)) == 1
    again.close()
    assert left_of(engine, remote.session_id) == []
