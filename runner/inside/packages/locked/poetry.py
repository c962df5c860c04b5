"""`poetry.lock`, of Poetry 1.0 to today: what `poetry install --only main` would install in an environment.

Since 2.1 of its format a lock says for each package in which groups and under which markers it is installed. Older ones
hold the graph: it is walked under the environment's markers, with Poetry's own reading of constraints.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from poetry.core.packages.dependency import Dependency

_Entry = Mapping[str, Any]
_READ = re.compile(r"[12]\.\d+")
_MAIN = "main"
_NEVER_LOCKED = frozenset({"distribute", "pip", "setuptools", "wheel"})
"""What older versions left to the virtual environment, though packages need it."""
_LEGACY_KEYS = ("dependencies", "source", "extras", "dev-dependencies")
_PROJECT_KEYS = ("requires-python", "dependencies", "optional-dependencies")


def mismatch(lock: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    """Return what is wrong where the lock is not that of the manifest; Poetry's own hash ignores formatting."""
    recorded = table(lock, "metadata").get("content-hash")
    if recorded is None:
        return "records no content-hash of pyproject.toml"
    return None if recorded in set(_content_hashes(manifest)) else "was not made from pyproject.toml as it is there"


def left_out(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups and extras of a project that are not installed."""
    poetry = table(manifest, "tool", "poetry")
    groups = {*table(poetry, "group"), *table(manifest, "dependency-groups")} - {_MAIN}
    if table(poetry, "dev-dependencies"):
        groups.add("dev")
    extras = {*table(poetry, "extras"), *table(manifest, "project", "optional-dependencies")}
    return (*(f"group {name}" for name in sorted(groups)), *(f"extra {name}" for name in sorted(extras)))


def names(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the packages of a lock, by normalised names."""
    return frozenset(normalised(str(entry.get("name"))) for entry in tables(lock, "package"))


def repositories(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the addresses of other repositories that packages of a lock come from."""
    return git_addresses(
        table(entry, "source").get("url") for entry in tables(lock, "package") if _kind(entry) == "git"
    )


def read(
    lock: Mapping[str, Any], manifest: Mapping[str, Any], environment: Mapping[str, str], *, root: str
) -> LockedList:
    """Return what the main group of a lock in the folder `root` installs. Raises LockProblem."""
    metadata = table(lock, "metadata")
    version = str(metadata.get("lock-version", "1.0"))
    if not _READ.fullmatch(version):
        raise LockProblem(f"has the format {version}, which is not read")
    entries = tables(lock, "package")
    if tuple(map(int, version.split("."))) >= (2, 1):
        chosen = [entry for entry in entries if _is_installed(entry, environment)]
    else:
        chosen = _walked(entries, manifest, environment)
    files = table(metadata, "files")
    packages = tuple(_package(entry, files, metadata, root) for entry in chosen)
    indexes = [table(entry, "source").get("url") for entry in chosen if _kind(entry) == "legacy"]
    return LockedList(packages, index_addresses(indexes))


def _content_hashes(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield the hashes that versions of Poetry give a project, as `Locker._get_content_hash` has it in each."""
    poetry = table(manifest, "tool", "poetry")
    project = {key: value for key, value in table(manifest, "project").items() if key in _PROJECT_KEYS}
    oldest = {key: poetry.get(key) for key in _LEGACY_KEYS}
    with_groups = {**oldest, "group": poetry["group"]} if poetry.get("group") is not None else oldest
    present = {key: value for key, value in with_groups.items() if value is not None}
    groups = table(manifest, "dependency-groups")
    contents: list[Mapping[str, Any]] = [oldest, with_groups]  # 1.0 and 1.1; all without [project]
    if project:
        contents.append({"project": project, "tool": {"poetry": present}})  # 2.0 to 2.2
    if groups:
        with_project = {"project": project} if project else {}
        contents.append({**with_project, "dependency-groups": groups, "tool": {"poetry": present}})  # since 2.3
    for content in contents:
        yield hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _is_installed(entry: _Entry, environment: Mapping[str, str]) -> bool:
    from poetry.core.version.markers import parse_marker

    if _MAIN not in entry.get("groups", ()):
        return False
    marker = entry.get("markers", "")
    text = marker.get(_MAIN, "") if isinstance(marker, Mapping) else marker
    return not text or bool(parse_marker(text).validate({**environment, "extra": ()}))


def _walked(entries: Iterable[_Entry], manifest: Mapping[str, Any], environment: Mapping[str, str]) -> list[_Entry]:
    from poetry.core.constraints.version import Version, parse_constraint
    from poetry.core.version.markers import parse_marker

    python = Version.parse(environment["python_full_version"])
    candidates: dict[str, list[_Entry]] = {}
    for entry in sorted(entries, key=lambda each: Version.parse(str(each["version"])), reverse=True):
        marker = entry.get("marker")  # of Poetry 1.0, which has them on packages and not on what needs them
        if marker and not parse_marker(str(marker)).validate({**environment, "extra": ()}):
            continue
        candidates.setdefault(normalised(str(entry["name"])), []).append(entry)
    for name, several in candidates.items():
        for_here = [each for each in several if parse_constraint(str(each.get("python-versions", "*"))).allows(python)]
        candidates[name] = for_here or several
    not_here = {normalised(str(entry["name"])) for entry in entries} | _NEVER_LOCKED | {"python"}
    not_here -= candidates.keys()

    def demands(dependencies: Mapping[str, Any], wanted: frozenset[str]) -> list[Demand[_Entry]]:
        found = []
        for name, given in dependencies.items():
            for one in given if isinstance(given, list) else [given]:
                dependency = _dependency(name, one)
                optional = isinstance(one, Mapping) and bool(one.get("optional"))
                if normalised(name) in not_here:
                    continue
                if optional and normalised(name) not in wanted:
                    continue
                if not dependency.marker.without_extras().validate(dict(environment)):
                    continue
                found.append(_demand(dependency, one))
        return found

    def of(entry: _Entry, extras: frozenset[str]) -> list[Demand[_Entry]]:
        listed = {normalised(extra): texts for extra, texts in table(entry, "extras").items()}
        wanted = (re.match(r"[A-Za-z0-9._-]+", str(text)) for extra in extras for text in listed.get(extra, ()))
        return demands(table(entry, "dependencies"), frozenset(normalised(match[0]) for match in wanted if match))

    roots = demands(table(manifest, "tool", "poetry", "dependencies"), frozenset())
    return [entry for _, entry in sorted(walk(roots, candidates, of).items())]


def _dependency(name: str, given: Any) -> Dependency:
    """Return what a manifest or lock says of a dependency; where it comes from is the locked package's to say."""
    from poetry.core.factory import Factory

    if isinstance(given, Mapping):
        kept = ("version", "python", "markers", "platform", "extras", "optional")
        given = {key: value for key, value in given.items() if key in kept}
        given.setdefault("version", "*")
    try:
        return Factory.create_dependency(name, given)
    except ValueError as error:
        raise LockProblem(f"asks for {name} in words that Poetry does not know: {error}") from error


def _demand(dependency: Dependency, given: Any) -> Demand[_Entry]:
    from poetry.core.constraints.version import Version

    def allows(entry: _Entry) -> bool:
        # A place other than an index has no versions to choose from.
        if _kind(entry) not in (None, "legacy"):
            return True
        return dependency.constraint.allows(Version.parse(str(entry["version"])))

    constraint = given.get("version", "*") if isinstance(given, Mapping) else given
    return Demand(
        name=normalised(dependency.name),
        extras=frozenset(map(normalised, dependency.extras)),
        text=f"{dependency.name} {constraint}",
        allows=allows,
    )


def _kind(entry: _Entry) -> Any:
    return table(entry, "source").get("type")


def _package(entry: _Entry, files: Mapping[str, Any], metadata: Mapping[str, Any], root: str) -> LockedPackage:
    name, version = normalised(str(entry["name"])), str(entry["version"])
    source = table(entry, "source")
    kind, address = source.get("type"), str(source.get("url", ""))
    listed = entry.get("files") or files.get(entry["name"]) or files.get(name) or ()
    hashes = usable_hashes(each.get("hash") for each in listed)
    hashes = hashes or usable_hashes(f"sha256:{each}" for each in table(metadata, "hashes").get(entry["name"], ()))
    if kind in (None, "legacy"):
        return LockedPackage(name, version, hashes)
    if kind == "url":
        return LockedPackage(name, version, hashes, url=archive_address(address, name))
    if kind in ("directory", "file"):
        editable = bool(entry.get("develop", False))
        tree = tree_in_repository(address, root=root, name=name, editable=editable, version=version)
        return LockedPackage(name, version, tree=tree)
    if kind == "git":
        tree = tree_of_git(
            address,
            name=name,
            revision=source.get("resolved_reference") or source.get("reference"),
            subdirectory=source.get("subdirectory"),
            version=version,
        )
        return LockedPackage(name, version, tree=tree)
    raise LockProblem(f"takes {name} from a source of the kind {kind}, which is not read")
