"""Which digests a remote holds, asked without a container: yes, no, or that nobody knows."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runner.credentials.host import NO_ACCESS, HostAccess, host_access
from runner.network import NetworkSettings
from runner.rerun.held import holding
from runner.schema.plan import Remote
from tests.support.repositories import Store, md5

LACKING = str(md5(b"never stored"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def remote(url: str, confirmed_by: str | None = None, **fields: str) -> Remote:
    return Remote(name="storage", url=url, source="test", confirmed_by=confirmed_by, **fields)


class Server:
    """Shows a folder to who signs in, and sends the rest away to `leads`, if it is set."""

    def __init__(self, folder: Path, password: str | None = None, leads: str | None = None) -> None:
        self.seen: list[str | None] = []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def do_HEAD(self) -> None:
                sent = self.headers.get("Authorization")
                server.seen.append(sent)
                if leads is not None:
                    self.send_response(302)
                    self.send_header("Location", leads + self.path)
                    self.end_headers()
                elif password is not None and sent != f"Basic {base64.b64encode(f'ann:{password}'.encode()).decode()}":
                    self.send_error(401)
                else:
                    super().do_HEAD()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers(store: Store) -> Iterator[tuple[Server, Server]]:
    behind = Server(store.path)
    first = Server(store.path, leads=behind.url)
    yield behind, first
    behind.close()
    first.close()


def signed_in() -> HostAccess:
    return host_access({"REPRO_REMOTE_USER": "ann", "REPRO_REMOTE_PASSWORD": "canary"}, (), lambda _: None)


def ask(
    asked: Remote, digests: list[str], host: HostAccess = NO_ACCESS, **options: bool
) -> tuple[set[str], set[str], str | None]:
    found = holding(asked, digests, host, NetworkSettings(), **options)
    return set(found.held), set(found.lacking), found.refused or found.unasked


def test_a_web_server_is_asked_with_the_password_of_a_confirmed_place_alone(store: Store) -> None:
    digest = str(store.put(b"data").digest)
    server = Server(store.path, password="canary")
    try:
        assert ask(remote(server.url), [digest, LACKING], signed_in())[2] == "refuses (status 401)"
        assert set(server.seen) == {None}
        assert ask(remote(server.url, "--remote"), [digest, LACKING], signed_in()) == ({digest}, {LACKING}, None)
        dav = server.url.replace("http", "webdav", 1)
        assert ask(remote(dav, "--remote"), [digest], signed_in())[0] == {digest}
    finally:
        server.close()


def test_a_redirect_is_followed_without_the_password(store: Store, servers: tuple[Server, Server]) -> None:
    behind, first = servers
    digest = str(store.put(b"data").digest)
    assert ask(remote(first.url, "--remote"), [digest], signed_in()) == ({digest}, set(), None)
    assert first.seen != [None]
    assert behind.seen == [None]
    behind.seen.clear()
    assert ask(remote(first.url), [digest], signed_in())[2] == "does not answer (LeadsAway)"
    assert behind.seen == [], "a server that nobody confirmed leads nobody into this network"


def test_what_is_not_asked_is_neither_held_nor_lacking() -> None:
    for url, offline in (("ssh://far.example/x", False), ("azure://data/x", False), ("https://far.example/x", True)):
        found = holding(remote(url), [LACKING], NO_ACCESS, NetworkSettings(), offline=offline)
        assert (found.held, found.lacking, found.refused) == (frozenset(), frozenset(), None)
        assert found.unasked is not None
    assert ask(remote("http://127.0.0.1:9/x", "--remote"), [LACKING])[2] == "does not answer (URLError)"
