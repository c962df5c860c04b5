"""`pyproject.toml`: what a project asks for, and whether it is itself a package to be installed."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import Any

from runner.plan.lists.found import PackageList, join
from runner.plan.lists.poetry import read_poetry
from runner.plan.lists.requirements import listed, read_files
from runner.plan.lists.setuptools import read_project
from runner.plan.lists.translated import translated
from runner.plan.toml_text import load_toml, table
from runner.schema.snapshot import RepositorySnapshot


def read_pyproject(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
    """Return the project at `path`, if it lists dependencies or is to be built, which tells them."""
    text = snapshot.texts.get(path)
    if text is None:
        return []
    document = load_toml(text)
    package = is_package(snapshot, path)
    lines, notes, loosened = _lines(snapshot, path, document)
    if package:
        return [_built(snapshot, path, lines)]
    # Configuration of tools lists no packages: then `lines` is empty, and this is no list.
    return translated(snapshot, path, lines, kind="pyproject", loosened=loosened, notes=notes)


def _built(snapshot: RepositorySnapshot, path: str, lines: list[str]) -> PackageList:
    """Return the project as a package, whose own wheel tells what it needs; `lines` as far as they can be read."""
    texts = {**snapshot.texts, path: "\n".join(lines)}
    read = read_files(texts, path)
    exact = read.pinned and bool(read.pins)
    return PackageList(
        kind="pyproject",
        main=path,
        files={name: snapshot.texts[name] for name in (path, *read.paths[1:])},
        exact=exact,
        complete=False,
        source=f"{path} at the commit" + ("" if exact else " (not pinned)"),
        requirements=tuple(listed(texts, read.paths)),
        install_project=True,
        lacking=read.lacking,
    )


def _lines(snapshot: RepositorySnapshot, path: str, document: dict[str, Any]) -> tuple[list[str], list[str], bool]:
    """Return the dependencies that can be read without a build, what to say of them, and whether bounds were lost."""
    project = table(document, "project")
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        return _dynamic(snapshot, path, document), [], False
    if isinstance(project.get("dependencies"), list):
        return [str(line) for line in project["dependencies"]], [], False
    poetry = read_poetry(document)
    notes = []
    if poetry.loosened:
        bounds = ", ".join(poetry.loosened[:6])
        notes.append(f"environment: bounds of {path} that only Poetry has, taken for none: {bounds}")
    return list(poetry.lines), notes, bool(poetry.loosened)


def _dynamic(snapshot: RepositorySnapshot, path: str, document: dict[str, Any]) -> list[str]:
    """Return the dependencies that a project leaves to its build, where setuptools reads them from a file."""
    entry = table(document, "tool", "setuptools", "dynamic", "dependencies").get("file")
    names = [entry] if isinstance(entry, str) else entry if isinstance(entry, list) else []
    if names:
        return [f"-r {name}" for name in names if isinstance(name, str)]
    said = read_project(snapshot, posixpath.dirname(path) or ".")
    return [line for line in said.requires if line] if said is not None and said.requires is not None else []


def is_package(snapshot: RepositorySnapshot, path: str) -> bool:
    """Tell whether the project itself is to be installed: it has a build system, or says so, and holds a package."""
    document = load_toml(snapshot.texts[path])
    said = table(document, "tool", "uv").get("package")
    if isinstance(said, bool):
        return said
    pdm = table(document, "tool", "pdm")
    if pdm.get("distribution") is False or pdm.get("package-type") == "application":
        return False
    poetry, system = table(document, "tool", "poetry"), table(document, "build-system")
    by_poetry = str(system.get("build-backend", "")).startswith("poetry.")
    if (by_poetry or (poetry and not table(document, "project"))) and not _holds_package(snapshot, path, document):
        return False  # as `poetry install --no-root`, which is what its users do with a folder of scripts
    return bool(system)


def _holds_package(snapshot: RepositorySnapshot, path: str, document: dict[str, Any]) -> bool:
    """Tell whether Poetry would find the module that it is to build, which it looks for by the project's name."""
    poetry = table(document, "tool", "poetry")
    if poetry.get("package-mode") is False:
        return False
    root = posixpath.dirname(path)
    if packages := poetry.get("packages"):
        return any(_includes(snapshot, root, entry) for entry in packages if isinstance(entry, dict))
    said = table(document, "project").get("name") or poetry.get("name") or ""
    name = re.sub(r"[^A-Za-z0-9]+", "_", str(said)).lower()
    bases = [join(folder, name) for folder in (root, join(root, "src"))]
    return any(
        entry.path.lower() == f"{base}.py" or entry.path.lower().startswith(f"{base}/")
        for entry in snapshot.tree
        for base in bases
    )


def _includes(snapshot: RepositorySnapshot, root: str, entry: dict[str, Any]) -> bool:
    """Tell whether one of Poetry's `packages` has anything at the commit; its patterns are glob's."""
    pattern = join(join(root, str(entry.get("from", "."))), str(entry.get("include", "")))
    return any(
        fnmatch.fnmatchcase(each.path, pattern) or fnmatch.fnmatchcase(each.path, f"{pattern}/*")
        for each in snapshot.tree
    )
