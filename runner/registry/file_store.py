"""MLflow's registry in files, read by us as its tracking store is.

ROOT/models/NAME/meta.yaml, aliases/ALIAS (the version's number)      ROOT/models/NAME/version-N/meta.yaml
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from runner.errors import NotAStore
from runner.registry.interface import GONE, ModelVersion, Registry
from runner.schema.model_files import ModelFile
from runner.trackers.artifacts import hash_place
from runner.trackers.folder import Folder, readable, reading
from runner.trackers.meta_yaml import parse_meta

_MODELS = "models"
_META = "meta.yaml"
_LONGEST_META = 1 << 18  # bytes
_LONGEST_ALIAS = 64
_VERSION = re.compile(r"version-([0-9]{1,18})")
_STATUSES = {1: "PENDING_REGISTRATION", 2: "FAILED_REGISTRATION", 3: "READY"}


class FileRegistry(Registry):
    """A registry in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        """Open the registry. Raises NotAStore where the folder holds no store of MLflow's; nothing is created."""
        super().__init__(root.absolute().as_uri())
        self._store = Folder(root)
        with self._reading():
            folders = self._store.folders("")
            if _MODELS not in folders and not any(self._meta(folder) is not None for folder in folders):
                raise NotAStore(
                    f"{root} is a folder, and no registry of MLflow: it holds no folder {_MODELS!r}",
                    "--registry-uri file:PATH, the folder that MLflow calls mlruns",
                )

    def version(self, name: str, version: int) -> ModelVersion | None:
        with self._reading():
            return self._version(name, f"version-{version}")

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        with self._reading():
            return hash_place(self._store, uri)

    def _names(self) -> list[str]:
        with self._reading():
            return [readable(name) for name in self._store.folders(_MODELS)]

    def _versions(self, name: str) -> list[ModelVersion]:
        with self._reading():
            folders = self._store.folders(f"{_MODELS}/{name}") if _is_one(name) else []
            found = [self._version(name, folder) for folder in folders if _VERSION.fullmatch(folder)]
            return sorted((each for each in found if each is not None), key=lambda each: each.version)

    def _aliases(self, name: str) -> dict[str, int]:
        if not _is_one(name):
            return {}
        folder = f"{_MODELS}/{name}/aliases"
        found = {}
        with self._reading():
            for alias, _ in self._store.files(folder):
                text = (self._store.read(f"{folder}/{alias}", _LONGEST_ALIAS) or b"").decode("utf-8", "replace").strip()
                if re.fullmatch(r"[0-9]{1,18}", text):
                    found[readable(alias)] = int(text)
        return found

    def _version(self, name: str, folder: str) -> ModelVersion | None:
        match = _VERSION.fullmatch(folder)
        meta = self._meta(f"{_MODELS}/{name}/{folder}") if match is not None and _is_one(name) else None
        if match is None or meta is None or _text(meta.get("version")) != match[1]:
            return None
        stage = _text(meta.get("current_stage"))
        if stage == GONE:
            return None
        source = _text(meta.get("source"))
        status = meta.get("status")
        return ModelVersion(
            name=name,
            version=int(match[1]),
            run_id=_text(meta.get("run_id")),
            source=source,
            location=_text(meta.get("storage_location")) or source,
            model_id=_text(meta.get("model_id")),
            stage=stage,
            status=_STATUSES.get(status, "READY") if isinstance(status, int) else _text(status) or "READY",
        )

    def _meta(self, folder: str) -> dict[str, Any] | None:
        """Return a folder's meta.yaml; None where there is none, or it is too long, no mapping, or leads elsewhere."""
        data = self._store.read(f"{folder}/{_META}", _LONGEST_META)
        return None if data is None else parse_meta(data)

    def _reading(self) -> AbstractContextManager[None]:
        return reading(f"the registry {self.uri}", self._store.root)


def _is_one(name: str) -> bool:
    """Tell whether a name is that of one folder, and no path."""
    return bool(name) and "/" not in name and "\0" not in name and name not in (".", "..")


def _text(value: Any) -> str | None:
    """Return a scalar as text; a stranger's YAML may hold anything else."""
    return str(value) if isinstance(value, str | int) and value != "" else None
