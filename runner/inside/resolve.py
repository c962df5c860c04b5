"""Phase 2a, first half: from the files at the commit to one exact lock with a hash for every package.

No code of the repository or of a package runs. Standard library and uv.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.inside import toml
from runner.inside.environment import normalised
from runner.inside.protocol import MISSING, PhaseError
from runner.inside.requirements import Requirements, hashes, logical_lines, read_requirements, requirement_name
from runner.inside.uv import Unsatisfiable, Uv, WheelsNeeded, compile_arguments, install_arguments

# What `ensurepip` and pip's virtual environments put beside the packages before Python 3.12: nobody listed it, many
# import it (`pkg_resources`; mlflow 2.2 does without declaring it).
_SETUPTOOLS = "setuptools==65.5.1"
_SETUPTOOLS_UNTIL = (3, 12)
_GIVEN_UP_ALONE = 5  # recorded versions that are tried without, one at a time, where they fit no others
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*===?\s*(?P<version>[^\s;,\\]+)")


@dataclass(frozen=True)
class Specification:
    """What is to be resolved: the plan's specification as the host sent it.

    `constraints` are versions that the tracker recorded, for what the files leave open.
    """

    kind: str
    root: str
    main: str | None
    files: Mapping[str, str]
    as_of: str | None
    overrides: tuple[str, ...]
    install_project: bool
    constraints: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Specification:
        """Read it from the request."""
        return cls(
            kind=request["kind"],
            root=request["root"],
            main=request["main"],
            files=request["files"],
            as_of=request["as_of"],
            overrides=tuple(request["overrides"]),
            install_project=request["install_project"],
            constraints=tuple(request["constraints"]),
        )


@dataclass(frozen=True)
class Built:
    """A wheel that phase 2b built for this repository and commit."""

    name: str
    version: str
    path: Path

    @property
    def sha256(self) -> str:
        """The digest of the wheel's bytes."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@dataclass
class Wanted:
    """What the files ask for, read statically.

    Either `lock` is the text of an exact hashed lock, or `lines` are requirements to be resolved with `constraints`.
    `project` is None, or the extras (`[a]` or empty) with which the repository itself is installed; `editable` tells
    how. `indexes` and `links` are what the repository names.
    """

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    lock: str | None = None
    project: str | None = None
    editable: bool = True
    indexes: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    prereleases: bool = False
    with_setuptools: bool = False
    notes: list[str] = field(default_factory=list)


def read(specification: Specification, uv: Uv, *, folder: Path, python: str) -> Wanted:
    """Read what the files ask for. Raises PhaseError for what cannot be had again."""
    wanted = _READERS[specification.kind](specification, uv, folder, python)
    if specification.install_project and wanted.project is None:
        wanted.project = ""
    return wanted


def resolve(
    specification: Specification,
    wanted: Wanted,
    uv: Uv,
    *,
    folder: Path,
    python: str,
    built: Sequence[Built] = (),
    project: Built | None = None,
) -> str:
    """Return the lock: sorted lines `NAME==VERSION [; marker] --hash=sha256:…`, one a package.

    `built` are wheels for what indexes have only as source, `project` is that of the repository itself. Raises
    WheelsNeeded where one more must be built, PhaseError for all else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if wanted.lock is not None and not specification.overrides:
        text = _with_built(wanted.lock, built)
        _write(folder / "index.txt", _without(text, built))
        # Says which packages have no wheel here, before anything is fetched.
        uv.run(["venv", "--quiet", "--python", python, "--no-project", str(folder / "empty")])
        empty = str(folder / "empty" / "bin" / "python")
        uv.run(install_arguments(str(folder / "index.txt"), python=empty, dry_run=True))
        return text
    lines = list(wanted.lines)
    if wanted.lock is not None:
        kept = (line for line in wanted.lock.splitlines() if requirement_name(line) not in _replaced(specification))
        lines = [line.split(" --hash", 1)[0] for line in kept]
    if project is not None and specification.kind != "uv.lock":
        lines.append(f"{project.name}{wanted.project or ''} @ file://{project.path}")
    overrides = [_override(text) for text in specification.overrides]
    _write(folder / "requirements.in", "\n".join([*lines, *overrides]) + "\n")
    _write(folder / "overrides.txt", "\n".join(overrides) + "\n")

    def compiled(recorded: Sequence[str]) -> str:
        constraints = [*wanted.constraints, *recorded]
        _write(folder / "constraints.txt", "\n".join(constraints) + "\n")
        return uv.run(
            compile_arguments(
                [str(folder / "requirements.in")],
                python=python,
                exclude_newer=specification.as_of,
                constraints=[str(folder / "constraints.txt")] if constraints else [],
                overrides=[str(folder / "overrides.txt")] if overrides else [],
                find_links=[str(built[0].path.parent)] if built else [],
                prereleases=wanted.prereleases,
            )
        )

    try:
        output = compiled(specification.constraints)
    except Unsatisfiable as error:
        raise _contradicted(error, specification, compiled) from error
    text = lock_text(output)
    named = {requirement_name(line) for line in text.splitlines()}
    if wanted.with_setuptools and sys.version_info < _SETUPTOOLS_UNTIL and "setuptools" not in named:
        text = lock_text(text + _setuptools(uv, folder, python, wanted.notes))
    return text


def _contradicted(
    error: Unsatisfiable, specification: Specification, compiled: Callable[[Sequence[str]], str]
) -> PhaseError:
    """Return what to say where no packages fit: which recorded versions are in the way, and others that fit."""
    recorded = specification.constraints
    named = [line for line in recorded if line.partition("==")[0] in error.packages]
    for given_up in [*([line] for line in named[:_GIVEN_UP_ALONE]), named, list(recorded)]:
        if not given_up:
            continue
        try:
            found = pins(compiled([line for line in recorded if line not in given_up]))
        except (Unsatisfiable, WheelsNeeded):
            continue
        changed = [line for line in given_up if found.get(line.partition("==")[0]) != line.partition("==")[2]]
        names = [line.partition("==")[0] for line in changed]
        others = [f"{name}=={found[name]}" for name in names if name in found]
        if others:
            return PhaseError(
                MISSING,
                f"{', '.join(changed)} as the run recorded cannot be had with the rest: {error.sentence}",
                " ".join(["runner reproduce RUN", *(f"--with {text}" for text in (*specification.overrides, *others))]),
                fact="environment",
            )
    return error


def _setuptools(uv: Uv, folder: Path, python: str, notes: list[str]) -> str:
    _write(folder / "setuptools.in", f"{_SETUPTOOLS}\n")
    try:
        line = uv.run(compile_arguments([str(folder / "setuptools.in")], python=python, exclude_newer=None))
    except (PhaseError, WheelsNeeded):
        notes.append("setuptools is not there: virtual environments had it before Python 3.12, and no index has it")
        return ""
    notes.append(f"{_SETUPTOOLS} added: virtual environments had it unasked before Python 3.12")
    return line


def lock_text(output: str) -> str:
    """Return uv's lock in our form: a line a package, sorted, without comments and options."""
    lines = [re.sub(r"\s+", " ", line) for line in logical_lines(output)]
    kept = sorted(line for line in lines if not line.startswith("-"))
    return "".join(f"{line}\n" for line in kept)


def pins(lock: str) -> dict[str, str]:
    """Return the exact versions of a lock or requirements text, by normalised name."""
    found = (_PINNED.match(line) for line in lock.splitlines())
    return {normalised(match["name"]): match["version"] for match in found if match}


def split_built(lock: str, wheels: Sequence[Built]) -> tuple[str, list[Built]]:
    """Return the lines of the lock that an index serves, and the wheels of ours that stand for the others."""
    digests = {f"sha256:{wheel.sha256}": wheel for wheel in wheels}
    index, used = [], []
    for line in lock.splitlines():
        ours = next((digests[digest] for digest in hashes(line) if digest in digests), None)
        if ours is None:
            index.append(line)
        else:
            used.append(ours)
    return "".join(f"{line}\n" for line in index), used


def _with_built(lock: str, built: Sequence[Built]) -> str:
    """Put our wheels' hashes in the place of those of the source archives that they were built from."""
    ours = {wheel.name: wheel for wheel in built}
    lines = []
    for line in lock.splitlines():
        wheel = ours.get(requirement_name(line) or "")
        if wheel is not None and pins(line).get(wheel.name) == wheel.version:
            lines.append(f"{line.split(' --hash', 1)[0]} --hash=sha256:{wheel.sha256}")
        else:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _without(lock: str, built: Sequence[Built]) -> str:
    return split_built(lock, built)[0]


def _replaced(specification: Specification) -> frozenset[str]:
    return frozenset(requirement_name(text) or "" for text in specification.overrides)


def _override(text: str) -> str:
    if requirement_name(text) is None or "@" in text or "/" in text:
        raise PhaseError(MISSING, f"{text} is no requirement", "--with NAME==VERSION", fact="environment")
    return text


def _read_uv_lock(specification: Specification, uv: Uv, folder: Path, python: str) -> Wanted:
    root = specification.root
    lock = _file(specification, specification.main or posixpath.join(root, "uv.lock"))
    document = _toml(lock, "uv.lock")
    indexes: list[str] = []
    members = []
    replaced = _replaced(specification)
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
            _write(target, text)
    arguments = ["export", "--frozen", "--offline", "--no-emit-workspace", "--no-header", "--no-annotate"]
    arguments += ["--project", str(project), "--python", python, "--format", "requirements.txt"]
    exported = uv.run(arguments, cwd=str(project))
    return Wanted(lock=lock_text(exported), indexes=indexes)


def _read_requirements(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    found = read_requirements(specification.files, specification.main or "", replaced=_replaced(specification))
    wanted = _wanted(found)
    if found.project is not None:
        wanted.project, wanted.editable = found.project, found.editable
    if found.hashed:
        wanted.lock = lock_text("\n".join(found.lines))
    return wanted


def _read_pyproject(specification: Specification, _uv: Uv, _folder: Path, _python: str) -> Wanted:
    main = specification.main or posixpath.join(specification.root, "pyproject.toml")
    document = _toml(_file(specification, main), main)
    tool = document.get("tool", {}).get("uv", {})
    names = _replaced(specification)
    for name, source in tool.get("sources", {}).items():
        for entry in source if isinstance(source, list) else [source]:
            foreign = next((kind for kind in ("git", "url", "path", "workspace") if kind in entry), None)
            if foreign is not None and normalised(name) not in names:
                raise _no_index(name, f"{foreign} {entry[foreign]}")
    indexes = [str(index["url"]) for index in tool.get("index", ()) if str(index.get("url", "")).startswith("https:")]
    if specification.install_project:
        # The project's own wheel names its requirements, dynamic ones too.
        return Wanted(project="", indexes=indexes, with_setuptools=True)
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


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
