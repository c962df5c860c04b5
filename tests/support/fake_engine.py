"""An engine that runs no container: what it is asked is kept, and what it answers a test decides.

    engine = FakeEngine(restore=[note("environment", None), result({...})], train=Said(stdout=b"epoch 1\\n"))

An answer is found by the request's `purpose`: events, or `Said`, or a function that gets the request and the sinks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from runner.engine.interface import ContainerOutcome, ContainerRequest, Engine, EngineInfo, Sink

FINISHED = ContainerOutcome(exit_code=0, out_of_memory=False, timed_out=False, seconds=1.5)

Event = dict[str, Any]
Answer = Callable[[ContainerRequest, Sink, Sink], ContainerOutcome]


@dataclass(frozen=True)
class Said:
    """Output of a container, in pieces of `size` bytes, and how it ended."""

    stdout: bytes = b""
    stderr: bytes = b""
    outcome: ContainerOutcome = FINISHED
    size: int = 1 << 20

    def __call__(self, request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        """Say it."""
        for text, sink in ((self.stderr, stderr), (self.stdout, stdout)):
            for start in range(0, len(text), self.size):
                sink(text[start : start + self.size])
        return self.outcome


def outcome(exit_code: int | None = 0, **fields: Any) -> ContainerOutcome:
    """How a container ended, by default as one that finished."""
    return ContainerOutcome(
        **{"exit_code": exit_code, "out_of_memory": False, "timed_out": False, "seconds": 1.5, **fields}
    )


def lines(*events: Event) -> bytes:
    """The events as a phase prints them."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def result(value: Any) -> Event:
    """The event that ends a phase well."""
    return {"event": "result", "value": value}


def note(name: str, value: Any) -> Event:
    """Something that the host acts on before the end."""
    return {"event": "note", "name": name, "value": value}


@dataclass
class FakeEngine(Engine):
    """Keeps requests; answers by purpose. A purpose that has no answer is an error of the test."""

    answers: dict[str, Answer | Iterable[Event]] = field(default_factory=dict)
    requests: list[ContainerRequest] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def session_id(self) -> str:
        """Always the same."""
        return "session"

    @property
    def info(self) -> EngineInfo:
        """A machine that does not exist."""
        return EngineInfo(
            name="fake",
            version="1",
            address="unix:///nowhere.sock",
            rootless=False,
            storage_driver="none",
            cgroup_version="2",
            cpus=2,
            memory_bytes=1 << 33,
            platform="linux/amd64",
        )

    def run(
        self, request: ContainerRequest, *, stdout: Sink, stderr: Sink, stop: threading.Event | None = None
    ) -> ContainerOutcome:
        """Keep the request and answer it."""
        self.requests.append(request)
        answer = self.answers[request.purpose]
        if not callable(answer):
            answer = Said(lines(*answer))
        return answer(request, stdout, stderr)

    def request(self, purpose: str) -> ContainerRequest:
        """The only request of a purpose."""
        (found,) = [request for request in self.requests if request.purpose == purpose]
        return found

    def payload(self, purpose: str) -> dict[str, Any]:
        """What the only request of a purpose got on its standard input."""
        line = next(iter(self.request(purpose).stdin or ()))
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1, "one line"
        document: dict[str, Any] = json.loads(line)
        return document

    def ensure_volume(self, name: str) -> None:
        """Do nothing."""

    def image_digest(self, reference: str) -> str | None:
        """Know no image."""
        return None

    def close(self) -> None:
        """End what runs."""
        self.closed.set()


@dataclass
class Told:
    """A progress that keeps what it is told."""

    said: list[str] = field(default_factory=list)
    shares: list[tuple[float | None, float | None]] = field(default_factory=list)
    logged: list[bytes] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)

    def phase(self, name: str) -> Any:
        """Keep the name."""
        import contextlib

        self.phases.append(name)
        return contextlib.nullcontext()

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Keep the text and the share."""
        self.said.append(text)
        self.shares.append((done, total))

    def line(self, text: str) -> None:
        """Keep the text."""
        self.said.append(text)

    def log(self, text: bytes) -> None:
        """Keep the bytes."""
        self.logged.append(text)
