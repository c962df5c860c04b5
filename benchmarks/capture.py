"""What the capture costs a training: the start of an interpreter, the import of MLflow, and 10,000 logged values.

    python benchmarks/capture.py PYTHON [-n RUNS]

PYTHON is that of an environment with MLflow. Prints CPU seconds, the least of several runs, without and with it;
without it, the values go to MLflow's own file store. Trust the ratios, not the seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
from pathlib import Path

from reproducibility_runner import install

LOGGING = """
import mlflow
mlflow.set_tracking_uri("file:store")
with mlflow.start_run():
    for step in range(%d):
        mlflow.log_metric("m", step, step=step)
"""
OPENING = "for n in range(10000): open('files/%d' % n).close()"
CASES = {
    "start of an interpreter": "pass",
    "import mlflow": "import mlflow",
    "1,000 values": LOGGING % 1000,
    "10,000 values": LOGGING % 10_000,
    "10,000 files opened": OPENING,
}


def seconds(python: Path, code: str, place: Path, *, capture: bool, library: Path) -> float:
    """Return the CPU seconds of one run."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        (folder / "capture").mkdir()
        (folder / "workspace" / "files").mkdir(parents=True)
        if "files/" in code:
            for number in range(10_000):
                (folder / "workspace" / "files" / str(number)).touch()
        environment = {**os.environ, "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_ALLOW_FILE_STORE": "true"}
        environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
        if capture:
            environment["REPRO_CAPTURE_DIR"] = str(folder / "capture")
            code = install.pth_line(str(library)) + code
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([python, "-c", code], env=environment, cwd=folder / "workspace", check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", type=Path, help="the Python of an environment with MLflow")
    parser.add_argument("-n", type=int, default=5, help="runs of each (5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        place = Path(name)
        install.lay_out(place / "library")
        for case, code in CASES.items():
            sides = {False: [], True: []}  # type: dict[bool, list[float]]
            for _ in range(arguments.n):
                for capture, times in sides.items():
                    times.append(seconds(arguments.python, code, place, capture=capture, library=place / "library"))
            without, with_capture = min(sides[False]), min(sides[True])
            print(  # noqa: T201
                f"{case:<26} {without:>8.3f} s {with_capture:>8.3f} s {with_capture - without:>+8.3f} s"
                f" {with_capture / without:>6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
