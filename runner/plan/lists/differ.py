"""Where two lists of packages disagree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from runner.lineage.packages import exact_version, is_for, normalise
from runner.plan.lists.found import PackageList

_TOLD = 4  # packages that a sentence names


@dataclass(frozen=True)
class Difference:
    """A package of which two lists name versions that exclude each other, as they write them."""

    name: str
    followed: str
    other: str


def differences(followed: PackageList, other: PackageList, markers: Mapping[str, str]) -> list[Difference]:
    """Return the packages of which one list pins a version that the other excludes, by name."""
    one, two = (_by_name(item.requirements, markers) for item in (followed, other))
    return [
        Difference(name, _shown(one[name]), _shown(two[name]))
        for name in sorted(one.keys() & two.keys())
        if _exclude_each_other(one[name], two[name])
    ]


def sentence(found: Iterable[Difference], followed: str, other: str) -> str:
    """Return what two lists say of packages, in a sentence."""
    found = list(found)
    told = ", ".join(f"{item.name} {item.followed}, not {item.other}" for item in found[:_TOLD])
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return f"{followed} and {other} disagree, {followed} is followed: {told}{more}"


def _by_name(lines: Iterable[str], markers: Mapping[str, str]) -> dict[str, Requirement]:
    found: dict[str, Requirement] = {}
    for line in lines:
        try:
            requirement = Requirement(line)
            if is_for(requirement, markers):
                found.setdefault(normalise(requirement.name), requirement)
        except (InvalidRequirement, ValueError):
            continue
    return found


def _shown(requirement: Requirement) -> str:
    """Return the versions as people say them: 1.26.4, or <1.20."""
    return exact_version(requirement) or str(requirement.specifier)


def _exclude_each_other(one: Requirement, two: Requirement) -> bool:
    for pinned, other in ((one, two), (two, one)):
        version = exact_version(pinned)
        if version is not None:
            try:
                return not other.specifier.contains(version, prereleases=True)
            except ValueError:  # a version that is none
                return version != exact_version(other)
    return False
