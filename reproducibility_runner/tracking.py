"""A tracking store that captures: MLflow's own file store in a scratch place, with every call written to the capture.

Stands in for the store of whatever tracking URI the training names. Experiments and runs that it does not know are
created empty, never with the original's content.
"""

from __future__ import annotations

import os
import re
import sys

from reproducibility_runner import names, scratch, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

SCHEMES = ("", "file", "http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_CHUNK = 1000  # points per event, so that no line grows long
_TEXTS = 50  # params or tags per event
_CONTEXT_TAG = "mlflow.data.context"
_ENDED = ("FINISHED", "FAILED", "KILLED")
_OWN_RUN = re.compile(r"(?:parentRunId|rootRunId|run_id)[`\"]?\s*=\s*['\"]([0-9a-fA-F]{32})['\"]")

# MLflow itself looks at a run to find its folder or its address; what it was given back goes no further.
_MINDS_ONLY_THE_PLACE = (
    ("mlflow.tracking._tracking_service.client", "_get_artifact_repo"),
    ("mlflow.tracking._tracking_service.client", "_log_url"),
    ("mlflow.tracking._tracking_service.client", "update_run"),
    ("mlflow.tracking.artifact_utils", "get_artifact_uri"),
    ("mlflow.system_metrics.system_metrics_monitor", "_get_next_logging_step"),
)

Base: Any = object

_stores: list[Any] = []
_claimed: list[Any] = []


def build_store(store_uri: Any = None, artifact_uri: Any = None) -> Any:  # noqa: ARG001  # all URIs are one place
    """Return the store of this process; MLflow calls this for every tracking URI."""
    if not _stores:
        from mlflow.store.tracking import file_store
        from mlflow.store.tracking.file_store import FileStore

        names.claim(file_store)
        kind = type("CaptureStore", (TrackingCapture, FileStore), {})
        scratch.adopt_signatures(kind, TrackingCapture, FileStore)
        place = "file://" + scratch.root()
        _stores.append(scratch.create_file_store(lambda: kind(place, place)))
    return _stores[0]


def claim(module: Any) -> None:
    """Put our store in the place of all that MLflow's tracking module has registered, and of the empty scheme."""
    registry = module._tracking_store_registry
    for scheme in set(registry._registry) | set(SCHEMES):
        registry.register(scheme, build_store)
    if not _claimed:
        _claimed.append(module)
        version = sys.modules.get("mlflow.version")
        session.record("mlflow", {"version": str(getattr(version, "VERSION", ""))})


class TrackingCapture(Base):  # type: ignore[misc]  # the base is MLflow's, of whatever version
    """What is laid over MLflow's file store."""

    reproducibility_runner = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._folders: dict[str, Any] = {}
        self._looked_up: set[str] = set()
        self._resumed: set[str] = set()
        super().__init__(*arguments, **options)

    # Experiments

    def create_experiment(self, name: Any, artifact_location: Any = None, tags: Any = None) -> Any:  # noqa: ARG002
        """Create an experiment, its artifacts in the scratch place wherever they were meant to go."""
        with scratch.outermost(), scratch.lock():
            known = super().get_experiment_by_name(name)
            if known is not None and os.path.exists(self._created_on_demand(known.experiment_id)):
                os.unlink(self._created_on_demand(known.experiment_id))
                identity = known.experiment_id
            else:
                identity = super().create_experiment(name, None, tags)
        session.record("experiment", {"how": "created", "id": str(identity), "name": str(name)})
        return identity

    def get_experiment(self, experiment_id: Any) -> Any:
        """Return an experiment; one that is not known is created empty."""
        self._ensure_experiment(experiment_id)
        return super().get_experiment(experiment_id)

    def get_experiment_by_name(self, experiment_name: Any) -> Any:
        """Return an experiment; one that is not known is created empty."""
        with scratch.outermost() as outer:
            experiment = super().get_experiment_by_name(experiment_name)
            if experiment is not None or not outer:
                return experiment
            with scratch.lock():
                experiment = super().get_experiment_by_name(experiment_name)
                if experiment is None:
                    identity = super().create_experiment(experiment_name)
                    with open(self._created_on_demand(identity), "w"):
                        pass
                    experiment = super().get_experiment(identity)
        session.record(
            "experiment",
            {"how": "on demand", "id": str(experiment.experiment_id), "name": str(experiment_name)},
        )
        return experiment

    def search_experiments(self, *arguments: Any, **options: Any) -> Any:
        """Search experiments; the original's store may have held others."""
        return self._list_experiments("search_experiments", arguments, options)

    def list_experiments(self, *arguments: Any, **options: Any) -> Any:
        """List experiments, as before MLflow 2; the original's store may have held others."""
        return self._list_experiments("list_experiments", arguments, options)

    def _list_experiments(self, how: str, arguments: Any, options: Any) -> Any:
        with scratch.outermost() as outer:
            found = getattr(super(), how)(*arguments, **options)
        if outer:
            asked = options.get("filter_string")
            session.record_read(how, f"filter {asked!r} found {len(found)} experiments of this rerun")
        return found

    def _created_on_demand(self, experiment_id: Any) -> str:
        return f"{scratch.root()}.created-{experiment_id}"

    def _ensure_experiment(self, experiment_id: Any) -> None:
        if experiment_id is None or self._has_experiment(experiment_id):
            return
        identity = str(experiment_id)
        with scratch.outermost(), scratch.lock():
            if self._has_experiment(identity):
                return
            # Where its artifacts go and, since MLflow 1.20, its tags.
            rest = [None] * (scratch.count_parameters(self._create_experiment_with_id) - 2)
            self._create_experiment_with_id("experiment " + identity, identity, *rest)
        session.record("experiment", {"how": "on demand", "id": identity, "name": None})

    # Runs

    def create_run(self, experiment_id: Any, *arguments: Any, **options: Any) -> Any:
        """Create a run."""
        identity = "0" if experiment_id is None else experiment_id
        self._ensure_experiment(identity)
        with scratch.outermost():
            run = super().create_run(experiment_id, *arguments, **options)
            experiment = super().get_experiment(run.info.experiment_id)
        tags = dict(run.data.tags)
        for tag in _argument(2, "tags", arguments, options) or ():
            tags.setdefault(tag.key, tag.value)
        self._record_run(run.info, experiment, tags, on_demand=False)
        return run

    def _record_run(self, info: Any, experiment: Any, tags: dict[str, Any], on_demand: bool) -> None:
        name = None if experiment is None or _is_placeholder(experiment) else str(experiment.name)
        session.record(
            "run",
            {
                "run": str(info.run_id),
                "experiment": name,
                "experiment_id": None if experiment is None else str(experiment.experiment_id),
                "name": scratch.to_text(getattr(info, "run_name", None) or tags.get("mlflow.runName")),
                "parent": scratch.to_text(tags.get("mlflow.parentRunId")),
                "start_ms": info.start_time,
                "tags": {key: scratch.to_text(value) for key, value in tags.items()},
                "on_demand": on_demand,
            },
        )

    def _find_run_root(self, run_uuid: Any, *arguments: Any, **options: Any) -> Any:
        # MLflow lists every folder of every experiment for each value that is logged.
        known = self._folders.get(run_uuid)
        if known is None or not os.path.isdir(known[1]):
            known = super()._find_run_root(run_uuid, *arguments, **options)
            if known[1] is not None:
                self._folders[run_uuid] = known
        return known

    def _get_run_info(self, run_uuid: Any) -> Any:
        if self._find_run_root(run_uuid)[1] is None:
            self._adopt_run(run_uuid)
        return super()._get_run_info(run_uuid)

    def _adopt_run(self, run_id: str) -> None:
        """Create an unknown run, empty, under its own id; the training continues it or looks at it."""
        with scratch.outermost():
            experiment = super().get_experiment(self._current_experiment())
            with scratch.lock():
                if self._find_run_root(run_id)[1] is not None:
                    return
                # Since MLflow 1.30 a run has a name.
                name = [""] * (scratch.count_parameters(super().create_run) - 4)
                made = super().create_run(experiment.experiment_id, "", 0, [], *name)
                folder = self._folders.pop(made.info.run_id, None) or super()._find_run_root(made.info.run_id)
                folder = folder[1]
                scratch.mark_adopted(folder)
                meta = os.path.join(folder, "meta.yaml")
                with open(meta, encoding="utf-8") as file:
                    text = file.read()
                with open(meta, "w", encoding="utf-8") as file:
                    file.write(text.replace(made.info.run_id, run_id))
                os.rename(folder, os.path.join(os.path.dirname(folder), run_id))
            info = super()._get_run_info(run_id)
        self._record_run(info, None, {}, on_demand=True)

    def _current_experiment(self) -> str:
        """Return the experiment that `start_run` would use; it refuses a run of another."""
        fluent = sys.modules.get("mlflow.tracking.fluent")
        chosen = getattr(fluent, "_active_experiment_id", None)
        chosen = getattr(chosen, "get", lambda: chosen)()
        if isinstance(chosen, str) and self._has_experiment(chosen):
            return chosen
        return "0"

    def get_run(self, run_id: Any) -> Any:
        """Return a run; to look at one that this rerun did not make is a read that misses."""
        with scratch.outermost() as outer:
            if outer and run_id not in self._looked_up and self._is_foreign(run_id):
                if _is_resumed_by_caller(run_id):
                    self._resumed.add(run_id)
                elif run_id not in self._resumed or scratch.find_caller(*_MINDS_ONLY_THE_PLACE) is None:
                    self._looked_up.add(run_id)
                    session.record_read("get_run", f"run {run_id}, which this rerun did not make")
            return super().get_run(run_id)

    def get_metric_history(self, run_id: Any, metric_key: Any, *arguments: Any, **options: Any) -> Any:
        """Return a metric's history; that of a run that this rerun did not make is a read that misses."""
        with scratch.outermost() as outer:
            if outer and self._is_foreign(run_id):
                session.record_read(
                    "get_metric_history", f"{metric_key} of run {run_id}, which this rerun did not make"
                )
            return super().get_metric_history(run_id, metric_key, *arguments, **options)

    def _is_foreign(self, run_id: Any) -> bool:
        folder = self._find_run_root(run_id)[1]
        return folder is None or scratch.is_adopted(folder)

    def update_run_info(self, run_id: Any, run_status: Any, end_time: Any, *arguments: Any, **options: Any) -> Any:
        """Update a run's status, end time and name."""
        with scratch.outermost() as outer:
            info = super().update_run_info(run_id, run_status, end_time, *arguments, **options)
        if outer:
            status = _status_text(info.status)
            session.record(
                "ended" if status in _ENDED else "status",
                {
                    "run": str(run_id),
                    "status": status,
                    "end_ms": end_time,
                    "name": scratch.to_text(_argument(0, "run_name", arguments, options)),
                },
            )
        return info

    def search_runs(self, experiment_ids: Any, filter_string: Any, *arguments: Any, **options: Any) -> Any:
        """Search runs; unless limited to a run of this rerun, the original's store may have held others."""
        for identity in experiment_ids or ():
            self._ensure_experiment(identity)
        with scratch.outermost() as outer:
            found = super().search_runs(experiment_ids, filter_string, *arguments, **options)
        if outer and not self._is_own(filter_string):
            session.record_read("search_runs", f"filter {filter_string!r} found {len(found)} runs of this rerun")
        return found

    def _is_own(self, filter_string: Any) -> bool:
        """Tell whether a filter can only ever match what this rerun made."""
        named = _OWN_RUN.findall(str(filter_string or ""))
        return any(not self._is_foreign(run_id) for run_id in named)

    # Values, each in a file of its own

    def _get_metric_path(self, experiment_id: Any, run_uuid: Any, metric_key: Any) -> Any:
        return names.replace_end(super()._get_metric_path(experiment_id, run_uuid, metric_key), metric_key)

    def _get_model_metric_path(self, experiment_id: Any, model_id: Any, metric_key: Any) -> Any:
        return names.replace_end(super()._get_model_metric_path(experiment_id, model_id, metric_key), metric_key)

    def _get_param_path(self, experiment_id: Any, run_uuid: Any, param_name: Any) -> Any:
        return names.replace_end(super()._get_param_path(experiment_id, run_uuid, param_name), param_name)

    def _get_tag_path(self, experiment_id: Any, run_uuid: Any, tag_name: Any) -> Any:
        return names.replace_end(super()._get_tag_path(experiment_id, run_uuid, tag_name), tag_name)

    def _get_experiment_tag_path(self, experiment_id: Any, tag_name: Any) -> Any:
        return names.replace_end(super()._get_experiment_tag_path(experiment_id, tag_name), tag_name)

    def _get_resource_files(self, root_dir: Any, subfolder_name: Any) -> Any:
        folder, files = super()._get_resource_files(root_dir, subfolder_name)
        return folder, [names.from_file(file) for file in files]

    def log_metric(self, run_id: Any, metric: Any) -> Any:
        """Log one value."""
        with scratch.outermost() as outer:
            result = super().log_metric(run_id, metric)
        if outer:
            _record_points(run_id, (metric,))
        return result

    def log_param(self, run_id: Any, param: Any) -> Any:
        """Log one param."""
        with scratch.outermost() as outer:
            result = super().log_param(run_id, param)
        if outer:
            _record_texts("params", run_id, (param,))
        return result

    def set_tag(self, run_id: Any, tag: Any) -> Any:
        """Set one tag."""
        with scratch.outermost() as outer:
            result = super().set_tag(run_id, tag)
        if outer:
            _record_texts("tags", run_id, (tag,))
        return result

    def delete_tag(self, run_id: Any, key: Any) -> Any:
        """Delete one tag."""
        with scratch.outermost() as outer:
            result = super().delete_tag(run_id, key)
        if outer:
            session.record("tag deleted", {"run": str(run_id), "key": str(key)})
        return result

    def log_batch(self, run_id: Any, metrics: Any, params: Any, tags: Any) -> Any:
        """Log many values at once, in the order given."""
        with scratch.outermost() as outer:
            result = super().log_batch(run_id, metrics, params, tags)
        if outer:
            _record_texts("params", run_id, params or ())
            _record_points(run_id, metrics or ())
            _record_texts("tags", run_id, tags or ())
        return result

    def log_batch_async(self, run_id: Any, metrics: Any, params: Any, tags: Any) -> Any:
        """Log at once what may be logged later: MLflow's queue loses what it holds when a script just ends."""
        from concurrent.futures import Future

        from mlflow.utils.async_logging.run_operations import RunOperations

        done: Future[None] = Future()
        try:
            self.log_batch(run_id, metrics, params, tags)
            done.set_result(None)
        except Exception as error:  # noqa: BLE001  # whoever waits for it gets it
            done.set_exception(error)
        return RunOperations([done])

    def log_inputs(self, run_id: Any, datasets: Any = None, *arguments: Any, **options: Any) -> Any:
        """Record which datasets a run was given."""
        with scratch.outermost() as outer:
            result = super().log_inputs(run_id, datasets, *arguments, **options)
        if outer:
            session.record("inputs", {"run": str(run_id), "datasets": [_described(item) for item in datasets or ()]})
        return result

    # Models, as MLflow 3 has them

    def create_logged_model(self, experiment_id: Any = "0", *arguments: Any, **options: Any) -> Any:
        """Create a model that belongs to a run."""
        self._ensure_experiment(experiment_id)
        with scratch.outermost():
            model = super().create_logged_model(experiment_id, *arguments, **options)
        session.record(
            "logged model",
            {
                "run": scratch.to_text(model.source_run_id),
                "model": str(model.model_id),
                "name": scratch.to_text(model.name),
            },
        )
        return model

    def get_logged_model(self, model_id: Any, *arguments: Any, **options: Any) -> Any:
        """Return a model; one that this rerun did not make is a read that misses."""
        with scratch.outermost() as outer:
            try:
                return super().get_logged_model(model_id, *arguments, **options)
            except Exception:
                if outer:
                    session.record_read("get_logged_model", f"model {model_id}, which this rerun did not make")
                raise

    def search_logged_models(self, experiment_ids: Any, filter_string: Any = None, *rest: Any, **options: Any) -> Any:
        """Search models; unless limited to a run of this rerun, the original's store may have held others."""
        for identity in experiment_ids or ():
            self._ensure_experiment(identity)
        with scratch.outermost() as outer:
            found = super().search_logged_models(experiment_ids, filter_string, *rest, **options)
        if outer and not self._is_own(filter_string):
            run_id = _run_of_caller()
            if run_id is not None and not self._is_foreign(run_id):
                return found
            session.record_read("search_logged_models", f"filter {filter_string!r} found {len(found)} models")
        return found


def _described(item: Any) -> dict[str, str | None]:
    """Return what a dataset is told by: name, MLflow's digest, and what it was for."""
    context = next((scratch.to_text(tag.value) for tag in item.tags or () if tag.key == _CONTEXT_TAG), None)
    name, digest = (scratch.to_text(getattr(item.dataset, key, None)) for key in ("name", "digest"))
    return {"name": name, "digest": digest, "context": context}


def _is_placeholder(experiment: Any) -> bool:
    return bool(experiment.name == f"experiment {experiment.experiment_id}")


def _is_resumed_by_caller(run_id: str) -> bool:
    """Tell whether MLflow's `start_run` asks for a run because it is to be continued."""
    frame = scratch.find_caller(("mlflow.tracking.fluent", "start_run"))
    return frame is not None and frame.f_locals.get("existing_run_id") == run_id


def _run_of_caller() -> Any:
    """Return the run among whose models MLflow itself looks: it searches all of the experiment and then sorts out."""
    frame = scratch.find_caller(
        ("mlflow.store.artifact.runs_artifact_repo", "_get_logged_model_artifact_repo"),
        ("mlflow.tracking._model_registry.fluent", "_get_logged_models_from_run"),
    )
    if frame is None:
        return None
    run = frame.f_locals.get("source_run")
    return frame.f_locals.get("run_id") if run is None else run.info.run_id


def _argument(index: int, name: str, arguments: Any, options: dict[str, Any]) -> Any:
    if name in options:
        return options[name]
    return arguments[index] if len(arguments) > index else None


def _status_text(status: Any) -> str:
    if isinstance(status, str):
        return status
    from mlflow.entities import RunStatus

    return str(RunStatus.to_string(status))


def _record_points(run_id: Any, metrics: Iterable[Any]) -> None:
    points = [
        [str(metric.key), float(metric.value), int(metric.step or 0), int(metric.timestamp or 0)] for metric in metrics
    ]  # type: list[Any]
    for first in range(0, len(points), _CHUNK):
        part = points[first : first + _CHUNK]
        session.record("metrics", {"run": str(run_id), "points": part}, len(part))


def _record_texts(event: str, run_id: Any, pairs: Iterable[Any]) -> None:
    texts = [(str(pair.key), str(pair.value)) for pair in pairs]
    for first in range(0, len(texts), _TEXTS):
        session.record(event, {"run": str(run_id), event: dict(texts[first : first + _TEXTS])})
