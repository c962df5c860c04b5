"""The attached streams of a container: its output taken apart as it comes, its input written beside.

The engine sends both outputs over one connection, cut into frames of an 8-byte header (stream, length) and a payload.
A piece is handed on as soon as it is there; nothing waits for a frame's end.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Any

STDOUT = 1
STDERR = 2
_HEADER = struct.Struct(">BxxxL")
_CHUNK = 1 << 16
_DRAIN_S = 3600.0


class Frames:
    """Takes the frames apart; pure."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = STDOUT
        self._remaining = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, piece) for the data that came."""
        view = memoryview(data)
        while view:
            if self._remaining == 0:
                missing = _HEADER.size - len(self._header)
                self._header += bytes(view[:missing])
                view = view[missing:]
                if len(self._header) == _HEADER.size:
                    self._stream, self._remaining = _HEADER.unpack(self._header)
                    self._header = b""
                continue
            piece = bytes(view[: self._remaining])
            view = view[len(piece) :]
            self._remaining -= len(piece)
            yield self._stream, piece


class Attachment:
    """One hijacked connection to a container. `raw` is what docker-py's `attach_socket` returns."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        # Plain sockets come wrapped as a file, TLS ones as they are.
        self._socket = getattr(raw, "_sock", raw) if type(raw).__name__ == "SocketIO" else raw
        self._draining = False

    def receive(self, timeout_s: float) -> bytes | None:
        """Return what came, empty at the end, None if nothing came in time. Raises OSError."""
        self._socket.settimeout(timeout_s)
        try:
            data: bytes = self._socket.recv(_CHUNK)
        except TimeoutError:
            return None
        return data

    def send_in_background(self, pieces: Iterable[bytes]) -> None:
        """Write all the pieces and close, from a thread: the container may read late or never."""

        def send() -> None:
            # A container that ends without reading its input is no fault.
            with contextlib.suppress(OSError, ValueError):
                self._socket.settimeout(None)
                for piece in pieces:
                    self._socket.sendall(piece)
                if self._draining:
                    self._socket.shutdown(socket.SHUT_WR)
            if not self._draining:
                self.close()

        threading.Thread(target=send, name="container-stdin", daemon=True).start()

    def drain_in_background(self) -> None:
        """Read and drop what comes, from a thread, until the connection is closed; input then ends by half of it."""
        self._draining = True

        def drain() -> None:
            with contextlib.suppress(OSError, ValueError):
                while self.receive(_DRAIN_S) != b"":
                    pass

        threading.Thread(target=drain, name="container-stdin-echo", daemon=True).start()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._draining:
            with contextlib.suppress(OSError):  # wakes the thread that reads
                self._socket.shutdown(socket.SHUT_RDWR)
        response = getattr(self._raw, "_response", None)
        for part in (response, self._raw, self._socket):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                part.close()  # type: ignore[union-attr]  # None has none
