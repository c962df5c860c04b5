"""The command line in this process, with nothing of it left behind."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner import interrupts
from runner.cli import app as module
from runner.cli.options import Common

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Typed:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> dict[str, Any]:
        """The error of the one document on standard output."""
        document = json.loads(self.out)
        assert set(document) == {"error"}
        found: dict[str, Any] = document["error"]
        return found


Types = Callable[..., Typed]


@pytest.fixture
def types(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Types]:
    """Types a command line in an empty folder. Signals are heard as before when it is over."""
    heard = {each: signal.getsignal(each) for each in SIGNALS}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(interrupts, "_received", None)
    monkeypatch.setattr(Common, "debug", False)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def types(*arguments: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["runner", *arguments])
        capfd.readouterr()
        try:
            code = module.run(list(arguments))
        finally:
            for each, handler in heard.items():
                signal.signal(each, handler)
        said = capfd.readouterr()
        return Typed(code, said.out, said.err)

    yield types
    assert {each: signal.getsignal(each) for each in SIGNALS} == heard
