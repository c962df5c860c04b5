"""Artifacts that lie on this machine, found beneath the store's own root only.

A recorded artifact URI is a stranger's text: it may name another machine's path, or a folder of this one that is none
of the run's. It is followed only beneath the store's root and only where it ends in `ID/artifacts`, as MLflow makes
them; else the places where MLflow puts artifacts beside a store are tried.
"""

from __future__ import annotations

import itertools
import posixpath
import urllib.parse
from collections.abc import Iterable

from runner.schema.run_record import Artifact, TextFile
from runner.trackers.folder import Folder, readable
from runner.trackers.recorded import (
    ARTIFACT_COUNT,
    ENVIRONMENT_FILE_BYTES,
    ENVIRONMENT_FILE_COUNT,
    MODELS,
    is_environment_file,
)


def artifact_folder(store: Folder, recorded: str | None, owner: str, usual: Iterable[str]) -> str | None:
    """Return the folder, relative to the store's, that holds the artifacts of `owner` (a run's or a model's id).

    `usual` are the relative places to try where the recorded URI leads nowhere. None where there is none.
    """
    candidates = []
    path = _local_path(recorded)
    if path is not None and path.rstrip("/").endswith(f"{owner}/artifacts"):
        real = store.inside(path)  # joining with an absolute path gives that path
        if real is not None:
            candidates.append(real.relative_to(store.root).as_posix())
    return next((place for place in (*candidates, *usual) if store.is_folder(place)), None)


def _local_path(uri: str | None) -> str | None:
    """Return the path that a URI without a host names, or None."""
    if not uri:
        return None
    if not uri.startswith("file:"):
        return None if "://" in uri else uri
    path = uri.removeprefix("file:")
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            return None
        path = slash + rest
    return urllib.parse.unquote(path)


def list_artifacts(store: Folder, folder: str | None) -> tuple[Artifact, ...]:
    """Return path and size of the files in an artifact folder, the first ten thousand of them."""
    if folder is None:
        return ()
    files = itertools.islice(store.files(folder), ARTIFACT_COUNT)
    return tuple(Artifact(path=readable(path), size_bytes=size) for path, size in files)


def read_environment_files(
    store: Folder, run_folder: str | None, model_folders: dict[str, str | None]
) -> tuple[TextFile, ...]:
    """Return the small texts that tell of the environment: of the run, then of its logged models.

    Those of a logged model have the path `models/MODEL_ID/...`.
    """
    places = [("", run_folder), *((f"{MODELS}/{model}/", folder) for model, folder in sorted(model_folders.items()))]
    texts: list[TextFile] = []
    for prefix, folder in places:
        if folder is None:
            continue
        for path, _ in itertools.islice(store.files(folder), ARTIFACT_COUNT):
            if len(texts) == ENVIRONMENT_FILE_COUNT:
                return tuple(texts)
            if not is_environment_file(path):
                continue
            data = store.read(f"{folder}/{path}", ENVIRONMENT_FILE_BYTES)
            if data is not None:
                texts.append(TextFile(path=prefix + readable(path), text=data.decode("utf-8", "replace")))
    return tuple(texts)


def read_from(store: Folder, folder: str | None, path: str, limit_bytes: int) -> bytes | None:
    """Return the bytes of an artifact; None where it is absent, too long, or leads out of the artifact folder."""
    if folder is None:
        return None
    here = store.inside(folder)
    there = store.inside(posixpath.join(folder, path))
    if here is None or there is None or not there.is_relative_to(here):
        return None
    return store.read(posixpath.join(folder, path), limit_bytes)
