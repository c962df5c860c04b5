"""What a reproduction costs: `runner reproduce`, cold and warm, beside the same training done in other ways.

    python benchmarks/reproduce.py [-n RUNS] [--skip-cold]

Prints medians and ratios. Needs an engine on this machine with the `docker` command, and the package index. Works in a
temporary folder and a cache volume of its own; your caches are left alone. Trust the ratios, not the seconds.

    bare           the training in a ready environment and work tree, timed inside a container that already runs
    container      the same by `docker run`: one container per training
    pattern.sh     the steps of the pattern by hand: clone, sed, dvc pull, fresh environment, train; timed inside
    runner         `runner reproduce RUN --json`, timed from outside, with everything that it checks and writes

Cold means: no cache of packages, data or repositories, so that the network is in it. Images are there in every case.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.demo.project import DemoProject, make_project
from runner.network import read_network_settings
from runner.prepare import open_engine, prepare
from runner.progress import NoProgress

RUN = "experiment_v1"
VOLUME = f"reproducibility-runner-benchmark-{os.getpid()}"
TRAIN = f"python scripts/train.py --run-name {RUN}"
MOUNT = "/benchmark"
TOOLS = "/opt/reproducibility-runner"
PHASES = ("restore", "provision", "train", "collect")


@dataclass(frozen=True)
class Measured:
    """Seconds of each run, and of each phase where there are any."""

    seconds: tuple[float, ...]
    phases: tuple[dict[str, float], ...] = ()

    def __add__(self, other: Measured) -> Measured:
        """Return both together."""
        return Measured(self.seconds + other.seconds, self.phases + other.phases)

    @property
    def median(self) -> float:
        """The median of all runs."""
        return statistics.median(self.seconds)


class Bench:
    """The folder in which everything lies, and the ways to train in it."""

    def __init__(self, folder: Path, image: str, project: DemoProject) -> None:
        self.folder = folder
        self.image = image
        self.project = project
        self.run_id = project.runs[RUN]
        tags = project.tracker.glob(f"*/{self.run_id}/tags/*")
        self.tags = {path.name: path.read_text().strip() for path in tags}
        network = read_network_settings()
        if network.ca_bundle is not None:
            (folder / "ca.pem").write_bytes(network.ca_bundle)
        self.variables = network.variables(f"{MOUNT}/ca.pem")
        self.network = "host" if network.needs_host_network else "bridge"

    def in_container(self, script: str) -> str:
        """Run a bash script by `docker run` and return its output."""
        path = f"{MOUNT}/ready/.venv/bin:{TOOLS}/path:/usr/local/bin:/usr/bin:/bin:{TOOLS}/venv/bin"
        settings = f"export PATH={path} HOME=/tmp USER=benchmark UV_CACHE_DIR={MOUNT}/uv-cache\n"
        argv = ["docker", "run", "--rm", "--network", self.network, "--user", f"{os.getuid()}:{os.getgid()}"]
        argv += ["--volume", f"{self.folder}:{MOUNT}"]
        # By name alone: index addresses may hold passwords, which are no part of a command line.
        argv += [part for variable in self.variables for part in ("--env", variable)]
        argv += [self.image, "bash", "-euo", "pipefail", "-c", settings + script]
        done = subprocess.run(argv, env={**os.environ, **self.variables}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"a container of the benchmark ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout

    def make_ready(self) -> None:
        """Make the environment, and the work tree of the run with its data."""
        self.in_container(
            f"cd {MOUNT}; uv venv --quiet ready/.venv; "
            f"uv pip install --quiet --python ready/.venv/bin/python -r demo/project/requirements.txt; "
            f"git clone --quiet demo/project ready/project; cd ready/project; "
            f"git checkout --quiet {self.tags['git_commit']}; cp -r ../../demo/remote ..; "
            f"dvc pull --quiet data/diabetes.csv.dvc; {TRAIN}; rm -r runs/mlruns"
        )

    def bare(self) -> Measured:
        """Train in a container that already runs."""
        script = f"cd {MOUNT}/ready; rm -rf tree; cp -r project tree; cd tree; {_timed(TRAIN)}"
        return _span(self.in_container(script))

    def container(self) -> Measured:
        """Train in a container of its own."""
        shutil.rmtree(self.folder / "ready" / "tree", ignore_errors=True)
        shutil.copytree(self.folder / "ready" / "project", self.folder / "ready" / "tree", symlinks=True)
        started = time.monotonic()
        self.in_container(f"cd {MOUNT}/ready/tree; {TRAIN}")
        return Measured((time.monotonic() - started,))

    def pattern(self, *, cold: bool) -> Measured:
        """Do by hand what the pattern says."""
        shutil.copy2(Path(__file__).with_name("pattern.sh"), self.folder)
        tags = self.tags
        arguments = (
            f"{MOUNT}/demo/project {tags['git_commit']} {tags['dvc_data_md5']} {tags['dvc_model_md5']} "
            f"{MOUNT}/by-hand -- {TRAIN}"
        )
        before = f"rm -rf {MOUNT}/by-hand" + (f" {MOUNT}/uv-cache" if cold else "")
        return _span(self.in_container(f"{before}; {_timed(f'bash {MOUNT}/pattern.sh {arguments}')}"))

    def runner(self, *, cold: bool) -> Measured:
        """Run the command as a person does."""
        if cold:
            self.remove_caches()
        document, took = self._reproduce()
        return Measured((took,), ({**document["rerun"]["timings"], "all": took},))

    def _reproduce(self) -> tuple[dict[str, Any], float]:
        argv = [sys.executable, "-c", "from runner.cli.app import main; main()"]
        argv += ["reproduce", self.run_id, "--json", "--quiet"]
        argv += ["--tracker", str(self.project.tracker), "--repo", str(self.project.repository)]
        argv += ["--out", str(self.folder / "evidence" / str(time.monotonic_ns()))]
        own = {"REPRO_CACHE_VOLUME": VOLUME, "REPRO_CACHE_DIR": str(self.folder / "mirrors")}
        started = time.monotonic()
        done = subprocess.run(
            argv, env={**os.environ, **own}, cwd=self.folder, capture_output=True, text=True, check=False
        )
        took = time.monotonic() - started
        if done.returncode != 0:
            sys.exit(f"runner reproduce ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        document: dict[str, Any] = json.loads(done.stdout)
        if document["verdict"] != "identical":
            sys.exit(f"the benchmark's run must be identical: {document['reason']}")
        return document, took

    def remove_caches(self) -> None:
        """Remove this benchmark's own caches."""
        subprocess.run(["docker", "volume", "rm", "--force", VOLUME], check=True, capture_output=True)
        shutil.rmtree(self.folder / "mirrors", ignore_errors=True)


def _timed(command: str) -> str:
    return f"start=$EPOCHREALTIME; {command} >&2; echo $start $EPOCHREALTIME"


def _span(text: str) -> Measured:
    start, end = text.split()
    return Measured((float(end) - float(start),))


def report(rows: dict[str, Measured]) -> str:
    """Return the table; ratios and differences are to the bare container."""
    base = rows["container"].median
    lines = [f"{'':<22}{'median':>9}{'min':>9}{'max':>9}{'ratio':>8}{'over container':>16}{'runs':>6}"]
    for name, measured in rows.items():
        low, high = min(measured.seconds), max(measured.seconds)
        lines.append(
            f"{name:<22}{measured.median:>7.2f} s{low:>7.2f} s{high:>7.2f} s{measured.median / base:>8.2f}"
            f"{measured.median - base:>+14.2f} s{len(measured.seconds):>6}"
        )
    for name, measured in rows.items():
        if measured.phases:
            parts = {phase: [one.get(phase, 0.0) for one in measured.phases] for phase in PHASES}
            # Restore and provision run side by side.
            parts["rest"] = [
                one["all"] - max(restore, provision) - train - collect
                for one, restore, provision, train, collect in zip(measured.phases, *parts.values(), strict=True)
            ]
            lines.append(f"{name}: {' | '.join(f'{part} {statistics.median(s):.2f} s' for part, s in parts.items())}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=5, help="runs of each (5)")
    parser.add_argument("--skip-cold", action="store_true", help="leave out what downloads everything anew")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        engine = open_engine()
        try:
            image = prepare(engine).tools
            project = make_project(
                folder / "demo",
                engine=engine,
                image=image,
                network=read_network_settings(),
                progress=NoProgress(),
            )
        finally:
            engine.close()
        bench = Bench(folder, image, project)
        try:
            print(measure(bench, args.n, cold=not args.skip_cold))  # noqa: T201  # what it is for
        finally:
            bench.remove_caches()


def measure(bench: Bench, number: int, *, cold: bool) -> str:
    """Measure everything once warmed up, in turns so that a busy machine disturbs all alike; return the table."""
    ways: dict[str, Callable[[], Measured]] = {
        "bare": bench.bare,
        "container": bench.container,
        "pattern.sh, warm": lambda: bench.pattern(cold=False),
        "runner, warm": lambda: bench.runner(cold=False),
    }
    bench.make_ready()
    for way in ways.values():
        way()
    rows = _in_turns(ways, number)
    if cold:
        rows |= _in_turns(
            {
                "pattern.sh, cold": lambda: bench.pattern(cold=True),
                "runner, cold": lambda: bench.runner(cold=True),
            },
            number,
        )
    return report(rows)


def _in_turns(ways: dict[str, Callable[[], Measured]], number: int) -> dict[str, Measured]:
    rows = dict.fromkeys(ways, Measured(()))
    for _ in range(number):
        for name, way in ways.items():
            rows[name] += way()
    return rows


if __name__ == "__main__":
    main()
