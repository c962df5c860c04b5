"""The files of a model on an MLflow server: listed and read by way of that server alone, hashed as they arrive."""

from __future__ import annotations

import hashlib
import posixpath
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

from runner.schema.digest import DigestValue
from runner.schema.model_files import ModelFile
from runner.schema.model_text import LONGEST_TEXT, TEXTS, parts_of
from runner.trackers.artifacts import NoFiles, UnreadableFiles
from runner.trackers.http_requests import Refused, Server
from runner.trackers.recorded import ARTIFACT_COUNT

_FOLDERS = 1_000
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"

Asked = dict[str, "str | int"]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A folder of artifacts on a server: how its folders are listed, and how a file in it is read.

    `listing` and `reading` return (endpoint, parameters) for a path. Some servers answer with paths below the shelf,
    others, where `bare` is true, with names alone.
    """

    listing: Callable[[str], tuple[str, Asked]]
    reading: Callable[[str], tuple[str, Asked]]
    bare: bool = False


def shelf_of_run(run_id: str) -> Shelf:
    """Return the artifacts of a run."""
    who: Asked = {"run_id": run_id, "run_uuid": run_id}
    return Shelf(
        listing=lambda path: ("artifacts/list", {**who, "path": path} if path else who),
        reading=lambda path: ("/get-artifact", {**who, "path": path}),
    )


def shelf_of_model(model_id: str) -> Shelf:
    """Return the files of a model that MLflow 3 logged."""
    quoted = urllib.parse.quote(model_id, safe="")
    listing = f"logged-models/{quoted}/artifacts/directories"
    reading = f"/ajax-api/2.0/mlflow/logged-models/{quoted}/artifacts/files"
    return Shelf(
        listing=lambda path: (listing, {"artifact_directory_path": path} if path else {}),
        reading=lambda path: (reading, {"artifact_file_path": path}),
    )


def shelf_of_proxy(uri: str, server: Server) -> Shelf:
    """Return what the server keeps for `mlflow-artifacts:` addresses. Raises UnreadableFiles for another server's."""
    parsed = urllib.parse.urlsplit(uri)
    if parsed.scheme != "mlflow-artifacts" or (parsed.netloc and parsed.netloc != server.host):
        raise UnreadableFiles("they are on no server that you named")
    root = parsed.path.strip("/")
    return Shelf(
        listing=lambda path: (_PROXY, {"path": posixpath.join(root, path).rstrip("/")}),
        reading=lambda path: (f"{_PROXY}/{urllib.parse.quote(posixpath.join(root, path))}", {}),
        bare=True,
    )


def hash_shelf(server: Server, shelf: Shelf, path: str) -> tuple[ModelFile, ...]:
    """Return all files beneath `path`, or the one file that it is, with their digests.

    Raises UnreadableFiles where there is none, or the server cannot give them whole.
    """
    try:
        found = _listed(server, shelf, path)
        if not found and path:
            parent = posixpath.dirname(path)
            found = [entry for entry in _entries(server, shelf, parent) if entry[0] == path and entry[1] is not None]
    except Refused as error:  # its text may hold addresses of the artifacts' store
        raise UnreadableFiles(f"the server could not list them: {error.status} {error.code}") from error
    if not found:
        raise NoFiles("there is none")
    below = f"{path}/" if path else ""
    files = [
        _hashed(server, shelf, whole, whole.removeprefix(below) if whole != path else posixpath.basename(path), size)
        for whole, size in found
    ]
    return tuple(sorted(files, key=lambda file: file.path))


def _listed(server: Server, shelf: Shelf, path: str) -> list[tuple[str, int | None]]:
    found: list[tuple[str, int | None]] = []
    folders, asked = [path], 0
    while folders:
        asked += 1
        if asked > _FOLDERS or len(found) > ARTIFACT_COUNT:
            raise UnreadableFiles(f"there are more than {ARTIFACT_COUNT}, or too many folders")
        folder = folders.pop()
        for entry, size in _entries(server, shelf, folder):
            below = f"{folder}/" if folder else ""
            if not entry.startswith(below) or entry == folder or ".." in entry.split("/"):
                raise UnreadableFiles("the server lists what lies elsewhere")
            if size is None:
                folders.append(entry)
            else:
                found.append((entry, size))
    return found


def _entries(server: Server, shelf: Shelf, folder: str) -> list[tuple[str, int | None]]:
    """Return (path below the shelf, bytes, or None for a folder)."""
    endpoint, params = shelf.listing(folder)
    found: list[tuple[str, int | None]] = []
    token = ""
    while True:
        page = server.get(endpoint, **{**params, "page_token": token} if token else params)
        for entry in page.get("files", []):
            size = None if entry.get("is_dir") else int(entry.get("file_size") or 0)
            path = str(entry.get("path", ""))
            found.append((posixpath.join(folder, path) if shelf.bare else path, size))
        following = str(page.get("next_page_token") or "")
        if not following or following == token:
            return found
        token = following


def _hashed(server: Server, shelf: Shelf, path: str, name: str, size: int | None) -> ModelFile:
    digest, length, text = hashlib.sha256(), 0, bytearray()

    def take(piece: bytes) -> None:
        nonlocal length
        digest.update(piece)
        length += len(piece)
        if name in TEXTS and length <= LONGEST_TEXT:
            text.extend(piece)

    endpoint, params = shelf.reading(path)
    status = server.stream(endpoint, take, **params)
    if status != 200:
        raise UnreadableFiles(f"the server does not give {path}: {status}")
    if size is not None and length != size:
        raise UnreadableFiles(f"the server gave {length} bytes of {path}, which has {size}")
    return ModelFile(
        path=name,
        sha256=DigestValue("sha256", digest.hexdigest()),
        size_bytes=length,
        parts=parts_of(name, bytes(text)) if len(text) == length else None,
    )
