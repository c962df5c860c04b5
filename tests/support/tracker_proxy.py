"""What stands before a tracker in many places: a reverse proxy that asks for a token, speaks TLS, or sends on."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server"}


@dataclass(frozen=True)
class Authority:
    """A certificate authority of nobody's, and a certificate of its for `localhost`, with the key in the same file."""

    certificate: Path
    server: Path


def make_authority(folder: Path) -> Authority:
    """Make an authority and its server's certificate by openssl."""
    authority, key = folder / "ca.pem", folder / "ca.key"
    server = folder / "server.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    ca = ["-subj", "/CN=an authority of the tests", "-keyout", key, "-out", authority]
    leaf = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
    signed = ["-CA", authority, "-CAkey", key, "-keyout", folder / "server.key", "-out", server]
    for options in (ca, [*leaf, *signed]):
        subprocess.run([*make, *options], check=True, capture_output=True)
    server.write_text(server.read_text() + (folder / "server.key").read_text())
    return Authority(authority, server)


class TrackerProxy:
    """A proxy before `upstream`; a context manager. `authorizations` is what requests brought to prove who they are.

    `token`: only requests that bear it pass. `authority`: TLS with its certificate for localhost, and where
    `knows_clients` only for clients that have a certificate of its too. `sends_to`: nothing passes, everything is
    redirected there.
    """

    def __init__(
        self,
        upstream: str,
        *,
        token: str | None = None,
        authority: Authority | None = None,
        knows_clients: bool = False,
        sends_to: str | None = None,
    ) -> None:
        self.upstream = urlsplit(upstream)
        self.token = token
        self.sends_to = sends_to
        self.authorizations: list[str | None] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        scheme = "http"
        if authority is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.server)
            if knows_clients:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(authority.certificate)
            # The handshake is each thread's own, so that one client that breaks it off stops nobody else.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.address = f"{scheme}://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> TrackerProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.authorizations.append(self.headers.get("Authorization"))
                if proxy.sends_to is not None:
                    self.answer(302, {"Location": proxy.sends_to + self.path}, b"")
                elif proxy.token is not None and self.headers.get("Authorization") != f"Bearer {proxy.token}":
                    self.answer(401, {"WWW-Authenticate": "Bearer"}, b"no such token: " + self.sent_token())
                else:
                    self.pass_on(body)

            def do_POST(self) -> None:
                self.do_GET()

            def sent_token(self) -> bytes:
                """Repeats what it was sent, as servers do."""
                return (self.headers.get("Authorization") or "none").encode()

            def pass_on(self, body: bytes) -> None:
                connection = http.client.HTTPConnection(proxy.upstream.hostname or "", proxy.upstream.port, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                connection.request(self.command, self.path, body or None, headers)
                got = connection.getresponse()
                self.answer(got.status, dict(got.getheaders()), got.read())
                connection.close()

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
