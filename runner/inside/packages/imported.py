"""What the training imports: which of it an environment lacks, and which packages it cannot do without.

Read from files alone: no code of a package runs. Standard library only.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.inside.packages.environment import normalised


@dataclass(frozen=True)
class Imported:
    """A module that a script of the training does not go on without, as the plan says it (`ImportedModule`)."""

    name: str
    path: str
    distributions: tuple[str, ...]
    at_once: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Imported:
        """Read it from the request."""
        return cls(document["name"], document["path"], tuple(document["distributions"]), document["at_once"])


def packages_of(imports: Iterable[Imported]) -> dict[str, str]:
    """Return the packages, by normalised names, that imports may be of, each with a file that has the import."""
    found: dict[str, str] = {}
    for module in imports:
        # Where none is known, the package is likely to have the module's own name.
        for name in module.distributions or (module.name.replace(".", "-"),):
            found.setdefault(normalised(name.partition("[")[0]), module.path)
    return found


def lacking(site: Path, imports: Iterable[Imported]) -> list[Imported]:
    """Return the modules that neither `site` nor the standard library has, of those whose distributions are known."""
    places = [site, *_added(site)]
    return [
        module
        for module in imports
        if module.distributions
        and module.name.partition(".")[0] not in _standard()
        and not any(_has(place, module.name) for place in places)
    ]


def _standard() -> frozenset[str]:
    # Python 3.9 has no list of them: the plan left out those that it knows of.
    return frozenset(getattr(sys, "stdlib_module_names", ())) | frozenset(sys.builtin_module_names)


def _has(place: Path, name: str) -> bool:
    path = place.joinpath(*name.split("."))
    suffixes = importlib.machinery.all_suffixes()
    return path.is_dir() or any(path.with_name(path.name + suffix).exists() for suffix in suffixes)


def _added(site: Path) -> list[Path]:
    """Return the folders that `.pth` files put on the path, where they are of the environment itself."""
    found = []
    for file in site.glob("*.pth"):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.strip() and not line.startswith(("#", "import ", "import\t", "/")):
                found.append(site / line.strip())
    return [path for path in found if path.is_dir()]
