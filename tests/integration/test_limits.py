"""What a training may use, seen from inside on the real engine; and that no limit ends in a verdict on the author."""

from __future__ import annotations

import resource
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import UsageError
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.reproduce import Reproduced, reproduce
from runner.rerun import watch
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.projects import RUN_ID, RecordedProject, script


class Judge:
    """Reproduces a project's run whose script has lines of the test's own in it."""

    def __init__(self, folder: Path, engine: DockerEngine) -> None:
        self.project = RecordedProject(folder / "author")
        self.folder = folder / "elsewhere"
        self.folder.mkdir()
        self._engine = engine

    def record(self, *, before: str = "", inside: str = "", after: str = "", **recorded: Any) -> None:
        """Commit and record; lines inside of the run are indented as it is."""
        text = script(
            before=textwrap.dedent(before),
            inside=textwrap.indent(textwrap.dedent(inside).strip(), "    ").strip(),
            after=textwrap.dedent(after),
        )
        self.project.commit_training(text)
        self.project.record(**recorded)

    def done(self, yaml: str = "", **flags: Any) -> Reproduced:
        """Reproduce with a `runner.yaml` and flags."""
        (self.folder / "runner.yaml").write_text(yaml)
        settings = load_settings(Flags(**{"tracker": str(self.project.tracker), **flags}), {}, self.folder)
        return reproduce(RUN_ID, settings, progress=NoProgress(), engine=self._engine)

    def __call__(self, yaml: str = "", **flags: Any) -> Reproduction:
        return self.done(yaml, **flags).reproduction


@pytest.fixture
def judge(shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path) -> Iterator[Judge]:
    (tmp_path / "author").mkdir()
    return Judge(tmp_path, shared_engine)


def why(reproduction: Reproduction) -> str:
    tail = reproduction.rerun.log_tail if reproduction.rerun is not None else ()
    return "\n".join((reproduction.reason, *tail))


LOOK = """
import locale, multiprocessing, os, time

def cgroup(*names):
    for name in names:
        if os.path.exists("/sys/fs/cgroup/" + name):
            return open("/sys/fs/cgroup/" + name).read().strip()

def expect(what, found, *expected):
    assert found in expected, (what, found, expected)
"""


def test_every_limit_is_seen_from_inside(judge: Judge) -> None:
    """Docker's flags with docker's meanings; `--cpus` is a set that all see who count processors."""
    size = str(512 << 20)
    judge.record(
        before=LOOK
        + f"""
        expect("set", sorted(os.sched_getaffinity(0)), [0])
        expect("os.cpu_count", os.cpu_count(), 1)
        expect("multiprocessing", multiprocessing.cpu_count(), 1)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            expect(name, os.environ[name], "1")
        expect("memory", cgroup("memory/memory.limit_in_bytes", "memory.max"), "{size}")
        expect("swap", cgroup("memory/memory.memsw.limit_in_bytes", "memory.swap.max"), "{size}", "0")
        expect("processes", cgroup("pids/pids.max", "pids.max"), "64")
        shm = os.statvfs("/dev/shm")
        expect("shm", shm.f_blocks * shm.f_frsize, 32 << 20)
        """.replace("\n        ", "\n")
    )
    reproduction = judge(memory="512m", cpus="1", pids_limit="64", shm_size="32m")
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_circumstances_that_the_record_lacks_are_fixed_and_listed(judge: Judge) -> None:
    """Rule 25, without anything recorded."""
    judge.record(
        before=LOOK
        + """
        expect("zone", (time.tzname, time.timezone), (("UTC", "UTC"), 0))
        expect("locale", os.environ["LC_ALL"], "C.UTF-8")
        expect("encoding", locale.getpreferredencoding().upper(), "UTF-8")
        expect("seed", os.environ.get("PYTHONHASHSEED"), None)
        expect("processors", len(os.sched_getaffinity(0)), os.cpu_count())
        """.replace("\n        ", "\n")
    )
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    listed = "\n".join(reproduction.not_verified)
    for what in ("time zone: not", "locale: not", "hash seed of Python: not", "threads of BLAS", "processors: not"):
        assert what in listed


def test_circumstances_that_are_recorded_are_the_rerun_s_and_not_listed(judge: Judge) -> None:
    """Rule 25, with all of it recorded."""
    judge.record(
        before=LOOK
        + """
        expect("zone", time.timezone, -9 * 3600)
        expect("locale", os.environ["LANG"], "C.UTF-8")
        expect("seed", (os.environ["PYTHONHASHSEED"], hash("a") == hash("a")), ("7", True))
        expect("threads", os.environ["OMP_NUM_THREADS"], "3")
        expect("others", os.environ.get("MKL_NUM_THREADS"), None)
        """.replace("\n        ", "\n"),
        tags={"TZ": "Asia/Tokyo", "LANG": "C.UTF-8", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3"},
    )
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    listed = "\n".join(reproduction.not_verified)
    for what in ("time zone: not", "locale: not", "hash seed of Python: not", "threads of BLAS"):
        assert what not in listed


@pytest.mark.parametrize(
    ("flags", "words"),
    [({"cpus": "5000"}, "processors 0-4999 were asked for"), ({"memory": "900t"}, "MiB of memory were asked for")],
)
def test_more_than_the_engine_has_is_refused_before_anything_runs(
    judge: Judge, flags: dict[str, str], words: str
) -> None:
    judge.record()
    with pytest.raises(UsageError, match=words) as caught:
        judge(**flags)
    assert caught.value.exit_code == 2
    assert not list(judge.folder.glob("reproductions/*/*"))


def test_a_training_that_wrote_more_than_it_may_failed_with_a_sentence(judge: Judge) -> None:
    """Although it ended well and logged the recorded numbers."""
    judge.record(after="Path('runs/large').write_bytes(bytes(range(256)) * (40 << 12))")
    reproduction = judge("limits: {output: 20m}")
    assert reproduction.verdict is Verdict.FAILED, why(reproduction)
    assert "wrote more than it may (20 MiB: limits.output of runner.yaml)" in reproduction.reason


def test_a_training_that_goes_on_writing_is_ended(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_AFTER_S", 1.0)
    judge.record(
        inside="""
        import os, time
        for folder in ("runs", os.environ["HOME"]):
            os.makedirs(folder + "/hidden", mode=0o300)
        while True:
            for folder in ("runs", os.environ["HOME"]):
                with open(folder + "/hidden/file", "ab") as file:
                    file.write(bytes(4 << 20))
            time.sleep(0.1)
        """
    )
    reproduction = judge("limits: {output: 64m, timeout: 10m}")
    assert reproduction.verdict is Verdict.FAILED, why(reproduction)
    assert "wrote more than it may (64 MiB" in reproduction.reason
    assert reproduction.rerun is not None
    assert reproduction.rerun.exit_code is None
    assert reproduction.rerun.timings["train"] < 540, "before its time was over"


@pytest.mark.parametrize("size", [200 << 20, pytest.param(10 << 30, marks=[pytest.mark.full])], ids=["200M", "10G"])
def test_a_flood_of_log_is_cut_with_a_sentence_and_the_verdict_is_given(judge: Judge, size: int) -> None:
    judge.record(
        after=f"""
        import os
        line = (b"https://ann:~hunter2~@tracker.example " + b"x" * 90 + b"\\n") * 8192
        for _ in range({size} // len(line)):
            os.write(1, line)
        print("the last line")
        """.replace("\n        ", "\n")
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = judge.done("limits: {log: 1m, timeout: 20m}")
    assert done.reproduction.verdict is Verdict.IDENTICAL, why(done.reproduction)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10, "in KiB: memory stays flat"
    log = (done.evidence / "logs" / "train.log").read_bytes()
    assert len(log) < 2 << 20
    assert log.endswith(b"[the log was cut here, at 1048576 bytes]\n")
    assert b"~" not in log
    rerun = done.reproduction.rerun
    assert rerun is not None
    assert rerun.log_cut
    assert rerun.log_tail[-1] == "the last line"
    assert "~" not in "".join(rerun.log_tail)
    assert "cut" in (done.evidence / "report.md").read_text()


def test_a_limit_of_processes_is_not_called_the_authors_fault(judge: Judge) -> None:
    judge.record(
        inside="""
        import threading, time
        for _ in range(60):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        """
    )
    reproduction = judge(pids_limit="30")
    assert reproduction.verdict is Verdict.FAILED
    assert "it may have no more processes and threads (--pids-limit 30)" in reproduction.reason


def test_a_daemon_that_the_training_leaves_dies_with_it_and_its_late_writes_count_for_nothing(judge: Judge) -> None:
    judge.record(
        after="""
        import os, signal, sys, time
        training = os.getpid()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:  # holds the output open, ignores what it can
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                while os.path.exists(f"/proc/{training}"):
                    time.sleep(0.05)
                time.sleep(2)  # late, however slow the training was
                Path("runs/model.bin").write_text("another model")
                with mlflow.start_run(run_name="first"):
                    mlflow.log_metric("total", -1.0)
                time.sleep(600)
            os._exit(0)
        """.replace("\n        ", "\n")
    )
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert reproduction.rerun.timings["train"] < 540, "nobody waited for it"


def test_a_training_that_sets_the_clock_back_cannot_and_times_that_go_back_confuse_no_order(judge: Judge) -> None:
    """Each value is logged at an earlier time than the one before: their order is that of the calls."""
    judge.record(
        before="""
        import itertools, time
        try:
            time.clock_settime(time.CLOCK_REALTIME, 0)
        except PermissionError:
            print("the clock is not ours")
        now, steps = time.time(), itertools.count()
        time.time = lambda: now - 3600 * next(steps)
        """.replace("\n        ", "\n"),
        inside="""
        for value in (3.0, 2.0, 1.0):
            mlflow.log_metric("same_step", value)
        """,
        metrics={
            "loss": [7.75 / 2**step for step in range(4)],
            "total": [7.75],
        },
    )
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert "the clock is not ours" in reproduction.rerun.log_tail
    (run,) = reproduction.rerun.capture.runs
    points = [point for point in run.metrics if point.name == "same_step"]
    assert [point.value for point in sorted(points, key=lambda point: point.sequence)] == [3.0, 2.0, 1.0]
    assert points[0].timestamp_ms > points[-1].timestamp_ms
