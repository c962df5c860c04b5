"""A model registry that captures: MLflow's own file registry in the scratch place, empty at the start."""

from __future__ import annotations

import os
import re

from reproducibility_runner import artifacts, scratch, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMES = ("", "file", "http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc")

_MODEL = re.compile(r"models:/+(m-[0-9a-f]+)")
_RUN = re.compile(r"runs:/+(\w+)/?(.*)")

Base: Any = object

_stores: list[Any] = []


def build_registry(store_uri: Any = None, tracking_uri: Any = None) -> Any:  # noqa: ARG001  # all URIs are one place
    """Return the registry of this process; MLflow calls this for every registry URI."""
    if not _stores:
        kind, arguments = _kind()
        _stores.append(scratch.create_file_store(lambda: kind(*arguments)))
    return _stores[0]


def _kind() -> Any:
    try:
        from mlflow.store.model_registry.file_store import FileStore
    except ImportError:
        return _kind_of_mlflow_1()
    kind = type("CaptureRegistry", (RegistryCapture, FileStore), {})
    scratch.adopt_signatures(kind, RegistryCapture, FileStore)
    return kind, ("file://" + scratch.root(),)


def _kind_of_mlflow_1() -> Any:
    """Return a registry in SQL: before version 2, files could hold none.

    Also where the tracking URI is a folder: the original's may have come from a variable that the rerun does not have.
    """
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    kind = type("CaptureRegistry", (RegistryCapture, SqlAlchemyStore), {})
    scratch.adopt_signatures(kind, RegistryCapture, SqlAlchemyStore)
    return kind, ("sqlite:///" + os.path.join(os.path.dirname(scratch.root()), "registry.db"),)


def claim(module: Any) -> None:
    """Put our registry in the place of all that MLflow registers, as soon as it does."""
    find = getattr(module, "_get_store_registry", None)
    if find is None:  # an MLflow of 2021 or before, which registers while it is imported
        claim_schemes(module._model_registry_store_registry)
        return
    if getattr(find, "reproducibility_runner", False):
        return

    def _get_store_registry() -> Any:
        registry = find()
        claim_schemes(registry)
        return registry

    _get_store_registry.reproducibility_runner = True  # type: ignore[attr-defined]
    module._get_store_registry = _get_store_registry


def claim_schemes(registry: Any) -> None:
    """Put our registry in the place of every scheme."""
    for scheme in set(registry._registry) | set(SCHEMES):
        registry.register(scheme, build_registry)


class RegistryCapture(Base):  # type: ignore[misc]  # the base is MLflow's, of whatever version
    """What is laid over MLflow's registry."""

    reproducibility_runner = True

    # Writes

    def create_registered_model(self, name: Any, *arguments: Any, **options: Any) -> Any:
        """Create a registered model."""
        with scratch.outermost() as outer:
            result = super().create_registered_model(name, *arguments, **options)
        return _written(outer, "create_registered_model", result, name)

    def create_model_version(self, name: Any, source: Any, run_id: Any = None, *arguments: Any, **options: Any) -> Any:
        """Create a version of a model."""
        with scratch.outermost() as outer:
            result = super().create_model_version(name, source, run_id, *arguments, **options)
        run, model, path = _origin(source)
        model = options.get("model_id") or model
        return _written(
            outer,
            "create_model_version",
            result,
            name,
            version=result.version,
            run=run or run_id,
            model=model,
            path=path,
        )

    def transition_model_version_stage(
        self, name: Any, version: Any, stage: Any, archive_existing_versions: Any
    ) -> Any:
        """Move a version to a stage."""
        with scratch.outermost() as outer:
            result = super().transition_model_version_stage(name, version, stage, archive_existing_versions)
        return _written(outer, "transition_model_version_stage", result, name, version=version, stage=stage)

    def set_registered_model_alias(self, name: Any, alias: Any, version: Any) -> Any:
        """Point an alias at a version."""
        with scratch.outermost() as outer:
            result = super().set_registered_model_alias(name, alias, version)
        return _written(outer, "set_registered_model_alias", result, name, alias=alias, version=version)

    def delete_registered_model_alias(self, name: Any, alias: Any) -> Any:
        """Take an alias away."""
        with scratch.outermost() as outer:
            result = super().delete_registered_model_alias(name, alias)
        return _written(outer, "delete_registered_model_alias", result, name, alias=alias)

    # Reads: what this rerun did not register is not there

    def get_registered_model(self, name: Any) -> Any:
        """Return a registered model."""
        with _Read("get_registered_model", f"model {name}") as read:
            return read.found(super().get_registered_model(name))

    def get_latest_versions(self, name: Any, stages: Any = None) -> Any:
        """Return the latest version of each stage; the original's registry may have had others filled too."""
        with _Read("get_latest_versions", f"model {name} stages {stages or 'all'}") as read:
            found = super().get_latest_versions(name, stages)
            filled = {str(version.current_stage).lower() for version in found}
            if (stages and filled >= {str(stage).lower() for stage in stages}) or (found and _wants_only_the_latest()):
                read.found(found)
            return found

    def get_model_version(self, name: Any, version: Any) -> Any:
        """Return a version of a model."""
        with _Read("get_model_version", f"model {name} version {version}") as read:
            return read.found(super().get_model_version(name, version))

    def get_model_version_by_alias(self, name: Any, alias: Any) -> Any:
        """Return the version that an alias points at."""
        with _Read("get_model_version_by_alias", f"model {name} alias {alias}") as read:
            return read.found(super().get_model_version_by_alias(name, alias))

    def get_model_version_download_uri(self, name: Any, version: Any) -> Any:
        """Return where the files of a version are."""
        with _Read("get_model_version_download_uri", f"model {name} version {version}") as read:
            return read.found(super().get_model_version_download_uri(name, version))

    # Searches never show all that the original's registry held

    def search_model_versions(self, *arguments: Any, **options: Any) -> Any:
        """Search versions."""
        with _Read("search_model_versions", f"{list(arguments)} {options}"):
            return super().search_model_versions(*arguments, **options)

    def search_registered_models(self, *arguments: Any, **options: Any) -> Any:
        """Search registered models."""
        with _Read("search_registered_models", f"{list(arguments)} {options}"):
            return super().search_registered_models(*arguments, **options)

    def list_registered_models(self, *arguments: Any, **options: Any) -> Any:
        """List registered models."""
        with _Read("list_registered_models", f"{list(arguments)}"):
            return super().list_registered_models(*arguments, **options)


def _wants_only_the_latest() -> bool:
    """Tell whether MLflow resolves `models:/NAME/latest`: what was registered last is the same in every registry."""
    return scratch.find_caller(("mlflow.store.artifact.utils.models", "_get_latest_model_version")) is not None


def _origin(source: Any) -> Any:
    """Return (run, model, path) of what a version is made from; all None for what this rerun did not make.

    Never the source itself, which may hold secrets.
    """
    text = str(source or "")
    named = _MODEL.match(text)
    if named:
        return None, named.group(1), None
    named = _RUN.match(text)
    if named:
        return named.group(1), None, named.group(2).strip("/")
    if text.startswith("file:"):
        from urllib.parse import unquote, urlsplit

        text = unquote(urlsplit(text).path)
    run, model, path = artifacts.owner(text) or (None, None, None)
    return run, model, path if run or model else None


def _written(outer: bool, what: str, result: Any, name: Any, **fields: Any) -> Any:
    if outer:
        texts: dict[str, Any] = {key: scratch.to_text(value) for key, value in fields.items()}
        session.record("registry", dict(texts, what=what, name=str(name)))
    return result


class _Read:
    """A read of the registry; written down as missed unless it says that it found all there can be."""

    def __init__(self, what: str, detail: str) -> None:
        self._what = what
        self._detail = detail
        self._hit = False
        self._nesting = scratch.outermost()
        self._outer = False

    def __enter__(self) -> _Read:
        self._outer = self._nesting.__enter__()
        return self

    def found(self, result: Any) -> Any:
        """Take note of what was found, and return it."""
        self._hit = len(result) > 0 if hasattr(result, "__len__") else result is not None
        return result

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._nesting.__exit__(None, None, None)
        if self._outer and not self._hit:
            session.record_read(self._what, self._detail)
