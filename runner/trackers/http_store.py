"""An MLflow server, read by its REST API: `runs/get`, `metrics/get-history`, searches, and its artifact listing.

Artifacts are listed and read by way of the server only: a recorded artifact URI may name any host.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.errors import NotAStore, TrackerUnavailable
from runner.schema.model_files import ModelFile
from runner.schema.run_record import (
    Artifact,
    DatasetInput,
    MetricHistory,
    MetricPoint,
    RunRecord,
    StoreKind,
    TextFile,
)
from runner.trackers.filters import no_filter
from runner.trackers.http_files import hash_shelf, shelf_of_model, shelf_of_proxy, shelf_of_run
from runner.trackers.http_requests import Refused, Server
from runner.trackers.interface import LoggedModel, RunSummary, Tracker
from runner.trackers.recorded import (
    ARTIFACT_COUNT,
    CONTEXT_TAG,
    ENVIRONMENT_FILE_BYTES,
    ENVIRONMENT_FILE_COUNT,
    ENVIRONMENT_FILES,
    MODELS,
    PARENT_TAG,
    RUN_NAME_TAG,
    SOURCE_TAG,
    cut_params,
    is_environment_file,
    status_name,
    utc_time,
    with_latest,
)

_HISTORY_PAGE = 25_000  # points; the most that servers take
_SEARCH_PAGE = 1_000
_EXPERIMENTS_AT_ONCE = 100
_FOLDERS = 1_000  # of artifacts that are listed
_MODELS_ASKED = 20  # for the script that they were logged by


class HttpTracker(Tracker):
    """An MLflow server. Making one sends nothing."""

    kind = StoreKind.MLFLOW_HTTP

    def __init__(self, address: str) -> None:
        super().__init__(address.rstrip("/"))
        self._server = Server(address)

    def check(self) -> None:
        next(self._all_experiments(page=1), None)

    def read_run(self, run_id: str) -> RunRecord:
        run = self._get(run_id)
        if run is None:
            raise self._no_run(run_id)
        info, data = run.get("info", {}), run.get("data", {})
        params = _mapping(data.get("params"))
        tags = _mapping(data.get("tags"))
        experiment_id = str(info.get("experiment_id", ""))
        experiment = self._ask("experiments/get", experiment_id=experiment_id).get("experiment", {})
        latest = {str(metric["key"]): _point(metric) for metric in data.get("metrics", [])}
        histories, notes = self._histories(run_id, latest)
        metrics, more_notes = with_latest(histories, latest)
        artifacts, artifact_notes = self._artifacts(run_id)
        deleted = "deleted" in (info.get("lifecycle_stage"), experiment.get("lifecycle_stage"))
        return RunRecord(
            run_id=run_id,
            uri=self.uri,
            store=self.kind,
            experiment_id=experiment_id,
            experiment_name=str(experiment.get("name", "")),
            name=_name(info, tags),
            status=status_name(info.get("status")),
            lifecycle_stage="deleted" if deleted else "active",
            start_time=utc_time(info.get("start_time")),
            end_time=utc_time(info.get("end_time")),
            params=params,
            tags=tags,
            metrics=metrics,
            artifact_root=info.get("artifact_uri") or None,
            artifacts=artifacts,
            dataset_inputs=_dataset_inputs(run),
            environment_files=self._environment_files(run_id, artifacts, _models(run)),
            params_truncated=cut_params(params),
            siblings=self._siblings(experiment_id, tags.get(PARENT_TAG)),
            model_sources=self._model_sources(_models(run)),
            notes=(*self._server.notes(), *notes, *more_notes, *artifact_notes),
        )

    def read_artifact(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        if self._get(run_id) is None:
            raise self._no_run(run_id)
        return self._download(run_id, path, limit_bytes)

    def logged_model(self, model_id: str) -> LoggedModel | None:
        found = self._model_info(model_id)
        return _logged_model(found) if found.get("model_id") == model_id else None

    def _model_sources(self, models: list[str]) -> tuple[str, ...]:
        """Return the scripts that MLflow noted with models, each once."""
        tags = (_mapping(self._model_info(model).get("tags")) for model in models[:_MODELS_ASKED])
        return tuple(dict.fromkeys(text for text in (each.get(SOURCE_TAG) for each in tags) if text))

    def _model_info(self, model_id: str) -> dict[str, Any]:
        """Return what the server says of a logged model, nothing where it has none of this id."""
        if not model_id.replace("-", "").replace("_", "").isalnum():
            return {}
        try:
            found: dict[str, Any] = self._server.get(f"logged-models/{model_id}").get("model", {}).get("info", {})
        except (Refused, NotAStore) as error:  # servers before 3.0 have no such models
            if isinstance(error, Refused) and error.status >= 500:
                raise self._refusal(error) from error
            return {}
        return found

    def models_of(self, run_id: str) -> list[LoggedModel]:
        run = self._get(run_id)
        if run is None:
            raise self._no_run(run_id)
        found = (self.logged_model(model) for model in _models(run))
        return [model for model in found if model is not None]

    def hash_artifacts(self, run_id: str, path: str) -> tuple[ModelFile, ...]:
        return hash_shelf(self._server, shelf_of_run(run_id), path)

    def hash_model(self, model_id: str) -> tuple[ModelFile, ...]:
        return hash_shelf(self._server, shelf_of_model(model_id), "")

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        return hash_shelf(self._server, shelf_of_proxy(uri, self._server), "")

    def _logged_models(self) -> list[LoggedModel]:
        experiments = [str(found["experiment_id"]) for found in self._all_experiments()][:_EXPERIMENTS_AT_ONCE]
        try:
            found = self._server.search("logged-models/search", {"experiment_ids": experiments, "max_results": 50})
        except (Refused, NotAStore):
            return []
        return [_logged_model(model.get("info", {})) for model in found.get("models", [])]

    def _has_run(self, run_id: str) -> bool:
        return self._get(run_id) is not None

    def _with_prefix(self, prefix: str) -> list[RunSummary]:
        experiments = {str(found["experiment_id"]): found for found in self._all_experiments()}
        runs = self._filtered(list(experiments), [f"attributes.run_id LIKE '{prefix}%'"])
        found = [_summary(run, experiments) for run in runs]
        return [run for run in found if run.run_id.startswith(prefix)]

    def _named(self, experiment: str, name: str) -> list[RunSummary]:
        experiments = {
            str(found["experiment_id"]): found for found in self._all_experiments() if found.get("name") == experiment
        }
        # The tag has the name in all versions, the attribute only since 2.0; a quoted name cannot be filtered by.
        filters = [f"tags.`{RUN_NAME_TAG}` = '{name}'", f"attributes.run_name = '{name}'"] if "'" not in name else []
        found = [_summary(run, experiments) for run in self._filtered(list(experiments), filters)]
        return list({run.run_id: run for run in found if run.name == name}.values())

    def _experiments(self) -> list[str]:
        return [str(experiment.get("name", "")) for experiment in self._all_experiments()]

    def _runs(self, experiment: str | None) -> Iterator[RunSummary]:
        return self._filtered_runs(experiment, None)

    def _filtered_runs(self, experiment: str | None, text: str | None) -> Iterator[RunSummary]:
        experiments = {
            str(found["experiment_id"]): found
            for found in self._all_experiments()
            if experiment is None or found.get("name") == experiment
        }
        try:
            for run in self._search(list(experiments), text or ""):
                yield _summary(run, experiments)
        except Refused as error:
            if text is None or error.status >= 500:
                raise self._refusal(error) from error
            raise no_filter(text, str(error)) from error

    # What the server is asked

    def _ask(self, endpoint: str, **params: str | int) -> dict[str, Any]:
        """Return an answer that no server has a reason to refuse."""
        try:
            return self._server.get(endpoint, **params)
        except Refused as error:
            raise self._refusal(error) from error

    def _get(self, run_id: str) -> dict[str, Any] | None:
        try:
            # Servers before 1.0 know the id by its other name.
            found = self._server.get("runs/get", run_id=run_id, run_uuid=run_id)
        except Refused as error:
            # An invalid value is an id that no run can have.
            if error.code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE") or error.status == 404:
                return None
            raise self._refusal(error) from error
        run = found.get("run")
        return run if isinstance(run, dict) and run.get("info", {}).get("run_id", run_id) == run_id else None

    def _all_experiments(self, page: int = _SEARCH_PAGE) -> Iterator[dict[str, Any]]:
        body = {"max_results": page, "view_type": "ALL"}
        try:
            yield from self._paged("experiments/search", body, "experiments")
        except (Refused, NotAStore) as error:  # servers before 1.28 have no such search
            if isinstance(error, Refused) and error.status not in (404, 405):
                raise self._refusal(error) from error
            yield from self._ask("experiments/list", view_type="ALL").get("experiments", [])

    def _filtered(self, experiment_ids: list[str], filters: list[str]) -> list[dict[str, Any]]:
        """Return the runs that any of the filters lets through; all runs where the server knows none of them."""
        runs: list[dict[str, Any]] = []
        understood = 0
        for text in filters:
            try:
                runs += self._search(experiment_ids, text)
                understood += 1
            except Refused as error:
                if error.status >= 500:
                    raise self._refusal(error) from error
        return runs if understood else list(self._search(experiment_ids))

    def _search(self, experiment_ids: list[str], text: str = "") -> Iterator[dict[str, Any]]:
        """Yield runs, deleted ones too. Raises Refused where the server cannot filter so."""
        for first in range(0, len(experiment_ids), _EXPERIMENTS_AT_ONCE):
            body = {
                "experiment_ids": experiment_ids[first : first + _EXPERIMENTS_AT_ONCE],
                "filter": text,
                "run_view_type": "ALL",
                "max_results": _SEARCH_PAGE,
            }
            try:
                yield from self._paged("runs/search", body, "runs")
            except Refused as error:
                if not text:
                    raise self._refusal(error) from error
                raise

    def _paged(self, endpoint: str, body: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            found = self._server.search(endpoint, {**body, "page_token": token} if token else body)
            yield from found.get(key, [])
            following = str(found.get("next_page_token") or "")
            if not following or following == token:
                return
            token = following

    def _histories(self, run_id: str, names: Any) -> tuple[list[MetricHistory], list[str]]:
        histories = []
        notes = []
        for name in names:
            points: list[MetricPoint] = []
            params: dict[str, str | int] = {
                "run_id": run_id,
                "run_uuid": run_id,
                "metric_key": name,
                "max_results": _HISTORY_PAGE,
            }
            complete = True
            while True:
                page = self._ask("metrics/get-history", **params)
                points += [_point(metric) for metric in page.get("metrics", [])]
                token = str(page.get("next_page_token") or "")
                if not token:
                    break
                if token == params.get("page_token"):
                    complete = False
                    notes.append(f"the server repeats a page of the history of metric {name!r}")
                    break
                params["page_token"] = token
            histories.append(MetricHistory(name=name, points=tuple(points), complete=complete))
        return histories, notes

    def _artifacts(self, run_id: str) -> tuple[tuple[Artifact, ...], list[str]]:
        """Return what the server lists; a server whose artifacts are out of reach still has the run."""
        found: list[Artifact] = []
        folders = [""]
        asked = 0
        try:
            while folders and asked < _FOLDERS and len(found) < ARTIFACT_COUNT:
                folder = folders.pop()
                asked += 1
                entries = list(self._listed(run_id, folder))
                folders += [
                    path for path, size in entries if size is None and path.startswith(folder) and path != folder
                ]
                found += [Artifact(path=path, size_bytes=size) for path, size in entries if size is not None]
        except Refused as error:  # its text may hold addresses of the artifacts' store
            return tuple(found), [f"the server could not list the run's artifacts: {error.status} {error.code}"]
        return tuple(sorted(found, key=lambda artifact: artifact.path)), []

    def _listed(self, run_id: str, folder: str) -> Iterator[tuple[str, int | None]]:
        """Yield (path, bytes, or None for a folder)."""
        params: dict[str, str | int] = {"run_id": run_id, "run_uuid": run_id}
        if folder:
            params["path"] = folder
        while True:
            page = self._server.get("artifacts/list", **params)
            for entry in page.get("files", []):
                size = None if entry.get("is_dir") else int(entry.get("file_size") or 0)
                yield str(entry.get("path", "")), size
            token = str(page.get("next_page_token") or "")
            if not token or token == params.get("page_token"):
                return
            params["page_token"] = token

    def _environment_files(
        self, run_id: str, artifacts: tuple[Artifact, ...], models: list[str]
    ) -> tuple[TextFile, ...]:
        found: list[tuple[str, bytes | None]] = []
        wanted = [artifact.path for artifact in artifacts if is_environment_file(artifact.path)]
        for path in wanted[:ENVIRONMENT_FILE_COUNT]:
            found.append((path, self._download(run_id, path, ENVIRONMENT_FILE_BYTES)))
        for model in models:
            for name in sorted(ENVIRONMENT_FILES):
                endpoint = f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files"
                data = self._server.download(endpoint, ENVIRONMENT_FILE_BYTES, artifact_file_path=name)
                found.append((f"{MODELS}/{model}/{name}", data))
        texts = [TextFile(path=path, text=data.decode("utf-8", "replace")) for path, data in found if data is not None]
        return tuple(texts[:ENVIRONMENT_FILE_COUNT])

    def _download(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        return self._server.download("/get-artifact", limit_bytes, run_id=run_id, run_uuid=run_id, path=path)

    def _siblings(self, experiment_id: str, parent: str | None) -> tuple[str, ...]:
        if not parent or "'" in parent:
            return ()
        runs = self._filtered([experiment_id], [f"tags.`{PARENT_TAG}` = '{parent}'"])
        runs = [run for run in runs if _mapping(run.get("data", {}).get("tags")).get(PARENT_TAG) == parent]
        infos = [run.get("info", {}) for run in runs]
        ordered = sorted((int(info.get("start_time") or 0), str(info.get("run_id", ""))) for info in infos)
        return tuple(run_id for _, run_id in ordered)

    def _refusal(self, error: Refused) -> TrackerUnavailable:
        return TrackerUnavailable(
            f"the tracker {self.uri} answered {error.status} {error.code}", "try again; the server's own log says why"
        )


def _point(metric: dict[str, Any]) -> MetricPoint:
    # Numbers that JSON has not come as text: NaN, Infinity. Whole numbers of 64 bits come as text from some servers.
    value = metric.get("value")  # -0.0 is as false as 0.0, and is another value
    return MetricPoint(
        step=int(metric.get("step") or 0),
        timestamp_ms=int(metric.get("timestamp") or 0),
        value=0.0 if value is None else float(value),
    )


def _mapping(pairs: Any) -> dict[str, str]:
    return {str(pair["key"]): str(pair.get("value", "")) for pair in pairs or []}


def _name(info: dict[str, Any], tags: dict[str, str]) -> str | None:
    return info.get("run_name") or tags.get(RUN_NAME_TAG) or info.get("name") or None


def _summary(run: dict[str, Any], experiments: dict[str, dict[str, Any]]) -> RunSummary:
    info = run.get("info", {})
    experiment = experiments.get(str(info.get("experiment_id")), {})
    start = info.get("start_time")
    return RunSummary(
        run_id=str(info.get("run_id") or info.get("run_uuid") or ""),
        experiment=str(experiment.get("name", "")),
        name=_name(info, _mapping(run.get("data", {}).get("tags"))),
        start_ms=int(start) if start else None,
        deleted="deleted" in (info.get("lifecycle_stage"), experiment.get("lifecycle_stage")),
    )


def _dataset_inputs(run: dict[str, Any]) -> tuple[DatasetInput, ...]:
    inputs = []
    for entry in run.get("inputs", {}).get("dataset_inputs", []):
        dataset = entry.get("dataset", {})
        inputs.append(
            DatasetInput(
                name=str(dataset.get("name", "")),
                digest=str(dataset.get("digest", "")),
                context=_mapping(entry.get("tags")).get(CONTEXT_TAG),
                source=dataset.get("source") or None,
            )
        )
    return tuple(sorted(inputs, key=lambda found: (found.name, found.digest)))


def _logged_model(info: dict[str, Any]) -> LoggedModel:
    model_id = str(info.get("model_id", ""))
    return LoggedModel(
        model_id=model_id,
        name=str(info.get("name") or model_id),
        run_id=info.get("source_run_id") or None,
        location=info.get("artifact_uri") or None,
        deleted=info.get("lifecycle_stage") == "deleted",
    )


def _models(run: dict[str, Any]) -> list[str]:
    """Return the ids of the models that the run logged (MLflow 3)."""
    outputs = run.get("outputs", {}).get("model_outputs", [])
    ids = {str(output.get("model_id", "")) for output in outputs}
    return sorted(model for model in ids if model and model.replace("-", "").replace("_", "").isalnum())
