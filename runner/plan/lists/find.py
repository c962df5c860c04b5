"""Which lists of packages there are for a run, the one that counts first."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from runner.errors import MissingFact
from runner.lineage.remedy import command_again
from runner.plan.constraints import RecordedVersions
from runner.plan.lists.conda import (
    NAMES,
    PYTHON_ENV,
    environments_of_project,
    files_of_project,
    find_conda,
    read_conda,
)
from runner.plan.lists.found import PackageList, join
from runner.plan.lists.locks import readers
from runner.plan.lists.pyproject import read_pyproject
from runner.plan.lists.recorded import recorded_list
from runner.plan.lists.requirements import find_requirements, read_requirement_file
from runner.plan.lists.setuptools import read_setup
from runner.plan.lists.uv_lock import read_uv_lock
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

_PROJECT_TAGS = "mlflow.project."

_Reader = Callable[[RepositorySnapshot, str], list[PackageList]]
_LOCKS: dict[str, _Reader] = {"uv.lock": read_uv_lock, **readers()}
_PROJECTS: dict[str, _Reader] = {"pyproject.toml": read_pyproject, "setup.py": read_setup, "setup.cfg": read_setup}
_READERS = {**_LOCKS, **_PROJECTS}  # YAML is conda's, and what has any other name a requirement file


def find_lists(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    folders: Sequence[str],
    recorded: RecordedVersions,
) -> list[PackageList]:
    """Return all lists of packages, the best first; empty where there is none.

    The one that configuration names is alone. Locks come before all, then what pins its packages, then what leaves
    versions open: requirements, conda's, the project's own; each at the root and then beside the script, and all that
    name MLflow before any that does not. An MLflow project's environment is first of these for a run that `mlflow run`
    started, and of no meaning for others: it comes after what else there is.
    """
    named = settings.environment or facts.environment
    if named:
        where = settings.source("environment") if settings.environment else f"environment in {FILE_NAME} at the commit"
        return [_named(named, where, record, snapshot, settings)]
    lists = [item for folder in folders for item in find_requirements(snapshot, folder)]
    lists += [item for folder in folders for item in find_conda(snapshot, folder)]
    lists += _projects(snapshot, folders)
    by_project = any(tag.startswith(_PROJECT_TAGS) for tag in record.tags)
    of_project = {path for folder in folders for path in environments_of_project(snapshot, folder)}

    def order(item: PackageList) -> tuple[bool, ...]:
        of_this = item.main in of_project
        return by_project and not of_this, not _names_tracker(item), of_this, not item.exact, not item.complete

    found = [
        *_everywhere(_LOCKS, snapshot, folders),
        # Stable, so that the order above decides the rest. What recorded the run was there: a list that lacks it is of
        # something else.
        *sorted(lists, key=order),
    ]
    return [*found, *recorded_list(recorded)]


def _names_tracker(found: PackageList) -> bool:
    return any(re.match(r"mlflow\b", line, re.IGNORECASE) for line in found.requirements)


def _projects(snapshot: RepositorySnapshot, folders: Sequence[str]) -> list[PackageList]:
    """Return the projects, of each folder by the first file that lists its packages."""
    found: list[PackageList] = []
    for folder in folders:
        read = (_PROJECTS[name](snapshot, join(folder, name)) for name in _PROJECTS)
        found += next(filter(None, read), [])
    return found


def lacking_files(snapshot: RepositorySnapshot) -> list[str]:
    """Return the files that lists of conda and of projects name, and whose texts the snapshot lacks."""
    names = (*NAMES, PYTHON_ENV, "MLproject", *_PROJECTS)
    folders = sorted({posixpath.dirname(path) or "." for path in snapshot.texts if posixpath.basename(path) in names})
    lists = [item for folder in folders for item in find_conda(snapshot, folder)] + _projects(snapshot, folders)
    named = [path for folder in folders for path in files_of_project(snapshot, folder)]
    return [*named, *(path for item in lists for path in item.lacking)]


def _everywhere(
    readers: Mapping[str, _Reader], snapshot: RepositorySnapshot, folders: Iterable[str]
) -> list[PackageList]:
    """Return what the readers find, by their order, and for each in the folders' order."""
    return [item for name, read in readers.items() for folder in folders for item in read(snapshot, join(folder, name))]


def _named(path: str, where: str, record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> PackageList:
    if path in snapshot.texts:
        by_suffix = read_conda if path.endswith((".yml", ".yaml")) else read_requirement_file
        read = _READERS.get(posixpath.basename(path), by_suffix)
        if found := read(snapshot, path):
            return _taken_all_the_same(found[0], where) if settings.environment else found[0]
    raise MissingFact(
        f"{where} names {path}, which the commit does not hold as a file that lists packages",
        command_again(record, settings) + f"   # after `environment:` in {FILE_NAME} names another file",
        fact="environment",
        looked_in=(f"commit {snapshot.commit[:12]}",),
    )


def _taken_all_the_same(named: PackageList, where: str) -> PackageList:
    """Return a lock that the auditor names, though it was made from another project than the one beside it."""
    if named.mismatch is None:
        return named
    note = f"environment: {named.main} {named.mismatch}; taken since {where} names it"
    return replace(named, mismatch=None, notes=(*named.notes, note))
