"""The packages, Python and platform that the tracker recorded against those of the rerun."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml
from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from runner.schema.comparison import EnvironmentDifference
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord

PYTHON = "python"
_CONDA_PYTHON = re.compile(r"python\s*={1,2}\s*(?P<version>\d[\d.]*)(?:=\S*)?")
_AFTER_REQUIREMENT = re.compile(r"\s+(?:#|--\w).*$")
_CONTINUED = re.compile(r"\\\r?\n[ \t]*")
_INSTALLERS = frozenset({"pip", "setuptools", "wheel"})
"""MLflow lists them with every model, as what is to install the rest."""
_LONGEST = 1 << 20  # characters


def compare_environment(record: RunRecord, rerun: Rerun) -> tuple[EnvironmentDifference, ...]:
    """Compare each recorded package, and Python, with what trained; empty where nothing is recorded.

    A logged model lists its direct requirements only, so that packages beyond it are not `added`.
    """
    ran = {normalise(name): version for name, version in rerun.environment.packages.items()}
    differences = []
    for name, original in sorted(recorded_packages(record, _markers(rerun)).items()):
        if name == PYTHON:
            parts = rerun.environment.python.split(".")[: original.count(".") + 1]
            version: str | None = rerun.environment.python
            same = ".".join(parts) == original or rerun.environment.python == original
        else:
            version = ran.get(name)
            same = version is not None and _same_version(version, original)
        if version is None:
            differences.append(EnvironmentDifference(name=name, original=original, rerun=None, outcome="removed"))
        else:
            outcome = "same" if same else "changed"
            differences.append(
                EnvironmentDifference(name=name, original=original, rerun=version, outcome=outcome)  # type: ignore[arg-type]
            )
    return tuple(differences)


def recorded_packages(record: RunRecord, markers: Mapping[str, str]) -> dict[str, str]:
    """Return the exact versions that the run's environment files pin, by normalised name; `python` is Python.

    A requirement whose marker is false for `markers` is not recorded for here. What installs packages is none that
    the training used.
    """
    packages: dict[str, str] = {}
    for file in record.environment_files:
        for requirement in _requirements(file.path.rpartition("/")[2], file.text[:_LONGEST]):
            python = _CONDA_PYTHON.fullmatch(requirement)
            pinned = (PYTHON, python["version"]) if python is not None else _pinned(requirement, markers)
            if pinned is not None:
                packages.setdefault(*pinned)
    return packages


def _requirements(name: str, text: str) -> Iterator[str]:
    """Yield the requirements of an environment file, one each; Python's own as conda writes it."""
    if name == "requirements.txt":
        for line in _CONTINUED.sub(" ", text).splitlines():
            yield _AFTER_REQUIREMENT.sub("", line).strip()
        return
    if name not in ("python_env.yaml", "conda.yaml"):
        return
    document = _read_yaml(text)
    if isinstance(document.get("python"), str):
        yield f"python={document['python']}"
    dependencies = document.get("dependencies")
    for item in dependencies if isinstance(dependencies, list) else ():
        nested = item.get("pip") if isinstance(item, dict) else [item]
        yield from (entry.strip() for entry in (nested if isinstance(nested, list) else ()) if isinstance(entry, str))


def _read_yaml(text: str) -> dict[str, object]:
    """Return a mapping whose scalars are texts (3.10 is no number); empty for anything else."""
    try:
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # makes texts, lists and mappings alone
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _pinned(text: str, markers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return name and version of a requirement that is for here and allows one version alone."""
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate(dict(markers)):
            return None
    except (InvalidRequirement, InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return None
    name = normalise(requirement.name)
    versions = [part.version for part in requirement.specifier if part.operator in ("==", "===")]
    if name in _INSTALLERS or len(versions) != 1 or versions[0].endswith("*"):
        return None
    return name, versions[0]


def _markers(rerun: Rerun) -> dict[str, str]:
    """Return what environment markers mean where the rerun was: its Python, on Linux."""
    python = rerun.environment.python
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": re.split(r"[ -]", rerun.hardware.platform)[-1],
        "platform_python_implementation": "CPython",
        "platform_release": rerun.hardware.kernel or "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
        "extra": "",
    }


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


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
