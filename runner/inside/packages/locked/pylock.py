"""`pylock.toml` (PEP 751), by packaging's own reader and its choice of what is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

if TYPE_CHECKING:
    from packaging.pylock import Package
    from packaging.tags import Tag


def left_out(lock: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups and extras of a lock that are not installed."""
    default = lock.get("default-groups") or ()
    groups = [name for name in lock.get("dependency-groups") or () if name not in default]
    extras = lock.get("extras") or ()
    return (*(f"group {name}" for name in sorted(groups)), *(f"extra {name}" for name in sorted(extras)))


def names(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the packages of a lock, by normalised names."""
    return frozenset(normalised(str(entry.get("name"))) for entry in tables(lock, "packages"))


def repositories(lock: Mapping[str, Any]) -> frozenset[str]:
    """Return the addresses of other repositories that packages of a lock come from."""
    return git_addresses(table(entry, "vcs").get("url") for entry in tables(lock, "packages") if "vcs" in entry)


def read(
    lock: Mapping[str, Any], environment: Mapping[str, str], *, root: str, tags: Sequence[Tag] | None = None
) -> LockedList:
    """Return what a lock in the folder `root` installs by default. Raises LockProblem."""
    from packaging.pylock import Pylock, PylockSelectError, PylockValidationError

    try:
        document = Pylock.from_dict(lock)
        chosen = [package for package, _ in document.select(environment=dict(environment), tags=tags)]  # type: ignore[arg-type]
    except PylockValidationError as error:
        raise LockProblem(f"is no lock of PEP 751: {error}") from error
    except PylockSelectError as error:
        raise LockProblem(f"has nothing for this Python: {error}") from error
    packages = tuple(_package(package, root) for package in chosen)
    return LockedList(packages, index_addresses(package.index for package in chosen if package.index))


def _package(package: Package, root: str) -> LockedPackage:
    name = normalised(package.name)
    version = None if package.version is None else str(package.version)
    if package.vcs is not None:
        if package.vcs.type != "git" or package.vcs.url is None:
            raise LockProblem(f"takes {name} from a repository of {package.vcs.type}, which is not followed")
        tree = tree_of_git(
            package.vcs.url,
            name=name,
            revision=package.vcs.commit_id,
            subdirectory=package.vcs.subdirectory,
            version=version,
        )
        return LockedPackage(name, version, tree=tree)
    if package.directory is not None:
        path = "/".join(filter(None, (package.directory.path, package.directory.subdirectory)))
        editable = bool(package.directory.editable)
        return LockedPackage(
            name, version, tree=tree_in_repository(path, root=root, name=name, editable=editable, version=version)
        )
    if package.archive is not None:
        hashes = usable_hashes(f"{kind}:{digest}" for kind, digest in package.archive.hashes.items())
        if package.archive.url is None:
            place = str(package.archive.path)
            tree = tree_in_repository(place, root=root, name=name, editable=False, version=version)
            return LockedPackage(name, version, hashes, tree=tree)
        return LockedPackage(name, version, hashes, url=archive_address(package.archive.url, name))
    listed = [*(wheel.hashes for wheel in package.wheels or ()), *([package.sdist.hashes] if package.sdist else [])]
    hashes = usable_hashes(f"{kind}:{digest}" for each in listed for kind, digest in each.items())
    if version is None:
        raise LockProblem(f"has no version of {name}")
    return LockedPackage(name, version, hashes)
