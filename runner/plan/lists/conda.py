"""Conda's `environment.yml` and MLflow's `python_env.yaml`: the part that an index of Python packages has."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from runner.inside.packages.requirements import requirement_name
from runner.lineage.conda import CondaEntry, read_entry
from runner.lineage.packages import read_scalars_as_text
from runner.lineage.pipeline import load_mapping
from runner.plan.lists.found import PackageList, join
from runner.plan.lists.translated import translated
from runner.schema.snapshot import RepositorySnapshot

NAMES = ("environment.yml", "environment.yaml", "conda.yaml", "conda.yml", "conda_env.yaml", "conda_env.yml", "env.yml")
PYTHON_ENV = "python_env.yaml"
_TOLD = 6  # entries that a note names


def find_conda(snapshot: RepositorySnapshot, folder: str) -> list[PackageList]:
    """Return what a folder's `MLproject` names and files of the usual names, else its only other environment file."""
    named = files_of_project(snapshot, folder)
    there = [*named, *(join(folder, name) for name in (*NAMES, PYTHON_ENV))]
    found = [item for path in dict.fromkeys(there) for item in read_conda(snapshot, path)]
    if found:
        return found
    others = [
        path
        for path in snapshot.texts
        if (posixpath.dirname(path) or ".") == folder
        and posixpath.basename(path).startswith(("environment", "conda"))
        and path.endswith((".yml", ".yaml"))
    ]
    # Which of several was meant (of another system, of development) is not known.
    return read_conda(snapshot, others[0]) if len(others) == 1 else []


def read_conda(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
    """Return the environment at `path`, if it lists packages."""
    document = read_scalars_as_text(snapshot.texts.get(path, ""))
    if posixpath.basename(path) == PYTHON_ENV:
        lines = [entry for entry in _texts(document.get("dependencies")) if entry]
        return translated(snapshot, path, lines, kind="requirements")
    entries, pip = _entries(document)
    packages = [entry for entry in entries if entry.kind == "package"]
    lines = [entry.requirement for entry in packages if entry.requirement is not None]
    loosened = [entry.text for entry in packages if entry.loosened]
    found = translated(
        snapshot,
        path,
        [*dict.fromkeys(lines), *pip],
        kind="conda",
        files=[join(posixpath.dirname(path), "pyproject.toml")] if "-e ." in pip or "." in pip else [],
        loosened=bool(loosened),
        notes=_notes(path, entries, loosened),
    )
    by_pip = {requirement_name(line) for line in pip}
    from_conda = tuple(sorted({entry.name for entry in packages} - by_pip))
    return [replace(item, from_conda=from_conda) for item in found]


def files_of_project(snapshot: RepositorySnapshot, folder: str) -> list[str]:
    """Return the environment files that an MLflow project names."""
    document = load_mapping(snapshot.texts.get(join(folder, "MLproject"), ""))
    names = (document.get(key) for key in ("python_env", "conda_env"))
    return [join(folder, name) for name in names if isinstance(name, str)]


def environments_of_project(snapshot: RepositorySnapshot, folder: str) -> list[str]:
    """Return the lists in a folder that only `mlflow run` reads."""
    return [*files_of_project(snapshot, folder), join(folder, PYTHON_ENV)]


def _entries(document: Mapping[str, object]) -> tuple[list[CondaEntry], list[str]]:
    """Return conda's entries, and the lines of its pip section."""
    entries: list[CondaEntry] = []
    pip: list[str] = []
    dependencies = document.get("dependencies")
    for item in dependencies if isinstance(dependencies, list) else ():
        if isinstance(item, dict):
            pip += _texts(item.get("pip"))
        elif isinstance(item, str) and (entry := read_entry(item)) is not None:
            entries.append(entry)
    return entries, pip


def _texts(value: object) -> list[str]:
    return [item.strip() for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _notes(path: str, entries: list[CondaEntry], loosened: list[str]) -> list[str]:
    """Return what is not as conda had it: other builds always, and what no index of Python packages has."""
    others = [entry.written for entry in entries if entry.kind == "other"]
    libraries = [entry.written for entry in entries if entry.kind == "library"]
    notes = []
    if any(entry.kind == "package" for entry in entries):
        notes.append(f"environment: what {path} has from conda comes from the Python package index, as other builds")
    if others:
        notes.append(f"environment: {path} lists what no index of Python packages has: {_some(others)}")
    if libraries:
        notes.append(f"environment: libraries of {path} are those that the packages bring along: {_some(libraries)}")
    if loosened:
        notes.append(f"environment: bounds of {path} that only conda has, taken for none: {_some(loosened)}")
    return notes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more
