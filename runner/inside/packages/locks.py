"""Phase 2a: what a lock at the commit installs here, and that it is the lock of its project."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.markers import default_environment

from runner.inside.packages import toml
from runner.inside.packages.locked.formats import FORMATS
from runner.inside.packages.locked.package import index_addresses, table, tables
from runner.inside.packages.requirements import lock_text, read_requirements, requirement_name
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.uv import Uv
from runner.inside.packages.wanted import Specification, Wanted
from runner.inside.protocol import MISSING, PhaseError


def read_uv_lock(specification: Specification, uv: Uv, folder: Path, python: str) -> Wanted:
    """Return what `uv.lock` installs, by uv's own export, which runs nothing and asks nobody."""
    main = specification.main or posixpath.join(specification.root, "uv.lock")
    project = folder / "project"
    specification.text(main)  # says so where it is not there
    for path, text in specification.files.items():
        inner = posixpath.relpath(path, specification.root)
        if posixpath.basename(path) in {"uv.lock", "pyproject.toml"} and not inner.startswith("../"):
            target = project / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    try:
        documents = {path: toml.loads(text) for path, text in specification.files.items()}
        packages = tables(documents[main], "package")
    except ValueError as error:
        raise _unusable(main, f"cannot be read, or a project of its: {error}") from error
    registries = [table(package, "source").get("registry") for package in packages]
    static = all(map(_is_static, (document for path, document in documents.items() if path != main)))
    if static and (why := uv.outdated(str(project), python=python)) is not None:
        raise _unusable(main, f"was not made from pyproject.toml as it is there: {why}")
    arguments = ["export", "--frozen", "--offline", "--no-header", "--no-annotate", "--format", "requirements.txt"]
    exported = uv.run([*arguments, "--project", str(project), "--python", python], cwd=str(project))
    found = read_requirements({main: exported}, main, replaced=specification.replaced)
    return _wanted(main, found.lines, found.trees, index_addresses(registries))


def read_other_lock(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    """Return what a lock of another tool installs; the host has seen that it is that of its manifest."""
    form = FORMATS[specification.kind]
    main = specification.main or posixpath.join(specification.root, specification.kind)
    root = posixpath.dirname(main) or "."
    here = {name: str(value) for name, value in default_environment().items()}
    try:
        manifest = {} if form.manifest is None else toml.loads(specification.text(posixpath.join(root, form.manifest)))
        found = form.read(form.parse(specification.text(main)), manifest, here, root)
    except ValueError as error:
        raise _unusable(main, str(error)) from error
    kept = [package for package in found.packages if package.name not in specification.replaced]
    trees = [package.tree for package in kept if package.tree is not None]
    wanted = _wanted(main, [package.line for package in kept if package.tree is None], trees, found.indexes)
    wanted.with_setuptools = form.with_setuptools
    return wanted


def _is_static(project: Mapping[str, Any]) -> bool:
    """Tell whether a project says all of itself, so that nobody has to run its build to ask."""
    return "name" in table(project, "project") and not table(project, "project").get("dynamic")


def _wanted(main: str, lines: Iterable[str], trees: Iterable[SourceTree], indexes: Iterable[str]) -> Wanted:
    lines = list(lines)
    wanted = Wanted(trees=list(trees), indexes=list(indexes), closed=True)
    bare = [requirement_name(line) or line for line in lines if "--hash" not in line]
    if not bare:
        wanted.lock = lock_text("\n".join(lines))
        return wanted
    wanted.lines = [line.split(" --hash", 1)[0] for line in lines]
    wanted.notes.append(f"{main} has no hash of {', '.join(bare[:4])}{' and others' if len(bare) > 4 else ''}")
    return wanted


def _unusable(main: str, why: str) -> PhaseError:
    return PhaseError(
        MISSING,
        f"{main} at the commit {why}",
        "name another list with `environment:` in runner.yaml",
        fact="environment",
        looked_in=(main,),
    )
