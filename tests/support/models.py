"""Models as values: their files by digest, as a registry, a run and a rerun have them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from runner.schema.digest import DigestValue
from runner.schema.model_files import ModelFile, ModelFiles, RegisteredModel
from runner.schema.model_text import parts_of
from runner.schema.rerun import CapturedFile, CapturedModel, RegisteredVersion
from tests.support.values import RERUN_ID, RUN_ID, md5

MLMODEL = "flavors: {{python_function: {{loader_module: mlflow.sklearn}}}}\nrun_id: {run}\n"


def model_file(path: str, text: str) -> ModelFile:
    """A file of a model with this text."""
    data = text.encode()
    digest = DigestValue("sha256", hashlib.sha256(data).hexdigest())
    return ModelFile(path=path, sha256=digest, size_bytes=len(data), parts=parts_of(path, data))


def texts(weights: str = "1 2 3", *, run: str = RUN_ID, **more: str) -> dict[str, str]:
    """The files of a small model, each logging with its own run in the MLmodel."""
    return {"MLmodel": MLMODEL.format(run=run), "model.pkl": weights, **more}


def model_files(files: Mapping[str, str]) -> ModelFiles:
    """All files of a model."""
    return ModelFiles(files=tuple(model_file(path, text) for path, text in sorted(files.items())))


def captured_files(files: Mapping[str, str]) -> dict[str, CapturedFile]:
    """Files as the capture has them, by their paths."""
    found = {path: model_file(path, text) for path, text in files.items()}
    return {
        path: CapturedFile(md5=md5(files[path]), sha256=file.sha256, size_bytes=file.size_bytes, parts=file.parts)
        for path, file in found.items()
    }


def logged_by_run(files: Mapping[str, str], place: str = "model") -> CapturedModel:
    """What a training of MLflow 1 or 2 logged: a folder among the run's own artifacts."""
    return CapturedModel(model_id=None, run_id=RERUN_ID, name=place, files=captured_files(files))


def logged_as_model(files: Mapping[str, str], name: str = "model", model_id: str = "m-1") -> CapturedModel:
    """What a training of MLflow 3 logged: a model of its own."""
    return CapturedModel(model_id=model_id, run_id=RERUN_ID, name=name, files=captured_files(files))


def registered_again(model: CapturedModel, name: str = "fraud", version: str = "1") -> RegisteredVersion:
    """A version that the training made of a model that it logged."""
    path = model.name if model.model_id is None else None
    fields = {"run_id": RERUN_ID, "model_id": model.model_id, "path": path, "files": model.files}
    return RegisteredVersion(name=name, version=version, **fields)


def registered(
    artifact: Mapping[str, str] | None = None, logged: Mapping[str, str] | None = None, **fields: Any
) -> RegisteredModel:
    """`fraud v7`, which `champion` points at; the run's own model unless `logged` is given."""
    found = model_files(texts() if artifact is None else artifact)
    values: dict[str, Any] = {
        "reference": "models:/fraud@champion",
        "registry": "file:///srv/acme/mlruns",
        "name": "fraud",
        "version": 7,
        "alias": "champion",
        "status": "READY",
        "run_id": RUN_ID,
        "run_source": "the registry",
        "place": f"file:///srv/acme/mlruns/1/{RUN_ID}/artifacts/model",
        "path": "model",
        "artifact": found,
        "same_place": logged is None,
        "logged": None if logged is None else model_files(logged),
        "digest": found.digest,
        "content_digest": found.content_digest,
    }
    return RegisteredModel(**{**values, **fields})
