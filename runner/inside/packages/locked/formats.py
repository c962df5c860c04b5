"""The formats of lock files by the name that each has, behind one face: for the host that chooses, and for phase 2a."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.inside.packages import toml
from runner.inside.packages.locked import pdm, pipfile, poetry, pylock
from runner.inside.packages.locked.package import LockedList, LockProblem

_Document = Mapping[str, Any]


@dataclass(frozen=True)
class LockFormat:
    """How a lock is read. `manifest` is the file beside it that it was made from, None where it stands alone.

    `mismatch` says what is wrong where it was made from another one, `left_out` names what it holds and is not
    installed, `names` are its packages, and `repositories` others that they come from. `with_setuptools`
    tells that its tool makes environments that have it unasked.
    """

    manifest: str | None
    mismatch: Callable[[_Document, _Document], str | None]
    left_out: Callable[[_Document, _Document], tuple[str, ...]]
    names: Callable[[_Document], frozenset[str]]
    repositories: Callable[[_Document], frozenset[str]]
    read: Callable[[_Document, _Document, Mapping[str, str], str], LockedList]
    with_setuptools: bool = False

    def problem(self, lock: str, manifest: str) -> str | None:
        """Return why the text of a lock cannot be read at all, or that of its manifest."""
        try:
            document = self.parse(lock)
            self.names(document)
        except LockProblem as error:
            return str(error)
        except ValueError as error:
            return f"cannot be read: {_first_line(error)}"
        try:
            toml.loads(manifest)
        except ValueError as error:
            return f"has a {self.manifest} beside it that cannot be read: {_first_line(error)}"
        return None

    def parse(self, lock: str) -> dict[str, Any]:
        """Return the document of a lock's text. Raises ValueError."""
        document = json.loads(lock) if lock.lstrip("\ufeff \r\n\t").startswith("{") else toml.loads(lock)
        if not isinstance(document, dict):
            raise LockProblem("holds no table")
        return document


FORMATS = {
    "poetry.lock": LockFormat(
        "pyproject.toml",
        poetry.mismatch,
        lambda _, manifest: poetry.left_out(manifest),
        poetry.names,
        poetry.repositories,
        lambda lock, manifest, here, root: poetry.read(lock, manifest, here, root=root),
        with_setuptools=True,
    ),
    "pdm.lock": LockFormat(
        "pyproject.toml",
        pdm.mismatch,
        lambda _, manifest: pdm.left_out(manifest),
        pdm.names,
        pdm.repositories,
        lambda lock, manifest, here, root: pdm.read(lock, manifest, here, root=root),
    ),
    "Pipfile.lock": LockFormat(
        "Pipfile",
        pipfile.mismatch,
        lambda lock, _: pipfile.left_out(lock),
        pipfile.names,
        pipfile.repositories,
        lambda lock, _, here, root: pipfile.read(lock, here, root=root),
        with_setuptools=True,
    ),
    "pylock.toml": LockFormat(
        None,
        lambda *_: None,
        lambda lock, _: pylock.left_out(lock),
        pylock.names,
        pylock.repositories,
        lambda lock, _, here, root: pylock.read(lock, here, root=root),
    ),
}
"""By file name, in the order in which they count where a commit has several."""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["it is no such file"])[0][:200]
