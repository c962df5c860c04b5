"""Which packages a run had: the specification at the commit, how exact it is, and the date in place of a lock."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime

from runner.errors import MissingFact
from runner.lineage.packages import linux_markers, recorded_packages
from runner.lineage.remedy import command_again
from runner.plan.constraints import constrain, usable
from runner.plan.cpu_torch import ALLOWANCE, without_cuda
from runner.plan.lists.find import find_lists
from runner.plan.lists.found import PackageList
from runner.plan.python import PythonChoice, choose_python
from runner.schema.lineage import Considered
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import EnvironmentSpec
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings


def specify_environment(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    script: str | None,
    working_directory: str = ".",
    *,
    registered: RegisteredModel | None = None,
    machine: str = "x86_64",
    passed_over: Mapping[str, str] | None = None,
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    """Return the specification of a run's packages and Python, and the other files that were considered.

    Order: the file that `environment:` of `runner.yaml` names, a lock, requirements (pinned before unpinned),
    `pyproject.toml`, each at the root and then beside the script. What a list that is no lock leaves open has the
    version that the tracker recorded with the run's models, read for `machine`; else it is as of the run's start.
    Where the commit has no list, the recorded packages are one. `passed_over` are Pythons that a guess cannot be (see
    `choose_python`). Raises MissingFact where a start is needed and not recorded, and where nothing lists any package:
    without MLflow no training logs a run.
    """
    folders = _folders(script, working_directory)
    python = choose_python(record, snapshot, settings, facts, folders, registered=registered, passed_over=passed_over)
    # Of Python's patch the plan knows nothing: markers that need it are rare, and mean the bounds of a minor.
    markers = linux_markers(f"{python.minor}.0", machine)
    recorded = usable(recorded_packages(record, markers, registered))
    found, *others = find_lists(record, snapshot, settings, facts, folders, recorded)
    if found.problem or found.mismatch:
        raise _unusable(record, snapshot, settings, found, others)
    notes = list(found.notes)
    constraints: tuple[str, ...] = ()
    if found.takes_constraints:
        constraints, deviations = constrain(
            recorded, found.requirements, markers, main=found.main or "", replaced=settings.with_packages
        )
        notes += (*deviations, *recorded.notes)
        if constraints:
            others = [other for other in others if not other.recorded]
    if python.note:
        notes.append(python.note)
    # What a version of `--with` needs beyond a lock is as open as what no list pins.
    as_of = None if found.exact and found.complete and not settings.with_packages else record.start_time
    if as_of is None and not found.exact and found.kind != "none":
        raise MissingFact(
            f"{found.source} does not pin its packages, and the run records no start that could stand in for a lock",
            command_again(record, settings, "--with PACKAGE==VERSION")
            + "   # or name a lock file with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(found.main or "the commit", "start of the run"),
        )
    if found.exact and not found.complete and found.kind == "requirements":
        notes.append(_open_notes(found, as_of, constraints))
    overrides = settings.with_packages
    times = settings.upload_times
    if times is not None:
        notes.append(
            f"environment: where an index gives no upload times, they are those of {settings.source('index_dates')} "
            f"{settings.index_dates} ({len(times.times)} files)"
        )
    if found.kind == "none" and not overrides:
        raise _no_packages(record, snapshot, settings, found)
    spec = EnvironmentSpec(
        kind=found.kind,  # type: ignore[arg-type]  # one of those that the plan knows
        source=found.source,
        root=posixpath.dirname(found.main or "") or ".",
        main=found.main,
        files=found.files,
        exact=found.exact,
        as_of=as_of,
        python=python.minor,
        python_source=python.source,
        python_recorded=python.recorded,
        python_alternatives=python.alternatives,
        install_project=found.install_project,
        repositories=found.repositories,
        constraints=constraints,
        constraints_source=recorded.source if constraints else None,
        overrides=overrides,
        index_dates=None if times is None else times.digest,
        notes=tuple(notes),
    )
    if settings.allows(ALLOWANCE):
        spec = without_cuda(spec, machine)
    considered = tuple(
        Considered(source=other.source, value=other.main or "", reason=f"{found.source} comes first")
        for other in others
        if other.main
    )
    return spec, python, considered


def _unusable(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    found: PackageList,
    others: Sequence[PackageList],
) -> MissingFact:
    """Return the error for a lock that is there and does not count; another list is not silently taken for it."""
    usable = next((other.main for other in others if other.main and not (other.problem or other.mismatch)), None)
    named = [
        f"`environment: {usable}` in {FILE_NAME}" if usable else f"`environment:` in {FILE_NAME} names another list"
    ]
    if found.mismatch:
        named.append(f"`environment: {found.main}` in {FILE_NAME}, to take it as it is")
    return MissingFact(
        f"{found.main} at the commit {found.problem or found.mismatch}",
        f"{command_again(record, settings)}    # with {', or '.join(named)}",
        fact="environment",
        looked_in=(f"{found.main} at commit {snapshot.commit[:12]}",),
    )


def _no_packages(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, found: PackageList
) -> MissingFact:
    unread = "".join(f"; {note.removeprefix('environment: ')}" for note in found.notes)
    return MissingFact(
        f"neither the commit nor the run lists the packages of the training{unread}",
        command_again(record, settings, "--with mlflow --with PACKAGE")
        + "   # or name a list with `environment:` in runner.yaml",
        fact="environment",
        looked_in=(
            f"lock files, requirements.txt and pyproject.toml at commit {snapshot.commit[:12]}",
            "requirements.txt of a model that the run logged",
        ),
    )


def _open_notes(found: PackageList, as_of: datetime | None, constraints: Sequence[str]) -> str:
    when = "today" if as_of is None else f"{as_of:%Y-%m-%d}"
    recorded = "as recorded, else " if constraints else ""
    return f"environment: packages that {found.main} does not list, but those it lists need, are {recorded}as of {when}"


def _folders(script: str | None, working_directory: str) -> tuple[str, ...]:
    """Return the root, the working directory and the script's folder with all above it."""
    folders = [".", working_directory]
    folder = posixpath.dirname(script or "")
    while folder:
        folders.append(folder)
        folder = posixpath.dirname(folder)
    return tuple(dict.fromkeys(folders))
