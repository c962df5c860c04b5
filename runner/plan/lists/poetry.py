"""Poetry's notation of dependencies (`^1.2`, `~1.2`, tables) in that of requirement files, by Poetry's own reader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement

from runner.plan.toml_text import table

_FOR_DEVELOPING = re.compile(
    r"(?:dev|develop|development|tests?|testing|lint|linting|docs?|typing|types)", re.IGNORECASE
)
_OF_A_RELEASE = ("version", "extras", "python", "markers", "platform")


@dataclass(frozen=True)
class PoetryProject:
    """What a project of Poetry asks for: lines of a requirements file, and bounds that these have no notation for."""

    lines: tuple[str, ...]
    loosened: tuple[str, ...]


def read_poetry(document: dict[str, Any]) -> PoetryProject:
    """Read `[tool.poetry]`: its dependencies with all groups but optional ones and those for developing."""
    lines: list[str] = []
    loosened: list[str] = []
    for name, entry in _entries(document):
        if name.lower() == "python":
            continue
        for one in entry if isinstance(entry, list) else [entry]:
            line, whole = _line(name, {"version": one} if isinstance(one, str) else one)
            if line is not None:
                lines.append(line)
            if not whole:
                loosened.append(f"{name} {one if isinstance(one, str) else one.get('version')}")
    return PoetryProject(tuple(lines), tuple(loosened))


def _entries(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from table(document, "tool", "poetry", "dependencies").items()
    for name, group in table(document, "tool", "poetry", "group").items():
        if isinstance(group, dict) and not group.get("optional") and not _FOR_DEVELOPING.fullmatch(name):
            yield from table(group, "dependencies").items()


def _line(name: str, entry: Any) -> tuple[str | None, bool]:
    """Return the line of an entry, None where it is installed with an extra alone, and whether it says all."""
    from poetry.core.factory import Factory

    if not isinstance(entry, Mapping) or entry.get("optional"):
        return None, True
    place = _place(entry)
    if place is not None:
        return f"{name} @ {place}", True
    kept = {key: entry[key] for key in _OF_A_RELEASE if key in entry}
    whole = bound(str(kept.get("version", "*"))) is not None
    if not whole:
        kept["version"] = "*"  # several ranges, or none that Poetry reads
    try:
        return str(Requirement(Factory.create_dependency(name, kept).to_pep_508(resolved=True))), whole
    except (ValueError, TypeError, KeyError):  # InvalidRequirement is a ValueError
        return name, False


def _place(entry: Mapping[str, Any]) -> str | None:
    if "git" in entry:
        revision = next((str(entry[key]) for key in ("rev", "tag", "branch") if key in entry), None)
        return f"git+{entry['git']}" + ("" if revision is None else f"@{revision}")
    return next((str(entry[key]) for key in ("url", "path") if key in entry), None)


def bound(text: str) -> str | None:
    """Return a constraint of Poetry's as PEP 440 has it: empty for none, None where it has no notation for it."""
    from poetry.core.constraints.version import parse_constraint

    try:
        found = parse_constraint(text)
    except ValueError:
        return None
    if found.is_any():
        return ""
    limits = str(found) if not found.is_simple() or str(found)[0] in "<>=!" else f"=={found}"
    return None if "|" in limits or found.is_empty() else limits
