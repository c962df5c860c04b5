"""Which packages a run had: the specification at the commit, how exact it is, and the date in place of a lock."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from runner.errors import MissingFact
from runner.lineage.image import recorded_images
from runner.lineage.packages import linux_markers, recorded_packages
from runner.lineage.remedy import command_again
from runner.plan.constraints import Reconciled, RecordedVersions, reconcile, usable
from runner.plan.cpu_torch import ALLOWANCE, without_cuda
from runner.plan.image_environment import in_image, provisioned_all_the_same
from runner.plan.lists.differ import differences, sentence
from runner.plan.lists.find import find_lists
from runner.plan.lists.found import PackageList
from runner.plan.lists.imported import imported_modules
from runner.plan.lists.imports import infer_list, with_imports
from runner.plan.python import PythonChoice, choose_python
from runner.schema.lineage import Considered
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import EnvironmentSpec, RecordedImage
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
    scripts: Sequence[str] = (),
    needed: Sequence[str] = (),
    registered: RegisteredModel | None = None,
    machine: str = "x86_64",
    passed_over: Mapping[str, str] | None = None,
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    """Return the specification of a run's packages and Python, and the other files that were considered.

    Order: the file that `environment:` of `runner.yaml` names, an image in which the run trained, locks, lists that
    pin what they name, lists that do not (requirements, conda's, the project's own), each at the root and then beside
    the script. What a list that is no lock leaves open has the version that the tracker recorded with the run's models,
    read for `machine`, and so has what such a list pins or bounds otherwise, unless configuration named it; else it is
    as of the run's start. Where the commit has no list, the recorded packages are one; else what `scripts`, all that
    the command starts, import. What these import is told in any case. What is `needed` to start it, and no list names,
    comes beside. `passed_over` are Pythons that a guess cannot be (see `choose_python`). Raises MissingFact where a
    start is needed and not recorded, and where nothing tells any package: without MLflow no training logs a run.
    """
    folders = folders_of(script, working_directory)
    python = choose_python(record, snapshot, settings, facts, folders, registered=registered, passed_over=passed_over)
    # Of Python's patch the plan knows nothing: markers that need it are rare, and mean the bounds of a minor.
    markers = linux_markers(f"{python.minor}.0", machine)
    recorded = usable(recorded_packages(record, markers, registered))
    lists = find_lists(record, snapshot, settings, facts, folders, recorded)
    images = recorded_images(record, settings, facts)
    if images and not provisioned_all_the_same(images[0], settings, facts):
        return in_image(images, lists, python, record, settings)
    scripts = scripts or [script or ""]
    if not lists or lists[0].recorded:
        dated = record.start_time is not None and not settings.allows("undated")
        inferred = infer_list(snapshot, scripts, folders, python.minor, dated=dated)
        lists = [with_imports(lists[0], inferred[0])] if lists and inferred else lists or inferred
    found, *others = lists or [_NOTHING]
    if found.problem or found.mismatch:
        raise _unusable(record, snapshot, settings, found, others)
    more = _unlisted(needed, found, settings)
    if found.kind == "none" and not settings.with_packages:
        raise _no_packages(record, snapshot, settings)
    as_of = _day(record, settings, found, more)
    disagreements = {other.source: _disagreement(found, other, markers) for other in others}
    reconciled = _reconciled(found, recorded, markers, settings)
    if reconciled.constraints or reconciled.overrides:
        others = [other for other in others if not other.recorded]
    notes = [
        *found.notes,
        *(f"environment: {text}" for text in disagreements.values() if text),
        *(f"environment: the run's image {image.reference} ({image.source}) is not used" for image in images),
        *reconciled.notes,
        *(recorded.notes if found.takes_constraints else ()),
        *filter(
            None, (python.note, _open_note(found, as_of, reconciled.constraints), _about_times(settings), _about(more))
        ),
    ]
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
        python_others=python.others,
        install_project=found.install_project,
        lines=found.lines,
        repositories=found.repositories,
        constraints=reconciled.constraints,
        constraints_source=recorded.source if reconciled.constraints or reconciled.overrides else None,
        recorded_overrides=reconciled.overrides,
        overrides=(*settings.with_packages, *more),
        index_dates=None if settings.upload_times is None else settings.upload_times.digest,
        imports=imported_modules(snapshot, scripts, folders, python.minor),
        # A lock is exact about all that its author had: what it lacks is not for us to add.
        adds_imports=not (found.exact and found.complete),
        from_conda=found.from_conda,
        notes=tuple(notes),
    )
    if settings.allows(ALLOWANCE):
        spec = without_cuda(spec, machine)
    return spec, python, _considered(found, others, images, disagreements)


def _considered(
    found: PackageList,
    others: Sequence[PackageList],
    images: Sequence[RecordedImage],
    disagreements: Mapping[str, str | None],
) -> tuple[Considered, ...]:
    return tuple(
        Considered(source=image.source, value=image.reference, reason="packages were named to be installed instead")
        for image in images
    ) + tuple(
        Considered(
            source=other.source,
            value=other.main or "",
            reason=disagreements[other.source] or f"{found.source} comes first",
        )
        for other in others
        if other.main
    )


def _unlisted(needed: Sequence[str], found: PackageList, settings: Settings) -> tuple[str, ...]:
    """Return which of the needed packages no list and nobody names, in whatever notation it is."""
    texts = "\n".join((*found.files.values(), *found.requirements, *found.lines, *settings.with_packages))
    named = set(re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", texts.lower().replace("_", "-")))
    words = {re.split(r"[\[=<>~!]", word)[0] for word in named}
    return tuple(name for name in needed if name not in words)


def _day(record: RunRecord, settings: Settings, found: PackageList, more: Sequence[str]) -> datetime | None:
    """Return the day whose packages stand for what the list leaves open, None where it leaves nothing open."""
    # What a version of `--with` needs beyond a lock is as open as what no list pins.
    as_of = None if found.exact and found.complete and not (settings.with_packages or more) else record.start_time
    if as_of is None and not found.exact and found.kind != "none":
        raise MissingFact(
            f"{found.source} does not pin its packages, and the run records no start that could stand in for a lock",
            command_again(record, settings, "--with PACKAGE==VERSION")
            + "   # or name a lock file with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(found.main or "the commit", "start of the run"),
        )
    return as_of


def _reconciled(
    found: PackageList, recorded: RecordedVersions, markers: Mapping[str, str], settings: Settings
) -> Reconciled:
    if not found.takes_constraints:
        return Reconciled((), (), ())
    return reconcile(
        recorded,
        found.requirements,
        markers,
        main=found.main or "",
        replaced=settings.with_packages,
        list_first=settings.environment is not None,
    )


def _about(more: Sequence[str]) -> str | None:
    return (
        f"environment: inferred, since a notebook needs them and no list has them: {', '.join(more)}" if more else None
    )


def _about_times(settings: Settings) -> str | None:
    times = settings.upload_times
    if times is None:
        return None
    return (
        f"environment: where an index gives no upload times, they are those of {settings.source('index_dates')} "
        f"{settings.index_dates} ({len(times.times)} files)"
    )


_NOTHING = PackageList(
    kind="none", main=None, files={}, exact=False, complete=False, source="none: no file at the commit lists packages"
)


def _disagreement(found: PackageList, other: PackageList, markers: Mapping[str, str]) -> str | None:
    """Return what another list of the commit says otherwise; that of the tracker has its own words for it."""
    differing = [] if other.recorded else differences(found, other, markers)
    return sentence(differing, found.main or "", other.main or "") if differing else None


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


def _no_packages(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> MissingFact:
    return MissingFact(
        "neither the commit nor the run lists the packages of the training, and no script that was found imports any",
        command_again(record, settings, "--with mlflow --with PACKAGE")
        + "   # or name a list with `environment:` in runner.yaml",
        fact="environment",
        looked_in=(
            f"locks, requirements.txt, environment.yml, pyproject.toml and setup.py at commit {snapshot.commit[:12]}",
            "requirements.txt of a model that the run logged",
            "imports of the script",
        ),
    )


def _open_note(found: PackageList, as_of: datetime | None, constraints: Sequence[str]) -> str | None:
    if not found.exact or found.complete:
        return None
    when = "today" if as_of is None else f"{as_of:%Y-%m-%d}"
    recorded = "as recorded, else " if constraints else ""
    return f"environment: packages that {found.main} does not list, but those it lists need, are {recorded}as of {when}"


def folders_of(script: str | None, working_directory: str) -> tuple[str, ...]:
    """Return the root, the working directory and the script's folder with all above it."""
    folders = [".", working_directory]
    folder = posixpath.dirname(script or "")
    while folder:
        folders.append(folder)
        folder = posixpath.dirname(folder)
    return tuple(dict.fromkeys(folders))
