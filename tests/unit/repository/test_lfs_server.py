"""A server of Git LFS that means ill: it has us ask no other place, learns no login, and gives no other bytes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.repository.address import parse_address
from runner.repository.lfs_server import LfsServer, Offer, Refusal
from runner.repository.local import lay_out
from runner.schema.snapshot import LfsPointer

CONTENT = b"1.5\n"
POINTER = LfsPointer(path="data.csv", oid=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT))


class Server:
    """Answers a batch with one href, and GETs by their path."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []
        self.href = "/object"
        self.header: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.content = CONTENT
        self.login: str | None = None
        self.batch: Any = None
        state = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                state.seen.append(("POST", self.path, self.headers.get("Authorization")))
                if state.login is not None and self.headers.get("Authorization") != state.login:
                    self.send_response(401)
                    self.end_headers()
                    return
                action = {"download": {"href": state.href, "header": state.header}}
                item = {"oid": POINTER.oid, "size": POINTER.size_bytes, "actions": action}
                self._send(json.dumps({"objects": [item]} if state.batch is None else state.batch).encode())

            def do_GET(self) -> None:
                state.seen.append(("GET", self.path, self.headers.get("Authorization")))
                if self.path in state.redirects:
                    self.send_response(302)
                    self.send_header("Location", state.redirects[self.path])
                    self.end_headers()
                else:
                    self._send(state.content)

            def _send(self, content: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers() -> Iterator[Callable[[], Server]]:
    made: list[Server] = []

    def make() -> Server:
        made.append(Server())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def git_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ours; the user's git knows nothing yet."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))
    lay_out(tmp_path / "ours.git")
    return tmp_path / "ours.git"


def fetched(server: Server, git_dir: Path, address: str | None = None, named: str | None = None) -> Refusal | bytes:
    """What becomes of the one object."""
    client = LfsServer(parse_address(address or f"{server.origin}/acme/x.git"), git_dir, named)
    offer = client.offers([POINTER])[POINTER.oid]
    if isinstance(offer, Refusal):
        return offer
    target = git_dir / "object"
    refusal = client.fetch(POINTER, offer, target)
    return target.read_bytes() if refusal is None else refusal


def test_an_object_is_taken_for_its_digest_and_size(servers: Callable[[], Server], git_dir: Path) -> None:
    server = servers()
    assert fetched(server, git_dir) == CONTENT
    assert server.seen[0][1] == "/acme/x.git/info/lfs/objects/batch"


@pytest.mark.parametrize(("content", "passing"), [(b"1.6\n", False), (CONTENT * 1000, False), (b"1", True)])
def test_other_bytes_are_not_kept(servers: Callable[[], Server], git_dir: Path, content: bytes, passing: bool) -> None:
    server = servers()
    server.content = content
    refusal = fetched(server, git_dir)
    assert isinstance(refusal, Refusal)
    assert refusal.passing is passing
    assert not (git_dir / "object").exists()


@pytest.mark.parametrize("how", ["at once", "by a redirect"])
@pytest.mark.parametrize(
    "place", ["other", "http://169.254.169.254/latest", "file:///etc/passwd", "https://10.0.0.1/x"]
)
def test_the_server_sends_us_to_no_place_that_it_may_not(
    servers: Callable[[], Server], git_dir: Path, place: str, how: str
) -> None:
    server, other = servers(), servers()
    place = f"{other.origin}/metadata" if place == "other" else place
    if how == "at once":
        server.href = place
    else:
        server.redirects["/object"] = place
    refusal = fetched(server, git_dir)
    assert isinstance(refusal, Refusal)
    assert "which is not asked" in refusal.why
    assert other.seen == []


def test_a_login_of_the_users_git_is_shown_when_it_is_asked_for_and_to_that_server_alone(
    servers: Callable[[], Server], git_dir: Path, tmp_path: Path
) -> None:
    server = servers()
    host = server.origin.removeprefix("http://")
    (tmp_path / "gitconfig").write_text("[credential]\n\thelper = store\n")
    (tmp_path / ".git-credentials").write_text(f"http://ann:hunter2@{host}\n")
    server.login = "Basic YW5uOmh1bnRlcjI="
    assert fetched(server, git_dir) == CONTENT
    assert [shown for _, _, shown in server.seen] == [None, server.login, server.login]
    elsewhere = servers()
    elsewhere.login = "Basic x"
    refusal = fetched(elsewhere, git_dir)
    assert isinstance(refusal, Refusal)
    assert refusal.passing
    assert {shown for _, _, shown in elsewhere.seen} == {None}


def test_an_lfs_url_of_the_commit_counts_on_the_repositorys_host_or_where_the_users_git_names_it(
    servers: Callable[[], Server], git_dir: Path, tmp_path: Path
) -> None:
    server, other = servers(), servers()
    assert fetched(server, git_dir, named=f"{server.origin}/store") == CONTENT
    assert server.seen[0][1] == "/store/objects/batch"
    (git_dir / "object").unlink()
    assert fetched(server, git_dir, named=f"{other.origin}/store") == CONTENT
    assert other.seen == []
    (tmp_path / "gitconfig").write_text(f'[lfs "{other.origin}/"]\n\taccess = basic\n')
    (git_dir / "object").unlink()
    assert fetched(server, git_dir, named=f"{other.origin}/store") == CONTENT
    assert other.seen != []


@pytest.mark.parametrize(
    "batch", [[], {}, {"objects": 3}, {"objects": [3, {"oid": "x"}, {"oid": POINTER.oid, "actions": [1]}]}, "x", None]
)
def test_an_answer_that_is_none_is_a_refusal(servers: Callable[[], Server], git_dir: Path, batch: Any) -> None:
    server = servers()
    server.batch = {"objects": [{"oid": POINTER.oid, "error": {"code": 404}}]} if batch is None else batch
    found = fetched(server, git_dir)
    assert isinstance(found, Refusal)
    assert not found.passing


def test_a_server_of_git_by_ssh_tells_where_its_lfs_is_and_gives_a_login(
    git_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, said = tmp_path / "ssh", tmp_path / "said"
    answer = json.dumps({"href": "https://lfs.example.org/store", "header": {"Authorization": "RemoteAuth t0ken"}})
    stub.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {said}\necho '{answer}'\n")
    os.chmod(stub, stat.S_IRWXU)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(stub))
    client = LfsServer(parse_address("ssh://git@git.example.org:2222/acme/x y.git"), git_dir)
    posted: list[dict[str, str]] = []

    def post(_: object) -> tuple[int, bytes]:
        posted.append(dict(client._headers))
        item = {"oid": POINTER.oid, "actions": {"download": {"href": "https://lfs.example.org/o"}}}
        return 200, json.dumps({"objects": [item]}).encode()

    monkeypatch.setattr(client, "_post", post)
    offer = client.offers([POINTER])[POINTER.oid]
    assert said.read_text().splitlines() == [
        "-oBatchMode=yes", "-p", "2222", "--", "git@git.example.org", "git-lfs-authenticate '/acme/x y.git' download",
    ]  # fmt: skip
    assert client.shown == "https://lfs.example.org/store"
    assert posted == [{"Authorization": "RemoteAuth t0ken"}]
    assert isinstance(offer, Offer)
    assert "t0ken" not in repr(offer)
