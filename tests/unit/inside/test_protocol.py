"""Whatever happens to a phase, the host gets exactly one result or error, and nothing else on that stream."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.inside import protocol, serve
from runner.inside.protocol import PhaseError

Handler = Callable[[dict[str, Any]], Any]


class Served:
    """The events and the exit status of a phase that was served in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, handler: Handler, request: str = "{}\n") -> tuple[list[dict[str, Any]], int, str]:
        out, err = io.StringIO(), io.StringIO()
        with self._monkeypatch.context() as patched:
            for name, stream in {
                "stdin": io.TextIOWrapper(io.BytesIO(request.encode())),
                "stdout": out,
                "__stdout__": out,
                "stderr": err,
            }.items():
                patched.setattr(sys, name, stream)
            status = protocol.serve(handler)
        return [json.loads(line) for line in out.getvalue().splitlines()], status, err.getvalue()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """Serves a handler."""
    return Served(monkeypatch)


def raising(error: BaseException) -> Handler:
    def handler(request: dict[str, Any]) -> Any:
        raise error

    return handler


def endings(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] in ("result", "error")]


def test_the_handler_gets_the_request_and_its_value_is_the_result(served: Served) -> None:
    events, status, _ = served(lambda request: {"got": request["n"]}, '{"n": [1, null]}\nignored\n')
    assert events == [{"event": "result", "value": {"got": [1, None]}}]
    assert status == 0


def test_progress_and_notes_come_before_the_result_in_their_order(served: Served) -> None:
    def handler(request: dict[str, Any]) -> int:
        protocol.progress("cloning")
        protocol.note("environment", None)
        protocol.progress("hashing", 1, 2)
        return 7

    events, _, _ = served(handler)
    assert events == [
        {"event": "progress", "text": "cloning", "done": None, "total": None},
        {"event": "note", "name": "environment", "value": None},
        {"event": "progress", "text": "hashing", "done": 1, "total": 2},
        {"event": "result", "value": 7},
    ]


def test_what_a_library_prints_is_no_event(served: Served) -> None:
    def handler(request: dict[str, Any]) -> None:
        print("WARNING: something")

    events, status, log = served(handler)
    assert (events, status) == ([{"event": "result", "value": None}], 0)
    assert "WARNING" in log


def test_a_phase_error_arrives_with_all_of_its_fields(served: Served) -> None:
    error = PhaseError(protocol.MISSING, "no data", "--remote URL", fact="data", looked_in=("a",), nearest=("b",))
    events, status, _ = served(raising(error))
    assert status == 1
    assert events == [
        {
            "event": "error",
            "kind": "missing",
            "cause": "no data",
            "remedy": "--remote URL",
            "fact": "data",
            "service": "",
            "looked_in": ["a"],
            "nearest": ["b"],
            "later": False,
        }
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_other_errors(served: Served, number: int) -> None:
    events, status, _ = served(raising(OSError(number, os.strerror(number))))
    assert ([event["kind"] for event in events], status) == ([protocol.DISK_FULL], 1)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied"),
        ValueError("x"),
        KeyError("x"),
        MemoryError(),
        RecursionError(),
        SystemExit(0),
        SystemExit("usage: dvc"),
        AssertionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ],
    ids=repr,
)
def test_any_other_end_is_one_error_and_its_traceback_goes_to_the_log(served: Served, error: BaseException) -> None:
    events, status, log = served(raising(error))
    assert status == 1
    (event,) = events
    assert (event["event"], event["kind"]) == ("error", protocol.INTERNAL)
    assert event["cause"].startswith(type(error).__name__)
    assert "Traceback" in log


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {("a",): 1}], ids=repr)
def test_a_result_that_is_no_json_is_one_error_and_no_half_line(served: Served, value: Any) -> None:
    events, status, _ = served(lambda request: value)
    assert ([event["event"] for event in events], status) == (["error"], 1)


@pytest.mark.parametrize("request_line", ["", "\n", "{", "hello\n", "\x00\n"])
def test_a_request_that_is_none_is_one_error(served: Served, request_line: str) -> None:
    events, status, _ = served(lambda request: 1, request_line)
    assert ([event["event"] for event in events], status) == (["error"], 1)


def test_an_error_after_progress_is_the_only_ending(served: Served) -> None:
    def handler(request: dict[str, Any]) -> None:
        protocol.progress("x")
        raise ValueError

    events, _, _ = served(handler)
    assert len(endings(events)) == 1
    assert events[-1]["event"] == "error"


def test_names_that_are_no_utf8_survive(served: Served) -> None:
    events, _, _ = served(lambda request: "caf\udce9")
    assert events[0]["value"] == "caf\udce9"


def test_a_phase_is_served_by_an_isolated_interpreter_that_nothing_around_it_can_change(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    (tmp_path / "runner").mkdir()
    (tmp_path / "runner" / "__init__.py").write_text("raise SystemExit('the wrong runner')")
    done = subprocess.run(
        [sys.executable, "-I", serve.__file__, "discard"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        input=b'{"reruns": ["../evil", "no-such-rerun"]}\n',
        capture_output=True,
        check=False,
    )
    assert json.loads(done.stdout) == {"event": "result", "value": {"removed": 0}}
    assert done.returncode == 0
