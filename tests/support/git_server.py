"""Repositories served by https under a public name: the server is here, and a proxy that git is told of leads to it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.authorities import make_authority, speak_tls
from tests.support.repositories import Repository

NAME = "library.example"


@dataclass
class GitServer:
    """The server. `asks_who` has it refuse whoever shows no credentials; `shown` are those that were."""

    address: str = f"https://{NAME}/library.git"
    asks_who: bool = False
    shown: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def serving_git(original: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """Serve a repository as it is now."""
    served = folder / "served"
    original.clone(served / "library.git", "--bare").git("update-server-info")
    state = GitServer()

    class Files(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            if shown := self.headers.get("Authorization"):
                state.shown.append(shown)
            if state.asks_who:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    authority = make_authority(folder, NAME)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(served)))
    speak_tls(server, authority)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _leading_to(server.server_port))
    for name in ("http_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.certificate))
    servers = (server, proxy)
    for each in servers:
        threading.Thread(target=partial(each.serve_forever, poll_interval=0.01), daemon=True).start()
    try:
        yield state
    finally:
        for each in servers:
            each.shutdown()
            each.server_close()


def _leading_to(port: int) -> type[BaseHTTPRequestHandler]:
    """Return a proxy that leads to one server of this host, whatever name it is asked for."""

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pour, args=(there, self.connection), daemon=True)
                back.start()
                _pour(self.connection, there)
                back.join(5)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Proxy


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
