"""Which lists of packages there are for a run, the one that counts first."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from runner.errors import MissingFact
from runner.lineage.remedy import command_again
from runner.plan.constraints import RecordedVersions
from runner.plan.lists.found import PackageList, join
from runner.plan.lists.locks import readers
from runner.plan.lists.pyproject import read_pyproject
from runner.plan.lists.recorded import recorded_list
from runner.plan.lists.requirements import find_requirements, read_requirement_file
from runner.plan.lists.uv_lock import read_uv_lock
from runner.plan.toml_text import load_toml, table
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

_Reader = Callable[[RepositorySnapshot, str], list[PackageList]]
_LOCKS: dict[str, _Reader] = {"uv.lock": read_uv_lock, **readers()}
_PROJECTS: dict[str, _Reader] = {"pyproject.toml": read_pyproject}
_READERS = {**_LOCKS, **_PROJECTS}  # what has any other name is a requirement file
_NOT_READ = ("environment.yml", "environment.yaml", "conda.yaml", "setup.py")


def find_lists(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    folders: Iterable[str],
    recorded: RecordedVersions,
) -> list[PackageList]:
    """Return all specifications, the best first; the last one is always there."""
    named = settings.environment or facts.environment
    if named:
        where = settings.source("environment") if settings.environment else f"environment in {FILE_NAME} at the commit"
        return [_named(named, where, record, snapshot, settings)]
    found: list[PackageList] = []
    found += _everywhere(_LOCKS, snapshot, folders)
    requirements = [item for folder in folders for item in find_requirements(snapshot, folder)]
    found += sorted(requirements, key=lambda item: (not item.exact, not item.complete))  # stable: root first
    found += _everywhere(_PROJECTS, snapshot, folders)
    unread = ", ".join(_unread(snapshot, folders))
    found += recorded_list(recorded, unread)
    if not found:
        note = f"environment: {unread} at the commit cannot be read yet" if unread else None
        found.append(
            PackageList(
                kind="none",
                main=None,
                files={},
                exact=False,
                complete=False,
                source="none: no file at the commit lists packages",
                notes=(note,) if note else (),
            )
        )
    return found


def _everywhere(
    readers: Mapping[str, _Reader], snapshot: RepositorySnapshot, folders: Iterable[str]
) -> list[PackageList]:
    """Return what the readers find, by their order, and for each in the folders' order."""
    return [item for name, read in readers.items() for folder in folders for item in read(snapshot, join(folder, name))]


def _named(path: str, where: str, record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> PackageList:
    if path in snapshot.texts:
        read = _READERS.get(posixpath.basename(path), read_requirement_file)
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


def _unread(snapshot: RepositorySnapshot, folders: Iterable[str]) -> list[str]:
    """Return the files at the commit that list packages in a form that is not read here."""
    names = [name for name in _NOT_READ if snapshot.has(name)]
    for folder in folders:
        path = join(folder, "pyproject.toml")
        if table(load_toml(snapshot.texts.get(path)), "tool", "poetry", "dependencies"):
            names.append(f"{path} of Poetry")
    return names
