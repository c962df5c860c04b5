"""The command line as a person types it: a process of its own, in a folder, with what it says and what it leaves.

typed = CommandLine(tmp_path / "here", tracker=project.tracker)
done = typed.run("reproduce", RUN_ID)
started = typed.start("reproduce", RUN_ID); started.wait_for("restore: done"); started.stop(signal.SIGINT)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.engine import labels
from runner.engine.docker import DockerEngine
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.inside import layout
from tests.support.engines import Pieces

# As the console script does, which does not look for modules in the current directory.
RUNNER = (sys.executable, "-I", "-c", "from runner.cli.app import main; main()")
_PATIENCE_S = 240.0


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


class CommandLine:
    """A shell's prompt: a folder to stand in, an environment of its own, caches that are shared where they may be."""

    def __init__(self, folder: Path, *, tracker: Path | str | None = None, **variables: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.temporary = folder.parent / f".{folder.name}-tmp"
        self.temporary.mkdir(exist_ok=True)
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "COV_"))},
            "REPRO_CACHE_DIR": str(folder.parent / f".{folder.name}-cache"),
            "TMPDIR": str(self.temporary),
            "NO_COLOR": "1",
            **({} if tracker is None else {"MLFLOW_TRACKING_URI": str(tracker)}),
            **variables,
        }

    def start(self, *arguments: str, **streams: Any) -> Started:
        """Start the command."""
        return Started(
            subprocess.Popen(
                [*RUNNER, *arguments],
                cwd=self.folder,
                env=self.variables,
                # Whoever runs the tests in the background has told us to ignore some signals.
                preexec_fn=_hear_signals,  # noqa: PLW1509  # it takes no lock
                **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
            )
        )

    def run(self, *arguments: str) -> Said:
        """Run the command to its end."""
        return self.start(*arguments).end()

    def files(self) -> list[str]:
        """Return all that lies in the folder, and whatever was left in the one for temporary files."""
        found = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")]
        return sorted([*found, *(f"TMP/{path.name}" for path in self.temporary.iterdir())])


class Started:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.pid = process.pid
        self._streams: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._readers = []
        for name, kept in self._streams.items():
            if (stream := getattr(process, name)) is not None:
                reader = threading.Thread(target=self._read, args=(stream, kept), daemon=True)
                reader.start()
                self._readers.append(reader)

    @staticmethod
    def _read(stream: Any, kept: bytearray) -> None:
        while data := os.read(stream.fileno(), 1 << 16):
            kept += data

    @property
    def err(self) -> str:
        """What it said on standard error so far."""
        return self._streams["stderr"].decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until it says so on standard error."""
        end = time.monotonic() + _PATIENCE_S
        while text not in self.err:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"it never said {text!r}: {self.err}")
            time.sleep(0.005)

    def wait_until_it_hears(self) -> None:
        """Wait until it has a handler for SIGTERM; before, Python itself is still starting."""
        while self.process.poll() is None:
            status = Path(f"/proc/{self.pid}/status").read_text()
            caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
            if caught >> (signal.SIGTERM - 1) & 1:
                return
            time.sleep(0.005)

    def stop(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> Said:
        """Wait for its end."""
        code = self.process.wait(timeout=_PATIENCE_S)
        for reader in self._readers:
            reader.join(10)
        return Said(code, self._streams["stdout"].decode(errors="replace"), self.err)


def _hear_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def left_in_engine(engine: DockerEngine, process: int) -> list[str]:
    """Return the names of all containers and volumes that a process of this host made and that do not outlive it."""
    mine = f"{labels.host_id()}:{process}:"
    filters = {"label": labels.OWNER}
    found = [(one["Names"][0], one["Labels"]) for one in engine.client.containers(all=True, filters=filters)]
    found += [(one["Name"], one["Labels"]) for one in engine.client.volumes(filters=filters)["Volumes"] or ()]
    return [name for name, tags in found if tags[labels.OWNER].startswith(mine)]


def work_folders(engine: DockerEngine, image: str, volume: str | None = None) -> list[str]:
    """Return the workspaces that lie in the cache volume."""
    said = Pieces()
    engine.run(
        ContainerRequest(
            image=image,
            argv=("sh", "-c", f"ls -A {layout.WORK} 2>/dev/null || true"),
            purpose="look",
            mounts=(VolumeMount(volume=volume or labels.cache_volume(), target=layout.CACHE, read_only=True),),
        ),
        stdout=said,
        stderr=said,
    )
    return said.text().split()
