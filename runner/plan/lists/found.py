"""A list of packages that was found: the environment's specification without what is common to all kinds."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass


@dataclass(frozen=True)
class PackageList:
    """A file, or a record, that lists packages.

    `files` are the texts that take part, `main` the first of them. `exact` is true where all that it lists is pinned,
    `complete` where it also holds what its packages need in turn. `requirements` are those that can be read without
    running anything. `lines` is what `main` asks for in the notation of requirement files, where it has another.
    `lacking` are files that it includes and that were not read. `recorded` marks what the tracker has. `repositories`
    are others that its packages are built from. `problem` says why it cannot be used, `mismatch` that it is a lock of
    another project than the one beside it; both go on after its path. `from_conda` are packages, by normalised names,
    that conda installed and not pip.
    """

    kind: str
    main: str | None
    files: dict[str, str]
    exact: bool
    complete: bool
    source: str
    requirements: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    install_project: bool = False
    notes: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    recorded: bool = False
    repositories: tuple[str, ...] = ()
    problem: str | None = None
    mismatch: str | None = None
    from_conda: tuple[str, ...] = ()

    @property
    def takes_constraints(self) -> bool:
        """Tell whether the commit's list leaves versions open that the tracker may have recorded."""
        return self.main is not None and not self.recorded and not (self.exact and self.complete)


def join(folder: str, name: str) -> str:
    """Return a path in a folder of the commit, in the form that the snapshot has."""
    return posixpath.normpath(posixpath.join(folder, name))
