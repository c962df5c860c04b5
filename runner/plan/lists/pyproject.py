"""`pyproject.toml`: what a project asks for, and whether it is itself a package to be installed."""

from __future__ import annotations

import posixpath
import re
from typing import Any

from runner.plan.lists.found import PackageList, join
from runner.plan.toml_text import load_toml, table
from runner.schema.snapshot import RepositorySnapshot


def read_pyproject(snapshot: RepositorySnapshot, path: str) -> list[PackageList]:
    """Return the project at `path`, if it lists dependencies or is to be built, which tells them."""
    text = snapshot.texts.get(path)
    document = load_toml(text)
    project = table(document, "project")
    if text is None:
        return []
    package = is_package(snapshot, path)
    if not (project.get("dependencies") or package):
        return []  # configuration of tools lists no packages, and those of Poetry are read where it builds one
    dependencies = project.get("dependencies")
    return [
        PackageList(
            kind="pyproject",
            main=path,
            files={path: text},
            exact=False,
            complete=False,
            source=f"{path} at the commit (not pinned)",
            requirements=tuple(map(str, dependencies)) if isinstance(dependencies, list) else (),
            install_project=package,
        )
    ]


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
    if poetry.get("packages"):
        return True
    said = table(document, "project").get("name") or poetry.get("name") or ""
    name = re.sub(r"[^A-Za-z0-9]+", "_", str(said)).lower()
    root = posixpath.dirname(path)
    bases = [join(folder, name) for folder in (root, join(root, "src"))]
    return any(
        entry.path.lower() == f"{base}.py" or entry.path.lower().startswith(f"{base}/")
        for entry in snapshot.tree
        for base in bases
    )
