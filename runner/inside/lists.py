"""Phase 2a, its beginning: what the files at the commit ask for, by the kind of list that the plan chose.

No code of the repository or of a package runs. Standard library and uv.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from packaging.markers import default_environment

from runner.inside import toml
from runner.inside.environment import normalised
from runner.inside.locked.formats import FORMATS
from runner.inside.protocol import MISSING, PhaseError
from runner.inside.requirements import Requirements, lock_text, read_requirements
from runner.inside.source_tree import SourceTree
from runner.inside.uv import Uv
from runner.inside.wanted import Specification, Wanted


def read(specification: Specification, uv: Uv, *, folder: Path, python: str) -> Wanted:
    """Read what the files ask for. Raises PhaseError for what cannot be had again."""
    wanted = _READERS[specification.kind](specification, uv, folder, python)
    root = posixpath.normpath(specification.root or ".")
    if specification.install_project and all(tree.address or tree.path != root for tree in wanted.trees):
        wanted.trees.append(SourceTree(root, editable=True))
    return wanted


def _read_uv_lock(specification: Specification, uv: Uv, folder: Path, python: str) -> Wanted:
    root = specification.root
    lock = _file(specification, specification.main or posixpath.join(root, "uv.lock"))
    document = _toml(lock, "uv.lock")
    indexes: list[str] = []
    members = []
    replaced = specification.replaced
    for package in document.get("package", ()):
        source = package.get("source", {})
        if normalised(str(package.get("name"))) in replaced:
            continue
        if "registry" in source and str(source["registry"]).startswith("https://"):
            indexes.append(str(source["registry"]))
        elif kind := next((kind for kind in ("git", "url", "path", "directory") if kind in source), None):
            raise _no_index(str(package.get("name")), f"{kind} {source[kind]}")
        elif "editable" in source and source["editable"] != ".":
            members.append(str(package.get("name")))
    if members:
        raise _no_index(members[0], "another folder of the repository")
    project = folder / "project"
    for path, text in specification.files.items():
        inner = posixpath.relpath(path, root)
        if posixpath.basename(path) in {"uv.lock", "pyproject.toml"} and not inner.startswith("../"):
            target = project / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    arguments = ["export", "--frozen", "--offline", "--no-emit-workspace", "--no-header", "--no-annotate"]
    arguments += ["--project", str(project), "--python", python, "--format", "requirements.txt"]
    exported = uv.run(arguments, cwd=str(project))
    return Wanted(lock=lock_text(exported), closed=True, indexes=indexes)


def _read_locked(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    form = FORMATS[specification.kind]
    main = specification.main or posixpath.join(specification.root, specification.kind)
    text = _file(specification, main)
    manifest = {}
    if form.manifest is not None:
        path = posixpath.join(posixpath.dirname(main), form.manifest)
        manifest = _toml(_file(specification, path), path)
    here = {name: str(value) for name, value in default_environment().items()}
    try:
        found = form.read(form.parse(text), manifest, here, posixpath.dirname(main) or ".")
    except ValueError as error:
        raise PhaseError(
            MISSING,
            f"{main} at the commit {error}",
            "name another list with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(main,),
        ) from error
    kept = [package for package in found.packages if package.name not in specification.replaced]
    for package in kept:
        if package.tree is not None:
            raise _no_index(package.name, package.tree.title)
    lines = [package.line for package in kept]
    wanted = Wanted(indexes=list(found.indexes))
    bare = [package.name for package in kept if not package.hashes]
    if bare:
        wanted.lines = [line.split(" --hash", 1)[0] for line in lines]
        wanted.notes.append(f"{main} has no hash of {', '.join(bare[:4])}{' and others' if len(bare) > 4 else ''}")
    else:
        wanted.lock = lock_text("\n".join(lines))
    return wanted


def _read_requirements(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    found = read_requirements(specification.files, specification.main or "", replaced=specification.replaced)
    wanted = _wanted(found)
    if found.project is not None:
        root = posixpath.normpath(specification.root or ".")
        wanted.trees.append(SourceTree(root, extras=found.project, editable=found.editable))
    if found.hashed:
        wanted.lock = lock_text("\n".join(found.lines))
    return wanted


def _read_pyproject(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    main = specification.main or posixpath.join(specification.root, "pyproject.toml")
    document = _toml(_file(specification, main), main)
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
    project = document.get("project", {})
    if "dependencies" in project.get("dynamic", ()) or "dependencies" not in project:
        raise PhaseError(
            MISSING,
            f"{main} lists no dependencies in [project]",
            "name the file that does with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(main,),
        )
    text = "\n".join(map(str, project["dependencies"]))
    found = read_requirements({main: text}, main, replaced=names)
    wanted = _wanted(found)
    wanted.indexes += indexes
    return wanted


def _read_none(_specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    return Wanted(with_setuptools=True)


_READERS = {
    "uv.lock": _read_uv_lock,
    **dict.fromkeys(FORMATS, _read_locked),
    "requirements": _read_requirements,
    "pyproject": _read_pyproject,
    "none": _read_none,
}


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


def _file(specification: Specification, path: str) -> str:
    path = posixpath.normpath(path)
    if path not in specification.files:
        raise PhaseError(
            MISSING,
            f"the commit holds no {path}",
            "name the file that lists the packages with `environment:` in runner.yaml",
            fact="environment",
            looked_in=(path,),
        )
    return specification.files[path]


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
