"""An engine over ssh: its socket brought here by the user's own ssh, with the user's own configuration and host keys.

docker-py's own ssh transport cannot attach to a container; a forwarded socket can do all that a local one can.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from runner.engine.find import DEFAULT_SOCKET, EngineAddress, not_answering

_WAIT_S = 30.0


class Tunnel:
    """A running ssh that forwards the engine's socket. `local` is where it arrives."""

    def __init__(self, address: EngineAddress) -> None:
        parts = urlsplit(address.url)
        self._folder = Path(tempfile.mkdtemp(prefix="reproducibility-runner-"))
        path = self._folder / "engine.sock"
        self.local = EngineAddress(url=f"unix://{path}", origin=address.origin)
        destination = f"{parts.username}@{parts.hostname}" if parts.username else str(parts.hostname)
        remote = parts.path if len(parts.path) > 1 else DEFAULT_SOCKET
        argv = ["ssh", "-nNT", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none"]
        argv += ["-o", "ServerAliveInterval=15", "-L", f"{path}:{remote}"]
        argv += ["-p", str(parts.port)] if parts.port else []
        self._log = (self._folder / "ssh.log").open("wb")
        try:
            self._process = subprocess.Popen(
                [*argv, "--", destination],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                # Ctrl-C must not reach it: what we started is removed through it.
                start_new_session=True,
            )
        except OSError as error:
            self._clean()
            raise not_answering(address, f"ssh cannot be run: {error}") from error
        try:
            self._await_socket(address, path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End ssh and remove the socket; safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._clean()

    def _await_socket(self, address: EngineAddress, path: Path) -> None:
        end = time.monotonic() + _WAIT_S
        while not path.exists():
            if self._process.poll() is not None:
                said = (self._folder / "ssh.log").read_text(errors="replace").strip().splitlines()
                raise not_answering(address, said[-1] if said else f"ssh ended with {self._process.returncode}")
            if time.monotonic() > end:
                raise not_answering(address, f"ssh made no connection within {_WAIT_S:.0f} s")
            time.sleep(0.05)

    def _clean(self) -> None:
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)
