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
from runner.plan.constraints import Reconciled, reconcile, usable
from runner.plan.cpu_torch import ALLOWANCE, without_cuda
from runner.plan.lists.differ import differences, sentence
from runner.plan.lists.find import find_lists
from runner.plan.lists.found import PackageList
from runner.plan.lists.imports import infer_list, with_imports
from runner.plan.python import PythonChoice, choose_python
from runner.plan.python_records import recorded_pythons
from runner.schema.lineage import Considered
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import OF_IMAGE, EnvironmentSpec, RecordedImage
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
    as of the run's start. Where the commit has no list, the recorded packages are one;
    else what `scripts`, all that the command starts, import. What is `needed` to start it, and no list names, comes
    beside. `passed_over` are Pythons that a guess cannot be (see
    `choose_python`). Raises MissingFact where a start is needed and not recorded, and where nothing tells any package:
    without MLflow no training logs a run.
    """
    folders = folders_of(script, working_directory)
    python = choose_python(record, snapshot, settings, facts, folders, registered=registered, passed_over=passed_over)
    # Of Python's patch the plan knows nothing: markers that need it are rare, and mean the bounds of a minor.
    markers = linux_markers(f"{python.minor}.0", machine)
    recorded = usable(recorded_packages(record, markers, registered))
    lists = find_lists(record, snapshot, settings, facts, folders, recorded)
    images = recorded_images(record, settings, facts)
    if images and not _provisioned_all_the_same(images[0], settings, facts):
        return _in_image(images, lists, python, record, settings)
    if not lists or lists[0].recorded:
        dated = record.start_time is not None and not settings.allows("undated")
        inferred = infer_list(snapshot, scripts or [script or ""], folders, python.minor, dated=dated)
        lists = [with_imports(lists[0], inferred[0])] if lists and inferred else lists or inferred
    found, *others = lists or [_NOTHING]
    if found.problem or found.mismatch:
        raise _unusable(record, snapshot, settings, found, others)
    notes = list(found.notes)
    disagreements = {other.source: _disagreement(found, other, markers) for other in others}
    notes += (f"environment: {text}" for text in disagreements.values() if text)
    notes += (f"environment: the run's image {image.reference} ({image.source}) is not used" for image in images)
    reconciled = Reconciled((), (), ())
    if found.takes_constraints:
        reconciled = reconcile(
            recorded,
            found.requirements,
            markers,
            main=found.main or "",
            replaced=settings.with_packages,
            list_first=settings.environment is not None,
        )
        notes += (*reconciled.notes, *recorded.notes)
        if reconciled.constraints or reconciled.overrides:
            others = [other for other in others if not other.recorded]
    if python.note:
        notes.append(python.note)
    # What a version of `--with` needs beyond a lock is as open as what no list pins.
    more = _unlisted(needed, found, settings)
    as_of = None if found.exact and found.complete and not (settings.with_packages or more) else record.start_time
    if as_of is None and not found.exact and found.kind != "none":
        raise MissingFact(
            f"{found.source} does not pin its packages, and the run records no start that could stand in for a lock",
            command_again(record, settings, "--with PACKAGE==VERSION")
            + "   # or name a lock file with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(found.main or "the commit", "start of the run"),
        )
    if found.exact and not found.complete:
        notes.append(_open_notes(found, as_of, reconciled.constraints))
    overrides = (*settings.with_packages, *more)
    if more:
        notes.append(f"environment: inferred, since a notebook needs them and no list has them: {', '.join(more)}")
    times = settings.upload_times
    if times is not None:
        notes.append(
            f"environment: where an index gives no upload times, they are those of {settings.source('index_dates')} "
            f"{settings.index_dates} ({len(times.times)} files)"
        )
    if found.kind == "none" and not settings.with_packages:
        raise _no_packages(record, snapshot, settings)
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
        overrides=overrides,
        index_dates=None if times is None else times.digest,
        notes=tuple(notes),
    )
    if settings.allows(ALLOWANCE):
        spec = without_cuda(spec, machine)
    considered = tuple(
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
    return spec, python, considered


def _unlisted(needed: Sequence[str], found: PackageList, settings: Settings) -> tuple[str, ...]:
    """Return which of the needed packages no list and nobody names, in whatever notation it is."""
    texts = "\n".join((*found.files.values(), *found.requirements, *found.lines, *settings.with_packages))
    named = set(re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", texts.lower().replace("_", "-")))
    words = {re.split(r"[\[=<>~!]", word)[0] for word in named}
    return tuple(name for name in needed if name not in words)


def _provisioned_all_the_same(image: RecordedImage, settings: Settings, facts: CommitFacts) -> bool:
    """Tell whether packages are to be installed although an image is named: by who has the same or the last word."""
    if settings.environment or settings.base_image:
        return True
    return bool(facts.environment) and not image.by_auditor


def _in_image(
    images: Sequence[RecordedImage],
    lists: Sequence[PackageList],
    python: PythonChoice,
    record: RunRecord,
    settings: Settings,
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    """Return the environment that is an image as it is; a recorded Python must be the one that it has."""
    image, *others = images
    if settings.with_packages or settings.system_packages:
        option = "--with" if settings.with_packages else "--system-packages"
        raise MissingFact(
            f"the run trained in the image {image.reference} ({image.source}), in which {option} changes nothing",
            command_again(record, settings, f"--base-image python:{python.minor}-slim")
            + "   # installs what the repository lists, in the image's place",
            fact="environment",
            looked_in=(image.source,),
        )
    if not settings.python and not recorded_pythons(record):  # what the commit says is of no image
        python = PythonChoice(OF_IMAGE, "the image's own")
    notes = []
    if image.digest is None:
        notes.append(f"environment: image {image.reference} by its name, not by digest: it may be another one today")
    spec = EnvironmentSpec(
        kind="image",
        source=f"{image.source} ({image.reference})",
        main=None,
        files={},
        exact=image.digest is not None,
        as_of=None,
        python=python.minor,
        python_source=python.source,
        python_recorded=python.recorded,
        image=image,
        notes=tuple(notes),
    )
    considered = tuple(
        Considered(source=source, value=value, reason=f"{image.source} comes first")
        for source, value in (
            *((other.source, other.reference) for other in others),
            *((item.source, item.main or "") for item in lists),
        )
    )
    return spec, python, considered


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


def _open_notes(found: PackageList, as_of: datetime | None, constraints: Sequence[str]) -> str:
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
