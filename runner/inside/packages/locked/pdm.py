"""`pdm.lock`, of PDM 2: what `pdm install --prod` would install in an environment.

A lock of the strategy `inherit_metadata` says for each package in which groups and under which marker it is installed.
Others hold the graph: it is walked under the environment's markers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runner.inside.packages.environment import normalised
from runner.inside.packages.locked.package import (
    LockedList,
    LockedPackage,
    LockProblem,
    archive_address,
    git_addresses,
    index_addresses,
    table,
    tables,
    tree_in_repository,
    tree_of_git,
    usable_hashes,
)
from runner.inside.packages.locked.walk import Demand, walk

_Entry = Mapping[str, Any]
_READ = re.compile(r"[34](\.\d+)*")
_MAIN = "default"


def mismatch(lock: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    """Return what is wrong where the lock is not that of the manifest; PDM's own hash ignores formatting."""
    recorded = table(lock, "metadata").get("content_hash")
    if recorded is None:
        return "records no content_hash of pyproject.toml"
    if not table(manifest, "project"):
        return None  # of Poetry's or Flit's form, which PDM hashes as what it converts it to
    algorithm, _, digest = str(recorded).rpartition(":")
    if algorithm not in {"sha256", "md5", ""}:
        return f"records a content_hash by {algorithm}, which is not known"
    matches = digest in set(_content_hashes(manifest, algorithm or "sha256"))
    return None if matches else "was not made from pyproject.toml as it is there"


def left_out(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups and extras of a project that are not installed."""
    groups = {*table(manifest, "dependency-groups"), *table(manifest, "tool", "pdm", "dev-dependencies")}
    extras = table(manifest, "project", "optional-dependencies")
    return (*(f"group {name}" for name in sorted(groups)), *(f"extra {name}" for name in sorted(extras)))


def names(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the packages of a lock, by normalised names."""
    return frozenset(normalised(str(entry.get("name"))) for entry in tables(lock, "package"))


def repositories(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the addresses of other repositories that packages of a lock come from."""
    return git_addresses(entry["git"] for entry in tables(lock, "package") if "git" in entry)


def read(
    lock: Mapping[str, Any], manifest: Mapping[str, Any], environment: Mapping[str, str], *, root: str
) -> LockedList:
    """Return what the default group of a lock in the folder `root` installs. Raises LockProblem."""
    metadata = table(lock, "metadata")
    version = str(metadata.get("lock_version", ""))
    if not _READ.fullmatch(version):
        raise LockProblem(f"has the format {version or 'of no version'}, which is not read")
    entries = tables(lock, "package")
    try:
        if "inherit_metadata" in metadata.get("strategy", ()):
            installed = (entry for entry in entries if _is_installed(entry, environment))
            chosen = list({normalised(str(entry["name"])): entry for entry in installed}.values())
        else:
            chosen = _walked(entries, manifest, environment)
    except (InvalidMarker, InvalidRequirement, InvalidSpecifier) as error:
        raise LockProblem(f"has an entry that cannot be read: {error}") from error
    packages = tuple(_package(entry, table(metadata, "files"), root) for entry in chosen)
    sources = table(manifest, "tool", "pdm").get("source", ())
    return LockedList(packages, index_addresses(source.get("url") for source in sources if isinstance(source, dict)))


def _content_hashes(manifest: Mapping[str, Any], algorithm: str) -> Iterator[str]:
    """Yield the hashes that versions of PDM give a project, as `PyProject.content_hash` has it in each."""
    project, settings = table(manifest, "project"), table(manifest, "tool", "pdm")
    common = {
        "sources": settings.get("source", []),
        "dependencies": project.get("dependencies", []),
        "optional-dependencies": project.get("optional-dependencies", {}),
        "requires-python": project.get("requires-python", ""),
    }
    resolution = settings.get("resolution", {})
    before = settings.get("dev-dependencies", {})
    today: dict[str, list[Any]] = {}
    for groups in (table(manifest, "dependency-groups"), before):
        for name, listed in groups.items():
            today.setdefault(normalised(name), []).extend(listed)
    for development in (before, today):
        for rest in (
            {"overrides": settings.get("overrides", {})},
            {"overrides": table(resolution, "overrides")},
            {"resolution": resolution},
        ):
            content = json.dumps({**common, "dev-dependencies": development, **rest}, sort_keys=True, default=dict)
            yield hashlib.new(algorithm, content.encode(), usedforsecurity=False).hexdigest()


def _is_installed(entry: _Entry, environment: Mapping[str, str]) -> bool:
    if _MAIN not in entry.get("groups", (_MAIN,)):
        return False
    marker = entry.get("marker")
    return not marker or Marker(str(marker)).evaluate({**environment, "extra": ""})


def _walked(entries: Iterable[_Entry], manifest: Mapping[str, Any], environment: Mapping[str, str]) -> list[_Entry]:
    python = environment["python_full_version"]
    several: dict[str, list[_Entry]] = {}
    for entry in entries:
        several.setdefault(normalised(str(entry["name"])), []).append(entry)
    candidates = {}
    for name, found in several.items():
        bare = [entry for entry in found if not entry.get("extras")] or found
        here = [entry for entry in bare if SpecifierSet(str(entry.get("requires_python", ""))).contains(python)]
        candidates[name] = here or bare
    overridden = frozenset(
        normalised(name)
        for where in (("tool", "pdm", "overrides"), ("tool", "pdm", "resolution", "overrides"))
        for name in table(manifest, *where)
    )

    def demands(lines: Iterable[Any], extras: frozenset[str]) -> list[Demand[_Entry]]:
        requirements = (Requirement(re.sub(r"^-e\s+.*#egg=", "", str(line))) for line in lines)
        return [
            _demand(each, overridden)
            for each in requirements
            if each.marker is None
            or any(each.marker.evaluate({**environment, "extra": extra}) for extra in (extras or {""}))
        ]

    def of(entry: _Entry, extras: frozenset[str]) -> list[Demand[_Entry]]:
        lines = list(entry.get("dependencies", ()))
        for other in several[normalised(str(entry["name"]))]:
            named = frozenset(map(normalised, other.get("extras", ())))
            if named and named <= extras and other.get("version") == entry.get("version"):
                lines += other.get("dependencies", ())
        return demands(lines, extras)

    roots = demands(table(manifest, "project").get("dependencies", ()), frozenset())
    return [entry for _, entry in sorted(walk(roots, candidates, of).items())]


def _demand(requirement: Requirement, overridden: frozenset[str]) -> Demand[_Entry]:
    name = normalised(requirement.name)

    def allows(entry: _Entry) -> bool:
        free = requirement.url is not None or name in overridden
        return free or requirement.specifier.contains(str(entry.get("version", "")), prereleases=True)

    return Demand(
        name=name,
        extras=frozenset(map(normalised, requirement.extras)),
        text=f"{requirement.name} {requirement.specifier}".strip(),
        allows=allows,
    )


def _package(entry: _Entry, files: Mapping[str, Any], root: str) -> LockedPackage:
    name = normalised(str(entry["name"]))
    version = None if entry.get("version") is None else str(entry["version"])
    listed = entry.get("files") or files.get(f"{entry['name']} {version}") or ()
    hashes = usable_hashes(each.get("hash") for each in listed)
    if "git" in entry:
        tree = tree_of_git(
            str(entry["git"]),
            name=name,
            revision=entry.get("revision") or entry.get("ref"),
            subdirectory=entry.get("subdirectory"),
            version=version,
        )
        return LockedPackage(name, version, tree=tree)
    if "path" in entry:
        editable = bool(entry.get("editable", False))
        tree = tree_in_repository(str(entry["path"]), root=root, name=name, editable=editable, version=version)
        return LockedPackage(name, version, tree=tree)
    if "url" in entry:
        return LockedPackage(name, version, hashes, url=archive_address(str(entry["url"]), name))
    return LockedPackage(name, version, hashes)
