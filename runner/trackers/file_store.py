"""MLflow's `file:` store, read by us: MLflow's own reader creates folders in it, and newer versions refuse it.

ROOT/EXPERIMENT_ID/meta.yaml                 also ROOT/.trash/EXPERIMENT_ID
ROOT/EXPERIMENT_ID/RUN_ID/meta.yaml, params/NAME, tags/NAME, metrics/NAME, artifacts/, inputs/, outputs/
ROOT/EXPERIMENT_ID/datasets/ID/meta.yaml     ROOT/EXPERIMENT_ID/models/ID/meta.yaml, artifacts/
ROOT/models/                                 the model registry: no experiment
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import AmbiguousRun, NotAStore, TrackerUnavailable
from runner.schema.model_files import ModelFile
from runner.schema.run_record import UNFINISHED, DatasetInput, MetricHistory, RunRecord, StoreKind
from runner.trackers.artifact_places import places_of_folder
from runner.trackers.artifacts import (
    hash_files,
    hash_place,
    list_artifacts,
    read_environment_files,
    read_from,
)
from runner.trackers.folder import Folder, readable, reading
from runner.trackers.interface import LoggedModel, RunSummary, Tracker
from runner.trackers.meta_yaml import parse_meta
from runner.trackers.metric_lines import parse_metric_lines
from runner.trackers.recorded import (
    CONTEXT_TAG,
    PARENT_TAG,
    RUN_NAME_TAG,
    SOURCE_TAG,
    cut_params,
    status_name,
    utc_time,
)

_TRASH = ".trash"
_META = "meta.yaml"
_LONGEST_TEXT = 1 << 20  # bytes of a meta.yaml, a param, a tag
_LONGEST_HISTORY = 1 << 29  # bytes of a metric's file
_TRIES = 4  # to read a file that somebody is writing
_PAUSE_S = 0.05
_SUGGESTED = 500  # runs looked at for suggestions


@dataclass(frozen=True)
class _Experiment:
    folder: str
    experiment_id: str
    name: str | None  # None where its meta.yaml is not there
    deleted: bool

    @property
    def shown(self) -> str:
        """Its name, or what it is called for want of one."""
        return self.experiment_id if self.name is None else self.name


@dataclass(frozen=True)
class _Run:
    folder: str
    experiment: _Experiment
    meta: dict[str, Any]


class FileTracker(Tracker):
    """A `file:` store at a folder of this machine."""

    kind = StoreKind.MLFLOW_FILE

    def __init__(self, root: Path, repository: Path | None = None) -> None:
        """Open the store. Raises NotAStore where the folder holds no experiment; nothing is created.

        `repository` is one on this machine that the user named: artifacts may lie in it.
        """
        super().__init__(root.absolute().as_uri())
        self._store = Folder(root)
        self._places = places_of_folder(self._store, repository)
        with self._reading():
            if next(self._all_experiments(), None) is None:
                raise NotAStore(f"{root} is a folder, and no MLflow store: it holds no experiment", _remedy(root))

    def check(self) -> None:
        with self._reading():
            if next(self._all_experiments(), None) is None:
                raise TrackerUnavailable(f"the store {self.uri} is gone", f"ls {self._store.root}")

    def read_run(self, run_id: str) -> RunRecord:
        with self._reading():
            for _ in range(_TRIES):
                run = self._locate(run_id)
                before = self._state(run)
                record = self._record(run)
                # Of a run that goes on there is no one moment to be had, and nothing rests on it.
                if record.status in UNFINISHED or self._state(run) == before:
                    return record
                time.sleep(_PAUSE_S)
        raise TrackerUnavailable(
            f"run {run_id} of {self.uri} is being written all the time", "try again when its writer pauses"
        )

    def read_artifact(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        with self._reading():
            run = self._locate(run_id)
            return read_from(self._artifacts_of(run), path, limit_bytes)

    def logged_model(self, model_id: str) -> LoggedModel | None:
        with self._reading():
            found = self._model(model_id)
            return None if found is None else found[0]

    def models_of(self, run_id: str) -> list[LoggedModel]:
        with self._reading():
            models = (self._model(model) for model in sorted(self._model_folders(self._locate(run_id))))
            return [found[0] for found in models if found is not None]

    def hash_artifacts(self, run_id: str, path: str) -> tuple[ModelFile, ...]:
        with self._reading():
            return hash_files(self._artifacts_of(self._locate(run_id)), path)

    def hash_model(self, model_id: str) -> tuple[ModelFile, ...]:
        with self._reading():
            found = self._model(model_id)
            return hash_files(None if found is None else self._model_folder(*found), "")

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        with self._reading():
            return hash_place(self._store, uri)

    def _logged_models(self) -> list[LoggedModel]:
        with self._reading():
            models = (
                self._model_in(experiment, name)
                for experiment in self._all_experiments()
                for name in self._store.folders(f"{experiment.folder}/models")
            )
            found = (model[0] for model in models if model is not None)
            return [model for model, _ in zip(found, range(_SUGGESTED), strict=False)]

    def _has_run(self, run_id: str) -> bool:
        with self._reading():
            return next(self._run_folders(run_id), None) is not None

    def _with_prefix(self, prefix: str) -> list[RunSummary]:
        with self._reading():
            found = [
                run
                for experiment in self._all_experiments()
                for name in self._store.folders(experiment.folder)
                if name.startswith(prefix) and (run := self._run(experiment, name)) is not None
            ]
            return [self._summary(run) for run in found]

    def _named(self, experiment: str, name: str) -> list[RunSummary]:
        with self._reading():
            return [run for run in self._summaries(experiment) if run.name == name]

    def _experiments(self) -> list[str]:
        with self._reading():
            return [experiment.shown for experiment in self._all_experiments()]

    def _runs(self, experiment: str | None) -> Iterator[RunSummary]:
        with self._reading():
            yield from self._summaries(experiment)

    def _reading(self) -> AbstractContextManager[None]:
        return reading(f"the store {self.uri}", self._store.root)

    # Finding

    def _all_experiments(self) -> Iterator[_Experiment]:
        for parent, trashed in (("", False), (_TRASH, True)):
            for name in self._store.folders(parent):
                folder = f"{parent}/{name}" if parent else name
                meta = self._meta(folder)
                if meta is None and self._holds_runs(folder):
                    yield _Experiment(folder, name, None, trashed)
                # Names need not be unique in a store that was copied together; ids are the folders' names.
                if meta is None or "experiment_id" not in meta or "run_id" in meta or "run_uuid" in meta:
                    continue
                deleted = trashed or meta.get("lifecycle_stage") == "deleted"
                yield _Experiment(folder, str(meta["experiment_id"]), str(meta.get("name", name)), deleted)

    def _holds_runs(self, folder: str) -> bool:
        """Tell whether a folder without meta.yaml is an experiment that lost it: runs are known by their own."""
        metas = ((name, self._meta(f"{folder}/{name}")) for name in self._store.folders(folder))
        return any(meta is not None and _is_of_run(meta, name) for name, meta in metas)

    def _run_folders(self, run_id: str) -> Iterator[_Run]:
        if "/" in run_id or run_id in (".", ".."):
            return
        for experiment in self._all_experiments():
            run = self._run(experiment, run_id)
            if run is not None:
                yield run
            elif self._is_damaged(f"{experiment.folder}/{run_id}"):
                place = self._store.root / experiment.folder / run_id / _META
                raise TrackerUnavailable(f"{place} is being written, or damaged: it is no YAML", f"cat {place}")

    def _run(self, experiment: _Experiment, name: str) -> _Run | None:
        """Return the run in a folder of an experiment; None where it is another thing, such as `models`."""
        folder = f"{experiment.folder}/{name}"
        meta = self._meta(folder)
        if meta is None or not _is_of_run(meta, name):
            return None
        return _Run(folder, experiment, meta)

    def _locate(self, run_id: str) -> _Run:
        runs = list(self._run_folders(run_id))
        runs = [run for run in runs if not run.experiment.deleted] or runs
        if not runs:
            raise self._no_run(run_id)
        if len(runs) > 1:
            folders = ", ".join(str(self._store.root / run.folder) for run in runs)
            raise AmbiguousRun(
                f"run {run_id} lies in {len(runs)} experiments of {self.uri}: {folders}",
                "point --tracker at a store that holds only one of them",
            )
        return runs[0]

    def _summaries(self, experiment: str | None) -> Iterator[RunSummary]:
        for found in self._all_experiments():
            if experiment is not None and found.shown != experiment:
                continue
            for name in self._store.folders(found.folder):
                run = self._run(found, name)
                if run is not None:
                    yield self._summary(run)
                elif self._is_damaged(f"{found.folder}/{name}"):
                    yield RunSummary(run_id=name, experiment=found.shown, name=None, start_ms=None, damaged=True)

    def _summary(self, run: _Run) -> RunSummary:
        start = run.meta.get("start_time")
        return RunSummary(
            run_id=run.folder.rpartition("/")[2],
            experiment=run.experiment.shown,
            name=self._name(run),
            start_ms=start if isinstance(start, int) else None,
            deleted=run.experiment.deleted or run.meta.get("lifecycle_stage") == "deleted",
        )

    def _name(self, run: _Run) -> str | None:
        # Before MLflow 2.0 only the tag holds it.
        return (
            run.meta.get("run_name") or self._text(f"{run.folder}/tags/{RUN_NAME_TAG}") or run.meta.get("name") or None
        )

    # Reading

    def _state(self, run: _Run) -> dict[str, tuple[int, int]]:
        """Return size and time of each file that a record is made of."""
        state = {}
        for folder in ("", "params", "tags", "metrics", "inputs", "outputs"):
            for path, _ in self._store.files(f"{run.folder}/{folder}") if folder else [(_META, 0)]:
                about = (self._store.root / run.folder / folder / path).stat()
                state[f"{folder}/{path}"] = (about.st_size, about.st_mtime_ns)
        return state

    def _record(self, run: _Run) -> RunRecord:
        params = self._texts(f"{run.folder}/params")
        tags = self._texts(f"{run.folder}/tags")
        metrics, notes = self._metrics(run)
        if run.experiment.name is None:
            place = f"{run.experiment.folder}/{_META}"
            notes.insert(0, f"the store lacks {place}: how its experiment is called is not known, nor if it is deleted")
        artifacts = self._artifacts_of(run)
        name = self._name(run)
        return RunRecord(
            run_id=run.folder.rpartition("/")[2],
            uri=self.uri,
            store=self.kind,
            experiment_id=run.experiment.experiment_id,
            experiment_name=run.experiment.shown,
            name=None if name is None else str(name),
            status=status_name(run.meta.get("status")),
            lifecycle_stage="deleted" if self._summary(run).deleted else "active",
            start_time=utc_time(run.meta.get("start_time")),
            end_time=utc_time(run.meta.get("end_time")),
            params=params,
            tags=tags,
            metrics=metrics,
            artifact_root=_optional(run.meta.get("artifact_uri")),
            artifacts=list_artifacts(artifacts),
            dataset_inputs=self._dataset_inputs(run),
            environment_files=read_environment_files(artifacts, self._model_folders(run)),
            params_truncated=cut_params(params),
            siblings=self._siblings(run, tags.get(PARENT_TAG)),
            model_sources=self._model_sources(run),
            notes=tuple(notes),
        )

    def _meta(self, folder: str) -> dict[str, Any] | None:
        """Return a folder's meta.yaml; None where there is none. It may be in the middle of being written."""
        for _ in range(_TRIES):
            data = self._store.read(f"{folder}/{_META}", _LONGEST_TEXT)
            if data is None:
                return None
            meta = parse_meta(data)
            if meta is not None:
                return meta
            time.sleep(_PAUSE_S)
        return None

    def _is_damaged(self, folder: str) -> bool:
        return self._store.read(f"{folder}/{_META}", _LONGEST_TEXT) is not None and self._meta(folder) is None

    def _text(self, path: str) -> str | None:
        data = self._store.read(path, _LONGEST_TEXT)
        return None if data is None else data.decode("utf-8", "replace")

    def _texts(self, folder: str) -> dict[str, str]:
        """Return file names, with slashes, and contents of a folder."""
        texts = {}
        for path, _ in self._store.files(folder):
            text = self._text(f"{folder}/{path}")
            if text is not None:
                texts[readable(path)] = text
        return texts

    def _metrics(self, run: _Run) -> tuple[tuple[MetricHistory, ...], list[str]]:
        histories = []
        notes = []
        for path, _ in self._store.files(f"{run.folder}/metrics"):
            history, note = self._history(f"{run.folder}/metrics/{path}", readable(path))
            histories.append(history)
            if note:
                notes.append(note)
        return tuple(histories), notes

    def _history(self, path: str, name: str) -> tuple[MetricHistory, str]:
        for attempt in range(_TRIES):
            data = self._store.read(path, _LONGEST_HISTORY)
            if data is None:
                return MetricHistory(name=name, points=(), complete=False), f"the file of metric {name!r} is too long"
            found = parse_metric_lines(data.decode("utf-8", "replace"))
            if found.whole and found.points:
                return MetricHistory(name=name, points=found.points), ""
            if attempt < _TRIES - 1:
                time.sleep(_PAUSE_S)
        if found.torn:
            note = f"the file of metric {name!r} ends in the middle of a line"
        elif found.unreadable:
            note = f"the file of metric {name!r} has {found.unreadable} lines that are no points"
        else:
            note = f"the file of metric {name!r} is empty"
        return MetricHistory(name=name, points=found.points, complete=False), note

    def _dataset_inputs(self, run: _Run) -> tuple[DatasetInput, ...]:
        inputs = []
        for name in self._store.folders(f"{run.folder}/inputs"):
            link = self._meta(f"{run.folder}/inputs/{name}") or {}
            dataset = self._meta(f"{run.experiment.folder}/datasets/{_single(link.get('source_id'))}")
            if link.get("source_type") != "DATASET" or dataset is None:
                continue
            tags = link.get("tags")
            inputs.append(
                DatasetInput(
                    name=str(dataset.get("name", "")),
                    digest=str(dataset.get("digest", "")),
                    context=_optional(tags.get(CONTEXT_TAG)) if isinstance(tags, dict) else None,
                    source=_optional(dataset.get("source")),
                )
            )
        return tuple(sorted(inputs, key=lambda found: (found.name, found.digest)))

    def _artifacts_of(self, run: _Run) -> Folder | None:
        run_id = run.folder.rpartition("/")[2]
        return self._places.find(_optional(run.meta.get("artifact_uri")), run_id, f"{run.folder}/artifacts")

    def _model_folders(self, run: _Run) -> dict[str, Folder | None]:
        """Return the artifact folders of the models that this run logged (MLflow 3), by model id."""
        return {model.model_id: self._model_folder(model, folder) for model, folder in self._models_logged(run)}

    def _model_sources(self, run: _Run) -> tuple[str, ...]:
        """Return the scripts that MLflow noted with the models that this run logged, each once."""
        texts = (self._text(f"{folder}/tags/{SOURCE_TAG}") for _, folder in self._models_logged(run))
        return tuple(dict.fromkeys(text for text in texts if text))

    def _models_logged(self, run: _Run) -> Iterator[tuple[LoggedModel, str]]:
        for link in self._store.folders(f"{run.folder}/outputs"):
            meta = self._meta(f"{run.folder}/outputs/{link}") or {}
            model = self._model_in(run.experiment, _single(meta.get("destination_id")))
            if meta.get("destination_type") == "MODEL_OUTPUT" and model is not None:
                yield model

    def _model_folder(self, model: LoggedModel, folder: str) -> Folder | None:
        return self._places.find(model.location, model.model_id, f"{folder}/artifacts")

    def _model(self, model_id: str) -> tuple[LoggedModel, str] | None:
        """Return a logged model with its folder; one of a deleted experiment only if no other has it."""
        found = [self._model_in(experiment, _single(model_id)) for experiment in self._all_experiments()]
        there = [model for model in found if model is not None]
        return min(there, key=lambda model: model[0].deleted, default=None)

    def _model_in(self, experiment: _Experiment, name: str) -> tuple[LoggedModel, str] | None:
        folder = f"{experiment.folder}/models/{name}"
        meta = self._meta(folder)
        if meta is None or str(meta.get("model_id")) != name:
            return None
        model = LoggedModel(
            model_id=name,
            name=str(meta.get("name") or name),
            run_id=_optional(meta.get("source_run_id")),
            location=_optional(meta.get("artifact_location")),
            deleted=experiment.deleted or meta.get("lifecycle_stage") == "deleted",
        )
        return model, folder

    def _siblings(self, run: _Run, parent: str | None) -> tuple[str, ...]:
        if not parent:
            return ()
        found = []
        for name in self._store.folders(run.experiment.folder):
            folder = f"{run.experiment.folder}/{name}"
            if self._text(f"{folder}/tags/{PARENT_TAG}") == parent:
                sibling = self._run(run.experiment, name)
                if sibling is not None:
                    found.append((sibling.meta.get("start_time") or 0, name))
        return tuple(name for _, name in sorted(found))


def _is_of_run(meta: dict[str, Any], name: str) -> bool:
    """Tell whether a meta.yaml is that of the run whose folder has this name."""
    return str(meta.get("run_id", meta.get("run_uuid"))) == name


def _optional(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _single(value: Any) -> str:
    """Return an id that is to be part of a path as one folder's name."""
    text = str(value)
    return text if text and "/" not in text and not text.startswith(".") else "-"


def _remedy(root: Path) -> str:
    """Return what may have been meant: the store in this folder, or the one that holds it."""
    for near in (root / "mlruns", root.parent, root.parent.parent):
        try:
            if any((child / _META).is_file() and _is_experiment(child / _META) for child in near.iterdir()):
                return f"--tracker {near}"
        except OSError:
            continue
    for database in sorted(root.glob("*.db")):
        return f"--tracker sqlite:///{database.absolute()}"
    return "--tracker file:PATH, the folder that MLflow calls mlruns"


def _is_experiment(meta: Path) -> bool:
    text = meta.read_text(encoding="utf-8", errors="replace")[:_LONGEST_TEXT]
    return "experiment_id:" in text and "run_id:" not in text and "run_uuid:" not in text
