"""MLflow's registry in sqlite, read by SQL. Its tables got columns over time: what a database has is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

from runner.errors import NotAStore
from runner.registry.interface import GONE, ModelVersion, Registry
from runner.schema.model_files import ModelFile
from runner.trackers.artifacts import hash_place
from runner.trackers.folder import Folder
from runner.trackers.sqlite_file import read_only

_SUGGESTED = 500
_WORKSPACE = "default"  # MLflow 3.10 and later keep models of several workspaces in one table


class SqliteRegistry(Registry):
    """A registry in a database file of this machine."""

    def __init__(self, path: Path) -> None:
        """Open the registry. Raises NotAStore where the file holds none; nothing is created."""
        super().__init__(f"sqlite:///{path.absolute()}")
        self._path = path.absolute()
        self._beside = Folder(self._path.parent)
        with self._tables():
            pass

    def version(self, name: str, version: int) -> ModelVersion | None:
        with self._tables() as tables:
            found = tables.versions("v.name = ? AND v.version = ?", (name, version))
        return found[0] if found else None

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        return hash_place(self._beside, uri)

    def _names(self) -> list[str]:
        with self._tables() as tables:
            return tables.names()

    def _versions(self, name: str) -> list[ModelVersion]:
        with self._tables() as tables:
            return tables.versions("v.name = ?", (name,))

    def _aliases(self, name: str) -> dict[str, int]:
        with self._tables() as tables:
            return tables.aliases(name)

    @contextmanager
    def _tables(self) -> Iterator[_Tables]:
        with read_only(self._path) as connection:
            tables = _Tables(connection)
            if not {"registered_models", "model_versions"} <= set(tables.columns):
                raise NotAStore(
                    f"{self._path} is a sqlite database, and no registry of MLflow: it has no table model_versions",
                    "--registry-uri sqlite:///PATH, the file that MLflow was given",
                )
            yield tables


class _Tables:
    """The registry's tables of whatever version, as plain values."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.columns = {
            table: {str(row["name"]) for row in self._rows("SELECT name FROM pragma_table_info(?)", (table,))}
            for table in ("registered_models", "model_versions", "registered_model_aliases")
            if self._rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
        }

    def names(self) -> list[str]:
        sql = f"SELECT v.name FROM registered_models v WHERE {self._here('registered_models')} ORDER BY v.name LIMIT ?"  # noqa: S608
        return [str(row["name"]) for row in self._rows(sql, (_SUGGESTED,))]

    def versions(self, condition: str, values: tuple[Any, ...]) -> list[ModelVersion]:
        """Return versions in their order. `condition` is ours; what users typed is in `values`."""
        known = self.columns["model_versions"]
        wanted = ("name", "version", "run_id", "source", "storage_location", "current_stage", "status")
        columns = ", ".join(f"v.{name}" if name in known else f"NULL AS {name}" for name in wanted)
        rows = self._rows(
            f"SELECT {columns} FROM model_versions v WHERE {condition} AND {self._here('model_versions')} "  # noqa: S608
            "ORDER BY v.version",
            values,
        )
        return [
            ModelVersion(
                name=str(row["name"]),
                version=int(row["version"]),
                run_id=_optional(row["run_id"]),
                source=_optional(row["source"]),
                location=_optional(row["storage_location"]) or _optional(row["source"]),
                stage=_optional(row["current_stage"]),
                status=_optional(row["status"]) or "READY",
            )
            for row in rows
            if row["current_stage"] != GONE
        ]

    def aliases(self, name: str) -> dict[str, int]:
        if "registered_model_aliases" not in self.columns:  # before MLflow 2.3
            return {}
        sql = f"SELECT alias, version FROM registered_model_aliases v WHERE v.name = ? AND {self._here('registered_model_aliases')}"  # noqa: S608, E501
        return {str(row["alias"]): int(row["version"]) for row in self._rows(sql, (name,))}

    def _here(self, table: str) -> str:
        return f"v.workspace = '{_WORKSPACE}'" if "workspace" in self.columns[table] else "1"

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()


def _optional(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
