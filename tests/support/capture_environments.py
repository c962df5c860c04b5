"""Environments with the MLflow of several times, in which the capture is tried, and trainings that run in them.

Made with uv and kept in the temporary folder between test sessions: they hold nothing but published packages.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproducibility_runner import install
from runner.inside.capture.reader import read_capture
from runner.schema.rerun import CapturedRun, CaptureReport

CACHE = Path(tempfile.gettempdir()) / f"reproducibility-runner-test-environments-{os.getuid()}"


@dataclass(frozen=True)
class Specification:
    """An environment: a name, the minor version of its Python (None: that of the tests) and its packages."""

    name: str
    python: str | None
    packages: tuple[str, ...]


_OLD = ("setuptools<80",)
_OF_2021 = ("sqlparse", "protobuf<3.21", "importlib-metadata<5", "setuptools<60")
MLFLOW_1_17 = Specification("mlflow-1.17", None, ("mlflow-skinny==1.17.0", *_OF_2021))
MLFLOW_1_23 = Specification("mlflow-1.23", None, ("mlflow-skinny==1.23.1", *_OF_2021))
MLFLOW_1_26 = Specification("mlflow-1.26", None, ("mlflow-skinny==1.26.1", *_OF_2021))
MLFLOW_1_30 = Specification("mlflow-1.30", None, ("mlflow-skinny==1.30.1", *_OLD))
MLFLOW_2_2 = Specification("mlflow-2.2", None, ("mlflow-skinny==2.2.2", *_OLD))
MLFLOW_2_22 = Specification("mlflow-2.22", None, ("mlflow-skinny==2.22.0", "psutil"))
MLFLOW_TODAY = Specification("mlflow-today", None, ("mlflow-skinny>=3.1", "psutil"))
EACH_MLFLOW = (MLFLOW_1_17, MLFLOW_1_23, MLFLOW_1_26, MLFLOW_1_30, MLFLOW_2_2, MLFLOW_2_22, MLFLOW_TODAY)

DVC = Specification("dvc", None, ("dvc", "pathspec<1"))
WANDB = Specification("wandb", None, ("wandb",))

# With all that MLflow brings, and scikit-learn, on a Python of their own time.
_SKLEARN_OF_2022 = ("scikit-learn<1.3", "matplotlib<3.8", "numpy<1.25")
WHOLE_1_30 = Specification("whole-mlflow-1.30", "3.9", ("mlflow==1.30.1", *_SKLEARN_OF_2022, *_OLD))
WHOLE_2_2 = Specification("whole-mlflow-2.2", "3.10", ("mlflow==2.2.2", *_SKLEARN_OF_2022, *_OLD))
WHOLE_2_22 = Specification("whole-mlflow-2.22", None, ("mlflow==2.22.0",))
WHOLE_TODAY = Specification("whole-mlflow-today", None, ("mlflow>=3.1",))
DVC_1 = Specification("dvc-1.11", None, ("dvc==1.11.16", "pathspec<0.10", "setuptools<60", "funcy<2", "fsspec<2023"))
DVC_2 = Specification("dvc-2.58", None, ("dvc==2.58.2", "pathspec<0.13", "setuptools<80", "dulwich<0.22"))
DVC_TODAY = Specification("dvc-today", None, ("dvc>=3.60",))
EACH_WHOLE = (WHOLE_1_30, WHOLE_2_2, WHOLE_2_22, WHOLE_TODAY)

# Each on the oldest and the newest Python that it supports, and one between.
EACH_PYTHON = tuple(
    Specification(f"{mlflow.name}-python-{python}", python, mlflow.packages)
    for mlflow, pythons in (
        (MLFLOW_1_30, ("3.7", "3.9", "3.10")),
        (MLFLOW_2_2, ("3.8", "3.9", "3.10")),
        (MLFLOW_2_22, ("3.9", "3.12", "3.13")),
        (MLFLOW_TODAY, ("3.10", "3.12", "3.13")),
    )
    for python in pythons
)


@dataclass(frozen=True)
class Trained:
    """What a training left: its exit status, its output, the capture, and the files of its workspace."""

    status: int
    out: str
    err: str
    report: CaptureReport
    events: tuple[dict[str, Any], ...]
    workspace: Path

    def run(self, name: str) -> CapturedRun:
        """Return the one run of that name."""
        (found,) = [run for run in self.report.runs if run.name == name]
        return found

    def files(self) -> list[str]:
        """Return the paths of all files and empty folders of the workspace."""
        return sorted(
            path.relative_to(self.workspace).as_posix()
            for path in self.workspace.rglob("*")
            if path.is_file() or not any(path.iterdir())
        )


class Environment:
    """A virtual environment whose Pythons begin the capture, as provision leaves them."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.python = folder / "bin" / "python"
        self.library = library

    def train(self, folder: Path, script: str, *options: str, **variables: str) -> Trained:
        """Run `script` as `train.py` in `folder`, with a capture beside it; `options` are the interpreter's."""
        capture = folder.parent / f"{folder.name}-capture"
        capture.mkdir()
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(script)
        environment = {
            "PATH": f"{self.python.parent}:/usr/bin:/bin",
            "HOME": str(folder.parent),
            "GIT_PYTHON_REFRESH": "quiet",
            "REPRO_CAPTURE_DIR": str(capture),
            **variables,
        }
        result = subprocess.run(
            [self.python, "-B", *options, "train.py"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        document = json.dumps(read_capture(str(capture)), allow_nan=False)
        log = capture / "events.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return Trained(
            status=result.returncode,
            out=result.stdout,
            err=result.stderr,
            report=CaptureReport.model_validate_json(document),
            events=tuple(json.loads(line) for line in lines if line),
            workspace=folder,
        )


def make_environment(specification: Specification, session: Path) -> Environment:
    """Return an environment of this session, its packages those of the kept one, which is made at first use."""
    kept = _kept_packages(specification)
    library = session / "library"
    if not library.exists():
        install.lay_out(library)
    folder = session / specification.name
    _uv("venv", "-q", "--python", _interpreter(specification.python), str(folder))
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "aa-kept-packages.pth").write_text(f"{kept}\n")
    install.write_pth(site_packages, str(library))
    return Environment(folder, library)


def kept_python(specification: Specification) -> Path:
    """Return the Python of the kept environment itself, which knows nothing of ours; nobody may write to it."""
    return _kept_packages(specification).parents[2] / "bin" / "python"


def program_of(specification: Specification, name: str) -> Path:
    """Return a program of an environment, made at its first use."""
    return _kept_packages(specification).parents[2] / "bin" / name


def _kept_packages(specification: Specification) -> Path:
    text = json.dumps([specification.python, specification.packages, sys.version_info[:2]])
    folder = CACHE / f"{specification.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    CACHE.mkdir(mode=0o700, exist_ok=True)
    with _only_one(CACHE / f"{folder.name}.lock"):
        if not (folder / ".ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _uv("venv", "-q", "--python", _interpreter(specification.python), str(folder))
            _uv("pip", "install", "-q", "--compile-bytecode", "--python", str(folder), *specification.packages)
            (folder / ".ready").touch()
    (site_packages,) = folder.glob("lib/python*/site-packages")
    return site_packages


def _interpreter(version: str | None) -> str:
    """Return a Python of a minor version: one that uv finds, or pyenv has. Raises LookupError."""
    if version is None:
        return sys.executable
    found = subprocess.run(
        [sys.executable, "-m", "uv", "python", "find", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return found.stdout.strip()
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True):
        return str(path)
    raise LookupError(f"this test needs a Python {version}; install one that `uv python find {version}` finds")


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
