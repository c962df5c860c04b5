"""Which versions a specification pins by itself, to be compared with what trained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from runner.inside.packages.locked.formats import FORMATS
from runner.lineage.packages import normalise
from runner.plan.lists.locks import locked_names
from runner.plan.lists.requirements import read_files
from runner.plan.toml_text import load_toml, table
from runner.schema.plan import EnvironmentSpec


def pinned_names(specification: EnvironmentSpec) -> frozenset[str]:
    """Return the packages, by normalised names, of which a specification itself decides the version."""
    replaced = (*specification.overrides, *specification.recorded_overrides, *specification.substitutions)
    return frozenset(
        _listed(specification).keys() - {normalise(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in replaced}
    )


def pinned_versions(specification: EnvironmentSpec) -> dict[str, frozenset[str]]:
    """Return the versions that a specification pins, by normalised names; none for a name that is listed without one.

    A lock may hold several of one for several platforms, and none of the project itself.
    """
    names = pinned_names(specification)
    found = _listed(specification).items()
    return {name: frozenset(versions) for name, versions in found if versions or name in names}


def _listed(specification: EnvironmentSpec) -> dict[str, set[str]]:
    """Return all that a list decides, whatever replaces some of it: versions by normalised names."""
    main = specification.main
    if main is None:
        return {}
    text = specification.files.get(main)
    found: dict[str, set[str]] = {}
    versions: Iterable[tuple[str, str]]
    if specification.kind == "uv.lock":
        entries = load_toml(text).get("package")
        packages = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        found = {normalise(str(package.get("name"))): set() for package in packages}
        versions = _written(packages)
    elif specification.is_lock:
        found = {name: set() for name in locked_names(specification.kind, text)}
        versions = _locked(specification.kind, text or "")
    else:
        versions = _versions(specification, main)
    for name, version in versions:
        found.setdefault(name, set()).add(version)
    return found


def _versions(specification: EnvironmentSpec, main: str) -> tuple[tuple[str, str], ...]:
    """Return names and versions that a list pins in pip's notation, its own or the one that it was translated into."""
    if not (specification.lines or specification.kind == "requirements"):
        return ()
    own = {main: "\n".join(specification.lines)} if specification.lines else {}
    return read_files({**specification.files, **own}, main).versions


def _locked(kind: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the versions in a lock of another tool's than uv: all of them write them alike, Pipenv aside."""
    try:
        document = FORMATS[kind].parse(text)
    except ValueError:
        return
    if kind == "Pipfile.lock":
        entries = [{"name": name, **entry} for name, entry in table(document, "default").items() if "version" in entry]
    else:
        entries = document.get("packages" if kind == "pylock.toml" else "package", [])
    yield from _written(entries if isinstance(entries, list) else ())


def _written(entries: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield the versions of a lock's entries; the project itself may have none."""
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("version"), str):
            yield normalise(str(entry.get("name"))), entry["version"].lstrip("= ")


def is_complete(specification: EnvironmentSpec) -> bool:
    """Tell whether a specification lists every package that there was: a lock, or a list that a tool froze."""
    if specification.kind == "requirements" and specification.main is not None:
        return read_files(specification.files, specification.main).complete
    return specification.is_lock


def project_name(specification: EnvironmentSpec) -> str | None:
    """Return the normalised name of the repository's own package, None where its `pyproject.toml` has none."""
    for path, text in specification.files.items():
        document = load_toml(text) if path.endswith("pyproject.toml") else {}
        name = table(document, "project").get("name") or table(document, "tool", "poetry").get("name")
        if isinstance(name, str):
            return normalise(name)
    return None
