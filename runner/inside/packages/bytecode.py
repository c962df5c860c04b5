"""Compiles what a training will import, by reading imports from the code and running none of it.

The environment is read-only for the training, so what is not compiled here is compiled at every run, and kept by
none. Compiling all of a large environment takes twenty seconds; what is reachable by imports at the top of modules
takes two. Standard library only; runs with the Python that the environment has.
"""

from __future__ import annotations

import ast
import dis
import importlib.machinery
import importlib.util
import os
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from importlib._bootstrap_external import _code_to_timestamp_pyc  # type: ignore[attr-defined]
from pathlib import Path
from types import CodeType

_FUNCTION = 0x1  # CO_OPTIMIZED: set for functions, not for classes and modules
_EXTENDED_ARG, _LOAD_CONST, _IMPORT_NAME = (dis.opmap[name] for name in ("EXTENDED_ARG", "LOAD_CONST", "IMPORT_NAME"))
_LOAD_SMALL_INT = dis.opmap.get("LOAD_SMALL_INT")  # from Python 3.14 on
_TYPE_CHECKING = re.compile(rb"\s*if\s(?!.*\bnot\b).*\bTYPE_CHECKING\s*(?:or\b.*)?:")
_BATCH = 24
_SKIPPED = frozenset({"tests", "test", "conftest"})


def compile_reachable(site: Path, roots: Iterable[str], *, seconds: float, processes: int | None = None) -> int:
    """Compile the modules of `site` that importing `roots` imports; return how many. Stops after `seconds`.

    What cannot be compiled (another Python's syntax) is left out, as importing it would fail anyway.
    """
    deadline = time.monotonic() + seconds
    modules = _Modules(site)
    waiting = [path for root in roots for path in modules.files_of(root)]
    seen = set(waiting)
    compiled = 0
    with ProcessPoolExecutor(processes or min(4, len(os.sched_getaffinity(0)))) as pool:
        running: set[Future[list[set[str]]]] = set()
        while waiting or running:
            while waiting and len(running) < 8 and time.monotonic() < deadline:
                batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
                running.add(pool.submit(_compile_batch, [(str(path), *modules.name_of(path)) for path in batch]))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                results = future.result()
                compiled += len(results)
                for imports in results:
                    for name in sorted(imports):
                        for path in modules.files_of(name):
                            if path not in seen:
                                seen.add(path)
                                waiting.append(path)
    return compiled


def imports_of_sources(sources: Mapping[str, str]) -> set[str]:
    """Return the modules that scripts name: imported ones, and dotted names below them (`mlflow.sklearn.log_model`)."""
    found: set[str] = set()
    for text in sources.values():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        aliases: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found.add(alias.name)
                    aliases[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                found.add(f"{aliases[node.value.id]}.{node.attr}")
    return found


def top_level_modules(site: Path, packages: Iterable[str]) -> set[str]:
    """Return the import names of distributions (normalised names), from the list of their files."""
    wanted = set(packages)
    found: set[str] = set()
    for folder in site.glob("*.dist-info"):
        name = folder.name.split("-", 1)[0].replace("_", "-").replace(".", "-").lower()
        if name not in wanted:
            continue
        try:
            lines = (folder / "RECORD").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            first = line.split(",", 1)[0].split("/")
            if first[0].endswith((".dist-info", ".data")) or first[0] in {"..", "bin"}:
                continue
            if len(first) == 1 and first[0].endswith(".py"):
                found.add(first[0].removesuffix(".py"))
            elif len(first) > 1 and first[-1] == "__init__.py" and len(first) == 2:
                found.add(first[0])
    return found


class _Modules:
    """Maps the names of modules to files below one folder; what lies elsewhere (standard library) has none."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._known: dict[str, list[Path]] = {}

    def files_of(self, name: str) -> list[Path]:
        """Return the files that importing `name` runs: those of its packages, and its own."""
        if name not in self._known:
            found: list[Path] = []
            parent, _, last = name.rpartition(".")
            if last.isidentifier() and last not in _SKIPPED:
                found += self.files_of(parent) if parent else []
                base = self._site.joinpath(*name.split("."))
                for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
                    if path.is_file():
                        found = [*found, path]
                        break
            self._known[name] = found
        return self._known[name]

    def name_of(self, path: Path) -> tuple[str, bool]:
        """Return a file's module name, and whether it is a package's."""
        parts = path.relative_to(self._site).with_suffix("").parts
        package = parts[-1] == "__init__"
        return ".".join(parts[:-1] if package else parts), package


def _compile_batch(batch: list[tuple[str, str, bool]]) -> list[set[str]]:
    return [_compile(path, name, package=package) for path, name, package in batch]


def _compile(path: str, name: str, *, package: bool) -> set[str]:
    try:
        status = os.stat(path)
        with open(path, "rb") as file:
            source = file.read()
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    target = importlib.util.cache_from_source(path, optimization="")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = f"{target}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(_code_to_timestamp_pyc(code, int(status.st_mtime), status.st_size))
    os.replace(temporary, target)
    return _imports(code, name if package else name.rpartition(".")[0], _never_run(source))


def _never_run(source: bytes) -> frozenset[int]:
    """Return the lines of the blocks that type checkers alone read: half of what some packages import is there."""
    if b"TYPE_CHECKING" not in source:
        return frozenset()
    lines: set[int] = set()
    inside: int | None = None  # the indentation of the condition whose block this is
    for number, line in enumerate(source.splitlines(), 1):
        indentation = len(line) - len(line.lstrip())
        if inside is not None and (not line.strip() or indentation > inside):
            lines.add(number)
        else:
            inside = indentation if _TYPE_CHECKING.match(line) else None
    return frozenset(lines)


def _imports(code: CodeType, package: str, never_run: frozenset[int] = frozenset()) -> set[str]:
    """Return the absolute names that a module imports when it is imported; those in functions come later, or never.

    Reads the instructions as they lie there: `dis` takes half as long as compiling does.
    """
    starts = dict(dis.findlinestarts(code)) if never_run else {}
    line: int | None = None
    found: set[str] = set()
    constants: tuple[object, object] = (0, None)  # the last two that were loaded: level, and names of `from`
    extended = 0
    instructions = code.co_code
    for index in range(0, len(instructions), 2):
        line = starts.get(index, line)
        operation, argument = instructions[index], instructions[index + 1] | extended
        extended = 0
        if operation == _EXTENDED_ARG:
            extended = argument << 8
        elif operation == _LOAD_CONST:
            constants = (constants[1], code.co_consts[argument])
        elif operation == _LOAD_SMALL_INT:
            constants = (constants[1], argument)
        elif operation == _IMPORT_NAME and line not in never_run:
            found |= _imported(code.co_names[argument], *constants, package)
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not constant.co_flags & _FUNCTION:
            found |= _imports(constant, package, never_run)
    return found


def _imported(base: str, level: object, names: object, package: str) -> set[str]:
    if isinstance(level, int) and level:
        parts = package.split(".")
        base = ".".join([*parts[: len(parts) - level + 1], base]).rstrip(".")
    return (
        {base, *(f"{base}.{name}" for name in names if isinstance(name, str))} if isinstance(names, tuple) else {base}
    )
