"""From a reference to a registered model to its run, and to all its files by digest."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from runner.errors import MissingFact, RunNotFound, UsageError
from runner.redact import redact
from runner.registry.interface import ModelVersion, Registry
from runner.registry.places import (
    among_artifacts,
    beneath,
    is_runs_uri,
    model_named_by,
    models_reference,
    run_named_by,
    same_place,
)
from runner.schema.model_files import ModelFile, ModelFiles, RegisteredModel
from runner.schema.run_record import RunRecord
from runner.trackers.artifacts import NoFiles, UnreadableFiles
from runner.trackers.interface import LoggedModel, Tracker
from runner.trackers.reference import (
    AliasOf,
    LatestOf,
    LoggedModelId,
    ModelReference,
    RunId,
    RunReference,
    VersionOf,
)

_COPIES = 10  # of a copy of a copy
_DESCRIPTION = "MLmodel"

BY_REGISTRY = "the registry"
BY_SOURCE = "the registered source"
BY_MODEL = "the logged model"
BY_FLAG = "--run"


@dataclass(frozen=True, kw_only=True)
class Meant:
    """What a reference to a model leads to now. `version` is None for a logged model that is named by its id."""

    reference: ModelReference
    version: ModelVersion | None
    model: LoggedModel | None
    run_id: str
    run_source: str

    @property
    def title(self) -> str:
        """The model, for people."""
        return str(self.version) if self.version is not None else str(self.model and self.model.model_id)


@dataclass(frozen=True)
class _Source:
    """Files that were found: whose they are (a run's by path, or a logged model's by name), and where."""

    run_id: str | None
    path: str | None
    files: tuple[ModelFile, ...]


@dataclass(frozen=True)
class _Own:
    """A model that a run logged, and how its files are read."""

    model_id: str | None
    name: str
    read: Callable[[], tuple[ModelFile, ...]]


def find_meant(
    reference: ModelReference,
    tracker: Tracker,
    registry: Registry | None,
    run: RunReference | None,
    typed: Callable[..., str],
) -> Meant:
    """Return the version or model that is meant, and the id of its run; `run` is what `--run` names.

    `typed` returns the command that was typed with other options, for a remedy. Raises RunNotFound where there is no
    such model, version, alias or run, UsageError where `--run` names another run than the registry does.
    """
    version = model = None
    if isinstance(reference, LoggedModelId):
        model = tracker.find_model(reference)
        title, named, source = model.model_id, model.run_id, BY_MODEL
    else:
        assert registry is not None  # noqa: S101  # it is opened for all that is registered
        version = registry.find(reference)
        title, named, source = str(version), version.run_id, BY_REGISTRY
        if named is None:
            named, source = _run_of_source(version, tracker), BY_SOURCE
    there = None if named is None else _there(tracker, named)
    given = None if run is None else tracker.find_run(run)
    if there is not None and given not in (None, there):
        raise UsageError(f"{title} is of run {there}, and --run names {given}", typed("--run", there))
    run_id = there or given
    if run_id is None:
        remedy = f"{typed('--run', 'RUN')}    if you know the run that made it"
        if named is None:
            raise RunNotFound(f"{title} names no run that made it", remedy)
        raise RunNotFound(redact(f"{title} is of run {named!r}, which {tracker.uri} does not hold"), remedy)
    return Meant(
        reference=reference,
        version=version,
        model=model,
        run_id=run_id,
        run_source=source if there is not None else BY_FLAG,
    )


def _there(tracker: Tracker, run_id: str) -> str | None:
    try:
        return tracker.find_run(RunId(run_id))
    except RunNotFound:
        return None


def _run_of_source(version: ModelVersion, tracker: Tracker) -> str | None:
    """Return the run whose artifacts were registered, where the registry names none."""
    model_id = model_named_by(version.source, version.location)
    model = None if model_id is None else tracker.logged_model(model_id)
    if model is not None:
        return model.run_id
    return run_named_by(version.source) or run_named_by(version.location)


def read_registered(
    meant: Meant, record: RunRecord, tracker: Tracker, registry: Registry | None, typed: Callable[..., str]
) -> RegisteredModel:
    """Return the version with all its files and those of the run's own logged model, by digest.

    Raises MissingFact where the registered files cannot be had, TrackerUnavailable.
    """
    place = meant.version.location if meant.version is not None else meant.model and meant.model.location
    try:
        source = _registered_files(meant, record, tracker, registry)
    except UnreadableFiles as error:
        where = redact(place or "no place is recorded")
        raise MissingFact(
            redact(f"the files of {meant.title} cannot be read: {error} ({where})"),
            f"{typed('--tracker', 'URI')}    a server that serves them, or the store that holds them",
            fact="registered model",
            looked_in=tuple(dict.fromkeys(store.uri for store in (registry, tracker) if store is not None)),
        ) from error
    artifact = ModelFiles(files=source.files)
    own = source.run_id == record.run_id
    model_id = _model_id(meant)
    logged, path, note = (None, source.path, None) if own else _logged_by(record, tracker, source.path, model_id)
    reference = meant.reference
    version = meant.version
    return RegisteredModel(
        reference=redact(str(reference)),
        registry=tracker.uri if registry is None else registry.uri,
        name=None if version is None else version.name,
        version=None if version is None else version.version,
        alias=reference.alias if isinstance(reference, AliasOf) else None,
        stage=(reference.stage or "latest") if isinstance(reference, LatestOf) else None,
        model_id=model_id,
        status=None if version is None else version.status,
        run_id=meant.run_id,
        run_source=meant.run_source,
        place=redact(place or ""),
        path=path,
        artifact=artifact,
        same_place=own,
        logged=logged,
        logged_note=note,
        digest=artifact.digest,
        content_digest=artifact.content_digest,
    )


def _model_id(meant: Meant) -> str | None:
    if meant.model is not None:
        return meant.model.model_id
    assert meant.version is not None  # noqa: S101  # one of the two is there
    return meant.version.model_id or model_named_by(meant.version.source, meant.version.location)


def _registered_files(meant: Meant, record: RunRecord, tracker: Tracker, registry: Registry | None) -> _Source:
    """Find the files of a version, whose own they are if they lie where a run or a logged model keeps its own."""
    if meant.version is None or registry is None:
        assert meant.model is not None  # noqa: S101  # one of the two is there
        return _of_model(meant.model, tracker)
    version = _original(meant.version, registry)
    source, location = version.source, version.location
    model_id = model_named_by(source, location)
    model = None if model_id is None else tracker.logged_model(model_id)
    # A place of its own wins over the model that was registered: MLflow loads from there.
    no_own_place = models_reference(source) is not None and location == source
    if model is not None and (no_own_place or same_place(location, model.location)):
        return _of_model(model, tracker)
    if is_runs_uri(location):
        named = among_artifacts(location)
        assert named is not None  # noqa: S101  # it is one of its forms
        return _of_runs_uri(named.run_id, named.path, tracker)
    path = beneath(location, record.artifact_root)
    if path is not None:
        return _Source(record.run_id, path, tracker.hash_artifacts(record.run_id, path))
    named = among_artifacts(location)
    other = None if named is None else _there(tracker, named.run_id)
    if other is not None and other != record.run_id:
        path = beneath(location, tracker.read_run(other).artifact_root)
        if path is not None:
            return _Source(other, path, tracker.hash_artifacts(other, path))
    return _Source(None, None if named is None else named.path, _elsewhere(location, tracker, registry))


def _original(version: ModelVersion, registry: Registry) -> ModelVersion:
    """Return the version of which this one is a copy that has no files of its own."""
    for _ in range(_COPIES):
        copied = models_reference(version.source)
        if not isinstance(copied, VersionOf) or version.location != version.source:
            return version
        found = registry.version(copied.name, copied.version)
        if found is None:
            raise UnreadableFiles(f"it is a copy of {copied}, which is gone")
        version = found
    raise UnreadableFiles("it is a copy of a copy without end")


def _of_model(model: LoggedModel, tracker: Tracker) -> _Source:
    return _Source(model.run_id, model.name, tracker.hash_model(model.model_id))


def _of_runs_uri(run_id: str, path: str, tracker: Tracker) -> _Source:
    """Read `runs:/ID/NAME` as MLflow does: among the run's artifacts, since version 3 also the model of this name."""
    try:
        return _Source(run_id, path, tracker.hash_artifacts(run_id, path))
    except NoFiles:
        models = [model for model in tracker.models_of(run_id) if model.name == path]
        if len(models) != 1:
            raise
        return _of_model(models[0], tracker)


def _elsewhere(location: str | None, tracker: Tracker, registry: Registry) -> tuple[ModelFile, ...]:
    """Return files that lie in no run's place: beneath the registry's own root, or the tracker's."""
    if location is None:
        raise UnreadableFiles("the registry does not say where they are")
    try:
        return registry.hash_place(location)
    except UnreadableFiles:
        return tracker.hash_place(location)


def _logged_by(
    record: RunRecord, tracker: Tracker, path: str | None, model_id: str | None
) -> tuple[ModelFiles | None, str | None, str | None]:
    """Return the run's own logged model, what it is called, and why there is none.

    Of several it is the one that the registry names by its id, else the one of its name. A choice by content would let
    one checkpoint be swapped for another.
    """
    models = _own_models(record, tracker)
    meant = [model for model in models if model.model_id is not None and model.model_id == model_id]
    meant = meant or [model for model in models if model.name == path] or models
    if len(meant) != 1:
        note = f"it logged {len(meant)}, and nothing says which" if meant else "the tracker holds none"
        return None, path, note
    try:
        return ModelFiles(files=meant[0].read()), meant[0].name, None
    except UnreadableFiles as error:
        return None, meant[0].name, redact(f"{meant[0].name}: {error}")


def _own_models(record: RunRecord, tracker: Tracker) -> list[_Own]:
    paths = [posixpath.dirname(file.path) for file in record.artifacts if posixpath.basename(file.path) == _DESCRIPTION]
    among = [_Own(None, path, partial(tracker.hash_artifacts, record.run_id, path)) for path in paths]
    beside = tracker.models_of(record.run_id)
    return among + [_Own(each.model_id, each.name, partial(tracker.hash_model, each.model_id)) for each in beside]
