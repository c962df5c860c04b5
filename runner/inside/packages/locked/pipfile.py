"""`Pipfile.lock`: what `pipenv sync` would install in an environment."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from packaging.markers import InvalidMarker, Marker

from runner.inside.packages.environment import normalised
from runner.inside.packages.locked.package import (
    LockedList,
    LockedPackage,
    LockProblem,
    archive_address,
    git_addresses,
    index_addresses,
    table,
    tree_in_repository,
    tree_of_git,
    usable_hashes,
)

_NOT_PACKAGES = frozenset({"source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv"})
_DEFAULT_SOURCE = {"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}
_VERSION = re.compile(r"===?\s*(?P<version>[^\s,;*]+)")


def mismatch(lock: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    """Return what is wrong where the lock is not that of the Pipfile; pipenv's own hash ignores formatting."""
    recorded = table(lock, "_meta", "hash").get("sha256")
    if recorded is None:
        return "records no hash of its Pipfile"
    return None if recorded == _content_hash(manifest) else "was not made from the Pipfile as it is there"


def left_out(lock: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the categories of a lock that are not installed."""
    return tuple(f"category {name}" for name in sorted(lock) if name not in {"_meta", "default"} and lock[name])


def names(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the packages of a lock, by normalised names."""
    return frozenset(map(normalised, table(lock, "default")))


def repositories(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the addresses of other repositories that packages of a lock come from."""
    return git_addresses(table(entry)["git"] for entry in table(lock, "default").values() if "git" in table(entry))


def read(lock: Mapping[str, Any], environment: Mapping[str, str], *, root: str) -> LockedList:
    """Return what the default category of a lock in the folder `root` installs. Raises LockProblem."""
    spec = table(lock, "_meta").get("pipfile-spec")
    if spec != 6:
        raise LockProblem(f"has the format {spec}, which is not read")
    packages = []
    for name, entry in table(lock, "default").items():
        if not isinstance(entry, Mapping):
            raise LockProblem(f"has an entry for {name} that is no table")
        if _is_installed(name, entry, environment):
            packages.append(_package(normalised(name), entry, root))
    sources = table(lock, "_meta").get("sources", ())
    addresses = [source.get("url") for source in sources if isinstance(source, Mapping)]
    return LockedList(tuple(packages), index_addresses(addresses))


def _content_hash(manifest: Mapping[str, Any]) -> str:
    """Return the hash that pipenv gives a Pipfile, as plette's `Pipfile.get_hash` has it."""
    content: dict[str, Any] = {
        "_meta": {
            "sources": manifest.get("source", [_DEFAULT_SOURCE]),
            "requires": manifest.get("requires", {}),
        },
        "default": manifest.get("packages", {}),
        "develop": manifest.get("dev-packages", {}),
    }
    content |= {name: listed for name, listed in manifest.items() if name not in _NOT_PACKAGES | content.keys()}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_installed(name: str, entry: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    marker = entry.get("markers")
    try:
        return not marker or Marker(str(marker)).evaluate({**environment, "extra": ""})
    except InvalidMarker as error:
        raise LockProblem(f"has a marker of {name} that cannot be read: {error}") from error


def _package(name: str, entry: Mapping[str, Any], root: str) -> LockedPackage:
    hashes = usable_hashes(entry.get("hashes", ()))
    if "git" in entry:
        tree = tree_of_git(
            str(entry["git"]), name=name, revision=entry.get("ref"), subdirectory=entry.get("subdirectory")
        )
        return LockedPackage(name, None, tree=tree)
    place = str(entry.get("path") or entry.get("file") or "")
    if place.startswith(("https:", "http:")):
        return LockedPackage(name, None, hashes, url=archive_address(place.partition("#")[0], name))
    if place:
        tree = tree_in_repository(place, root=root, name=name, editable=bool(entry.get("editable", False)))
        return LockedPackage(name, None, tree=tree)
    match = _VERSION.fullmatch(str(entry.get("version", "")))
    if match is None:
        raise LockProblem(f"pins {name} to no version: {entry.get('version')}")
    return LockedPackage(name, match["version"], hashes)
