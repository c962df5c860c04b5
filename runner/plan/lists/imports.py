"""No list of packages at all: what the training's scripts import, through the repository's own modules. Pure.

Inferred, and said to be: an import tells that a package is needed, and nothing of its version.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from packaging.utils import canonicalize_name
from stdlib_list import long_versions, short_versions, stdlib_list

from runner.plan.lists.found import PackageList, join
from runner.plan.lists.import_names import DISTRIBUTIONS, NAMESAKES, NAMESPACES, NOT_ON_AN_INDEX, SAME_MODULES
from runner.schema.snapshot import RepositorySnapshot

_Value = TypeVar("_Value")
_MOST_MODULES = 500
_TOLD = 6  # names in a note
_BY_THE_TRACKER = "environment: mlflow is none of the imports that were found, and the run was logged with it"
_PERHAPS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.For, ast.While, ast.ExceptHandler, ast.match_case)
_FAILED = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True)
class Import:
    """An imported module, or a name of one; `level` counts the dots of a relative import.

    `guarded` tells that the script goes on without it, `at_once` that whoever loads the file imports it: it is under no
    condition, and in no function that may never be called.
    """

    module: str
    level: int = 0
    guarded: bool = False
    at_once: bool = True


@dataclass
class Followed:
    """What scripts reach: modules that are not the repository's, with where each is imported, and own files.

    `outside` maps them to the file, `guarded` holds those that no file needs. `unread` are own files without text.
    """

    outside: dict[str, str] = field(default_factory=dict)
    guarded: dict[str, str] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_imports(text: str) -> list[Import]:
    """Return all imports of a module, those within functions too, without those for type checkers alone."""
    try:
        return list(dict.fromkeys(_imports(ast.parse(text).body, guarded=False, at_once=True)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def follow(
    snapshot: RepositorySnapshot, scripts: Iterable[str], folders: Sequence[str], *, at_once: bool = False
) -> Followed:
    """Follow the imports of scripts through the repository's modules; with `at_once` only what starting them imports.

    These lie beside the scripts, as Python looks for them, or in `folders`, where a package of the repository may be.
    """
    found = Followed()
    modules = Modules(snapshot)
    waiting = [path for path in dict.fromkeys(scripts) if snapshot.has(path)]
    first = list(dict.fromkeys(posixpath.dirname(path) or "." for path in waiting))
    roots = [*first, *(folder for folder in (*folders, ".", "src") if folder not in first)]
    while waiting and len(found.own) < _MOST_MODULES:
        path = waiting.pop(0)
        if path in found.own:
            continue
        found.own.append(path)
        if path not in snapshot.texts:
            found.unread.append(path)
            continue
        for item in read_imports(snapshot.texts[path]):
            if at_once and not item.at_once:
                continue
            here = modules.of(item, path, roots, first)
            waiting += here or ()
            if here is None and not item.level:
                (found.guarded if item.guarded else found.outside).setdefault(item.module, path)
    for name in found.outside:
        found.guarded.pop(name, None)
    return found


def infer_list(
    snapshot: RepositorySnapshot, scripts: Sequence[str], folders: Sequence[str], python: str, *, dated: bool
) -> list[PackageList]:
    """Return the packages that the scripts import, if they import any.

    `python` is the minor version whose standard library is left out. `dated` tells that only what was there on the
    day of the run is had: a name that is not known to be a distribution's is tried in that case alone, since whoever
    likes may publish under it later.
    """
    followed = follow(snapshot, scripts, folders)
    standard = standard_modules(python)
    told = _Told()
    lines = {
        *_needed(followed.outside, standard, Modules(snapshot), told, dated=dated),
        *_welcome(followed.guarded, standard, told),
    }
    if not lines:
        return []
    if "mlflow" not in lines:
        lines.add("mlflow")
        told.notes.append(_BY_THE_TRACKER)
    return [_inferred(followed, sorted(lines), told.sentences())]


def with_imports(recorded: PackageList, inferred: PackageList) -> PackageList:
    """Return what the tracker recorded with what the scripts import beyond it: it is often that of the model alone."""
    have = {_plain(line) for line in recorded.requirements}
    more = [line for line in inferred.lines if have.isdisjoint(_stand_ins(_plain(line)))]
    if not more:
        return recorded
    added = f"environment: inferred from imports, since what was recorded lacks them: {', '.join(more)}"
    return replace(
        recorded,
        exact=False,
        source=f"{recorded.source} and {inferred.source.partition(' (')[0]} (inferred)",
        requirements=(*recorded.requirements, *more),
        lines=(*recorded.requirements, *more),
        notes=(*recorded.notes, added, *(note for note in inferred.notes[1:] if note != _BY_THE_TRACKER)),
    )


def _plain(line: str) -> str:
    return canonicalize_name(re.split(r"[\[\s<>=!~;@]", line, maxsplit=1)[0])


def _stand_ins(name: str) -> set[str]:
    """Return the distributions that bring the same modules."""
    return next((set(group) for group in SAME_MODULES if name in group), {name})


def _needed(
    imports: Mapping[str, str], standard: frozenset[str], modules: Modules, told: _Told, *, dated: bool
) -> Iterator[str]:
    """Yield the distributions of imports that scripts do not go on without."""
    for name, path in sorted(imports.items()):
        top = name.partition(".")[0]
        if top in standard:
            continue
        reason = longest(NOT_ON_AN_INDEX, name)
        distributions = distributions_of(name)
        if reason is not None:
            told.notes.append(f"environment: import {reason[0]} in {path}: {reason[1]}")
        elif distributions is not None:
            yield from distributions
        elif top in NAMESPACES and any(other.startswith(f"{name}.") for other in imports):
            continue  # what was taken of it counts
        elif top in NAMESPACES:
            told.unknown.setdefault(".".join(name.split(".")[:3]), path)
        elif (own := modules.anywhere(top)) is not None:
            told.notes.append(f"environment: import {top} in {path} is taken for the repository's own {own}")
        elif dated:
            told.by_name.setdefault(top, path)
            yield top
        else:
            told.refused.setdefault(top, path)


def _welcome(imports: Mapping[str, str], standard: frozenset[str], told: _Told) -> Iterator[str]:
    """Yield the distributions of imports that scripts go on without, where they are known."""
    for name, path in sorted(imports.items()):
        top = name.partition(".")[0]
        if top in standard or top in NAMESPACES or longest(NOT_ON_AN_INDEX, name) is not None:
            continue
        distributions = distributions_of(top)
        if distributions is None:
            told.left_out.setdefault(top, path)
        yield from distributions or ()


@dataclass
class _Told:
    """Imports that are not known to be a distribution's, each with a file that has it, and sentences on others."""

    by_name: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return what is to be said."""
        kinds = (
            ("inferred by the name of the import alone", self.by_name),
            ("left out, since without a date a later namesake would do", self.refused),
            ("left out, since the script goes on without them", self.left_out),
            ("left out, since it is not known which distribution has them", self.unknown),
        )
        found = [f"environment: {what}: {_some(names)}" for what, names in kinds if names]
        return [*found, *dict.fromkeys(self.notes)]


def _inferred(followed: Followed, lines: list[str], notes: Iterable[str]) -> PackageList:
    script, *others = followed.own
    count = f" and {len(others)} module{'s' * (len(others) > 1)} of the repository" if others else ""
    return PackageList(
        kind="imports",
        main=script,
        files={},
        exact=False,
        complete=False,
        source=f"imports of {script}{count} (inferred: nothing lists packages)",
        requirements=tuple(lines),
        lines=tuple(lines),
        notes=(f"environment: inferred from imports, since nothing lists packages: {', '.join(lines)}", *notes),
    )


def distributions_of(name: str) -> tuple[str, ...] | None:
    """Return the distributions of an imported module, None where none is known."""
    known = longest(DISTRIBUTIONS, name)
    top = name.partition(".")[0]
    if known is not None:
        return known[1]
    return (top.lower().replace("_", "-"),) if top.lower() in NAMESAKES else None


def standard_modules(python: str) -> frozenset[str]:
    """Return the top-level modules of the standard library of a minor version."""
    versions = {*short_versions, *long_versions}
    known = python if python in versions else max(short_versions, key=lambda text: tuple(map(int, text.split("."))))
    return frozenset(name.partition(".")[0] for name in stdlib_list(known)) | {"__future__", "__main__"}


def longest(names: Mapping[str, _Value], module: str) -> tuple[str, _Value] | None:
    """Return the longest beginning of a module's name that is among `names`, and what it stands for."""
    parts = module.split(".")
    beginnings = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next(((text, names[text]) for text in beginnings if text in names), None)


def _some(names: Mapping[str, str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(f"{name} (import in {path})" for name, path in list(names.items())[:_TOLD]) + more


def _imports(body: Iterable[ast.AST], *, guarded: bool, at_once: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, guarded=guarded, at_once=at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield Import(module, node.level, guarded, at_once)
            # What is taken from a package may be a module of it.
            yield from (
                Import(f"{module}.{alias.name}".lstrip("."), node.level, guarded, at_once)
                for alias in node.names
                if alias.name != "*"
            )
        elif isinstance(node, ast.Try) and any(map(_catches_lack, node.handlers)):
            yield from _imports([*node.body, *node.handlers], guarded=True, at_once=at_once)
            yield from _imports([*node.orelse, *node.finalbody], guarded=guarded, at_once=at_once)
        elif isinstance(node, ast.If) and _for_type_checkers(node.test):
            yield from _imports(node.orelse, guarded=guarded, at_once=at_once)
        else:
            inner = at_once and not isinstance(node, _PERHAPS)
            yield from _imports(ast.iter_child_nodes(node), guarded=guarded, at_once=inner)


def _catches_lack(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(item, ast.Name) and item.id in _FAILED for item in types)


def _for_type_checkers(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


class Modules:
    """The Python files of a commit as modules."""

    def __init__(self, snapshot: RepositorySnapshot) -> None:
        self._files = {entry.path for entry in snapshot.tree if entry.kind == "file" and entry.path.endswith(".py")}
        self._folders: set[str] = set()
        self._named: dict[str, str] = {}
        for path in sorted(self._files, key=lambda path: (path.count("/"), path)):
            self._named.setdefault(posixpath.basename(path).removesuffix(".py"), path)
            folder = posixpath.dirname(path)
            while folder and folder not in self._folders:
                self._folders.add(folder)
                self._named.setdefault(posixpath.basename(folder), folder)
                folder = posixpath.dirname(folder)

    def anywhere(self, name: str) -> str | None:
        """Return a file or folder of the commit that a path which is set while running may make the module `name`."""
        return self._named.get(name)

    def of(self, item: Import, importer: str, roots: Sequence[str], first: Sequence[str]) -> list[str] | None:
        """Return the own files that an import loads, the packages' `__init__.py` with them; None for what is not own.

        A folder without `__init__.py` that is not in a folder of `first` gives way to an installed package.
        """
        if item.level:
            folder = posixpath.dirname(importer)
            for _ in range(item.level - 1):
                folder = posixpath.dirname(folder)
            return self._below(folder or ".", item.module)
        for root in roots:
            found = self._below(root, item.module)
            if found or (found is not None and (root in first or distributions_of(item.module) is None)):
                return found
        return None

    def _below(self, root: str, module: str) -> list[str] | None:
        found: list[str] = []
        place, own = root, not module
        for part in module.split(".") if module else []:
            place = join(place, part)
            if f"{place}.py" in self._files:
                return [*found, f"{place}.py"]
            if place not in self._folders:
                break  # a name within the package
            own = True
            found += [path for path in (f"{place}/__init__.py",) if path in self._files]
        return found if own else None
