"""MLflow's sqlite store, read by SQL: MLflow's own client would migrate the tables of an older version.

The tables of MLflow 1.x to 3.x differ in columns that were added: what a database has is asked of it first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner.errors import NotAStore
from runner.schema.model_files import ModelFile
from runner.schema.run_record import DatasetInput, MetricHistory, MetricPoint, RunRecord, StoreKind
from runner.trackers.artifact_places import places_of_database
from runner.trackers.artifacts import (
    hash_files,
    hash_place,
    list_artifacts,
    read_environment_files,
    read_from,
)
from runner.trackers.folder import Folder
from runner.trackers.interface import LoggedModel, RunSummary, Tracker
from runner.trackers.recorded import (
    CONTEXT_TAG,
    MODELS,
    PARENT_TAG,
    RUN_NAME_TAG,
    SOURCE_TAG,
    cut_params,
    status_name,
    utc_time,
    with_latest,
)
from runner.trackers.sqlite_file import read_only

_NEEDED = {"experiments", "runs", "metrics", "params", "tags"}
_SUGGESTED = 500  # runs looked at for suggestions

Columns = dict[str, set[str]]


class SqliteTracker(Tracker):
    """A `sqlite:` store in a file of this machine."""

    kind = StoreKind.MLFLOW_SQLITE

    def __init__(self, path: Path, repository: Path | None = None) -> None:
        """Open the store. Raises NotAStore where the file is no database of MLflow's; nothing is created.

        `repository` is one on this machine that the user named: artifacts may lie in it.
        """
        super().__init__(f"sqlite:///{path.absolute()}")
        self._path = path.absolute()
        self._beside = Folder(self._path.parent)
        self._places = places_of_database(self._path, repository)
        self.check()

    def check(self) -> None:
        with self._database():
            pass

    def read_run(self, run_id: str) -> RunRecord:
        with self._database() as database:
            return self._record(database, run_id)

    def read_artifact(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        with self._database() as database:
            run = database.run(run_id)
        if run is None:
            raise self._no_run(run_id)
        return read_from(self._artifacts_of(run), path, limit_bytes)

    def logged_model(self, model_id: str) -> LoggedModel | None:
        with self._database() as database:
            return next(iter(database.models("m.model_id = ?", (model_id,))), None)

    def models_of(self, run_id: str) -> list[LoggedModel]:
        with self._database() as database:
            models = database.logged_models(run_id)
            return [model for each in models for model in database.models("m.model_id = ?", (each,))]

    def hash_artifacts(self, run_id: str, path: str) -> tuple[ModelFile, ...]:
        with self._database() as database:
            run = database.run(run_id)
        if run is None:
            raise self._no_run(run_id)
        return hash_files(self._artifacts_of(run), path)

    def hash_model(self, model_id: str) -> tuple[ModelFile, ...]:
        with self._database() as database:
            experiment = database.model_experiment(model_id)
        model = self.logged_model(model_id)
        folder = None if model is None else self._model_folder(experiment, model_id, model.location)
        return hash_files(folder, "")

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        return hash_place(self._beside, uri)

    def _logged_models(self) -> list[LoggedModel]:
        with self._database() as database:
            return database.models("1", ())[:_SUGGESTED]

    def _has_run(self, run_id: str) -> bool:
        with self._database() as database:
            return database.run(run_id) is not None

    def _with_prefix(self, prefix: str) -> list[RunSummary]:
        with self._database() as database:
            return database.summaries("substr(r.run_uuid, 1, ?) = ?", (len(prefix), prefix))

    def _named(self, experiment: str, name: str) -> list[RunSummary]:
        with self._database() as database:
            return database.summaries("e.name = ? AND run_name = ?", (experiment, name))

    def _experiments(self) -> list[str]:
        with self._database() as database:
            return [str(row["name"]) for row in database.rows("SELECT name FROM experiments ORDER BY name")]

    def _runs(self, experiment: str | None) -> list[RunSummary]:
        condition, values = ("e.name = ?", (experiment,)) if experiment is not None else ("1", ())
        with self._database() as database:
            return database.summaries(condition, values)

    @contextmanager
    def _database(self) -> Iterator[_Database]:
        with read_only(self._path) as connection:
            database = _Database(connection)
            if not set(database.columns) >= _NEEDED:
                raise NotAStore(
                    f"{self._path} is a sqlite database, and no MLflow store: it has no table "
                    f"{sorted(_NEEDED - set(database.columns))[0]}",
                    "--tracker sqlite:///PATH, the file that MLflow was given",
                )
            yield database

    def _record(self, database: _Database, run_id: str) -> RunRecord:
        run = database.run(run_id)
        if run is None:
            raise self._no_run(run_id)
        params = database.texts("params", run_id)
        tags = database.texts("tags", run_id)
        metrics, notes = with_latest(database.histories(run_id), database.latest(run_id))
        artifacts = self._artifacts_of(run)
        deleted = run["lifecycle_stage"] == "deleted" or run["experiment_stage"] == "deleted"
        return RunRecord(
            run_id=run_id,
            uri=self.uri,
            store=self.kind,
            experiment_id=str(run["experiment_id"]),
            experiment_name=str(run["experiment"]),
            name=_optional(run["run_name"]),
            status=status_name(run["status"]),
            lifecycle_stage="deleted" if deleted else "active",
            start_time=utc_time(run["start_time"]),
            end_time=utc_time(run["end_time"]),
            params=params,
            tags=tags,
            metrics=metrics,
            artifact_root=_optional(run["artifact_uri"]),
            artifacts=list_artifacts(artifacts),
            dataset_inputs=database.dataset_inputs(run_id),
            environment_files=read_environment_files(artifacts, self._model_folders(database, run)),
            params_truncated=cut_params(params),
            siblings=database.children_of(tags.get(PARENT_TAG)),
            model_sources=database.model_sources(run_id),
            notes=tuple(notes),
        )

    def _artifacts_of(self, run: dict[str, Any]) -> Folder | None:
        usual = f"{run['experiment_id']}/{run['run_uuid']}/artifacts"
        return self._places.find(_optional(run["artifact_uri"]), str(run["run_uuid"]), usual)

    def _model_folders(self, database: _Database, run: dict[str, Any]) -> dict[str, Folder | None]:
        """Return the artifact folders of the models that this run logged (MLflow 3), by model id."""
        found = database.logged_models(str(run["run_uuid"]))
        return {
            model: self._model_folder(str(run["experiment_id"]), model, recorded) for model, recorded in found.items()
        }

    def _model_folder(self, experiment: str, model: str, recorded: str | None) -> Folder | None:
        return self._places.find(recorded, model, f"{experiment}/{MODELS}/{model}/artifacts")


class _Database:
    """MLflow's tables of whatever version, as plain values."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        tables = [str(row["name"]) for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        self.columns: Columns = {
            table: {str(row["name"]) for row in self.rows("SELECT name FROM pragma_table_info(?)", (table,))}
            for table in tables
        }

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        return self._connection.execute(sql, values).fetchall()

    def run(self, run_id: str) -> dict[str, Any] | None:
        found = self._runs("r.run_uuid = ?", (run_id,))
        return found[0] if found else None

    def summaries(self, condition: str, values: tuple[Any, ...]) -> list[RunSummary]:
        return [
            RunSummary(
                run_id=str(row["run_uuid"]),
                experiment=str(row["experiment"]),
                name=_optional(row["run_name"]),
                start_ms=row["start_time"] if isinstance(row["start_time"], int) else None,
                deleted=row["lifecycle_stage"] == "deleted" or row["experiment_stage"] == "deleted",
            )
            for row in self._runs(condition, values)
        ]

    def _runs(self, condition: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Return runs with their experiment. `condition` is ours; what users typed is in `values`."""
        known = ("run_uuid", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri", "experiment_id")
        columns = ", ".join(self._column("runs", "r", name) for name in known)
        own_name = "r.name" if "name" in self.columns["runs"] else "NULL"
        # Before MLflow 2.0 only the tag holds the name.
        rows = self.rows(
            f"SELECT {columns}, coalesce(nullif({own_name}, ''), t.value) AS run_name, e.name AS experiment, "  # noqa: S608
            f"{self._column('experiments', 'e', 'lifecycle_stage', 'experiment_stage')} "
            "FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id "
            f"LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = '{RUN_NAME_TAG}' "
            f"WHERE {condition} ORDER BY r.start_time, r.run_uuid",
            values,
        )
        return [dict(row) for row in rows]

    def _column(self, table: str, alias: str, name: str, as_name: str | None = None) -> str:
        """Return SQL for a column, NULL where this version has none."""
        value = f"{alias}.{name}" if name in self.columns[table] else "NULL"
        return f"{value} AS {as_name or name}"

    def texts(self, table: str, run_id: str) -> dict[str, str]:
        rows = self.rows(f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key", (run_id,))  # noqa: S608
        return {str(row["key"]): "" if row["value"] is None else str(row["value"]) for row in rows}

    def histories(self, run_id: str) -> list[MetricHistory]:
        """Return all points, ordered by time, step and value as MLflow's own store does."""
        points: dict[str, list[MetricPoint]] = {}
        for name, point in self._points("metrics", run_id):
            points.setdefault(name, []).append(point)
        return [MetricHistory(name=name, points=tuple(found)) for name, found in points.items()]

    def latest(self, run_id: str) -> dict[str, MetricPoint]:
        """Return the last points that the store keeps apart since MLflow 1.5."""
        return dict(self._points("latest_metrics", run_id)) if "latest_metrics" in self.columns else {}

    def _points(self, table: str, run_id: str) -> Iterator[tuple[str, MetricPoint]]:
        columns = ", ".join(self._column(table, "m", name) for name in ("step", "is_nan"))
        rows = self.rows(
            f"SELECT m.key, m.value, m.timestamp, {columns} FROM {table} m WHERE m.run_uuid = ? "  # noqa: S608
            "ORDER BY m.key, m.timestamp, step, m.value",
            (run_id,),
        )
        for row in rows:
            value = float("nan") if row["is_nan"] or row["value"] is None else float(row["value"])
            yield (
                str(row["key"]),
                MetricPoint(step=int(row["step"] or 0), timestamp_ms=int(row["timestamp"] or 0), value=value),
            )

    def dataset_inputs(self, run_id: str) -> tuple[DatasetInput, ...]:
        if not {"datasets", "inputs", "input_tags"} <= set(self.columns):
            return ()
        rows = self.rows(
            "SELECT d.name, d.digest, d.dataset_source, t.value AS context FROM inputs i "
            "JOIN datasets d ON d.dataset_uuid = i.source_id "
            "LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = ? "
            "WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id = ? "
            "ORDER BY d.name, d.digest",
            (CONTEXT_TAG, run_id),
        )
        return tuple(
            DatasetInput(
                name=str(row["name"]),
                digest=str(row["digest"]),
                context=_optional(row["context"]),
                source=_optional(row["dataset_source"]),
            )
            for row in rows
        )

    def logged_models(self, run_id: str) -> dict[str, str | None]:
        """Return the recorded artifact locations of the models that a run logged, by model id."""
        if not {"logged_models", "inputs"} <= set(self.columns):
            return {}
        rows = self.rows(
            "SELECT m.model_id, m.artifact_location FROM inputs i "
            "JOIN logged_models m ON m.model_id = i.destination_id "
            "WHERE i.source_type = 'RUN_OUTPUT' AND i.source_id = ? AND i.destination_type = 'MODEL_OUTPUT' "
            "ORDER BY m.model_id",
            (run_id,),
        )
        return {str(row["model_id"]): _optional(row["artifact_location"]) for row in rows}

    def model_sources(self, run_id: str) -> tuple[str, ...]:
        """Return the scripts that MLflow noted with the models that a run logged, each once."""
        if "logged_model_tags" not in self.columns:
            return ()
        found = (
            self.rows("SELECT tag_value FROM logged_model_tags WHERE model_id = ? AND tag_key = ?", (model, SOURCE_TAG))
            for model in self.logged_models(run_id)
        )
        return tuple(dict.fromkeys(str(row["tag_value"]) for rows in found for row in rows if row["tag_value"]))

    def models(self, condition: str, values: tuple[Any, ...]) -> list[LoggedModel]:
        """Return models that MLflow 3 logged. `condition` is ours; what users typed is in `values`."""
        if "logged_models" not in self.columns:
            return []
        names = ("model_id", "name", "source_run_id", "artifact_location", "lifecycle_stage")
        columns = ", ".join(self._column("logged_models", "m", name) for name in names)
        rows = self.rows(f"SELECT {columns} FROM logged_models m WHERE {condition} ORDER BY m.model_id", values)  # noqa: S608
        return [
            LoggedModel(
                model_id=str(row["model_id"]),
                name=str(row["name"] or row["model_id"]),
                run_id=_optional(row["source_run_id"]),
                location=_optional(row["artifact_location"]),
                deleted=row["lifecycle_stage"] == "deleted",
            )
            for row in rows
        ]

    def model_experiment(self, model_id: str) -> str:
        """Return the id of the experiment that a logged model belongs to, `-` where there is no such model."""
        if "logged_models" not in self.columns:
            return "-"
        rows = self.rows("SELECT experiment_id FROM logged_models WHERE model_id = ?", (model_id,))
        return str(rows[0]["experiment_id"]) if rows else "-"

    def children_of(self, parent: str | None) -> tuple[str, ...]:
        """Return the ids of all runs nested in `parent`, in order of start."""
        if not parent:
            return ()
        rows = self.rows(
            "SELECT r.run_uuid FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid "
            "WHERE t.key = ? AND t.value = ? ORDER BY r.start_time, r.run_uuid",
            (PARENT_TAG, parent),
        )
        return tuple(str(row["run_uuid"]) for row in rows)


def _optional(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
