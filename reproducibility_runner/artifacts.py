"""Artifacts that a training logs: kept in the scratch place, and hashed as they arrive there."""

from __future__ import annotations

import hashlib
import os

from reproducibility_runner import scratch, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_CHUNK = 1 << 20
_DESCRIPTIONS = ("MLmodel", "conda.yaml", "python_env.yaml")  # what MLflow writes into every model, anew each time
_LONGEST_TEXT = 1 << 16

Base: Any = object

_kinds: list[Any] = []


def build_artifact_repository(artifact_uri: Any, *arguments: Any, **options: Any) -> Any:
    """Return the repository of a local folder; MLflow calls this for every URI of the scheme `file`."""
    if not _kinds:
        from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

        kind = type("CaptureArtifacts", (ArtifactCapture, LocalArtifactRepository), {})
        scratch.adopt_signatures(kind, ArtifactCapture, LocalArtifactRepository)
        _kinds.append(kind)
    return _kinds[0](artifact_uri, *arguments, **options)


def claim(module: Any) -> None:
    """Put our repository in the place of MLflow's for local folders; runs of ours have no other."""
    module._artifact_repository_registry.register("file", build_artifact_repository)


class ArtifactCapture(Base):  # type: ignore[misc]  # the base is MLflow's, of whatever version
    """What is laid over MLflow's repository of local artifacts."""

    def log_artifact(self, local_file: Any, artifact_path: Any = None) -> Any:
        """Copy one file in."""
        result = super().log_artifact(local_file, artifact_path)
        name = os.path.basename(os.fspath(local_file))
        self._record([os.path.join(self.artifact_dir, artifact_path or "", name)])
        return result

    def log_artifacts(self, local_dir: Any, artifact_path: Any = None) -> Any:
        """Copy a folder in."""
        result = super().log_artifacts(local_dir, artifact_path)
        target = os.path.join(self.artifact_dir, artifact_path or "")
        self._record(os.path.join(target, name) for name in _names(os.fspath(local_dir)))
        return result

    def list_artifacts(self, path: Any = None) -> Any:
        """List artifacts; those of a run that this rerun did not make are not there."""
        with scratch.outermost() as outer:
            if outer:
                self._record_read("list_artifacts", path)
            return super().list_artifacts(path)

    def download_artifacts(self, artifact_path: Any, *arguments: Any, **options: Any) -> Any:
        """Return artifacts; those of a run that this rerun did not make are not there."""
        with scratch.outermost() as outer:
            try:
                return super().download_artifacts(artifact_path, *arguments, **options)
            except Exception:
                if outer:
                    self._record_read("download_artifacts", artifact_path)
                raise

    def _record_read(self, what: str, path: Any) -> None:
        whose = owner(self.artifact_dir)
        if whose is not None and scratch.is_adopted(os.path.dirname(self.artifact_dir)):
            session.record_read(what, f"{path or 'all artifacts'} of run {whose[0]}, which this rerun did not make")

    def _record(self, files: Any) -> None:
        try:
            whose = owner(self.artifact_dir)
            if whose is None:
                return  # a folder outside the scratch place, which the script handles as such
            run, model, within = whose
            for file in files:
                if not os.path.exists(file):
                    continue  # MLflow left it out, as today's does with what lies behind links
                md5, sha256, size = _digests(file)
                relative = os.path.relpath(file, self.artifact_dir).replace(os.sep, "/")
                path = os.path.normpath(os.path.join(within, relative))
                fields = {"run": run, "model": model, "path": path, "md5": md5, "sha256": sha256, "size": size}
                if os.path.basename(path) in _DESCRIPTIONS and size <= _LONGEST_TEXT:
                    fields["text"] = _text(file)
                session.record("artifact", fields)
        except OSError as error:
            session.problem(f"an artifact could not be hashed: {error}")


def _names(folder: str) -> Iterator[str]:
    for place, _, files in os.walk(folder, followlinks=True):  # as MLflow copies it
        for file in files:
            yield os.path.relpath(os.path.join(place, file), folder)


def owner(folder: str) -> Any:
    """Return (run, model, path) of the artifacts that a folder of the scratch place holds, None for other folders."""
    place = scratch.root() + os.sep
    real = os.path.realpath(folder)
    if not real.startswith(place):
        return None
    parts = real[len(place) :].split(os.sep)
    if len(parts) >= 4 and parts[1] == "models" and parts[3] == "artifacts":
        return None, parts[2], "/".join(parts[4:])
    if len(parts) >= 3 and parts[2] == "artifacts":
        return parts[1], None, "/".join(parts[3:])
    return None, None, "/".join(parts)


def _text(path: str) -> Any:
    """Return a small file's text, None where it is no UTF-8."""
    with open(path, "rb") as file:
        data = file.read(_LONGEST_TEXT)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _digests(path: str) -> tuple[str, str, int]:
    try:
        md5 = hashlib.md5(usedforsecurity=False)  # type: ignore[call-arg,unused-ignore]  # not for security
    except TypeError:  # before Python 3.9
        md5 = hashlib.md5()  # noqa: S324  # the digest that DVC records
    sha256 = hashlib.sha256()
    size = 0
    with open(path, "rb", buffering=0) as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    return md5.hexdigest(), sha256.hexdigest(), size
