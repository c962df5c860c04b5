"""The capture's writer: whole lines, numbered without gaps, whoever writes and whatever happens meanwhile."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from reproducibility_runner.events import Writer, encode

ROOT = Path(__file__).parents[3]


def events(folder: Path) -> list[dict[str, Any]]:
    """Return all events; each line must be one."""
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if line]


def run_python(code: str, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run code in a Python of its own that finds this repository."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


class TestEncode:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            False,
            0,
            -(2**70),
            0.1,
            -0.0,
            1e300,
            "",
            'quote " and \\',
            "\x00\n",
            "ü€😀",
            [],
            [[1], {}],
            {"a": [1.5]},
        ],
    )
    def test_it_is_the_json_that_python_reads(self, value: Any) -> None:
        assert json.loads(encode(value)) == value

    def test_what_json_lacks_becomes_text(self) -> None:
        assert [encode(value) for value in (math.nan, math.inf, -math.inf)] == ['"NaN"', '"Infinity"', '"-Infinity"']

    def test_other_objects_become_their_text(self) -> None:
        assert json.loads(encode({"path": Path("/a")})) == {"path": "/a"}


class TestWriter:
    def test_numbers_are_in_the_order_of_the_file_across_processes_and_threads(self, tmp_path: Path) -> None:
        code = """
            import sys, threading
            from reproducibility_runner.events import Writer
            writer = Writer(sys.argv[1])
            def write(name):
                for i in range(100):
                    writer.append("metrics", {"who": name, "i": i, "text": "x" * (i * 50)}, 1 + i % 3)
            threads = [threading.Thread(target=write, args=(sys.argv[2] + str(n),)) for n in range(2)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        """
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), name],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for name in "abc"
        ]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
        found = events(tmp_path)
        assert len(found) == 600
        expected = 0
        for event in found:
            assert event["seq"] == expected
            expected += 1 + event["i"] % 3
        for who in {event["who"] for event in found}:
            assert [event["i"] for event in found if event["who"] == who] == list(range(100))

    def test_a_forked_child_writes_too(self, tmp_path: Path) -> None:
        code = """
            import os, sys, threading
            from reproducibility_runner.events import Writer
            writer = Writer(sys.argv[1])
            stop = threading.Event()
            def busy():
                while not stop.is_set():
                    writer.append("busy", {})
            thread = threading.Thread(target=busy)
            thread.start()
            for _ in range(20):
                pid = os.fork()
                if pid == 0:
                    writer.append("child", {})
                    os._exit(0)
                os.waitpid(pid, 0)
            stop.set()
            thread.join()
        """
        run_python(code, str(tmp_path))
        found = events(tmp_path)
        assert [event["event"] for event in found].count("child") == 20
        assert [event["seq"] for event in found] == list(range(len(found)))

    def test_a_signal_handler_that_logs_in_the_midst_of_logging_neither_hangs_nor_tears(self, tmp_path: Path) -> None:
        writer = Writer(str(tmp_path))
        before = signal.signal(signal.SIGALRM, lambda *_: writer.append("signal", {}))
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            for _ in range(2_000):
                writer.append("plain", {"text": "x" * 200})
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert [event["seq"] for event in events(tmp_path)] == list(range(len(events(tmp_path))))

    def test_a_torn_line_does_not_spoil_the_next(self, tmp_path: Path) -> None:
        Writer(str(tmp_path)).append("first", {})
        with (tmp_path / "events.jsonl").open("a") as file:
            file.write('{"seq":1,"eve')
        Writer(str(tmp_path)).append("second", {})
        lines = (tmp_path / "events.jsonl").read_text().splitlines()
        assert [json.loads(lines[index])["event"] for index in (0, 2)] == ["first", "second"]

    def test_descriptors_that_were_closed_and_used_anew_are_not_written_to(self, tmp_path: Path) -> None:
        code = """
            import os, sys
            from reproducibility_runner.events import Writer
            writer = Writer(sys.argv[1])
            writer.append("first", {})
            os.closerange(3, 100)
            files = [open(os.path.join(sys.argv[1], "own-%d" % i), "w") for i in range(5)]
            writer.append("second", {})
        """
        run_python(code, str(tmp_path))
        assert [event["event"] for event in events(tmp_path)] == ["first", "second"]
        assert all(path.stat().st_size == 0 for path in tmp_path.glob("own-*"))

    def test_an_object_that_cannot_be_written_is_a_problem_and_no_error(self, tmp_path: Path) -> None:
        class Broken:
            def __str__(self) -> str:
                raise RuntimeError("no")

        Writer(str(tmp_path)).append("metrics", {"value": Broken()}, 3)
        (event,) = events(tmp_path)
        assert event["event"] == "problem"

    def test_a_folder_that_is_gone_is_no_error(self, tmp_path: Path) -> None:
        Writer(str(tmp_path / "gone")).append("first", {})

    def test_threads_of_one_process_share_a_writer(self, tmp_path: Path) -> None:
        writer = Writer(str(tmp_path))
        threads = [threading.Thread(target=lambda: [writer.append("e", {}) for _ in range(200)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [event["seq"] for event in events(tmp_path)] == list(range(800))
