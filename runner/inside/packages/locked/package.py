"""A package as a lock has it for one environment: what it is, and where its bytes come from."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runner.inside.packages.source_tree import SourceTree, in_repository, of_git

_PYPI = frozenset({"pypi.org", "pypi.python.org"})
_HASH = re.compile(r"sha(?:256|384|512):[0-9a-f]+")


class LockProblem(ValueError):
    """A lock that cannot be used. The message goes on after the lock's name: `poetry.lock at the commit …`."""


@dataclass(frozen=True)
class LockedPackage:
    """One package that a lock installs.

    From an index (`version`, `hashes`), from an address (`url`), or to be built from a folder (`tree`).
    """

    name: str
    version: str | None
    hashes: tuple[str, ...] = ()
    url: str | None = None
    tree: SourceTree | None = None

    @property
    def line(self) -> str:
        """The package as a line of a requirements file."""
        what = f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"
        return " ".join([what, *(f"--hash={each}" for each in self.hashes)])


@dataclass(frozen=True)
class LockedList:
    """What a lock installs in an environment. `indexes` are those that it names beside PyPI."""

    packages: tuple[LockedPackage, ...]
    indexes: tuple[str, ...] = ()


def usable_hashes(listed: Iterable[Any]) -> tuple[str, ...]:
    """Return those of some hashes that an installer takes, sorted."""
    return tuple(sorted({text for text in map(str, listed) if _HASH.fullmatch(text)}))


def tree_in_repository(path: str, *, root: str, name: str, editable: bool, version: str | None = None) -> SourceTree:
    """Return the folder or file that a lock in the folder `root` names by a path; LockProblem where it is elsewhere."""
    try:
        return in_repository(path, root, name=name, editable=editable, version=version)
    except ValueError as error:
        raise LockProblem(f"takes {name} from {path}: {error}") from error


def tree_of_git(
    address: str, *, name: str, revision: str | None, subdirectory: str | None, version: str | None = None
) -> SourceTree:
    """Return the folder of another repository that a lock names; LockProblem where it is not followed."""
    try:
        return of_git(address, name=name, revision=revision, subdirectory=subdirectory, version=version)
    except ValueError as error:
        raise LockProblem(f"takes {name} from {address}: {error}") from error


def git_addresses(listed: Iterable[Any]) -> frozenset[str]:
    """Return the repositories of git that are followed, as `SourceTree.address` has them."""
    found = set()
    for each in listed:
        with contextlib.suppress(ValueError):
            found.add(of_git(str(each), name=None).address or "")
    return frozenset(found)


def archive_address(address: str, name: str) -> str:
    """Return the address of an archive; LockProblem where it is not by https."""
    if urlsplit(address).scheme != "https":
        raise LockProblem(f"takes {name} from {address}, and only https is followed")
    return address


def index_addresses(listed: Iterable[Any]) -> tuple[str, ...]:
    """Return those indexes that a lock names which can be followed, without PyPI."""
    kept = (str(each) for each in listed if str(each).startswith("https://") and "${" not in str(each))
    return tuple(dict.fromkeys(each for each in kept if urlsplit(each).hostname not in _PYPI))


def table(document: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return the table at a path of names; empty where there is none."""
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def tables(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return a list of tables; LockProblem where it is something else."""
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise LockProblem(f"has no list of tables {name}")
    return found
