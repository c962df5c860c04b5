"""Where on this machine the artifacts of a run, or of a logged model, lie.

A recorded artifact URI is a stranger's text: it may name another machine's path, a place behind MLflow's server
(`mlflow-artifacts:/...`), or a folder of this machine that is none of the run's. So it is never followed as it
stands. It only says by which relative path to look beneath a few folders: the store's own, the `mlartifacts` that
MLflow's server keeps beside an `mlruns`, the work tree that holds the store, the repository that the user named. What
is found there is taken only if, all links followed, it is beneath that folder and its path ends in `ID/artifacts`
with the id of the very run or model: whatever the text says, no other run's files can be had by it. And what is
returned is a root of its own, out of which nothing leads.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from runner.trackers.folder import Folder

_ARTIFACTS = "artifacts"
_CLIENTS = "mlruns"  # where MLflow's client puts artifacts, in its working directory
_SERVERS = "mlartifacts"  # where its server puts those that it takes in
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?://[^/\\]*)?")  # a drive has one letter
_SERVED = "mlflow-artifacts"  # names a path below a folder that only the server knows
_MOST_PARTS = 32  # of a recorded path that are looked at
_MOST_FOLDERS = 100  # in which a server may have put artifacts


class ArtifactPlaces:
    """The folders beneath which the artifacts of a store may lie, its own first."""

    def __init__(self, *roots: Folder) -> None:
        self._roots = tuple({root.root: root for root in roots}.values())

    def find(self, recorded: str | None, owner: str, usual: str) -> Folder | None:
        """Return the folder that holds the artifacts of `owner`, a run's or a model's id; None where there is none.

        `usual` is the relative path at which MLflow lays them out. One that is empty, such as a file store makes for
        every run, is taken only where no other holds a file.
        """
        found = None
        for root, path in self._candidates(recorded, owner, usual):
            folder = _owned(root, path, owner)
            if folder is not None and next(folder.files(""), None) is not None:
                return folder
            found = found or folder
        return found

    def _candidates(self, recorded: str | None, owner: str, usual: str) -> Iterator[tuple[Folder, str]]:
        path = local_path(recorded)
        if path is not None and path.startswith("/"):
            yield from ((root, path) for root in self._roots)
        tails = recorded_tails(recorded, owner)
        for root in self._roots:
            yield from ((root, tail) for tail in tails)
        served = recorded is not None and recorded.startswith(f"{_SERVED}:")
        for root in self._roots:
            for name in dict.fromkeys((_CLIENTS, _SERVERS, *(_folders(root) if served else ()))):
                yield from ((root, f"{name}/{below}") for below in dict.fromkeys((*tails, usual)))
            yield root, usual


def places_of_database(database: Path, repository: Path | None) -> ArtifactPlaces:
    """Return where the artifacts of a `sqlite:` store may lie; `repository` is one that the user named."""
    return ArtifactPlaces(Folder(database.parent), *_work_trees(database.parent, repository))


def places_of_folder(store: Folder, repository: Path | None) -> ArtifactPlaces:
    """Return where the artifacts of a `file:` store may lie; `repository` is one that the user named."""
    beside = store.root.parent / _SERVERS
    is_servers = store.root.name == _CLIENTS and os.path.isdir(beside) and not os.path.islink(beside)
    return ArtifactPlaces(store, *([Folder(beside)] if is_servers else []), *_work_trees(store.root, repository))


def _work_trees(store: Path, repository: Path | None) -> Sequence[Folder]:
    """Return the tops of the git work trees that hold the store, and the place that the user named."""
    places = (Path(os.path.realpath(place)) for place in (store, repository) if place is not None)
    tops = (next((top for top in (place, *place.parents) if os.path.exists(top / ".git")), None) for place in places)
    return [Folder(top) for top in tops if top is not None]


def _folders(root: Folder) -> list[str]:
    """Return the names of the folders in a root; none where they may not be listed."""
    try:
        return root.folders("")[:_MOST_FOLDERS]
    except OSError:
        return []


def _owned(root: Folder, path: str, owner: str) -> Folder | None:
    """Return the folder at `path` if it is beneath `root` and its owner's, where links lead to as well."""
    real = None if ".." in PurePosixPath(path).parts else root.inside(path)
    if real is None or real.parts[-2:] != (owner, _ARTIFACTS) or not os.path.isdir(real):  # too long a name is none
        return None
    return Folder(real)


def recorded_tails(recorded: str | None, owner: str) -> list[str]:
    """Return the ends of a recorded path, in whatever system's form, that may be a path here; the longest first.

    The shortest is `FOLDER/OWNER/artifacts`: of a run the folder is its experiment's, of a model it is `models`. None
    where the path is not the owner's. Nothing is taken across a `..`.
    """
    text = recorded or ""
    match = _SCHEME.match(text)
    if match is not None:
        text = urllib.parse.unquote(text[match.end() :])
    parts = [part for part in re.split(r"[/\\]", text) if part not in ("", ".")][-_MOST_PARTS:]
    while ".." in parts:
        parts = parts[parts.index("..") + 1 :]
    if parts[-2:] != [owner, _ARTIFACTS]:
        return []
    return ["/".join(parts[start:]) for start in range(len(parts) - 2)]


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
