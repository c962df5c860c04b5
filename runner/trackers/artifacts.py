"""Artifacts that lie on this machine, in the folder that `artifact_places` found: listed, read, hashed."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

from runner.inside.hashing import hash_file
from runner.schema.digest import DigestValue
from runner.schema.model_files import ModelFile
from runner.schema.model_text import LONGEST_TEXT, TEXTS, parts_of
from runner.schema.run_record import Artifact, TextFile
from runner.trackers.artifact_places import local_path
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


def list_artifacts(folder: Folder | None) -> tuple[Artifact, ...]:
    """Return path and size of the files in an artifact folder, the first ten thousand of them."""
    if folder is None:
        return ()
    files = itertools.islice(folder.files(""), ARTIFACT_COUNT)
    return tuple(Artifact(path=readable(path), size_bytes=size) for path, size in files)


def read_environment_files(run_folder: Folder | None, model_folders: dict[str, Folder | None]) -> tuple[TextFile, ...]:
    """Return the small texts that tell of the environment: of the run, then of its logged models.

    Those of a logged model have the path `models/MODEL_ID/...`.
    """
    places = [("", run_folder), *((f"{MODELS}/{model}/", folder) for model, folder in sorted(model_folders.items()))]
    texts: list[TextFile] = []
    for prefix, folder in places:
        if folder is None:
            continue
        for path, _ in itertools.islice(folder.files(""), ARTIFACT_COUNT):
            if len(texts) == ENVIRONMENT_FILE_COUNT:
                return tuple(texts)
            if not is_environment_file(path):
                continue
            data = folder.read(path, ENVIRONMENT_FILE_BYTES)
            if data is not None:
                texts.append(TextFile(path=prefix + readable(path), text=data.decode("utf-8", "replace")))
    return tuple(texts)


def read_from(folder: Folder | None, path: str, limit_bytes: int) -> bytes | None:
    """Return the bytes of an artifact; None where it is absent, too long, or leads out of the artifact folder."""
    return None if folder is None else folder.read(path, limit_bytes)


def hash_files(folder: Folder | None, path: str) -> tuple[ModelFile, ...]:
    """Return all files beneath `path` in an artifact folder, or the one file that it is, with their digests.

    Raises UnreadableFiles where there is none, or where something there is no plain file of the folder.
    """
    if folder is None or not folder.is_folder(""):
        raise NoFiles("their folder is not there")
    there = folder.inside(path)
    if there is None:
        raise UnreadableFiles(f"{path} leads out of the store")
    if there.is_file():
        return (_hashed(there.name, there),)
    try:
        found = list(itertools.islice(folder.every_file(path), ARTIFACT_COUNT + 1))
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
    return hash_files(Folder(real.parent), real.name)


def _hashed(name: str, real: Path) -> ModelFile:
    found = hash_file(str(real))
    parts = None
    if name in TEXTS and found.size_bytes <= LONGEST_TEXT:
        data = real.read_bytes()
        if hashlib.sha256(data).hexdigest() != found.sha256:
            raise UnreadableFiles(f"{name} is being written")
        parts = parts_of(name, data)
    return ModelFile(path=name, sha256=DigestValue("sha256", found.sha256), size_bytes=found.size_bytes, parts=parts)
