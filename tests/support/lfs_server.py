"""A real server of Git LFS (giftless, from PyPI, in an environment of its own) that also serves the repository.

with serving_lfs(python, folder) as server:
    server.put(b"...")                       # pushed by the protocol, as `git lfs push` does
    server.serve(repository)                 # at server.address, by git's dumb protocol
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.repositories import Repository

PACKAGES = (
    "giftless==0.6.2", "flask", "flask-classful", "flask-marshmallow", "figcan", "webargs", "marshmallow-enum",
    "PyJWT<2.10", "pyyaml", "cachetools", "python-dotenv", "python-dateutil", "typing-extensions", "cryptography",
)  # fmt: skip
"""giftless declares none of what it imports."""

_APP = Path(__file__).with_name("lfs_app.py")


def make_python(folder: Path) -> Path:
    """Return a Python that has giftless."""
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), *PACKAGES], check=True)
    return python


def pointer(content: bytes) -> str:
    """Return the text that git holds in the place of a file's bytes."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


class LfsService:
    """The server. `requests` are those that came: method, path and what was shown of a login."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._changed: queue.Queue[None] = queue.Queue()
        self.requests: list[str] = []
        assert process.stdout is not None
        self.origin = process.stdout.readline().strip()
        self.address = f"{self.origin}/acme/sums.git"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "changed":
                self._changed.put(None)
            else:
                self.requests.append(line.strip())

    def put(self, content: bytes) -> str:
        """Push an object and return its id."""
        oid, size = hashlib.sha256(content).hexdigest(), len(content)
        body = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": size}]}
        kind = "application/vnd.git-lfs+json"
        asked = urllib.request.Request(
            f"{self.address}/info/lfs/objects/batch", json.dumps(body).encode(), {"Accept": kind, "Content-Type": kind}
        )
        with urllib.request.urlopen(asked) as answer:
            action = json.load(answer)["objects"][0]["actions"]["upload"]
        headers = {"Content-Type": "application/octet-stream", **action.get("header", {})}
        sent = urllib.request.Request(action["href"], content, headers, method="PUT")
        urllib.request.urlopen(sent).close()
        return oid

    def stored(self, oid: str) -> Path:
        """Return where the server keeps an object."""
        return next((self._folder / "objects").rglob(oid))

    def serve(self, repository: Repository) -> str:
        """Serve a repository as it is now, and return its address."""
        repository.clone(self._folder / "served" / "acme" / "sums.git", "--bare").git("update-server-info")
        return self.address

    def ask_who(self, login: str) -> None:
        """Let those alone read who show this login, `USER:PASSWORD`."""
        assert self._process.stdin is not None
        self._process.stdin.write(login + "\n")
        self._process.stdin.flush()
        self._changed.get(timeout=10)


@contextmanager
def serving_lfs(python: Path, folder: Path) -> Iterator[LfsService]:
    """Run the server."""
    (folder / "served").mkdir(parents=True)
    argv = [str(python), str(_APP), str(folder / "served"), str(folder / "objects")]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    )
    try:
        yield LfsService(process, folder)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
