"""From RUN as it was typed to the run that is meant: which tracker, which registry, which run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runner.errors import MissingFact, RunNotFound, UsageError

if TYPE_CHECKING:
    from runner.registry.interface import Registry
    from runner.registry.read import Meant
    from runner.schema.model_files import RegisteredModel
    from runner.schema.reproduction import RunIdentity
    from runner.schema.run_record import RunRecord
    from runner.settings import Settings
    from runner.trackers.interface import Tracker
    from runner.trackers.reference import ModelReference, OfflineRun, OnlineRun, Page, RunReference


_USUAL = "mlruns"  # where MLflow keeps what no address was given for
_USUAL_OF_WANDB = "wandb"
_LISTED = 6  # stores named in a message


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The run that is meant, with where it was found; `model` where it was asked for by a registered model.

    `settings` are the user's, with what a pasted address names filled in; `notes` are sentences for the report.
    """

    record: RunRecord
    settings: Settings
    tracker: Tracker
    registry: Registry | None = None
    model: Meant | None = None
    run: RunReference | None = None
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> RunIdentity:
        """The run in a few words."""
        from runner.schema.reproduction import RunIdentity

        return RunIdentity.of(self.record, None if self.model is None else self.model.title)

    def registered(self) -> RegisteredModel | None:
        """Return the model that was asked for with the digests of all its files; None where RUN is a run.

        Raises MissingFact where the files cannot be had.
        """
        return None if self.model is None else self._read(self.model, self.record)

    def read_again(self, before: RegisteredModel | None) -> tuple[RunRecord | None, str | None]:
        """Return the record as it is now, and in a sentence what became of the registered model meanwhile.

        There is no record where somebody purged the run.
        """
        from runner.registry.read import find_meant
        from runner.verdict.registered import what_changed

        try:
            record = self.tracker.read_run(self.record.run_id)
        except RunNotFound:
            return None, None
        if self.model is None or before is None:
            return record, None
        try:
            meant = find_meant(self.model.reference, self.tracker, self.registry, self.run, self._typed)
            return record, what_changed(before, self._read(meant, record))
        except (UsageError, MissingFact) as error:
            return record, f"{before.title} was there when it was read, and now {error.cause}"

    def _read(self, meant: Meant, record: RunRecord) -> RegisteredModel:
        from runner.registry.read import read_registered

        return read_registered(meant, record, self.tracker, self.registry, self._typed)

    def _typed(self, *options: str) -> str:
        return self.settings.invocation.again(self.settings.model or self.record.run_id, *options)


def find_run(text: str, settings: Settings) -> Asked:
    """Read the run that is meant from its tracker, by way of the registry where a model is named.

    Raises RunNotFound, AmbiguousRun, NotAStore, TrackerUnavailable, UsageError.
    """
    from runner.registry.open import open_registry
    from runner.registry.read import find_meant
    from runner.trackers.reference import (
        LoggedModelId,
        OfflineRun,
        OnlineRun,
        Page,
        RunId,
        RunIdPrefix,
        RunName,
        parse_reference,
    )

    reference = parse_reference(text)
    if isinstance(reference, OfflineRun):
        return _offline_run(reference, settings)
    if isinstance(reference, OnlineRun):
        return _online_run(reference, settings)
    notes: tuple[str, ...] = ()
    if isinstance(reference, Page):
        settings, notes = _with_page(reference, settings)
        reference = reference.reference
    if settings.tracker is None and not (Path(settings.folder) / _USUAL).is_dir():
        settings, notes = _with_store_beneath(text, reference, settings)
    address, tracker = open_named_tracker(settings, text)
    if isinstance(reference, RunId | RunIdPrefix | RunName):
        if settings.run_of_model is not None:
            raise UsageError(
                "--run is for a model that names no run, and RUN is a run", f"runner reproduce {reference}"
            )
        record = tracker.read_run(tracker.find_run(reference))
        return Asked(record=record, settings=settings, tracker=tracker, notes=(*notes, *_deleted(record)))
    settings = settings.model_copy(update={"model": str(reference)})
    registry = None
    if not isinstance(reference, LoggedModelId):
        registry = open_registry(settings.registry_uri or address, folder=Path(settings.folder))
        registry.flag = "--tracker" if settings.registry_uri is None else registry.flag
    run = _run_reference(settings)
    meant = find_meant(reference, tracker, registry, run, partial(settings.invocation.again, str(reference)))
    record = tracker.read_run(meant.run_id)
    return Asked(
        record=record,
        settings=settings,
        tracker=tracker,
        registry=registry,
        model=meant,
        run=run,
        notes=(*notes, *_deleted(record)),
    )


def _deleted(record: RunRecord) -> tuple[str, ...]:
    """Say that somebody deleted the run, or its experiment: its record may be gone for good tomorrow."""
    return ("run: deleted in the tracker, which still has its record",) if record.lifecycle_stage == "deleted" else ()


def _with_store_beneath(
    text: str, reference: RunReference | ModelReference, settings: Settings
) -> tuple[Settings, tuple[str, ...]]:
    """Let the one store beneath this folder that has the run be the tracker, where none is named, and say so.

    Raises UsageError where several have it, or where there are stores and none does: they are listed.
    """
    from runner.trackers.beneath import stores_beneath
    from runner.trackers.open import open_tracker
    from runner.trackers.reference import RunId, RunIdPrefix, RunName

    folder = Path(settings.folder)
    stores = stores_beneath(folder)
    if not isinstance(reference, RunId | RunIdPrefix | RunName):
        having = stores
    else:
        having = []
        for address in stores:
            with suppress(RunNotFound):
                open_tracker(address, folder=folder).find_run(reference)
                having.append(address)
    if len(having) == 1:
        others = f", the only one of {len(stores)} stores here that has the run" if len(stores) > 1 else ""
        source = f"the store beneath this folder{others}"
        invocation = settings.invocation.model_copy(
            update={"options": (("--tracker", having[0]), *settings.invocation.options)}
        )
        sources = {**settings.sources, "tracker": source}
        update = {"tracker": having[0], "sources": sources, "invocation": invocation}
        return settings.model_copy(update=update), (f"tracker: {having[0]}, {source}",)
    if not stores:
        return settings, ()
    listed = ", ".join((having or stores)[:_LISTED])
    has = f"{len(having)} stores here have the run" if having else "none of the stores here has the run"
    raise UsageError(
        f"no tracker is named, there is no {_USUAL} here, and {has}: {listed}",
        settings.invocation.again(text, "--tracker", (having or stores)[0]),
    )


def open_named_tracker(settings: Settings, *words: str) -> tuple[str, Tracker]:
    """Return the address of the tracker that the user named, or of an mlruns or wandb here, and the tracker.

    `words` are what to type with it. Raises UsageError where there is none, NotAStore.
    """
    from runner.plan.remotes import local_root
    from runner.trackers.open import open_tracker

    folder = Path(settings.folder)
    usual = next((name for name in (_USUAL, _USUAL_OF_WANDB) if (folder / name).is_dir()), None)
    if settings.tracker is None and usual is None:
        raise UsageError(
            f"no tracker is named, and there is no {_USUAL} here",
            f"{settings.invocation.again(*words, '--tracker', 'URI')}    or set MLFLOW_TRACKING_URI",
        )
    address = settings.tracker or str(usual)
    named = None if settings.repo is None else local_root(settings.repo, settings.folder)
    return address, open_tracker(address, folder=folder, repository=None if named is None else Path(named))


def _offline_run(reference: OfflineRun, settings: Settings) -> Asked:
    """Read the run of W&B at a path: its folder is the tracker, whatever else is named. Raises NotAStore."""
    from runner.trackers.wandb_folder import open_run

    if settings.run_of_model is not None:
        raise UsageError("--run is for a model that names no run, and RUN is a run", f"runner reproduce {reference}")
    tracker, run_id = open_run(Path(settings.folder) / Path(reference.path).expanduser())
    # What is to be pasted names the run by its path, from wherever it is pasted.
    return Asked(
        record=tracker.read_run(run_id),
        settings=settings.model_copy(update={"model": str(tracker.place)}),
        tracker=tracker,
    )


def _online_run(reference: OnlineRun, settings: Settings) -> Asked:
    """Read a run of W&B's from its server: its project is the tracker, whatever else is named. Raises RunNotFound."""
    from runner.trackers.open import open_tracker

    if settings.run_of_model is not None:
        raise UsageError("--run is for a model that names no run, and RUN is a run", f"runner reproduce {reference}")
    tracker = open_tracker(reference.project)
    return Asked(
        record=tracker.read_run(reference.run_id),
        settings=settings.model_copy(update={"model": str(reference)}),
        tracker=tracker,
    )


def _run_reference(settings: Settings) -> RunReference | None:
    from runner.trackers.reference import FORMS, RunId, RunIdPrefix, RunName, parse_reference

    if settings.run_of_model is None:
        return None
    reference = parse_reference(settings.run_of_model)
    if isinstance(reference, RunId | RunIdPrefix | RunName):
        return reference
    raise UsageError(
        f"--run takes a run, not {settings.run_of_model!r}", f"name it by {FORMS.partition(', models:')[0]}"
    )


def _with_page(page: Page, settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Let the address of a page name the tracker, and the registry if it shows a version, unless a flag does.

    A flag that names another place wins, which is said: the page may be shown by another host than the API. Raises
    UsageError where the environment or a file names a server on another host: its credentials are not a link's to have.
    """
    from runner.redact import redact
    from runner.settings import PASTED
    from runner.trackers.reference import AliasOf, LatestOf, VersionOf

    update: dict[str, str] = {}
    notes = []
    names = ["tracker"]
    if isinstance(page.reference, VersionOf | AliasOf | LatestOf):
        names.append("registry_uri")
    for name in names:
        flag, value = "--" + name.replace("_", "-"), getattr(settings, name)
        if settings.source(name) != flag:
            if value is not None and _server(value) not in (None, _server(page.server)):
                raise UsageError(
                    f"the pasted address is of {redact(page.server)}, and {settings.source(name)} names "
                    f"{redact(value)}, whose credentials another server shall not get unasked",
                    settings.invocation.again(str(page), flag, page.server),
                )
            update[name] = page.server
        elif value.rstrip("/") != page.server:
            notes.append(f"{flag} {redact(value)} was read, and the pasted address is of {redact(page.server)}")
    sources = {**settings.sources, **dict.fromkeys(update, PASTED)}
    pasted = tuple(("--" + name.replace("_", "-"), redact(value)) for name, value in update.items())
    invocation = settings.invocation.model_copy(update={"options": (*pasted, *settings.invocation.options)})
    return settings.model_copy(update={**update, "invocation": invocation, "sources": sources}), tuple(notes)


def _server(address: str) -> tuple[str | None, int | None] | None:
    """Return host and port of a server's address, None for a place on disk."""
    parts = urlsplit(address)
    return (parts.hostname, parts.port) if parts.scheme in ("http", "https") else None
