"""What `runner record` costs beside the command that it runs, and what the installed plugin costs a run of MLflow.

    python benchmarks/record.py [-n RUNS]

Builds a project with a commit, a remote, and a pointer to a megabyte of data in a folder remote. Prints medians, their
difference and their ratio. With and without are started in turns, so that a busy machine disturbs both. Target: 0.3 s
added. A remote that is no folder is asked by the user's own DVC, whose start and answer come on top.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TARGET_S = 0.3
RUNNER = (sys.executable, "-I", "-c", "from runner.cli.app import main; main()")
TRAINING_S = 1.0
TRAINING = (sys.executable, "-c", f"import time; time.sleep({TRAINING_S})")
FACTS = """
import time
started = time.perf_counter()
from reproducibility_runner.recording import plugin
plugin.RunContext().tags()
print(time.perf_counter() - started)
"""


def make_project(folder: Path) -> Path:
    """Make a project whose commit is pushed and whose data its remote holds; return its folder."""
    project, origin, content = folder / "project", folder / "origin.git", os.urandom(1 << 20)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    remote = folder / "remote" / "files" / "md5" / digest[:2]
    for made in (project / "data", project / ".dvc", remote):
        made.mkdir(parents=True)
    (remote / digest[2:]).write_bytes(content)
    (project / "data" / "train.csv").write_bytes(content)
    (project / "data" / ".gitignore").write_text("/train.csv\n")
    pointer = f"outs:\n- md5: {digest}\n  size: {len(content)}\n  hash: md5\n  path: train.csv\n"
    (project / "data" / "train.csv.dvc").write_text(pointer)
    (project / ".dvc" / "config").write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = ../../remote\n")
    for number in range(500):
        (project / f"module_{number}.py").write_text(f"X = {number}\n")
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    for arguments in (
        ("init", "-q", "--bare", str(origin)),
        ("init", "-q", "-b", "main", "."),
        ("add", "."),
        (*identity, "commit", "-q", "-m", "Train"),
        ("remote", "add", "origin", str(origin)),
        ("push", "-q", "-u", "origin", "main"),
    ):
        subprocess.run(["git", *arguments], cwd=project, check=True, stdout=subprocess.DEVNULL)
    return project


def seconds(command: tuple[str, ...], folder: Path, busy: list[float]) -> float:
    """Return the wall time of a command, which must end well; appends its processors' time to `busy`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    taken = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return taken


def main() -> int:
    """Measure and print; exit 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10, help="runs of each (10)")
    number = parser.parse_args().n
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        recorded = (*RUNNER, "record", "--strict", "--", *TRAINING)

        def by_itself() -> float:
            done = subprocess.run(
                [sys.executable, "-c", FACTS], cwd=project, check=True, capture_output=True, text=True
            )
            return float(done.stdout)

        busy: dict[str, list[float]] = {"bare": [], "recorded": []}
        measured: dict[str, Callable[[], float]] = {
            "bare": lambda: seconds(TRAINING, project, busy["bare"]),
            "recorded": lambda: seconds(recorded, project, busy["recorded"]),
            "plugin": by_itself,
        }
        taken: dict[str, list[float]] = {name: [] for name in measured}
        for name, measure in measured.items():
            measure()  # bytecode, and what the disk had not read
            taken[name].clear()
        for _ in range(number):
            for name, measure in measured.items():
                taken[name].append(measure())
    bare, with_it, plugin = (statistics.median(taken[name]) for name in ("bare", "recorded", "plugin"))
    added = with_it - bare
    print(  # noqa: T201
        f"runner record -- CMD {with_it * 1000:.0f} ms, CMD {bare * 1000:.0f} ms: adds {added * 1000:.0f} ms, "
        f"ratio {with_it / bare:.2f} for a training of {TRAINING_S:.0f} s"
    )
    processor = statistics.median(busy["recorded"]) - statistics.median(busy["bare"])
    print(f"of that the processors were busy for {processor * 1000:.0f} ms; the rest is a busy machine's")  # noqa: T201
    print(f"the plugin by itself: {plugin * 1000:.0f} ms, once in a process")  # noqa: T201
    met = max(added, plugin) <= TARGET_S
    print(f"target: at most {TARGET_S * 1000:.0f} ms: {'met' if met else 'missed'} ({number} runs of each, medians)")  # noqa: T201
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
