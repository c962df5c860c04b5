"""An author of some year: commits a project, trains it on the Python and with the packages of that day, keeps the run.

The training runs for real, in a container on a base image with that Python, in an environment that uv resolves as of
the day from the author's own list: nothing of ours chooses what it is made of. Only the clock is ours: the run's start
is moved to the day, since no container has a clock of its own.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from runner.engine.docker import DockerEngine
from runner.engine.interface import ContainerRequest
from runner.network import read_network_settings
from runner.prepare import images_of, prepare
from tests.support.repositories import Repository

_TOOLS = "/opt/reproducibility-runner/venv/bin"
_AUTHOR = "/author"
_SCRIPT = f"""
set -eu
set -a; . /dev/stdin; set +a
cd {_AUTHOR}/project
cp ../packages.txt /tmp/packages.txt
uv venv --quiet --python "$(readlink -f "$(command -v python3)")" /tmp/venv >&2
export UV_PYTHON=/tmp/venv/bin/python
[ -z "$1" ] || export UV_EXCLUDE_NEWER=$1
case $("$UV_PYTHON" --version) in *" 3."[789].*|*" 3."1[01].*) uv pip install --quiet 'setuptools<80' wheel >&2 ;; esac
uv pip install --quiet -r /tmp/packages.txt >&2
git config --global --add safe.directory '*'
export PATH=/tmp/venv/bin:$PATH MLFLOW_ALLOW_FILE_STORE=true MLFLOW_DISABLE_TELEMETRY=true
shift
"$@" >&2
tar -cf - mlruns
"""


@dataclass(frozen=True)
class Author:
    """What an author has: a Python, packages (a requirement a line) and the day on which the run is made.

    `system` are Debian packages that are installed beside. Where a lock gave the packages, they are `dated` by nothing.
    """

    python: str
    day: str
    packages: str
    command: str = "python train.py"
    system: tuple[str, ...] = ()
    dated: bool = True

    @property
    def moment(self) -> datetime:
        """The run's start: noon of the day."""
        return datetime.fromisoformat(f"{self.day}T12:00:00").replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class AuthoredRun:
    """A repository with its commit, and the MLflow store that holds the run beside it."""

    repository: Repository
    commit: str
    tracker: Path
    run_id: str


def author_run(
    engine: DockerEngine, author: Author, files: Mapping[str, str | bytes | None], folder: Path
) -> AuthoredRun:
    """Commit the files an hour before the run, train, and bring the store home. Raises RuntimeError with the log."""
    repository = Repository(folder / "project")
    seconds = int(author.moment.timestamp())
    commit = repository.commit({".gitignore": "mlruns/\n", **files}, "Train", date=seconds - 3600)
    archive = _train(engine, author, repository)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(repository.path, filter="data")
    tracker = repository.path / "mlruns"
    (meta,) = (path for path in tracker.glob("*/*/meta.yaml") if "run_id" in path.read_text())
    _redate(meta, seconds)
    return AuthoredRun(repository, commit, tracker, meta.parent.name)


def _train(engine: DockerEngine, author: Author, repository: Repository) -> bytes:
    network = read_network_settings()
    files = [
        (f"{_AUTHOR}/project/{path.relative_to(repository.path)}", path.read_bytes())
        for path in sorted(repository.path.rglob("*"))
        if path.is_file()
    ]
    files.append((f"{_AUTHOR}/packages.txt", author.packages.encode()))
    ca_path = None
    if network.ca_bundle is not None:
        ca_path = f"{_AUTHOR}/ca.pem"
        files.append((ca_path, network.ca_bundle))
    variables = network.variables(ca_path)
    output, errors = list[bytes](), list[bytes]()
    outcome = engine.run(
        ContainerRequest(
            image=_image(engine, author),
            argv=("bash", "-c", _SCRIPT, "author", author.day if author.dated else "", *shlex.split(author.command)),
            purpose="author",
            environment={"HOME": "/root", "USER": "author", "PATH": f"/usr/local/bin:/usr/bin:/bin:{_TOOLS}"},
            files=tuple(files),
            stdin=[f"{name}={shlex.quote(value)}\n".encode() for name, value in variables.items()],
            network="host" if network.needs_host_network else "bridge",
        ),
        stdout=output.append,
        stderr=errors.append,
    )
    if outcome.exit_code != 0:
        raise RuntimeError(b"".join(errors).decode(errors="replace")[-3000:])
    return b"".join(output)


def _image(engine: DockerEngine, author: Author) -> str:
    images = images_of(prepare(engine, python=author.python, system_packages=author.system))
    return images.train or images.tools


def _redate(meta: Path, seconds: int) -> None:
    text = meta.read_text()
    times = {name: int(value) for name, value in re.findall(r"(?m)^(start_time|end_time): (\d+)$", text)}
    took = times["end_time"] - times["start_time"]
    for name, value in (("start_time", seconds * 1000), ("end_time", seconds * 1000 + took)):
        text = re.sub(rf"(?m)^{name}: \d+$", f"{name}: {value}", text)
    meta.write_text(text)
