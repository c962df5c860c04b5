"""Why packages cannot be had, told from the index's own pages: what was there instead, and which Python would do.

Only ever says more about an error that is there already; where the index does not answer, it says nothing more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from runner.inside.packages.index_access import moment_of
from runner.inside.packages.index_pages import MINORS, IndexFile, files_of
from runner.inside.packages.indexes import IndexSettings
from runner.inside.packages.uv import Shadowed, Unsatisfiable
from runner.inside.protocol import MISSING, PhaseError

_NO_SUCH_VERSION = re.compile(r"there (?:is|are) no versions? of (?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)")
_OTHER_PYTHON = re.compile(
    r"Python version \([\d.]+\) does not satisfy\s+Python(?P<bound>[<>=!~][^\s]+) and (?P<name>[A-Za-z0-9._-]+)"
    r"(?P<versions>[<>=!~]\S+)? depends on Python"
)
_NO_WHEELS = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[\w.+!-]+) has no (?:usable wheels|wheels with a matching)"
)
_NAMED = 3  # Pythons that are named


def explained(
    error: Unsatisfiable, settings: IndexSettings, *, day: str | None, pythons: Sequence[str] = ()
) -> PhaseError:
    """Return an error that says what stands in the way, where the index can tell it; else the one that is given.

    `pythons` are those that can be had here in the place of this one, the best first.
    """
    if isinstance(error, Shadowed):
        return error
    text = " ".join(error.explanation.split())
    try:
        if absent := _NO_SUCH_VERSION.search(text):
            return no_such_version(absent["name"], absent["version"], files_of(absent["name"], settings), day) or error
        if other := _OTHER_PYTHON.search(text):
            what = f"{other['name']}{_readable(other['versions'] or '')}"
            return other_python(what, f"Python {other['bound']}", _minors_within(other["bound"]), pythons) or error
        if wheels := _NO_WHEELS.search(text):
            return no_wheels(wheels["name"], wheels["version"], files_of(wheels["name"], settings), pythons) or error
    except PhaseError:
        return error
    return error


def no_such_version(name: str, version: str, files: Sequence[IndexFile], day: str | None) -> PhaseError | None:
    """Return the error for a version that the index has not, with those that come next to it."""
    wanted, moment = _version(version), moment_of(day)
    if wanted is None or any(file.version == wanted for file in files):
        return None
    good = [file for file in files if not file.yanked]
    there = sorted({file.version for file in good if file.there_on(moment)} or {file.version for file in good})
    # A release is not offered in the place of one that was asked for where only a trial of it is there.
    older = [one for one in there if one < wanted and (wanted.is_prerelease or not one.is_prerelease)][-1:]
    newer = [one for one in there if one > wanted and (wanted.is_prerelease or not one.is_prerelease)][:1]
    nearest = tuple(f"{name}=={one}{_uploaded(files, one)}" for one in (*older, *newer))
    dated = moment is not None and any(file.there_on(moment) and file.uploaded is not None for file in good)
    when = f" on {moment:%Y-%m-%d}" if moment is not None and dated else ""
    if not nearest:
        return None
    sides = [f"{one[0]} {what}" for one, what in ((older, "before it"), (newer, "after it")) if one]
    return PhaseError(
        MISSING,
        f"{name}=={version} is not on the package index: it never was, or has been removed; "
        f"the nearest{when}: {' and '.join(sides)}",
        f"runner reproduce RUN --with {name}=={(older or newer)[0]}",
        fact="environment",
        nearest=nearest,
    )


def other_python(what: str, needs: str, minors: Iterable[int], pythons: Sequence[str] = ()) -> PhaseError | None:
    """Return the error for a package that is for other Pythons than this, and which of those come nearest.

    Those of `pythons`, which can be had here for certain, come before the others.
    """
    ours = sys.version_info[1]
    near = [f"3.{minor}" for minor in _nearest_first(minors)]
    if not near:
        return None
    here = [python for python in pythons if python in near]
    first, *rest = list(dict.fromkeys((*here, *near)))[:_NAMED]
    more = f"or {' or '.join(rest)}" if rest else ""
    return PhaseError(
        MISSING,
        f"{what} needs {needs}, and the plan's Python is 3.{ours}",
        f"runner reproduce RUN --python {first}    {more}".rstrip(),
        fact="environment",
    )


def pythons_with_wheels(version: str, files: Sequence[IndexFile]) -> tuple[str, ...]:
    """Return the Pythons that have a wheel of a version, the nearest to this one first."""
    wanted = _version(version)
    wheels = [file for file in files if file.version == wanted and file.is_wheel]
    minors = [minor for minor in MINORS if any(file.for_minor(minor) for file in wheels)]
    return tuple(f"3.{minor}" for minor in _nearest_first(minors)[:_NAMED])


def no_wheels(name: str, version: str, files: Sequence[IndexFile], pythons: Sequence[str] = ()) -> PhaseError | None:
    """Return the error for a version that is there, but not for this Python; None where it may be built for it."""
    wanted = _version(version)
    own = [file for file in files if file.version == wanted]
    if not own or any(file.for_minor(sys.version_info[1]) for file in own):
        return None
    wheels = [file for file in own if file.minors is not None]
    minors = [minor for minor in MINORS if any(file.for_minor(minor) for file in wheels or own)]
    listed = " or ".join(f"3.{minor}" for minor in minors)
    return other_python(f"{name}=={version}", f"Python {listed}", minors, pythons)


def _nearest_first(minors: Iterable[int]) -> list[int]:
    ours = sys.version_info[1]
    return sorted((minor for minor in minors if minor != ours), key=lambda minor: (abs(minor - ours), minor))


def _minors_within(bound: str) -> list[int]:
    try:
        specifiers = SpecifierSet(bound)
    except InvalidSpecifier:
        return []
    return [minor for minor in MINORS if any(specifiers.contains(Version(f"3.{minor}.{patch}")) for patch in range(30))]


def _readable(versions: str) -> str:
    return versions if versions.startswith("==") else f" {versions}" if versions else ""


def _uploaded(files: Sequence[IndexFile], version: Version) -> str:
    days = [file.uploaded for file in files if file.version == version and file.uploaded is not None]
    return f" (uploaded {min(days):%Y-%m-%d})" if days else ""


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
