"""How our code inside a container talks to the host: JSON lines in, JSON lines out. Standard library only.

Standard input: one line with the request (it may hold credentials, so it is never an argument, a file or a variable),
then the answers to what the phase asks for, in the order of asking:

    {"value": …}                       the whole answer to `ask`
    {"name": …, "size": N}             followed by N bytes: a file of the answer to `ask_for_files`
    {"end": true}                      after the last file
    {"size": N}, then N bytes          a piece of the answer to `ask_for_stream`; {"end": true} after the last

Standard output: events, one JSON object a line:

    {"event": "progress", "text": …, "done": …, "total": …}
    {"event": "note", "name": …, "value": …}      something that the host acts on before the end
    {"event": "ask", "name": …, "value": …}       something that the host answers on standard input
    {"event": "result", "value": …}               exactly one, last, on success
    {"event": "error", "kind": …, "cause": …, "remedy": …, …}   instead of a result

Standard error is a log for `--debug`.
"""

from __future__ import annotations

import errno
import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

MISSING = "missing"  # a fact is missing: the verdict is unverifiable
UNAVAILABLE = "unavailable"  # something refused or timed out: exit 5
DISK_FULL = "disk-full"
INTERNAL = "internal"

_CHUNK = 1 << 20


class PhaseError(Exception):
    """Ends a phase with an error event.

    `kind` is one of the constants above; `service` names what was unavailable (`remote`, `index`), `fact` what is
    missing. `later` tells that packages of a later day may have what those of the run's day lack.
    """

    def __init__(
        self,
        kind: str,
        cause: str,
        remedy: str = "",
        *,
        fact: str = "",
        service: str = "",
        looked_in: tuple[str, ...] = (),
        nearest: tuple[str, ...] = (),
        later: bool = False,
    ) -> None:
        super().__init__(cause)
        self.event: dict[str, Any] = {
            "event": "error",
            "kind": kind,
            "cause": cause,
            "remedy": remedy,
            "fact": fact,
            "service": service,
            "looked_in": list(looked_in),
            "nearest": list(nearest),
            "later": later,
        }


def emit(event: dict[str, Any]) -> None:
    """Write one event to the host."""
    sys.__stdout__.write(json.dumps(event) + "\n")  # type: ignore[union-attr]  # there is one in a container
    sys.__stdout__.flush()  # type: ignore[union-attr]


def progress(text: str, done: float | None = None, total: float | None = None) -> None:
    """Say what the phase is doing."""
    emit({"event": "progress", "text": text, "done": done, "total": total})


def note(name: str, value: Any) -> None:
    """Tell the host something that it acts on before the phase ends."""
    emit({"event": "note", "name": name, "value": value})


def ask(name: str, value: Any = None) -> Any:
    """Ask the host something and return its answer."""
    emit({"event": "ask", "name": name, "value": value})
    return _line()["value"]


def ask_for_files(name: str, value: Any, take: Callable[[str, Iterator[bytes]], None]) -> None:
    """Ask the host for files; `take` gets the name of each and its bytes, in pieces of a MiB but for the last.

    `take` must read a file to its end.
    """
    emit({"event": "ask", "name": name, "value": value})
    while "end" not in (header := _line()):
        take(header["name"], _pieces(header["size"]))


def ask_for_stream(name: str, value: Any = None) -> BinaryIO:
    """Ask the host for one long stream of bytes, to be read to its end as it comes."""
    emit({"event": "ask", "name": name, "value": value})
    return io.BufferedReader(_Stream(), _CHUNK)


class _Stream(io.RawIOBase):
    """The pieces of a stream, one after the other."""

    def __init__(self) -> None:
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left and not self._ended:
            header = _line()
            self._left, self._ended = header.get("size", 0), "end" in header
        if self._ended:
            return 0
        piece = sys.stdin.buffer.read(min(self._left, len(buffer))) or _broken_off()
        self._left -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)


def receive(name: str, path: str, value: Any = None) -> str:
    """Ask the host for one file, write it to a path and return the name that the host has for it."""
    names = []

    def take(called: str, pieces: Iterator[bytes]) -> None:
        names.append(called)
        with open(path, "wb") as file:
            file.writelines(pieces)

    ask_for_files(name, value, take)
    return names[0]


def _line() -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(sys.stdin.buffer.readline() or _broken_off())
    return answer


def _pieces(size: int) -> Iterator[bytes]:
    while size:
        piece = sys.stdin.buffer.read(min(size, _CHUNK)) or _broken_off()
        size -= len(piece)
        yield piece


def _broken_off() -> bytes:
    raise PhaseError(INTERNAL, "the host broke off")


def serve(handler: Callable[[dict[str, Any]], Any]) -> int:
    """Read the request, call the handler, write its result or error; return the exit status of the process.

    Whatever libraries print to standard output goes to standard error instead.
    """
    sys.stdout = sys.stderr
    try:
        request = json.loads(sys.stdin.buffer.readline())
        emit({"event": "result", "value": handler(request)})
    except PhaseError as error:
        emit(error.event)
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            emit(PhaseError(DISK_FULL, f"no space is left: {error}").event)
        else:
            traceback.print_exc()
            emit(PhaseError(INTERNAL, f"{type(error).__name__}: {error}").event)
        return 1
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the host must learn of every end
        traceback.print_exc()
        emit(PhaseError(INTERNAL, f"{type(error).__name__}: {error}").event)
        return 1
    return 0
