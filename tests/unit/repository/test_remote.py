"""Repositories elsewhere: fetched once, then read from the mirror; refusals are told from what is gone for good."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.errors import DiskFull, MissingFact, RepositoryUnavailable
from runner.repository.local import lay_out
from runner.repository.mirror import open_mirror
from runner.repository.process import run_git
from tests.support.repositories import Repository


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def serving(handler: Any) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


@pytest.fixture
def refusing() -> Iterator[str]:
    for address, _ in serving(_Refusing):
        yield address


def test_a_repository_is_fetched_once_and_read_from_the_mirror_after(tmp_path: Path) -> None:
    original = Repository(tmp_path / "work")
    commit = original.commit({"train.py": "x"})
    bare = original.clone(tmp_path / "served" / "fraud.git", "--bare")
    bare.git("update-server-info")
    cache = tmp_path / "cache"
    for address, server in serving(partial(_Quiet, directory=str(tmp_path / "served"))):
        url = f"{address.replace('//', '//me:hunter2@')}/fraud.git"
        mirror = open_mirror(url, cache, commit=commit)
        assert mirror.contains(commit)
        assert mirror.default_tip() == commit
        assert mirror.url == f"{address}/fraud.git"
        server.shutdown()
        server.server_close()
        assert open_mirror(url, cache, commit=commit) == mirror
        assert open_mirror(url, cache, commit="0" * 40, offline=True) == mirror
        with pytest.raises(RepositoryUnavailable):
            open_mirror(url, cache, commit="0" * 40)
        # a short id may be that of a commit that we do not have yet
        with pytest.raises(RepositoryUnavailable):
            open_mirror(url, cache, commit=commit[:8])
    assert "hunter2" not in repr(mirror)
    assert "hunter2" not in (mirror.path / "config").read_text()


def test_a_login_of_an_address_is_used_and_stands_in_no_argument_of_git_or_of_what_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments are shown to every user of a host; git's own trace tells those of all that it starts."""
    original = Repository(tmp_path / "work")
    commit = original.commit({"train.py": "x"})
    original.clone(tmp_path / "served" / "fraud.git", "--bare").git("update-server-info")
    shown: list[str | None] = []

    class Asking(_Quiet):
        def do_GET(self) -> None:
            shown.append(self.headers.get("Authorization"))
            if shown[-1] is None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
            else:
                super().do_GET()

    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    for address, _ in serving(partial(Asking, directory=str(tmp_path / "served"))):
        url = f"{address.replace('//', '//me:hunter%2F2@')}/fraud.git"
        assert open_mirror(url, tmp_path / "cache", commit=commit).contains(commit)
    assert set(shown) == {None, "Basic " + base64.b64encode(b"me:hunter/2").decode()}
    trace = (tmp_path / "trace").read_text()
    assert "remote-http" in trace
    assert "hunter" not in trace
    assert not (home / ".git-credentials").exists(), "what was typed for once is not kept"


@pytest.mark.parametrize("status", [404, 410])
def test_a_repository_that_is_gone_is_a_missing_fact(refusing: str, tmp_path: Path, status: int) -> None:
    with pytest.raises(MissingFact) as caught:
        open_mirror(f"{refusing}/{status}/x", tmp_path / "cache", commit=None)
    assert (caught.value.fact, caught.value.exit_code) == ("repository", 3)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_repository_that_refuses_is_unavailable_and_no_secret_is_told(
    refusing: str, tmp_path: Path, status: int
) -> None:
    url = f"{refusing.replace('//', '//me:hunter2@')}/{status}/x"
    with pytest.raises(RepositoryUnavailable) as caught:
        open_mirror(url, tmp_path / "cache", commit=None)
    assert caught.value.exit_code == 5
    assert "hunter2" not in caught.value.cause + caught.value.remedy
    assert "git ls-remote" in caught.value.remedy


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://name.invalid/x", "ssh://127.0.0.1:1/x"])
def test_a_repository_that_does_not_answer_is_unavailable(tmp_path: Path, url: str) -> None:
    with pytest.raises(RepositoryUnavailable):
        open_mirror(url, tmp_path / "cache", commit=None)


def test_without_a_network_only_the_cache_is_used(tmp_path: Path) -> None:
    with pytest.raises(RepositoryUnavailable, match="--offline"):
        open_mirror("https://name.invalid/x", tmp_path / "cache", commit=None, offline=True)


def test_a_protocol_that_the_users_configuration_leads_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[url "ext::touch {canary} "]\n\tinsteadOf = https://name.invalid/\n[protocol]\n\tallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(RepositoryUnavailable, match="not allowed"):
        open_mirror("https://name.invalid/x", tmp_path / "cache", commit=None)
    assert not canary.exists()


def test_a_full_disk_is_told_from_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "bin" / "git"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\necho 'fatal: write error: No space left on device' >&2\nexit 128\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:/usr/bin:/bin")
    with pytest.raises(DiskFull):
        open_mirror("https://name.invalid/x", tmp_path / "cache", commit=None)


def test_git_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    lay_out(tmp_path / "r.git")
    mark = tmp_path / "mark"
    with pytest.raises(RepositoryUnavailable, match="did not finish within"):
        run_git(tmp_path / "r.git", "-c", f"alias.nap=!(sleep 1; touch {mark})", "nap", timeout_s=0.2)
    threading.Event().wait(1.2)
    assert not mark.exists()


def test_a_machine_without_git_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lay_out(tmp_path / "r.git")
    with pytest.raises(RepositoryUnavailable) as caught:
        run_git(tmp_path / "r.git", "version")
    assert caught.value.remedy == "apt-get install git"
