"""Listeners on this host: one that counts whoever comes, and one that passes on and tells what came."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support.authorities import Authority, speak_tls

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Trap:
    """Counts who connects, and answers nobody."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("0.0.0.0", 0))
        self.port = int(self._socket.getsockname()[1])
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@dataclass(frozen=True)
class Seen:
    """A request that came by."""

    method: str
    path: str
    authorization: str | None
    headers: dict[str, str] = field(default_factory=dict)


class Relay:
    """Passes requests on to an endpoint, and speaks TLS where it has an authority.

    `answer` may answer one itself; `hook` runs before the first is passed on.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        hook: Callable[[], None] | None = None,
        answer: tuple[int, bytes] | None = None,
        authority: Authority | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        target = urlsplit(endpoint).netloc
        relay, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                with lock:
                    if not relay.seen and hook is not None:
                        hook()
                    headers = dict(self.headers.items())
                    relay.seen.append(Seen(self.command, self.path, self.headers.get("Authorization"), headers))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if answer is not None:
                    self._say(answer[0], [("Content-Type", "application/xml")], answer[1])
                    return
                connection = http.client.HTTPConnection(target, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                response = connection.getresponse()
                self._say(response.status, response.getheaders(), response.read())
                connection.close()

            def _say(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
                self.send_response_only(status)
                length = next((value for name, value in headers if name.lower() == "content-length"), None)
                for name, value in headers:
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_PROPFIND = _pass_on  # noqa: N815  # names of the library's

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        if authority is not None:
            speak_tls(self._server, authority)
            self.endpoint = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
