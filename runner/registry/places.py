"""Where the files of a registered version are, as registries write it down. Pure."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from runner.errors import UsageError
from runner.trackers.artifact_places import local_path
from runner.trackers.reference import LoggedModelId, VersionOf, parse_reference

_OF_RUN = re.compile(r"(?:.*/)?(?P<run>[0-9a-f]{32})/artifacts/(?P<path>.+)")
_OF_MODEL = re.compile(r"(?:.*/)?models/(?P<model>m-[0-9a-zA-Z]+)/artifacts/?")
_RUNS = re.compile(r"runs:/+(?P<run>[^/]+)/(?P<path>.+)")


@dataclass(frozen=True)
class AmongArtifacts:
    """A path among the artifacts of a run."""

    run_id: str
    path: str


def run_named_by(source: str | None) -> str | None:
    """Return the run that a registered source names: its artifacts are what was registered."""
    found = among_artifacts(source)
    return None if found is None else found.run_id


def among_artifacts(uri: str | None) -> AmongArtifacts | None:
    """Return what an address names among a run's artifacts, as MLflow lays them out."""
    match = _RUNS.fullmatch(uri or "") or _OF_RUN.fullmatch((uri or "").rstrip("/"))
    return None if match is None else AmongArtifacts(match["run"], match["path"].strip("/"))


def is_runs_uri(uri: str | None) -> bool:
    """Tell whether an address names its run by id and leaves the place to the tracker."""
    return _RUNS.fullmatch(uri or "") is not None


def model_named_by(source: str | None, location: str | None) -> str | None:
    """Return the id of the logged model that was registered: by `models:/m-ID`, or by the place where it lies."""
    reference = models_reference(source)
    if isinstance(reference, LoggedModelId):
        return reference.model_id
    match = _OF_MODEL.fullmatch(location or "")
    return None if match is None else match["model"]


def models_reference(source: str | None) -> LoggedModelId | VersionOf | None:
    """Return what a source that is itself a `models:` reference refers to: a version that was copied, or a model."""
    if source is None or not source.startswith("models:"):
        return None
    try:
        found = parse_reference(source)
    except UsageError:
        return None
    return found if isinstance(found, LoggedModelId | VersionOf) else None


def same_place(one: str | None, other: str | None) -> bool:
    """Tell whether two addresses are one and the same place."""
    return one is not None and other is not None and _plain(one) == _plain(other)


def beneath(place: str | None, root: str | None) -> str | None:
    """Return the path of a place below a root, None where it is elsewhere."""
    if place is None or root is None:
        return None
    here, there = _plain(root), _plain(place)
    if not there.startswith(f"{here}/"):
        return None
    path = there.removeprefix(f"{here}/")
    return None if ".." in path.split("/") else path


def _plain(uri: str) -> str:
    """Return an address in one of its ways to be written: `file:///a/b`, `file:/a/b/` and `/a/b` are one place."""
    path = local_path(uri) if uri.startswith("file:") or "://" not in uri else None
    if path is None or re.match(r"[a-z0-9+.-]+:", path):
        return uri.rstrip("/")
    return posixpath.normpath(path)
