"""Package indexes that say nothing of upload times, with times that the auditor brings (`--index-dates FILE`).

uv leaves out what is newer than a day by what an index's page says, and by nothing else. So it asks us, on the loopback
address of our own container, and gets the page of the index with the times put in. Only pages come this way; files are
fetched from the index itself, with its credentials. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from runner.inside.packages.index_access import NotThere, page
from runner.inside.packages.indexes import IndexSettings
from runner.inside.protocol import PhaseError

_PORT = 8642  # always the same where it is free, since uv keeps what it fetched under the address of the index
_KIND = "application/vnd.pypi.simple.v1+json"


class DatedIndexes:
    """Serves the pages of indexes with the upload times that the settings have; a context manager.

    `refusal` is why an index could not be asked: uv only hears that it was not.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings
        self._token = secrets.token_urlsafe(24)  # other users of a host may reach its loopback address too
        self._addresses: dict[str, str] = {}
        self.refusal: PhaseError | None = None
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", _PORT), self._handler())
        except OSError:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> DatedIndexes:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stand_in(self, index: str) -> str:
        """Return the address at which an index is served with its times."""
        parts = urlsplit(index)
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        name = hashlib.sha256(plain.encode()).hexdigest()[:16]
        self._addresses[name] = index
        return f"http://_:{self._token}@127.0.0.1:{self._server.server_address[1]}/{name}/simple"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        indexes = self
        expected = f"Basic {base64.b64encode(f'_:{self._token}'.encode()).decode()}"

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name, _, rest = self.path.strip("/").partition("/simple/")
                if not secrets.compare_digest(self.headers.get("Authorization", ""), expected):
                    self._answer(401, b"")
                elif name not in indexes._addresses or not rest or "/" in rest:
                    self._answer(404, b"")
                else:
                    self._serve(indexes._addresses[name], unquote(rest))

            def _serve(self, index: str, package: str) -> None:
                try:
                    self._answer(200, indexes._page(index, package))
                except NotThere:
                    self._answer(404, b"")
                except PhaseError as error:
                    indexes.refusal = error
                    self._answer(502, b"")

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", _KIND)
                self.send_header("Cache-Control", "no-cache")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _page(self, index: str, package: str) -> bytes:
        entries = page(index, package, self._settings)
        document = {"meta": {"api-version": "1.1"}, "name": package, "versions": [], "files": entries}
        return json.dumps(document).encode()
