"""What making an environment costs, beside uv and pip on this host: for the demo's packages and for ninety.

    python benchmarks/environment.py [-n RUNS] [--only demo|ninety]

Prints medians, least values and ratios to `uv sync`, all with the same pinned packages and the same Python minor:

    cold    nothing is there: all is downloaded. Ours into a new cache volume, theirs into new cache folders
    warm    the wheels are there, the environment is not
    ready   the environment is there: what `reproduce` then spends, which is the look of restore, and a whole provision

Ours resolves to a lock with hashes, links, compiles what the training imports, and waits until all is on the disk;
pip compiles everything, uv nothing. Needs an engine on this machine, 3 GB of disk and the package index. Works in a
temporary folder and cache volumes of its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import runner.demo
from runner.engine.docker import DockerEngine, remove_volume
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.inside import layout
from runner.network import read_network_settings
from runner.prepare import images_of, open_engine, prepare
from runner.progress import NoProgress
from runner.rerun.provision import provision, ready_keys
from runner.schema.plan import EnvironmentSpec, Images, Plan
from tests.support.values import make_plan

PYTHON = "3.11"
VOLUME = f"reproducibility-runner-benchmark-{os.getpid()}"
AUTHOR = Path(runner.demo.__file__).parent / "author" / "project"
NINETY = Path(__file__).with_name("ninety.txt")
IMPORTS_NINETY = """
import boto3, lightgbm, matplotlib.pyplot, mlflow, mlflow.sklearn, numpy, optuna, pandas, plotly, seaborn
from sklearn.ensemble import RandomForestRegressor
"""
FIND = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from runner.inside.packages.environment import find_ready
started = time.perf_counter()
found = find_ready(sys.argv[2], sys.argv[3])
print(time.perf_counter() - started if found else "not ready")
"""


@dataclass
class Stages(NoProgress):
    """Progress that keeps when each stage was first told of."""

    began: float = field(default_factory=time.monotonic)
    at: dict[str, float] = field(default_factory=dict)

    def update(self, text: str, *_: float | None) -> None:
        """Take note of the first word's time."""
        self.at.setdefault(text.split(maxsplit=1)[0].lower(), time.monotonic() - self.began)

    def told(self, ended: float) -> str:
        """Return the stages and how long each took."""
        marks = [("start", 0.0), *self.at.items(), ("", ended)]
        return " | ".join(f"{name} {after - when:.2f}" for (name, when), (_, after) in itertools.pairwise(marks))


class Ours:
    """Our provision, in volumes of its own."""

    def __init__(self, engine: DockerEngine, images: Images, packages: str, script: str) -> None:
        self.engine, self.images, self.script = engine, images, script
        spec = EnvironmentSpec(
            kind="requirements",
            source="benchmark",
            main="requirements.txt",
            files={"requirements.txt": packages},
            exact=True,
            as_of=None,
            python=PYTHON,
            python_source="benchmark",
        )
        self.plan: Plan = make_plan(environment=spec, images=images)
        self.stages = ""

    def provision(self) -> float:
        """Make the environment, and return the seconds."""
        stages = Stages()
        started = time.monotonic()
        provision(
            self.engine,
            self.plan,
            rerun="none",
            volume=VOLUME,
            network=read_network_settings(),
            build_image=lambda: self.images.tools,
            progress=stages,
            offline=False,
            sources={"train.py": self.script},
        )
        took = time.monotonic() - started
        self.stages = stages.told(took)
        return took

    def cold(self) -> float:
        """With nothing there."""
        remove_volume(self.engine.client, VOLUME)
        self.engine.ensure_volume(VOLUME)
        return self.provision()

    def warm(self) -> float:
        """With the wheels there, and neither lock nor environment."""
        self._in_volume("sh", "-c", f"rm -rf {layout.ENVIRONMENTS} {layout.LOCKS}")
        return self.provision()

    def found(self) -> float:
        """Where it is ready: restore's look for it."""
        keys = ready_keys(self.plan)
        argv = (layout.TOOLS_PYTHON, "-I", "-c", FIND, layout.LIBRARY, keys["specification"], keys["repository"])
        return float(self._in_volume(*argv))

    def _in_volume(self, *argv: str) -> str:
        out: list[bytes] = []
        mount = VolumeMount(volume=VOLUME, target=layout.CACHE)
        request = ContainerRequest(image=self.images.tools, argv=argv, purpose="benchmark", mounts=(mount,))
        outcome = self.engine.run(request, stdout=out.append, stderr=lambda _: None)
        if outcome.exit_code != 0:
            sys.exit(f"a container of the benchmark ended with {outcome.exit_code}")
        return b"".join(out).decode()


class Theirs:
    """uv and pip on this host, in a folder and with caches of their own."""

    def __init__(self, folder: Path, packages: str) -> None:
        self.folder = folder
        self.requirements = folder / "requirements.txt"
        self.requirements.write_text(packages)
        self.project = folder / "project"
        self.project.mkdir()
        lines = [line for line in packages.splitlines() if line and not line.startswith("#")]
        (self.project / "pyproject.toml").write_text(
            f'[project]\nname = "benchmark"\nversion = "1"\nrequires-python = "=={PYTHON}.*"\n'
            f"dependencies = {json.dumps(lines)}\n[tool.uv]\npackage = false\n"
        )
        self._uv("lock", "--quiet", "--project", str(self.project))

    def uv_sync(self, *, cold: bool) -> float:
        """`uv sync --frozen`, from a lock that is there."""
        shutil.rmtree(self.project / ".venv", ignore_errors=True)
        return self._timed(cold, lambda: self._uv("sync", "--quiet", "--frozen", "--project", str(self.project)))

    def uv_pip(self, *, cold: bool) -> float:
        """`uv venv`, then `uv pip install -r`."""
        venv = self._no_venv()

        def install() -> None:
            self._uv("venv", "--quiet", "--python", PYTHON, str(venv))
            self._uv("pip", "install", "--quiet", "--python", str(venv), "-r", str(self.requirements))

        return self._timed(cold, install)

    def pip(self, *, cold: bool) -> float:
        """`python -m venv`, then `pip install -r`."""
        venv = self._no_venv()

        def install() -> None:
            self._run([sys.executable, "-m", "venv", str(venv)])
            argv = ["install", "--quiet", "--disable-pip-version-check", "--cache-dir", str(self.folder / "caches/pip")]
            self._run([str(venv / "bin" / "pip"), *argv, "-r", str(self.requirements)])

        return self._timed(cold, install)

    def _no_venv(self) -> Path:
        shutil.rmtree(self.folder / "venv", ignore_errors=True)
        return self.folder / "venv"

    def _timed(self, cold: bool, work: Callable[[], None]) -> float:
        if cold:
            shutil.rmtree(self.folder / "caches", ignore_errors=True)
        started = time.monotonic()
        work()
        return time.monotonic() - started

    def _uv(self, *arguments: str) -> None:
        self._run(
            [str(Path(sys.executable).with_name("uv")), *arguments, "--cache-dir", str(self.folder / "caches/uv")]
        )

    def _run(self, argv: list[str]) -> None:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode != 0:
            sys.exit(f"{' '.join(argv[:3])} ended with {done.returncode}:\n{done.stderr[-2000:]}")


def measure(ours: Ours, theirs: Theirs, number: int) -> list[str]:
    """Measure everything in turns, so that a busy machine disturbs all alike; return the table."""
    lines: list[str] = []
    for state, cold in (("cold", True), ("warm", False)):
        ways: dict[str, Callable[[], float]] = {
            "uv sync": lambda cold=cold: theirs.uv_sync(cold=cold),  # type: ignore[misc]
            "uv pip install": lambda cold=cold: theirs.uv_pip(cold=cold),  # type: ignore[misc]
            "pip install": lambda cold=cold: theirs.pip(cold=cold),  # type: ignore[misc]
            "runner": ours.cold if cold else ours.warm,
        }
        if not cold:
            for way in ways.values():
                way()
        rows: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(number):
            for name, way in ways.items():
                rows[name].append(way())
        base = statistics.median(rows["uv sync"]), min(rows["uv sync"])
        for name, row in rows.items():
            median, least = statistics.median(row), min(row)
            lines.append(
                f"{state:<6}{name:<16}{median:>8.2f} s{least:>8.2f} s{median / base[0]:>8.2f}{least / base[1]:>8.2f}"
            )
        lines.append(f"      runner, last: {ours.stages}")
    ready = [ours.provision() for _ in range(number)]
    found = [ours.found() for _ in range(number)]
    lines.append(f"{'ready':<6}{'provision':<16}{statistics.median(ready):>8.2f} s{min(ready):>8.2f} s")
    lines.append(f"{'ready':<6}{'restore finds it':<16}{statistics.median(found):>8.4f} s{min(found):>7.4f} s")
    return lines


@contextmanager
def opened() -> Iterator[tuple[DockerEngine, Images]]:
    """Return an engine with its images; afterwards the benchmark's volume is gone."""
    engine = open_engine()
    try:
        yield engine, images_of(prepare(engine, python=PYTHON))
    finally:
        remove_volume(engine.client, VOLUME)
        engine.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--only", choices=("demo", "ninety"), help="one of the two")
    args = parser.parse_args()
    environments = {
        "demo": ((AUTHOR / "requirements.txt").read_text(), (AUTHOR / "scripts" / "train.py").read_text()),
        "ninety": (NINETY.read_text(), IMPORTS_NINETY),
    }
    print(f"{'':<6}{'':<16}{'median':>10}{'least':>10}{'ratios to uv sync':>18}")  # noqa: T201  # what it is for
    with opened() as (engine, images):
        for name, (packages, script) in environments.items():
            if args.only in (None, name):
                with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
                    table = measure(Ours(engine, images, packages, script), Theirs(Path(folder), packages), args.n)
                print(f"{name}: {sum('==' in line for line in packages.splitlines())} lines")  # noqa: T201
                print("\n".join(table))  # noqa: T201


if __name__ == "__main__":
    main()
