"""Model registries of MLflow's, tiny ones written by hand. Those of real versions are in `released`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.mlflow_stores import write

_STATUS = {"PENDING_REGISTRATION": 1, "FAILED_REGISTRATION": 2, "READY": 3}


@dataclass(frozen=True)
class StoredVersion:
    """A version of a registered model to be written by hand. `location` is left out as by older versions if None."""

    name: str
    version: int
    run_id: str | None = None
    source: str | None = None
    location: str | None = None
    stage: str = "None"
    status: str = "READY"


Aliases = Mapping[tuple[str, str], int]


def write_file_registry(root: Path, versions: Sequence[StoredVersion], aliases: Aliases | None = None) -> Path:
    """Write `models/` into a file store as MLflow does since version 2."""
    for each in versions:
        folder = root / "models" / each.name
        write(folder / "meta.yaml", yaml.safe_dump({"name": each.name}))
        meta = {
            "name": each.name,
            "version": each.version,
            "run_id": each.run_id,
            "source": each.source,
            "current_stage": each.stage,
            "status": _STATUS[each.status],
            **({} if each.location is None else {"storage_location": each.location}),
        }
        write(folder / f"version-{each.version}" / "meta.yaml", yaml.safe_dump(meta))
    for (name, alias), version in (aliases or {}).items():
        write(root / "models" / name / "aliases" / alias, str(version))
    return root


def write_sqlite_registry(
    path: Path, versions: Sequence[StoredVersion], aliases: Aliases | None = None, *, old: bool = False
) -> Path:
    """Write the registry's tables, of MLflow 1.30 if `old`: without aliases, workspaces and places of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        workspace = "" if old else ", workspace TEXT NOT NULL DEFAULT 'default'"
        location = "" if old else ", storage_location TEXT"
        database.execute(f"CREATE TABLE registered_models (name TEXT{workspace})")
        database.execute(
            "CREATE TABLE model_versions (name TEXT, version INTEGER, run_id TEXT, source TEXT, current_stage TEXT, "
            f"status TEXT{location}{workspace})"
        )
        for name in dict.fromkeys(each.name for each in versions):
            database.execute("INSERT INTO registered_models (name) VALUES (?)", (name,))
        for each in versions:
            row = (each.name, each.version, each.run_id, each.source, each.stage, each.status)
            columns = "name, version, run_id, source, current_stage, status"
            database.execute(f"INSERT INTO model_versions ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
            if not old:
                where = "WHERE name = ? AND version = ?"
                values = (each.location, each.name, each.version)
                database.execute(f"UPDATE model_versions SET storage_location = ? {where}", values)
        if not old:
            database.execute(
                f"CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER{workspace})"
            )
            rows = [(name, alias, version) for (name, alias), version in (aliases or {}).items()]
            database.executemany("INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)", rows)
    return path
