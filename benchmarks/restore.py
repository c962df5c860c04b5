"""What restoring large data costs when our cache has it: one file of 2 GiB, a folder of 10,000 files.

    python benchmarks/restore.py [-n RUNS]

Prints medians: the restore phase of `runner reproduce`, what of it is beyond that of a project with 13 bytes of data
(which is the start of a container, the clone and the look at the remote), and what `dvc checkout` takes by hard links
from the same cache in the same container image. Needs an engine on this machine, 5 GB of disk and the package index.
Works in a temporary folder and a cache volume of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from runner.inside import layout
from runner.prepare import open_engine, prepare
from runner.schema.digest import DigestValue
from tests.support.projects import RUN_ID, RecordedProject
from tests.support.repositories import Stored, pointer_text

VOLUME = f"reproducibility-runner-benchmark-{os.getpid()}"
RUNNER = (sys.executable, "-I", "-c", "from runner.cli.app import main; main()")
FILE_BYTES = 2 << 30
FILES = 10_000
TARGETS_S = {"2 GiB file": 0.3, f"{FILES} files": 0.5}


def put_file(project: RecordedProject) -> Stored:
    """Store 2 GiB in the remote of a project, without holding them in memory."""
    path, md5 = project.store.path / "new", hashlib.md5(usedforsecurity=False)
    with path.open("wb") as file:
        for _ in range(FILE_BYTES >> 24):
            piece = os.urandom(1 << 24)
            md5.update(piece)
            file.write(piece)
    digest = DigestValue("md5", md5.hexdigest())
    target = project.store.object_path(digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    return Stored(digest, FILE_BYTES)


def put_folder(project: RecordedProject) -> Stored:
    """Store 10,000 files of a few bytes."""
    return project.store.put_directory({f"{n % 100:02}/{n:05}.txt": f"{n}\n".encode() for n in range(FILES)})


def make_project(folder: Path, put: Callable[[RecordedProject], Stored]) -> RecordedProject:
    """Return a project with one recorded run on this data."""
    folder.mkdir()
    project = RecordedProject(folder)
    data = put(project)
    project.commit_training(files={"data/train.csv.dvc": pointer_text("train.csv", data)})
    project.record(tags={"dvc_data_md5": data.digest.dvc, "dvc_model_md5": None}, pointers=False)
    return project


def restore_seconds(project: RecordedProject, folder: Path) -> float:
    """Rerun nothing but the restoring, and return what that phase took."""
    done = subprocess.run(
        [*RUNNER, "reproduce", RUN_ID, "--json", "-q", "--out", str(folder / "evidence"), "--", "true"],
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": str(project.tracker),
            "REPRO_CACHE_VOLUME": VOLUME,
            "REPRO_CACHE_DIR": str(folder / "mirrors"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 4:  # the command logs no run
        sys.exit(f"runner reproduce ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return float(json.loads(done.stdout)["rerun"]["timings"]["restore"])


CHECKOUT = """
set -e
mkdir -p /cache/checkout; cd /cache/checkout
git init -q .; git config user.email a@b; git config user.name a
/opt/reproducibility-runner/path/dvc init -q
/opt/reproducibility-runner/path/dvc cache dir /cache/objects
/opt/reproducibility-runner/path/dvc config cache.type hardlink
mkdir data; printf '%s' "$POINTER" > data/train.csv.dvc
for i in $(seq RUNS); do
  rm -rf data/train.csv .dvc/tmp
  start=$EPOCHREALTIME
  /opt/reproducibility-runner/path/dvc checkout -q data/train.csv.dvc
  echo $start $EPOCHREALTIME
done
rm -rf /cache/checkout
"""


def checkout_seconds(image: str, project: RecordedProject, number: int) -> list[float]:
    """Return what DVC takes to check out the same data from the same cache, timed inside a container."""
    pointer = (project.repository.path / "data/train.csv.dvc").read_text()
    argv = ["docker", "run", "--rm", f"--volume={VOLUME}:{layout.CACHE}", f"--env=POINTER={pointer}", image]
    argv += ["bash", "-c", CHECKOUT.replace("RUNS", str(number))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"dvc checkout ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return [float(end) - float(start) for start, end in (line.split() for line in done.stdout.splitlines())]


def start_seconds(image: str) -> float:
    """Return what an empty container takes from create to removal."""
    started = time.monotonic()
    subprocess.run(["docker", "run", "--rm", f"--volume={VOLUME}:{layout.CACHE}", image, "true"], check=True)
    return time.monotonic() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5, help="runs of each (5)")
    number = parser.parse_args().n
    engine = open_engine()
    try:
        image = prepare(engine).tools
    finally:
        engine.close()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        try:
            for line in measure(folder, image, number):
                print(line)  # noqa: T201  # what it is for
        finally:
            subprocess.run(["docker", "volume", "rm", "--force", VOLUME], check=True, capture_output=True)


def measure(folder: Path, image: str, number: int) -> list[str]:
    """Return the table."""
    projects = {
        "13 bytes": make_project(folder / "small", lambda project: project.stored_data),
        "2 GiB file": make_project(folder / "file", put_file),
        f"{FILES} files": make_project(folder / "files", put_folder),
    }
    first = {name: restore_seconds(project, folder) for name, project in projects.items()}
    warm: dict[str, list[float]] = {name: [] for name in projects}
    for _ in range(number):  # in turns, so that a busy machine disturbs all alike
        for name, project in projects.items():
            warm[name].append(restore_seconds(project, folder))
    base = statistics.median(warm["13 bytes"])
    start = statistics.median(start_seconds(image) for _ in range(number))
    lines = [
        f"an empty container takes {start:.2f} s",
        f"{'':<12}{'first':>9}{'warm':>9}{'beyond':>9}{'target':>9}{'dvc checkout':>15}",
    ]
    for name, project in projects.items():
        checkout = statistics.median(checkout_seconds(image, project, min(number, 3)))
        median = statistics.median(warm[name])
        target = f"{TARGETS_S[name]:.1f} s" if name in TARGETS_S else ""
        lines.append(
            f"{name:<12}{first[name]:>7.2f} s{median:>7.2f} s{median - base:>+7.2f} s{target:>9}{checkout:>13.2f} s"
        )
    return lines


if __name__ == "__main__":
    main()
