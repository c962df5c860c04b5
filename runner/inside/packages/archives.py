"""What a source archive says of how it is built: read as text, never unpacked and never run.

Build requirements come from `pyproject.toml`; where there is none, also from what `setup.py` and `setup.cfg` write
down as `setup_requires`, and from what `setup.py` imports undeclared. Standard library only.
"""

from __future__ import annotations

import ast
import configparser
import functools
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.inside.packages import toml
from runner.inside.packages.requirements import plain_build_requirement, requirement_name
from runner.inside.protocol import MISSING, PhaseError

_DEFAULT_BACKEND = "setuptools.build_meta:__legacy__"
_DEFAULT_REQUIRES = ("setuptools>=40.8.0", "wheel")
_READ = ("pyproject.toml", "setup.py", "setup.cfg")
_TEXT_LIMIT = 1 << 20
_UNPACKED_LIMIT = 32 << 30  # a small archive may unpack to no end
_CHUNK = 1 << 20
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, NotImplementedError, RuntimeError),
)
# What `setup.py` files import at their top without asking for it: pip built them beside what was already installed.
_IMPORTED = {"numpy": "numpy", "Cython": "Cython", "cython": "Cython", "pybind11": "pybind11", "pkgconfig": "pkgconfig"}
_IMPORTED |= {"setuptools_scm": "setuptools_scm", "six": "six", "scipy": "scipy", "cffi": "cffi"}


@dataclass(frozen=True)
class BuildSystem:
    """How a package is built, as PEP 518 has it."""

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()


class Archive:
    """A source archive, or the archive of a commit of which `folder` is the package."""

    def __init__(self, path: Path, *, folder: str | None = None) -> None:
        self.path = path
        self._prefix = None if folder is None else ("" if folder in {"", "."} else f"{folder.strip('/')}/")

    def text(self, wanted: str) -> str | None:
        """Return the text of one of the files that say how it is built, None if it is not a regular one.

        Raises PhaseError for what is no archive, or unpacks to more than any source has.
        """
        return self._texts[wanted]

    @property
    def is_package(self) -> bool:
        """Tell whether anything says how it is built."""
        return any(text is not None for text in self._texts.values())

    def copy(self, wanted: str, target: Path) -> None:
        """Copy a regular member out of the archive of a commit. Raises PhaseError where there is none."""
        with tarfile.open(self.path) as tar:
            for member in tar:
                if member.isreg() and self._is(member.name, wanted) and (file := tar.extractfile(member)) is not None:
                    with file, open(target, "wb") as out:
                        shutil.copyfileobj(file, out)
                    return
        raise PhaseError(MISSING, f"the commit holds no {wanted}", fact="environment", looked_in=(wanted,))

    @functools.cached_property
    def _texts(self) -> dict[str, str | None]:
        # All of them in one pass: what a compressed archive lacks is known at its end alone.
        found: dict[str, str | None] = dict.fromkeys(_READ)
        size = 0
        try:
            for name, length, read in self._members():
                size += length
                if size > _UNPACKED_LIMIT:
                    raise PhaseError(
                        MISSING, f"{self.path.name} unpacks to more than {_UNPACKED_LIMIT >> 30} GiB",
                        fact="environment",
                    )  # fmt: skip
                for wanted in _READ:
                    if found[wanted] is None and length <= _TEXT_LIMIT and self._is(name, wanted):
                        found[wanted] = read().decode("utf-8", errors="replace")
                if None not in found.values():
                    break
        except _UNREADABLE as error:
            raise PhaseError(MISSING, f"{self.path.name} cannot be read: {error}", fact="environment") from error
        return found

    def _members(self) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
        """Yield name, size and reader of each regular file."""
        if self.path.suffix == ".zip":
            with zipfile.ZipFile(self.path) as pack:
                for info in pack.infolist():
                    yield info.filename, info.file_size, functools.partial(pack.read, info)
            return
        with tarfile.open(self.path) as tar:
            for member in tar:
                if member.isreg():
                    file = tar.extractfile(member)
                    if file is not None:
                        yield member.name, member.size, file.read
            # A header that is none ends an archive without a word; the compression's checksum tells a broken one.
            while tar.fileobj is not None and tar.fileobj.read(_CHUNK):
                pass

    def _is(self, name: str, wanted: str) -> bool:
        name = name.removeprefix("./")
        if self._prefix is not None:
            return name == self._prefix + wanted
        return name.count("/") == 1 and name.split("/", 1)[1] == wanted  # below the archive's one folder


def build_system(archive: Archive) -> BuildSystem:
    """Return the build system that an archive declares. Raises PhaseError for one that no package index can serve."""
    text = archive.text("pyproject.toml")
    table: dict[str, Any] = {}
    if text is not None:
        try:
            document = toml.loads(text)
        except ValueError as error:
            raise PhaseError(MISSING, f"a pyproject.toml is no TOML: {error}", fact="environment") from error
        found = document.get("build-system", {})
        table = found if isinstance(found, dict) else {}
    backend = str(table.get("build-backend", _DEFAULT_BACKEND))
    requires = _strings(table.get("requires", _DEFAULT_REQUIRES))
    if backend.partition(":")[0] == "setuptools.build_meta":
        setup = archive.text("setup.py") or ""
        requires += [each for each in setup_requires(setup, archive.text("setup.cfg") or "") if each not in requires]
        if "requires" not in table:
            named = {requirement_name(each) for each in requires}
            requires += [each for each in imported(setup) if requirement_name(each) not in named]
    return BuildSystem(
        requires=checked(requires),
        backend=backend,
        backend_path=tuple(_strings(table.get("backend-path", ()))),
    )


def setup_requires(setup_py: str, setup_cfg: str) -> list[str]:
    """Return what a legacy project writes down as `setup_requires`; what is computed there, only building can tell."""
    found: list[str] = []
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(setup_cfg)
        found += re.split(r"[;\n]", parser.get("options", "setup_requires", fallback=""))
    except configparser.Error:
        pass
    tree = _parsed(setup_py)
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node.func) == "setup":
            for keyword in node.keywords:
                if keyword.arg == "setup_requires":
                    found += _literal_strings(keyword.value, constants)
    return [text.strip() for text in found if text.strip() and plain_build_requirement(text.strip())]


def imported(setup_py: str) -> list[str]:
    """Return the packages that a `setup.py` imports at its top, as far as they are known to be needed there."""
    names: dict[str, None] = {}
    for node in _parsed(setup_py).body:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            modules = [node.module]
        for module in modules:
            if (package := _IMPORTED.get(module.partition(".")[0])) is not None:
                names[package] = None
    return list(names)


def checked(requires: Sequence[str]) -> tuple[str, ...]:
    """Return build requirements. Raises PhaseError for an address, a path or an option among them."""
    for text in requires:
        if not plain_build_requirement(text):
            raise PhaseError(MISSING, f"building asks for {text}, which no package index can give", fact="environment")
    return tuple(requires)


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # Python 2's, or worse
        return ast.Module(body=[], type_ignores=[])


def _called(function: ast.expr) -> str | None:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else None


def _literal_strings(node: ast.expr, constants: dict[str, ast.expr], depth: int = 0) -> Iterator[str]:
    if depth > 5:  # names that mean each other
        return
    if isinstance(node, ast.Name) and node.id in constants:
        yield from _literal_strings(constants[node.id], constants, depth + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from node.value.splitlines()
    elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        for element in node.elts:
            yield from _literal_strings(element, constants, depth + 1)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _literal_strings(node.left, constants, depth + 1)
        yield from _literal_strings(node.right, constants, depth + 1)


def _strings(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []
