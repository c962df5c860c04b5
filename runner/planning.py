"""From a run reference to its Plan: the first half of every command that is about one run. Starts no container."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from runner.errors import ImageUnavailable, MissingFact, RepositoryUnavailable, RunnerError, UsageError
from runner.progress import NoProgress, Progress

if TYPE_CHECKING:
    from runner.credentials.host import HostAccess
    from runner.finding import Asked
    from runner.repository.mirror import Mirror
    from runner.repository.parts import Parts
    from runner.schema.lineage import Lineage, Provenance
    from runner.schema.model_files import RegisteredModel
    from runner.schema.plan import EnvironmentSpec, Images, Plan
    from runner.schema.run_record import RunRecord
    from runner.schema.snapshot import RepositorySnapshot
    from runner.settings import Settings

_LOOKS = 3  # a text that names others that name others, such as requirements that include requirements

ImagesFor = Callable[["EnvironmentSpec"], "Images"]
"""Returns the images for an environment. Raises MissingFact (`python`) where none can be had."""
LacksWheels = Callable[["Plan"], "str | None"]
"""Returns why a plan's packages cannot be had on its Python without being built, None where they can."""


@dataclass
class Found:
    """What is known so far; filled in step by step, so that whatever stops a rerun can say what was there."""

    asked: Asked | None = None
    lineage: Lineage | None = None
    plan: Plan | None = None
    mirror: Mirror | None = None
    snapshot: RepositorySnapshot | None = None
    host: HostAccess | None = None
    parts: Parts | None = None

    def facts(self, *, except_for: str) -> tuple[str, ...]:
        """Return what was found, in short phrases for people, without the fact that is missing."""
        facts: dict[str, str] = {}
        if self.snapshot is not None:
            facts["repository"] = f"repository {self.snapshot.url}"
            facts["commit"] = f"commit {self.snapshot.commit[:7]}"
        if self.lineage is not None and self.lineage.files:
            facts["data"] = f"digests of {len(self.lineage.files)} file{'' if len(self.lineage.files) == 1 else 's'}"
        if self.plan is not None:
            facts["command"] = f"command ({self.plan.command_source})"
            facts["python"] = f"Python {self.plan.environment.python}"
            facts["environment"] = self.plan.environment.source
        return tuple(text for fact, text in facts.items() if fact != except_for)


def cache_folder() -> Path:
    """Return this host's folder for mirrors: REPRO_CACHE_DIR, else below XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("REPRO_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reproducibility-runner"


def mirrors_folder() -> Path:
    """Return where mirrors of repositories lie."""
    return cache_folder() / "mirrors"


def package_sources_folder() -> Path:
    """Return where mirrors of repositories lie that lists of packages name: what anybody may read, and nothing else."""
    return cache_folder() / "package-sources"


def make_plan(
    record: RunRecord,
    settings: Settings,
    images_for: ImagesFor,
    found: Found,
    progress: Progress,
    *,
    lacks_wheels: LacksWheels | None = None,
    confirm: bool = False,
) -> Plan:
    """Resolve the lineage of a run and build its plan.

    `lacks_wheels` decides between several Pythons that a run may have had. With `confirm` a person may be asked whether
    the remote that is asked first gets this host's credentials.
    Raises MissingFact where a fact is missing, RepositoryUnavailable, UsageError for a `--commit` that is no id.
    """
    from runner.code import find_code
    from runner.lineage.resolve import commit_facts, resolve_lineage
    from runner.plan.build import build_plan
    from runner.plan.images import NOT_MADE
    from runner.plan.line_endings import recorded_hashes
    from runner.plan.stages import own_stages
    from runner.repository.committed import find_committed
    from runner.repository.imports import fetch_imports
    from runner.repository.parts import look_at_parts
    from runner.trackers.baseline import baseline_digest

    _check_typed_commit(record, settings, progress)
    registered = _read_registered(record, settings, found, progress)
    with progress.phase("fetch"):
        code = find_code(record, settings, partial(_open_repository, record, settings, progress=progress))
        mirror, found.mirror = code.mirror, code.mirror
        found.snapshot = _read_snapshot(record, settings, mirror, code.tree)
        found.parts, found.snapshot = look_at_parts(
            mirror,
            found.snapshot,
            settings.repo if settings.repo is not None else code.repository.value,
            mirrors_folder(),
            recorded=_is_recorded(code.repository, record, settings),
            offline=settings.offline,
            progress=progress,
        )
        found.snapshot = found.snapshot.model_copy(update={"commit": code.commit.value})
    agreed = None if code.patch is not None else _check_commits(record, settings, mirror)
    asked = found.asked.notes if found.asked is not None else ()
    notes = tuple(note for note in (*asked, *code.notes, agreed) if note is not None)
    stages = own_stages(record, found.snapshot, settings, commit_facts(found.snapshot, settings))
    lineage = resolve_lineage(record, found.snapshot, settings, code.repository, code.commit, notes, stages)
    found.lineage = lineage.model_copy(update={"patch": code.patch})
    committed = find_committed(mirror, code.tree, found.snapshot.tree, recorded_hashes(record, found.lineage))
    found.snapshot = found.snapshot.model_copy(update={"committed": committed})
    imported = fetch_imports(found.lineage, found.snapshot, cache_folder() / "imports", offline=settings.offline)
    found.lineage = found.lineage.model_copy(update={"notes": (*found.lineage.notes, *imported.notes)})
    found.host = _host_access(found.snapshot, settings, mirror, progress if confirm else NoProgress())
    baseline = baseline_digest(record)

    build = partial(
        build_plan,
        record,
        found.snapshot,
        found.lineage,
        settings,
        NOT_MADE,
        baseline,
        host=found.host,
        registered=registered,
        imported=imported.remotes,
        held_by_imports=imported.paths,
    )

    def planned(passed_over: Mapping[str, str]) -> Plan:
        found.plan = build(passed_over=passed_over)
        return found.plan

    found.plan = _with_images(planned, images_for, lacks_wheels, progress, offline=settings.offline)
    return found.plan


def _with_images(
    planned: Callable[[Mapping[str, str]], Plan],
    images_for: ImagesFor,
    lacks_wheels: LacksWheels | None,
    progress: Progress,
    *,
    offline: bool,
) -> Plan:
    """Return the plan with its images; where its Python is a guess, that of the first that can be had with wheels.

    Where no Python has wheels for all packages, some must be built, and the likeliest Python that can be had counts.
    `offline` only those can be had that are on this machine.
    """
    from runner.plan.gpus import with_gpus

    without_image: dict[str, str] = {}
    without_wheels: dict[str, str] = {}
    likeliest: Plan | None = None
    first: MissingFact | ImageUnavailable | None = None
    while True:
        plan = planned({**without_image, **without_wheels})
        python, others = plan.environment.python, plan.environment.python_alternatives
        try:
            plan = with_gpus(plan.model_copy(update={"images": images_for(plan.environment)})).sealed()
        except (MissingFact, ImageUnavailable) as error:
            lacks = error.fact == "python" if isinstance(error, MissingFact) else offline
            first = first or error
            if not lacks or not (others or likeliest):
                raise first from None
            without_image[python] = "no image here has it" if offline else "no image has it"
        else:
            likeliest = likeliest or plan
            if lacks_wheels is None or not (others or without_wheels):
                return plan
            progress.update(f"looking whether Python {python} can be had for the packages")
            why = lacks_wheels(plan)
            if why is None:
                return plan
            without_wheels[python] = why
        if not others:
            assert likeliest is not None  # noqa: S101  # else raised above
            again = planned(without_image)
            return with_gpus(again.model_copy(update={"images": likeliest.images})).sealed()


def _check_typed_commit(record: RunRecord, settings: Settings, progress: Progress) -> None:
    """Raise UsageError for a `--commit` that is a name: names move. The remedy has what it names now."""
    from runner.lineage.remedy import command_again
    from runner.lineage.repository import repository_location
    from runner.repository.mirror import is_commit_id, open_mirror

    name = settings.commit
    if name is None or is_commit_id(name):
        return
    places = [settings.repo] if settings.repo is not None else [place for place, _ in _nearby(record, settings)]
    recorded: list[str] = []
    if not places:
        with suppress(MissingFact):
            places = recorded = [repository_location(record, settings, []).value]
    progress.update(f"looking for {name!r}")
    now = None
    for place in places:
        with suppress(RunnerError):
            mirror = open_mirror(
                place, mirrors_folder(), commit=None, offline=settings.offline, recorded=place in recorded
            )
            now = now or mirror.named(name.strip())
    raise UsageError(
        f"--commit {name!r} is no commit id, and a name may be moved",
        command_again(record, settings, f"--commit {now}") + f"    what {name} names now"
        if now is not None
        else command_again(record, settings, "--commit SHA"),
    )


def _read_registered(record: RunRecord, settings: Settings, found: Found, progress: Progress) -> RegisteredModel | None:
    """Return the model that was asked for, by digest. Raises MissingFact where no rerun can say anything about it."""
    from runner.lineage.remedy import command_again
    from runner.verdict.registered import FACT, why_not_the_runs

    if found.asked is None or found.asked.model is None:
        return None
    progress.update(f"hashing the files of {found.asked.model.title}")
    registered = found.asked.registered()
    why = None if registered is None else why_not_the_runs(registered)
    if why is not None:
        raise MissingFact(why, command_again(record, settings), fact=FACT)
    return registered


def _host_access(snapshot: RepositorySnapshot, settings: Settings, mirror: Mirror, asking: Progress) -> HostAccess:
    """Return what this host says of remotes, with what a person answers when asked about one."""
    from runner.credentials.host import read_host_access
    from runner.plan.remotes import place_to_confirm

    host = read_host_access(clones=_own_clones(snapshot, settings, mirror))
    place = None if settings.offline else place_to_confirm(snapshot, settings, host)
    if place is not None and asking.ask(f"Send credentials of this host to {place}?"):
        host = host.with_confirmed(place, "you, on the terminal")
    return host


def _own_clones(snapshot: RepositorySnapshot, settings: Settings, mirror: Mirror) -> list[Path]:
    """Return the DVC projects of the auditor's own clone: the one that was named, or that the command is called in.

    One whose `config.local` was ever committed is the repository's and not the auditor's.
    """
    from runner.plan.remotes import local_root
    from runner.repository.mirror import work_tree_of

    location = local_root(snapshot.location, settings.folder)
    here = None if location is None else work_tree_of(Path(location))
    if here is None or (settings.repo is None and work_tree_of(Path(settings.folder)) != here):
        return []
    roots = [root for root in (snapshot.dvc_roots or (".",)) if (here / root / ".dvc" / "config.local").is_file()]
    return [here / root for root in roots if not mirror.ever_held(str(Path(root) / ".dvc" / "config.local"))]


def _read_snapshot(record: RunRecord, settings: Settings, mirror: Mirror, commit: str) -> RepositorySnapshot:
    """Read the repository at the commit, and the texts that only what was read first names."""
    from runner.lineage.script import wanted_paths
    from runner.plan.code import SOON
    from runner.plan.elsewhere import differing_texts
    from runner.plan.wanted import unread_modules, unread_texts
    from runner.repository.history import first_commit_where, read_snapshot, read_texts

    paths = texts = wanted_paths(record)
    soon = None if record.start_time is None else (record.start_time, record.start_time + SOON)
    snapshot = read_snapshot(mirror, commit, wanted_paths=paths, wanted_texts=texts, changes_in=soon)
    for _ in range(_LOOKS):
        more = unread_texts(record, snapshot, settings)
        if not more:
            break
        texts = (*texts, *more)
        snapshot = read_snapshot(mirror, commit, wanted_paths=paths, wanted_texts=texts, changes_in=soon)
    while modules := unread_modules(record, snapshot, settings):
        read = read_texts(mirror, commit, modules)
        # One that cannot be read imports nothing that shows, and is not asked for again.
        snapshot = snapshot.with_texts({path: read.get(path, "") for path in modules})
    differing = differing_texts(record, snapshot, settings)
    agreeing = {path: first_commit_where(mirror, commit, path, agrees) for path, agrees in differing.items()}
    return snapshot.model_copy(update={"agreeing": {path: sha for path, sha in agreeing.items() if sha is not None}})


def _check_commits(record: RunRecord, settings: Settings, mirror: Mirror) -> str | None:
    """Return a note where the run records several commits that agree in all but pointers."""
    from runner.lineage.commit import check_commits_agree, disagreeing_commits

    commits = disagreeing_commits(record, settings)
    changed: set[str] | None = set()
    try:
        first, *others = [mirror.resolve_commit(commit.value) for commit in commits] or [""]
        changed = {path for other in others for path in mirror.changed_paths(first, other)}
    except MissingFact:
        changed = None
    return check_commits_agree(commits, None if changed is None else sorted(changed), record, settings)


def _open_repository(
    record: RunRecord, settings: Settings, commit: str, *, progress: Progress
) -> tuple[Provenance, Mirror]:
    """Return where the repository is, with its mirror."""
    from runner.lineage.repository import repository_location
    from runner.redact import redact
    from runner.repository.mirror import open_mirror
    from runner.schema.lineage import Considered, Provenance

    cache = mirrors_folder()
    mirrors: dict[str, Mirror] = {}
    nearby = []
    refused: list[tuple[str, str, RunnerError]] = []
    for location, source in _nearby(record, settings):
        try:
            mirror = open_mirror(location, cache, commit=commit, offline=settings.offline)
            mirror.resolve_commit(commit)
        except (MissingFact, RepositoryUnavailable) as error:
            refused.append((location, source, error))
            continue
        mirrors[location] = mirror
        nearby.append((location, source))
    try:
        repository = repository_location(record, settings, nearby)
    except MissingFact as missing:
        raise _why_refused(missing, refused) from missing
    if repository.value in mirrors:
        return repository, mirrors[repository.value]
    progress.update(f"fetching {repository.value}")
    location = settings.repo if settings.repo is not None else repository.value
    recorded = settings.repo is None
    try:
        return repository, open_mirror(location, cache, commit=commit, offline=settings.offline, recorded=recorded)
    except (MissingFact, RepositoryUnavailable) as error:
        if settings.repo is not None or not nearby:
            raise
        # A commit's id is its content: a clone at hand that has it is as good as the recorded place.
        considered = Considered(source=repository.source, value=redact(repository.value), reason=redact(error.cause))
        place, source = nearby[0]
        found = Provenance(
            fact="repository", value=place, source=source, considered=(*repository.considered, considered)
        )
        return found, mirrors[place]


def _is_recorded(repository: Provenance, record: RunRecord, settings: Settings) -> bool:
    """Tell whether nobody but the record names the repository."""
    return settings.repo is None and repository.value not in dict(_nearby(record, settings))


def _why_refused(missing: MissingFact, refused: list[tuple[str, str, RunnerError]]) -> RunnerError:
    """Return the error that says most: why the one repository at hand could not be used, or what each lacked."""
    if len(refused) == 1:
        return refused[0][2]
    looked_in = tuple(f"{location} ({source}): {error.cause}" for location, source, error in refused)
    return MissingFact(missing.cause, missing.remedy, fact=missing.fact, looked_in=(*missing.looked_in, *looked_in))


def _nearby(record: RunRecord, settings: Settings) -> list[tuple[str, str]]:
    """Return the work trees that the user stands in and that hold the tracker's files, unless one was named."""
    from runner.repository.mirror import work_tree_of

    if settings.repo is not None:
        return []
    places = [(Path(settings.folder), "the current directory")]
    store = record.uri.removeprefix("sqlite:///")
    if store.startswith("file:"):
        store = unquote(urlsplit(store).path)
    if "://" not in store:
        places.append((Path(store), "the repository that holds the tracker's files"))
    found: dict[str, str] = {}
    for folder, source in places:
        top = work_tree_of(folder)
        if top is not None:
            found.setdefault(str(top), source)
    return list(found.items())


def plan_run(run: str, settings: Settings, *, progress: Progress) -> Plan:
    """Return the plan of a run; no container is started, so images that are not made yet have no digest.

    Raises MissingFact where a fact is missing, and whatever `find_run` and `make_plan` raise.
    """
    from runner.finding import find_run
    from runner.lineage.remedy import pasted_remedy

    asked = find_run(run, settings)
    settings = with_told_python(asked.settings)
    found = Found(asked=asked)
    try:
        return make_plan(asked.record, settings, images_there_for(settings), found, progress)
    except MissingFact as missing:
        missing.remedy = pasted_remedy(missing.remedy, asked.record, settings)
        raise


def with_told_python(settings: Settings) -> Settings:
    """Return the settings with the Python that the base image says it has, where it is there and says so."""
    from runner.errors import EngineUnavailable
    from runner.prepare import opened_engine, told_python_of

    if settings.base_image is None:
        return settings
    with suppress(EngineUnavailable), opened_engine() as engine:
        return settings.model_copy(update={"base_python": told_python_of(engine, settings.base_image)})
    return settings


def images_there_for(settings: Settings) -> ImagesFor:
    """Return what looks for images without making any: what is not there yet has no digest."""
    return lambda environment: _images_there(environment, settings)


def _images_there(environment: EnvironmentSpec, settings: Settings) -> Images:
    """Return the images of the engine as they are; without an engine, what is planned is not changed by it.

    Raises MissingFact where neither the engine has them nor can they be made.
    """
    from runner.errors import EngineUnavailable
    from runner.plan.images import NOT_MADE
    from runner.prepare import images_there, opened_engine, with_training_image

    try:
        with opened_engine() as engine:
            images = images_there(
                engine,
                python=environment.tools_python,
                python_others=environment.python_others,
                base_image=settings.base_image,
                system_packages=settings.system_packages,
                offline=settings.offline,
            )
            return with_training_image(engine, images, environment, there=True)
    except EngineUnavailable:
        return NOT_MADE
