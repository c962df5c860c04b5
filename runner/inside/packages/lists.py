"""Phase 2a, its beginning: what the files at the commit ask for, by the kind of list that the plan chose.

No code of the repository or of a package runs. Standard library and uv.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from runner.inside.packages import toml
from runner.inside.packages.environment import normalised
from runner.inside.packages.locked.formats import FORMATS
from runner.inside.packages.locks import read_other_lock, read_uv_lock
from runner.inside.packages.requirements import Requirements, lock_text, read_requirements
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.uv import Uv
from runner.inside.packages.wanted import Specification, Wanted
from runner.inside.protocol import MISSING, PhaseError


def read(specification: Specification, uv: Uv, *, folder: Path, python: str) -> Wanted:
    """Read what the files ask for. Raises PhaseError for what cannot be had again."""
    wanted = _READERS[specification.kind](specification, uv, folder, python)
    root = posixpath.normpath(specification.root or ".")
    if specification.install_project and all(tree.address or tree.path != root for tree in wanted.trees):
        wanted.trees.append(SourceTree(root, editable=True))
    wanted.without(specification.left_out)
    wanted.indexes += specification.indexes
    return wanted


def _read_requirements(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    found = _own(specification)
    wanted = _wanted(found)
    wanted.trees = found.trees
    if found.hashed:
        wanted.lock, wanted.with_setuptools = lock_text("\n".join(found.lines)), False
    return wanted


def _read_pyproject(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    main = specification.main or posixpath.join(specification.root, "pyproject.toml")
    document = _toml(specification.text(main), main)
    tool = document.get("tool", {}).get("uv", {})
    names = specification.replaced
    for name, source in tool.get("sources", {}).items():
        for entry in source if isinstance(source, list) else [source]:
            foreign = next((kind for kind in ("git", "url", "path", "workspace") if kind in entry), None)
            if foreign is not None and normalised(name) not in names:
                raise _no_index(name, f"{foreign} {entry[foreign]}")
    indexes = [str(index["url"]) for index in tool.get("index", ()) if str(index.get("url", "")).startswith("https:")]
    if specification.install_project:
        # The project's own wheel names its requirements, dynamic ones too.
        declared = [str(line) for line in document.get("project", {}).get("dependencies", ())]
        return Wanted(indexes=indexes, declared=declared, with_setuptools=True)
    wanted = _wanted(_own(specification))
    wanted.indexes += indexes
    return wanted


def _read_setup(specification: Specification, uv: Uv, folder: Path, python: str) -> Wanted:
    if not specification.lines:
        return Wanted(with_setuptools=True)  # the project's own wheel names its requirements
    return _read_requirements(specification, uv, folder, python)


def _read_none(_specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    return Wanted(with_setuptools=True)


_READERS = {
    "uv.lock": read_uv_lock,
    **dict.fromkeys(FORMATS, read_other_lock),
    "requirements": _read_requirements,
    "pyproject": _read_pyproject,
    "conda": _read_requirements,
    "setup": _read_setup,
    "imports": _read_requirements,
    "none": _read_none,
}


def _own(specification: Specification) -> Requirements:
    """Read the list, or the lines that stand for one in another notation."""
    main = specification.main or ""
    lines = {main: "\n".join(specification.lines)} if specification.lines else {}
    return read_requirements(
        {**specification.files, **lines},
        main,
        replaced=specification.replaced,
        recorded=specification.recorded_overrides,
    )


def _wanted(found: Requirements) -> Wanted:
    return Wanted(
        lines=found.lines,
        constraints=found.constraints,
        indexes=found.indexes,
        links=found.links,
        prereleases=found.prereleases,
        with_setuptools=True,
        notes=list(found.notes),
    )


def _no_index(name: str, where: str) -> PhaseError:
    return PhaseError(
        MISSING,
        f"{name} comes from {where} and from no package index",
        f"name a release of it: --with {name}==VERSION",
        fact="environment",
    )


def _toml(text: str, path: str) -> dict[str, Any]:
    try:
        return toml.loads(text)
    except ValueError as error:
        raise PhaseError(
            MISSING,
            f"{path} is no TOML: {error}",
            "name another file with `environment:` in runner.yaml",
            fact="environment",
        ) from error
