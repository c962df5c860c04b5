"""Which bytes the models have that a training logged, and the versions that it registered, as the capture tells.

MLflow 3 gives a model an id and files of its own; before, a model is a folder among its run's artifacts that holds an
`MLmodel`. Both are shown in both places: as models, and among the artifacts of their run.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Files = dict[str, dict[str, Any]]
"""Files by their paths: md5, sha256, size_bytes, text."""

_DESCRIPTION = "MLmodel"


@dataclass
class Model:
    """A logged model; `model_id` is MLflow 3's."""

    model_id: str | None
    run_id: str | None
    name: str
    files: Files = field(default_factory=dict)


@dataclass
class Version:
    """A registered version, which points at a model or at a folder of a run."""

    name: str
    version: str
    run_id: str | None
    model_id: str | None
    path: str | None
    stage: str | None = None


class CapturedModels:
    """Models and versions, in the order in which the training made them."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._versions: dict[tuple[str, str], Version] = {}
        self._aliases: dict[tuple[str, str], str] = {}

    def __len__(self) -> int:
        return len(self._models)

    def find(self, model_id: str | None) -> Model | None:
        """Return the model of MLflow 3 that has an id."""
        return self._models.get(model_id or "")

    def log(self, model_id: str, run_id: str | None, name: str | None) -> bool:
        """Take a model of MLflow 3; return whether it is new."""
        if model_id in self._models:
            return False
        self._models[model_id] = Model(model_id, run_id, name or model_id)
        return True

    def register(self, what: str, name: str, version: str, fields: Mapping[str, str | None]) -> None:
        """Take a change to the registry: `what` is the method of MLflow's that made it."""
        found = self._versions.get((name, version))
        if what == "create_model_version":
            made = Version(name, version, fields["run"], fields["model"], fields["path"])
            self._versions[name, version] = made
        elif what == "transition_model_version_stage" and found is not None:
            found.stage = fields["stage"]
        elif what == "set_registered_model_alias":
            self._aliases[name, fields["alias"] or ""] = version
        elif what == "delete_registered_model_alias":
            self._aliases.pop((name, fields["alias"] or ""), None)

    def place(self, artifacts: Mapping[str, Files]) -> list[dict[str, Any]]:
        """Return all models; those of MLflow 3 are put among the artifacts of their runs, by the runs' ids."""
        for model in self._models.values():
            files = artifacts.get(model.run_id or "")
            if files is None or not model.files:
                continue
            # A later model of the same name replaces the earlier whole: no mixture of two is anybody's model.
            for path in _beneath(files, model.name):
                del files[f"{model.name}/{path}"]
            files.update({f"{model.name}/{path}": file for path, file in model.files.items()})
        own = {(model.run_id, model.name) for model in self._models.values()}
        folders = [
            Model(None, run, folder, _beneath(files, folder))
            for run, files in artifacts.items()
            for folder in _described(files)
            if (run, folder) not in own
        ]
        return [asdict(model) for model in (*self._models.values(), *folders)]

    def versions(self, artifacts: Mapping[str, Files]) -> list[dict[str, Any]]:
        """Return all versions with the files that they point at; none where the training did not log those."""
        return [self._version(version, artifacts) for version in self._versions.values()]

    def _version(self, version: Version, artifacts: Mapping[str, Files]) -> dict[str, Any]:
        model = self.find(version.model_id)
        run_id = model.run_id if model is not None else version.run_id
        run = artifacts.get(run_id or "")
        files = model.files if model is not None else {}
        if model is None and run is not None and version.path is not None:
            files = _beneath(run, version.path)
        here = (version.name, version.version)
        return {
            **asdict(version),
            "run_id": None if run is None else run_id,
            "aliases": sorted(alias for (name, alias), at in self._aliases.items() if (name, at) == here),
            "files": files,
        }


def _described(files: Iterable[str]) -> list[str]:
    """Return the folders that hold the description of a model."""
    return [posixpath.dirname(path) for path in files if posixpath.basename(path) == _DESCRIPTION]


def _beneath(files: Files, place: str) -> Files:
    """Return the files of a folder by their paths within it, or the one file that lies at a path by its name."""
    if place in files:
        return {posixpath.basename(place): files[place]}
    start = f"{place}/" if place else ""
    return {path[len(start) :]: file for path, file in files.items() if path.startswith(start)}
