"""What the rest of the runner knows of a tracker: run reference in, run id and record out. Reads only.

A store answers a few small questions (`_has_run`, `_with_prefix`, `_named` ...); which run a reference means, and
what is said where it means none or several, is decided here once for all stores.
"""

from __future__ import annotations

import difflib
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import ClassVar

from runner.errors import AmbiguousRun, RunNotFound
from runner.redact import HIDDEN, redact
from runner.schema.model_files import ModelFile
from runner.schema.run_record import RunRecord, StoreKind
from runner.trackers.reference import FORMS, LoggedModelId, RunId, RunIdPrefix, RunName, RunReference

_LISTED = 10  # runs named in a message
_SUGGESTED = 500  # runs looked at for suggestions


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What tells runs apart in a list. `start_ms` is in milliseconds since 1970, None where the store has none.

    Of a `damaged` one nothing but its place can be read.
    """

    run_id: str
    experiment: str
    name: str | None
    start_ms: int | None
    deleted: bool = False
    damaged: bool = False

    def __str__(self) -> str:
        when = "no date"
        if self.start_ms is not None:
            when = datetime.fromtimestamp(self.start_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        name = f"{self.experiment}/{self.name}" if self.name else self.experiment
        return f"{self.run_id} {redact(name)!r} ({when}{', deleted' if self.deleted else ''})"


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A model that MLflow 3 keeps beside its runs. `location` is the recorded address of its files."""

    model_id: str
    name: str
    run_id: str | None
    location: str | None
    deleted: bool = False


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which runs of a tracker are meant: of `experiments` by name (of all, where none is named), started from
    `since_ms` until before `until_ms` (milliseconds since 1970), that `filter` lets through, in MLflow's words."""

    experiments: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    filter: str | None = None

    def holds(self, start_ms: int | None) -> bool:
        """Tell whether a start is within; where there are bounds, a run without a start is in none."""
        if self.since_ms is None and self.until_ms is None:
            return True
        if start_ms is None or (self.since_ms is not None and start_ms < self.since_ms):
            return False
        return self.until_ms is None or start_ms < self.until_ms


class Tracker(ABC):
    """A store of runs that is only ever read.

    `uri` is its address without credentials. All methods raise TrackerUnavailable where the store refuses or times
    out.
    """

    kind: ClassVar[StoreKind]

    def __init__(self, uri: str) -> None:
        self.uri = redact(uri)

    def find_run(self, reference: RunReference) -> str:
        """Return the id of the run that is meant.

        Deleted runs are found too; by name only if no other has it. Raises RunNotFound with what came close, and
        AmbiguousRun with ids, names and dates.
        """
        if isinstance(reference, RunName):
            return self._find_named(reference)
        for run_id in dict.fromkeys((reference.text, reference.text.lower())):
            if self._has_run(run_id):
                return run_id
        if isinstance(reference, RunIdPrefix):
            found = self._with_prefix(reference.text.lower())
            if len(found) == 1:
                return found[0].run_id
            if found:
                raise _ambiguous(f"{len(found)} runs have ids that begin with {reference.text}", found)
        raise self._not_found(reference)

    def has_run(self, run_id: str) -> bool:
        """Tell whether there is a run of exactly this id."""
        return self._has_run(run_id)

    @abstractmethod
    def check(self) -> None:
        """Reach the store once. Raises TrackerUnavailable, or NotAStore where something else answers."""

    @abstractmethod
    def read_run(self, run_id: str) -> RunRecord:
        """Return all that the store knows of a run. Raises RunNotFound."""

    @abstractmethod
    def read_artifact(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        """Return the bytes of the artifact at `path` below the run's artifact root.

        None where there is none, where it is no regular file, longer than `limit_bytes`, or outside the store. Raises
        RunNotFound.
        """

    @abstractmethod
    def logged_model(self, model_id: str) -> LoggedModel | None:
        """Return what the store knows of a model that a run logged (MLflow 3); None where it has none of this id."""

    @abstractmethod
    def models_of(self, run_id: str) -> list[LoggedModel]:
        """Return the models that a run logged (MLflow 3), sorted by id."""

    @abstractmethod
    def hash_artifacts(self, run_id: str, path: str) -> tuple[ModelFile, ...]:
        """Return all files beneath `path` among a run's artifacts, with digests. Raises UnreadableFiles."""

    @abstractmethod
    def hash_model(self, model_id: str) -> tuple[ModelFile, ...]:
        """Return all files of a logged model, with digests. Raises UnreadableFiles."""

    @abstractmethod
    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        """Return all files at an address that a registry names, if it is the store's own. Raises UnreadableFiles."""

    def find_model(self, reference: LoggedModelId) -> LoggedModel:
        """Return the logged model that is meant. Raises RunNotFound with what came close."""
        found = self.logged_model(reference.model_id)
        if found is not None:
            return found
        names = {model.model_id: model for model in self._logged_models()}
        near = difflib.get_close_matches(reference.model_id, names, n=3, cutoff=0.7)
        nearest = f"; nearest: {', '.join(f'models:/{model} {names[model].name!r}' for model in near)}" if near else ""
        raise RunNotFound(
            redact(f"no run logged a model {reference.model_id!r} in {self.uri}{nearest}"),
            "name the run itself, or the tracker that holds the model by --tracker URI",
        )

    @abstractmethod
    def _logged_models(self) -> list[LoggedModel]:
        """Return logged models; for suggestions, so a few hundred do."""

    @abstractmethod
    def _has_run(self, run_id: str) -> bool:
        """Tell whether a run has exactly this id."""

    @abstractmethod
    def _with_prefix(self, prefix: str) -> list[RunSummary]:
        """Return the runs whose id begins with `prefix`."""

    @abstractmethod
    def _named(self, experiment: str, name: str) -> list[RunSummary]:
        """Return the runs of this name in the experiment of this name."""

    @abstractmethod
    def _experiments(self) -> list[str]:
        """Return the names of experiments; for suggestions."""

    @abstractmethod
    def _runs(self, experiment: str | None) -> Iterable[RunSummary]:
        """Yield all runs of an experiment, or of all, deleted ones too."""

    def select(self, selection: Selection) -> list[RunSummary]:
        """Return the runs that are meant, none of them deleted, by their start, and damaged ones, which may be.

        Raises RunNotFound where no experiment has such a name, UsageError for a filter that is none.
        """
        for name in selection.experiments:
            if name not in (names := self._experiments()):
                near = _close(name, names)
                raise RunNotFound(
                    redact(f"there is no experiment {name!r} in {self.uri}"),
                    f"--experiment {shlex.quote(near[0])}" if near else "--experiment NAME, as the tracker shows it",
                )
        found = {
            run.run_id: run
            for experiment in selection.experiments or (None,)
            for run in self._filtered_runs(experiment, selection.filter)
            if run.damaged or (not run.deleted and selection.holds(run.start_ms))
        }
        return sorted(found.values(), key=lambda run: (run.start_ms or 0, run.run_id))

    def _filtered_runs(self, experiment: str | None, text: str | None) -> Iterable[RunSummary]:
        """Yield the runs of an experiment, or of all, that a filter in MLflow's words lets through."""
        if text is None:
            return self._runs(experiment)
        from runner.trackers.filters import parse_filter

        lets_through = parse_filter(text)
        return (run for run in self._runs(experiment) if run.damaged or lets_through(self.read_run(run.run_id)))

    def _find_named(self, reference: RunName) -> str:
        found = self._named(reference.experiment, reference.name)
        found = [run for run in found if not run.deleted] or found
        if len(found) == 1:
            return found[0].run_id
        if found:
            raise _ambiguous(
                f"{len(found)} runs of experiment {reference.experiment!r} have the name {reference.name!r}", found
            )
        raise self._not_found(reference)

    def _not_found(self, reference: RunReference) -> RunNotFound:
        if isinstance(reference, RunName):
            experiments = self._experiments()
            if reference.experiment not in experiments:
                near = [f"{name}/{reference.name}" for name in _close(reference.experiment, experiments)]
                what = f"there is no experiment {reference.experiment!r}"
            else:
                runs = list(islice(self._runs(reference.experiment), _SUGGESTED))
                names = _close(reference.name, (run.name for run in runs if run.name))
                near = [f"{reference.experiment}/{name}" for name in names]
                what = f"experiment {reference.experiment!r} has no run {reference.name!r}"
        else:
            runs = list(islice(self._runs(None), _SUGGESTED))
            near = [f"{run.experiment}/{run.name}" for run in runs if run.name == reference.text]
            near = list(dict.fromkeys(near))[:3] or _near_ids(reference, runs)
            what = f"no run has an id that begins with {reference.text}"
            if isinstance(reference, RunId):
                what = f"no run has the id {reference.text!r}"
        nearest = f"; nearest: {', '.join(map(redact, near))}" if near else ""
        remedy = f"name the run by {FORMS}; `--tracker URI` names another store"
        if near and HIDDEN not in self.uri:
            remedy = f"runner plan {shlex.quote(near[0])} --tracker {shlex.quote(self.uri)}"
        return RunNotFound(redact(f"{what} in {self.uri}") + nearest, remedy)

    def _no_run(self, run_id: str) -> RunNotFound:
        return RunNotFound(f"no run has the id {run_id!r} in {self.uri}", f"name the run by {FORMS}")


def _close(wanted: str, names: Iterable[str]) -> list[str]:
    """Return up to three names that resemble the wanted one, letter case apart."""
    by_folded = {name.casefold(): name for name in names}
    return [by_folded[near] for near in difflib.get_close_matches(wanted.casefold(), by_folded, n=3, cutoff=0.6)]


def _near_ids(reference: RunId | RunIdPrefix, runs: list[RunSummary]) -> list[str]:
    text = reference.text.lower()
    heads = {run.run_id[: len(text)]: run.run_id for run in runs}
    return [heads[near] for near in difflib.get_close_matches(text, heads, n=3, cutoff=0.7)]


def _ambiguous(what: str, found: list[RunSummary]) -> AmbiguousRun:
    ordered = sorted(found, key=lambda run: (run.start_ms or 0, run.run_id))
    listed = "; ".join(map(str, ordered[:_LISTED]))
    more = f"; and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return AmbiguousRun(
        f"{redact(what)}: {listed}{more}", f"give the whole id of the one you mean, such as {ordered[-1].run_id}"
    )
