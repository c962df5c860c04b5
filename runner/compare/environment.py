"""The packages, Python and platform that the tracker recorded against those of the rerun."""

from __future__ import annotations

import re

from runner.schema.comparison import EnvironmentDifference
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord

PYTHON = "python"
_PINNED = re.compile(r"^\s*-?\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*={2,3}\s*(?P<version>[^\s;#,]+)")
_CONDA = re.compile(r"^\s*-\s*(?P<name>python)=(?P<version>\d[^\s=]*)\s*$")
_PYTHON = re.compile(r"^python:\s*[\"']?(?P<version>\d[\d.]*)[\"']?\s*$")
_INSTALLERS = frozenset({"pip", "setuptools", "wheel"})
"""MLflow lists them with every model, as what is to install the rest."""
_ENVIRONMENT_FILES = ("requirements.txt", "python_env.yaml", "conda.yaml")


def compare_environment(record: RunRecord, rerun: Rerun) -> tuple[EnvironmentDifference, ...]:
    """Compare each recorded package, and Python, with what trained; empty where nothing is recorded.

    A logged model lists its direct requirements only, so that packages beyond it are not `added`.
    """
    ran = {normalise(name): version for name, version in rerun.environment.packages.items()}
    differences = []
    for name, original in sorted(recorded_packages(record).items()):
        if name == PYTHON:
            parts = rerun.environment.python.split(".")[: original.count(".") + 1]
            version: str | None = rerun.environment.python
            same = ".".join(parts) == original or rerun.environment.python == original
        else:
            version = ran.get(name)
            same = version == original
        if version is None:
            differences.append(EnvironmentDifference(name=name, original=original, rerun=None, outcome="removed"))
        else:
            outcome = "same" if same else "changed"
            differences.append(
                EnvironmentDifference(name=name, original=original, rerun=version, outcome=outcome)  # type: ignore[arg-type]
            )
    return tuple(differences)


def recorded_packages(record: RunRecord) -> dict[str, str]:
    """Return the exact versions that the run's environment files pin, by normalised name; `python` is Python.

    What installs packages is none that the training used.
    """
    packages: dict[str, str] = {}
    for file in record.environment_files:
        if file.path.rpartition("/")[2] not in _ENVIRONMENT_FILES:
            continue
        for line in file.text.splitlines():
            python = _PYTHON.match(line) or _CONDA.match(line)
            if python is not None:
                packages.setdefault(PYTHON, python["version"])
                continue
            pinned = _PINNED.match(line)
            if pinned is not None and normalise(pinned["name"]) not in _INSTALLERS:
                packages.setdefault(normalise(pinned["name"]), pinned["version"])
    return packages


def recorded_platform(record: RunRecord) -> str | None:
    """Return the operating system that the recorded paths betray, None where they do not (rule 25)."""
    places = [record.tags.get("mlflow.source.name", ""), record.artifact_root or ""]
    if any(re.search(r"(?:^|///?)[A-Za-z]:[\\/]", place) for place in places):
        return "Windows"
    if any(re.search(r"(?:^|//)/(?:Users|private/var)/", place) for place in places):
        return "macOS"
    return None


def normalise(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
