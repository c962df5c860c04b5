"""Repositories served by https on this host, with a certificate that git is told to trust."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.authorities import make_authority, speak_tls
from tests.support.repositories import Repository


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serving_git(original: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve a repository as it is now, and yield its address."""
    served = folder / "served"
    original.clone(served / "library.git", "--bare").git("update-server-info")
    authority = make_authority(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(served)))
    speak_tls(server, authority)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.certificate))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}/library.git"
    finally:
        server.shutdown()
        server.server_close()
