"""Pinned packages that nobody can have here: of another system alone, or conda's own versions, which PyPI never had.

What the training does not import is left out of the list, and said; what it imports stops the rerun, by name. Looked at
once no versions fit together, so that a list of which all is there costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from runner.inside.packages.diagnosis import no_such_version
from runner.inside.packages.environment import normalised
from runner.inside.packages.imported import packages_of
from runner.inside.packages.index_pages import IndexFile, files_of
from runner.inside.packages.indexes import IndexSettings
from runner.inside.packages.wanted import Specification
from runner.inside.protocol import MISSING, PhaseError

_AT_ONCE = 8
_TOLD = 12  # packages that one note names

_OTHER_SYSTEM = "is for another system"
_NO_VERSION = "is not on the package index in that version"
_NO_PACKAGE = "is not on the package index"
_UNFIT = "does not fit the rest, as the package index has it,"
_OTHER_PYTHON = f"the package index has in that version for other Pythons than 3.{sys.version_info[1]}"


@dataclass(frozen=True)
class OutOfReach:
    """A pinned package that cannot be had, and why; `nearest` is a version that can, if there is any."""

    name: str
    version: str
    why: str
    nearest: str | None = None


class OutOfReachFound(Exception):
    """Packages that are to be left out of the list, by normalised names."""

    def __init__(self, packages: Mapping[str, OutOfReach]) -> None:
        super().__init__(", ".join(packages))
        self.packages = dict(packages)


def look(
    specification: Specification, lines: Iterable[str], settings: IndexSettings, required: Collection[str]
) -> None:
    """Look for packages that a list fixes to a version and that cannot be had, since no versions fit together.

    Where each by itself can, one of conda's own part that is among the `required` of uv's explanation does not fit the
    rest. Raises OutOfReachFound where there are any, PhaseError (missing: environment) where the training imports some
    of them, or (unavailable) for an index that does not answer; else nothing.
    """
    fixed = {name: bound for name, bound in fixed_here(lines).items() if name not in specification.replaced}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pages = dict(pool.map(lambda name: (name, files_of(name, settings)), sorted(fixed)))
    found = {
        name: gone
        for name, files in pages.items()
        if (gone := judge(name, fixed[name], files, of_conda=name in specification.from_conda, day=specification.day))
    }
    imported = packages_of(specification.imports)
    needed = [gone for name, gone in found.items() if name in imported and gone.why != _OTHER_PYTHON]
    if needed:
        raise _needed(needed, specification, imported)
    # Of what is imported and there for another Python, uv's own explanation says which.
    rest = {name: gone for name, gone in found.items() if name not in imported}
    for name in specification.from_conda:
        if not rest and name in fixed and name not in imported and name in required:
            rest = {name: OutOfReach(name, fixed[name].removeprefix("=="), _UNFIT)}
    if rest:
        raise OutOfReachFound(rest)


def fixed_here(lines: Iterable[str]) -> dict[str, str]:
    """Return the packages that the lines fix to a version on this Python, or to its builds (`==4.0.1.*`)."""
    fixed = {}
    for line in lines:
        try:
            requirement = Requirement(line.split(" --hash", 1)[0].strip())
        except InvalidRequirement:
            continue
        here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if here and any(bound.operator == "==" for bound in requirement.specifier):
            fixed[normalised(requirement.name)] = str(requirement.specifier)
    return fixed


def judge(
    name: str, bound: str, files: Sequence[IndexFile], *, of_conda: bool, day: str | None = None
) -> OutOfReach | None:
    """Return what keeps a package that is fixed to a version from being had here, None where nothing of this does.

    A version that is not there is a mistake of the list's, unless it is `of_conda`, which has versions of its own.
    """
    version = bound.removeprefix("==")
    if not files:
        return OutOfReach(name, version, _NO_PACKAGE) if of_conda else None
    if all(file.minors == frozenset() for file in files):
        return OutOfReach(name, version, f"{_OTHER_SYSTEM} alone")
    own = [file for file in files if SpecifierSet(bound).contains(file.version, prereleases=True)]
    if not of_conda or any(file.for_minor(sys.version_info[1]) for file in own):
        return None
    if own:
        elsewhere = all(file.minors == frozenset() for file in own)
        return OutOfReach(name, version, f"{_OTHER_SYSTEM} in that version" if elsewhere else _OTHER_PYTHON)
    instead = no_such_version(name, version.removesuffix(".*"), files, day)
    nearest = None if instead is None else str(instead.event["nearest"][0]).partition(" ")[0]
    return OutOfReach(name, version, _NO_VERSION, nearest)


def sentences(
    left_out: Mapping[str, OutOfReach], specification: Specification, versions: Mapping[str, str]
) -> list[str]:
    """Return what is to be said of what was left out, given the versions that were resolved without."""
    by_reason: dict[str, list[str]] = {}
    for name, gone in sorted(left_out.items()):
        instead = f" (others need it: {versions[name]})" if name in versions else ""
        by_reason.setdefault(gone.why, []).append(f"{name} {gone.version}{instead}")
    said = []
    for why, packages in by_reason.items():
        more = f" and {len(packages) - _TOLD} more" if len(packages) > _TOLD else ""
        said.append(
            f"{specification.main} pins what {why}, and nothing imports it: left out: "
            f"{', '.join(packages[:_TOLD])}{more}"
        )
    return said


def _needed(needed: Sequence[OutOfReach], specification: Specification, imported: Mapping[str, str]) -> PhaseError:
    words = [
        f"{gone.name}=={gone.version}, which {imported[gone.name]} imports, {gone.why}"
        + (f" (the nearest: {gone.nearest})" if gone.nearest else "")
        for gone in needed
    ]
    given = [*specification.overrides, *(gone.nearest for gone in needed if gone.nearest)]
    if all(gone.nearest for gone in needed):
        remedy = " ".join(["runner reproduce RUN", *(f"--with {text}" for text in given)])
    else:
        remedy = "name a list of packages for Linux with `environment:` in runner.yaml"
    return PhaseError(
        MISSING, f"of {specification.main}: {'; '.join(words)}", remedy, fact="environment",
        nearest=tuple(gone.nearest for gone in needed if gone.nearest),
    )  # fmt: skip
