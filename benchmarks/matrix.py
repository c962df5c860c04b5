"""What a reproduction gives and costs, for each MLflow, Python and kind of tracker that can be combined.

    python benchmarks/matrix.py [--only TEXT]

The author's training runs in a container on the very Python, with the very MLflow, and is recorded in a folder, in a
database and by a server of that version; then `runner reproduce` reads each record, cold (no cache of packages, data or
repositories) and warm. Images are there in every case. Needs an engine on this machine, since a server is read from
here, and the package index. Caches are of its own. DOCKER_HOST names another engine, as everywhere.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.demo.project import author_files
from runner.engine.docker import DockerEngine, remove_volume
from runner.engine.interface import ContainerRequest
from runner.network import read_network_settings
from runner.prepare import open_engine, prepare

VOLUME = f"reproducibility-runner-matrix-{os.getpid()}"
TOOLS = "/opt/reproducibility-runner"
PATH = f"{TOOLS}/path:/usr/local/bin:/usr/bin:/bin:{TOOLS}/venv/bin"
SCIENCE = """\
joblib==1.5.*
numpy==2.0.2 ; python_version < "3.13"
numpy==2.2.6 ; python_version >= "3.13"
pyyaml==6.0.*
scikit-learn==1.6.1
scipy==1.13.1 ; python_version < "3.13"
scipy==1.15.3 ; python_version >= "3.13"
"""
OLD = "setuptools<80"
# Each MLflow, what it needs beside itself, and the Pythons of ours that it says it supports.
COMBINATIONS = (
    ("1.30.1", OLD, ("3.9",)),
    ("2.2.2", OLD, ("3.9", "3.11")),
    ("2.22.0", "", ("3.9", "3.11", "3.13")),
    ("3.17.2", "", ("3.11", "3.13")),
)


@dataclass(frozen=True)
class Row:
    """One combination: seconds of the whole command, of its training, and the verdict."""

    mlflow: str
    python: str
    tracker: str
    cold: float
    warm: float
    train: float
    verdict: str

    def __str__(self) -> str:
        """Return the row of the table."""
        cells = f"{self.mlflow:<8} {self.python:<7} {self.tracker:<8}"
        return f"{cells} {self.cold:>7.1f} s {self.warm:>7.1f} s {self.train:>7.1f} s  {self.verdict}"


def run_in_container(engine: DockerEngine, image: str, requirements: str, *arguments: str, output: Path) -> None:
    """Run the author's script; its standard output goes to a file. Raises RuntimeError with the end of its errors."""
    network = read_network_settings()
    files = [(f"/{path}", content) for path, content in author_files()]
    files.append(("/author/matrix.sh", Path(__file__).with_name("matrix.sh").read_bytes()))
    files.append(("/author/requirements.txt", requirements.encode()))
    files.append(("/author/ca.pem", network.ca_bundle or b""))
    variables = network.variables("/author/ca.pem" if network.ca_bundle else None)
    errors: list[bytes] = []
    with output.open("wb") as file:
        outcome = engine.run(
            ContainerRequest(
                image=image,
                argv=("bash", "-c", f"set -ae; . /dev/stdin; set +a; bash /author/matrix.sh {shlex.join(arguments)}"),
                purpose="benchmark",
                environment={"HOME": "/root", "USER": "author", "PATH": PATH, "LANG": "C.UTF-8"},
                files=tuple(files),
                stdin=[f"{name}={shlex.quote(value)}\n".encode() for name, value in variables.items()],
                network="host",
            ),
            stdout=lambda data: file.write(data) and None,
            stderr=errors.append,
        )
    if outcome.exit_code != 0:
        raise RuntimeError(b"".join(errors).decode(errors="replace")[-1500:])


@contextlib.contextmanager
def served(image: str, mlflow: str, folder: Path) -> Iterator[str]:
    """Serve the tracking API of that MLflow in a container; yield the address, which answers once it is installed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = open_engine()

    stopping = threading.Event()

    def serve() -> None:
        try:
            run_in_container(engine, image, "", "server", "/served", mlflow, str(port), output=folder / "server.log")
        except Exception as error:  # noqa: BLE001  # it ends by being stopped
            if not stopping.is_set():
                print(f"the server of {mlflow} ended: {error}", file=sys.stderr)  # noqa: T201

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stopping.set()
        engine.close()
        thread.join(30)


def reproduce(tracker: str, folder: Path) -> tuple[float, float, str]:
    """Run the command as a person does; return the seconds of all and of the training, and the verdict."""
    argv = [sys.executable, "-c", "from runner.cli.app import main; main()", "reproduce", "diabetes/matrix"]
    argv += ["--json", "--quiet", "--tracker", tracker, "--repo", str(folder / "project")]
    argv += ["--out", str(folder / "evidence" / str(time.monotonic_ns()))]
    own = {"REPRO_CACHE_VOLUME": VOLUME, "REPRO_CACHE_DIR": str(folder / "mirrors")}
    started = time.monotonic()
    done = subprocess.run(argv, env={**os.environ, **own}, cwd=folder, capture_output=True, text=True, check=False)
    took = time.monotonic() - started
    try:
        document = json.loads(done.stdout)
        verdict = document["verdict"]
        if verdict != "identical":
            verdict += f": {document['reason']}"
        return took, (document.get("rerun") or {"timings": {}})["timings"].get("train", 0.0), verdict
    except (ValueError, KeyError):
        return took, 0.0, f"exit {done.returncode}: {(done.stdout + done.stderr)[-300:]}"


def measure(mlflow: str, more: str, python: str, folder: Path) -> Iterator[Row]:
    """Record the training in each kind of store and reproduce each record, cold and warm."""
    with contextlib.closing(open_engine()) as engine:
        image = prepare(engine, python=python).tools
        requirements = f"mlflow-skinny=={mlflow}\n{more}\n{SCIENCE}"
        with served(image, f"mlflow=={mlflow} sqlalchemy<2.1 {more}".strip(), folder) as server:
            archive = folder / "author.tar"
            run_in_container(engine, image, requirements, "author", "/home/author", server, output=archive)
            with tarfile.open(archive) as members:
                members.extractall(folder, filter="data")
            runs = folder / "project" / "runs"
            for kind, tracker in (
                ("file", str(runs / "mlruns")),
                ("sqlite", f"sqlite:///{runs / 'mlflow.db'}"),
                ("http", server),
            ):
                remove_volume(engine.client, VOLUME)
                shutil.rmtree(folder / "mirrors", ignore_errors=True)
                cold, _, first = reproduce(tracker, folder)
                warm, train, second = reproduce(tracker, folder)
                verdict = first if first == second else f"cold {first}, warm {second}"
                yield Row(mlflow, python, kind, cold, warm, train, verdict)


def main() -> None:
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="combinations whose 'MLFLOW PYTHON' begins so, such as '2.22'")
    args = parser.parse_args()
    print(f"{'mlflow':<8} {'python':<7} {'tracker':<8} {'cold':>9} {'warm':>9} {'train':>9}  verdict", flush=True)  # noqa: T201
    try:
        for mlflow, more, pythons in COMBINATIONS:
            for python in pythons:
                if not f"{mlflow} {python}".startswith(args.only):
                    continue
                with tempfile.TemporaryDirectory(prefix="matrix-") as name:
                    try:
                        for row in measure(mlflow, more, python, Path(name)):
                            print(row, flush=True)  # noqa: T201
                    except RuntimeError as error:
                        print(f"{mlflow:<8} {python:<7} the author's own training failed: {error}", flush=True)  # noqa: T201
    finally:
        with contextlib.closing(open_engine()) as engine:
            remove_volume(engine.client, VOLUME)


if __name__ == "__main__":
    main()
