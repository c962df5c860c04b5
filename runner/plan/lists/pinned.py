"""Which versions a specification pins by itself, to be compared with what trained."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.inside.locked.formats import FORMATS
from runner.lineage.packages import normalise
from runner.plan.lists.locks import locked_names
from runner.plan.lists.requirements import read_files
from runner.plan.toml_text import load_toml, table
from runner.schema.plan import EnvironmentSpec


def pinned_names(specification: EnvironmentSpec) -> frozenset[str]:
    """Return the packages, by normalised names, of which a specification itself decides the version."""
    main = specification.main
    names: set[str] = set()
    if main is not None and specification.kind == "uv.lock":
        packages = load_toml(specification.files.get(main)).get("package")
        names = {normalise(str(package.get("name"))) for package in packages or () if isinstance(package, dict)}
    elif main is not None and specification.is_lock:
        names = set(locked_names(specification.kind, specification.files.get(main)))
    elif main is not None:
        names = {name for name, _ in _versions(specification, main)}
    replaced = (*specification.overrides, *specification.recorded_overrides, *specification.substitutions)
    return frozenset(names - {normalise(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in replaced})


def _versions(specification: EnvironmentSpec, main: str) -> tuple[tuple[str, str], ...]:
    """Return names and versions that a list pins in pip's notation, its own or the one that it was translated into."""
    if not (specification.lines or specification.kind == "requirements"):
        return ()
    own = {main: "\n".join(specification.lines)} if specification.lines else {}
    return read_files({**specification.files, **own}, main).versions


def pinned_versions(specification: EnvironmentSpec) -> dict[str, frozenset[str]]:
    """Return the versions that a specification pins, by normalised names; none for a name that is listed without one.

    A lock may hold several of one for several platforms, and none of the project itself.
    """
    main = specification.main
    found: dict[str, set[str]] = {name: set() for name in pinned_names(specification)}
    if main is not None and specification.kind == "uv.lock":
        packages = load_toml(specification.files.get(main)).get("package")
        for package in packages if isinstance(packages, list) else ():
            if isinstance(package, dict):
                version = package.get("version")
                versions = found.setdefault(normalise(str(package.get("name"))), set())
                versions |= {version} if isinstance(version, str) else set()
    elif main is not None and specification.is_lock:
        for name, version in _locked(specification.kind, specification.files.get(main) or ""):
            found.setdefault(name, set()).add(version)
    elif main is not None:
        for name, version in _versions(specification, main):
            found.setdefault(name, set()).add(version)
    return {name: frozenset(versions) for name, versions in found.items()}


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
    for entry in entries if isinstance(entries, list) else ():
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
