"""Artifacts that lie on this machine, found beneath the store's own root only.

A recorded artifact URI is a stranger's text: it may name another machine's path, or a folder of this one that is none
of the run's. It is followed only beneath the store's root and only where it ends in `ID/artifacts`, as MLflow makes
them; else the places where MLflow puts artifacts beside a store are tried.
"""

from __future__ import annotations

import hashlib
import itertools
import posixpath
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from runner.inside.hashing import hash_file
from runner.schema.digest import DigestValue
from runner.schema.model_files import ModelFile
from runner.schema.model_text import LONGEST_TEXT, TEXTS, parts_of
from runner.schema.run_record import Artifact, TextFile
from runner.trackers.folder import Folder, NotPlain, readable
from runner.trackers.recorded import (
    ARTIFACT_COUNT,
    ENVIRONMENT_FILE_BYTES,
    ENVIRONMENT_FILE_COUNT,
    MODELS,
    is_environment_file,
)


class UnreadableFiles(Exception):
    """The files of a model cannot be had whole; the text says why, for a sentence that names them."""


class NoFiles(UnreadableFiles):
    """There are none."""


def artifact_folder(store: Folder, recorded: str | None, owner: str, usual: Iterable[str]) -> str | None:
    """Return the folder, relative to the store's, that holds the artifacts of `owner` (a run's or a model's id).

    `usual` are the relative places to try where the recorded URI leads nowhere. None where there is none.
    """
    candidates = []
    path = local_path(recorded)
    if path is not None and path.rstrip("/").endswith(f"{owner}/artifacts"):
        real = store.inside(path)  # joining with an absolute path gives that path
        if real is not None:
            candidates.append(real.relative_to(store.root).as_posix())
    return next((place for place in (*candidates, *usual) if store.is_folder(place)), None)


def local_path(uri: str | None) -> str | None:
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


def hash_files(store: Folder, folder: str | None, path: str) -> tuple[ModelFile, ...]:
    """Return all files beneath `path` in an artifact folder, or the one file that it is, with their digests.

    Raises UnreadableFiles where there is none, or where something there is no plain file of the store.
    """
    here = None if folder is None else store.inside(folder)
    there = None if folder is None else store.inside(posixpath.join(folder, path))
    if folder is None or here is None or not here.is_dir():
        raise NoFiles("their folder is not there")
    if there is None or not there.is_relative_to(here):
        raise UnreadableFiles(f"{path} leads out of the store")
    if there.is_file():
        return (_hashed(there.name, there),)
    try:
        found = list(itertools.islice(store.every_file(posixpath.join(folder, path)), ARTIFACT_COUNT + 1))
    except NotPlain as error:
        raise UnreadableFiles(str(error)) from error
    if not found:
        raise NoFiles("there is none")
    if len(found) > ARTIFACT_COUNT:
        raise UnreadableFiles(f"there are more than {ARTIFACT_COUNT}")
    return tuple(sorted((_hashed(readable(name), real) for name, real in found), key=lambda file: file.path))


def hash_place(store: Folder, uri: str) -> tuple[ModelFile, ...]:
    """Return the files at an address that a registry names, if that is beneath the store. Raises UnreadableFiles."""
    path = local_path(uri)
    real = None if path is None else store.inside(path)
    if real is None or real == store.root:
        raise UnreadableFiles("they are beneath no store that you named")
    relative = real.relative_to(store.root).as_posix()
    return hash_files(store, posixpath.dirname(relative), posixpath.basename(relative))


def _hashed(name: str, real: Path) -> ModelFile:
    found = hash_file(str(real))
    parts = None
    if name in TEXTS and found.size_bytes <= LONGEST_TEXT:
        data = real.read_bytes()
        if hashlib.sha256(data).hexdigest() != found.sha256:
            raise UnreadableFiles(f"{name} is being written")
        parts = parts_of(name, data)
    return ModelFile(path=name, sha256=DigestValue("sha256", found.sha256), size_bytes=found.size_bytes, parts=parts)
