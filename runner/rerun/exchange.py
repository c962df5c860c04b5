"""Calling our own code inside a container: the host's side of `runner.inside.protocol`."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from runner.engine.interface import ContainerRequest, Engine
from runner.errors import (
    DiskFull,
    IndexUnavailable,
    InfrastructureError,
    InternalError,
    MissingFact,
    NotByThen,
    RemoteUnavailable,
    RepositoryUnavailable,
    RunnerError,
)
from runner.inside import layout, protocol
from runner.progress import Progress
from runner.redact import HIDDEN, redact
from runner.rerun.answers import Answer

_SERVICES: dict[str, type[InfrastructureError]] = {
    "remote": RemoteUnavailable,
    "index": IndexUnavailable,
    "repository": RepositoryUnavailable,
}
_LINE_LIMIT = 512 << 20  # a capture of a million points is some 200 MB of JSON
_ERROR_TAIL = 4000

OnNote = Callable[[str, Any], None]


def inside_argv(module: str) -> tuple[str, ...]:
    """Return the command line that serves `runner.inside.MODULE` in our image."""
    return (layout.TOOLS_PYTHON, "-I", f"{layout.LIBRARY}/runner/inside/serve.py", module)


def call(
    engine: Engine,
    request: ContainerRequest,
    *,
    payload: dict[str, Any],
    progress: Progress,
    on_note: OnNote | None = None,
    answers: Mapping[str, Answer] | None = None,
    stop: threading.Event | None = None,
    secrets: tuple[str, ...] = (),
) -> Any:
    """Run the request with `payload` on its standard input and return the value of its result event.

    `answers` has what the phase may ask for, by name; where `stop` ended it, the value is None; `secrets` are parts of
    the payload that no error may repeat. Raises what an answer raised; MissingFact, RemoteUnavailable,
    IndexUnavailable, RepositoryUnavailable or DiskFull as the error event says;
    InternalError where the container ended without a result.
    """
    stdin = _Input(payload, answers or {})
    events = _Events(progress, on_note, stdin.ask)
    errors = _Tail(_ERROR_TAIL)
    try:
        outcome = engine.run(replace(request, stdin=stdin), stdout=events.feed, stderr=errors.feed, stop=stop)
    finally:
        stdin.end()
    if stdin.failure is not None:
        raise stdin.failure
    if events.error is not None:
        raise _as_exception(events.error, secrets)
    if outcome.stopped:
        return None
    if not events.finished:
        how = "was killed for memory" if outcome.out_of_memory else f"ended with status {outcome.exit_code}"
        raise InternalError(
            f"the {request.purpose} container {how} before it gave a result: {_shown(errors.text(), secrets)[-800:]}",
            "run again with --debug and report it",
        )
    return events.result


def _shown(text: object, secrets: tuple[str, ...]) -> str:
    shown = str(text)
    for secret in secrets:
        shown = shown.replace(secret, HIDDEN)
    return redact(shown)


def _as_exception(event: dict[str, Any], secrets: tuple[str, ...]) -> RunnerError:
    cause, remedy = _shown(event.get("cause", ""), secrets), _shown(event.get("remedy", ""), secrets)
    kind = event.get("kind")
    if kind == protocol.MISSING:
        error_type = NotByThen if event.get("later") else MissingFact
        return error_type(
            cause,
            remedy,
            fact=str(event.get("fact", "")),
            looked_in=tuple(_shown(place, secrets) for place in event.get("looked_in", ())),
            nearest=tuple(_shown(near, secrets) for near in event.get("nearest", ())),
        )
    if kind == protocol.UNAVAILABLE:
        error = _SERVICES.get(str(event.get("service")), InfrastructureError)
        return error(cause, remedy or "try again later, or run `runner doctor`")
    if kind == protocol.DISK_FULL:
        return DiskFull(cause, remedy or "runner setup --prune")
    return InternalError(cause, remedy or "run again with --debug and report it")


class _Input:
    """What a phase reads: its request, and the answers to what it asks, made while they are sent.

    The engine takes it from a thread of its own, so that what an answer raises is kept for `call`.
    """

    def __init__(self, payload: dict[str, Any], answers: Mapping[str, Answer]) -> None:
        self._line = (json.dumps(payload) + "\n").encode()
        self._answers = answers
        self._asked: queue.SimpleQueue[tuple[Answer, Any] | None] = queue.SimpleQueue()
        self.failure: Exception | None = None

    def ask(self, name: str, value: Any) -> None:
        """Have a question of the phase answered. Raises InternalError for one that nobody answers."""
        if name not in self._answers:
            raise InternalError(f"a phase asked for {name!r}", "run again with --debug and report it")
        self._asked.put((self._answers[name], value))

    def end(self) -> None:
        """Say that nothing more will be asked."""
        self._asked.put(None)

    def __iter__(self) -> Iterator[bytes]:
        yield self._line
        if not self._answers:
            return
        while (asked := self._asked.get()) is not None:
            answer, value = asked
            try:
                yield from answer(value)
            except Exception as error:  # noqa: BLE001  # raised again by `call`
                self.failure = error
                return  # ends the phase's input, and thereby the phase


class _Events:
    """Cuts the stream into lines and acts on each event."""

    def __init__(self, progress: Progress, on_note: OnNote | None, on_ask: OnNote) -> None:
        self._progress = progress
        self._on_note = on_note
        self._on_ask = on_ask
        self._pieces: list[bytes] = []
        self._size = 0
        self.result: Any = None
        self.finished = False
        self.error: dict[str, Any] | None = None

    def feed(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._pieces.append(line)
            self._act(b"".join(self._pieces))
            self._pieces, self._size = [], 0
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            if self._size > _LINE_LIMIT:
                raise InternalError("a phase sent a line that is too long", "run again with --debug and report it")

    def _act(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, TypeError, KeyError) as error:
            said = redact(line[:200].decode(errors="replace"))
            raise InternalError(
                f"a phase said what is no event: {said!r}", "run again with --debug and report it"
            ) from error
        if kind == "progress":
            self._progress.update(event["text"], event.get("done"), event.get("total"))
        elif kind == "note":
            if self._on_note is not None:
                self._on_note(event["name"], event["value"])
        elif kind == "ask":
            self._on_ask(event["name"], event["value"])
        elif kind == "result":
            self.result, self.finished = event["value"], True
        else:
            self.error = event


class _Tail:
    """Keeps the end of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data = (self._data + data)[-self._limit :]

    def text(self) -> str:
        return self._data.decode(errors="replace").strip()
