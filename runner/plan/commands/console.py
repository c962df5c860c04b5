"""Console scripts: programs such as `train` that an installed project has, by what the commit declares.

Tools for windows (`gui_scripts`) train nothing and are left aside.
"""

from __future__ import annotations

import ast
import configparser
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runner.plan.toml_text import load_toml, table
from runner.schema.snapshot import RepositorySnapshot

_TARGET = re.compile(r"(?P<module>[A-Za-z_][\w.]*)\s*:\s*(?P<function>[A-Za-z_]\w*)\s*(?:\[.*\])?")
_PLACE = re.compile(r"(?:^|.*/)(?:bin|Scripts|scripts)/(?P<name>[^/]+)")
_SOURCES = ("", "src", "lib", "python")


@dataclass(frozen=True)
class ConsoleScript:
    """An entry point: `path` is the file of its module, `place` the folder from which that is imported."""

    name: str
    module: str
    function: str
    declared_in: str
    path: str
    place: str

    @property
    def folder(self) -> str:
        """The project's folder."""
        return posixpath.dirname(self.declared_in) or "."

    def call(self, directory: str) -> str:
        """Return the start of a line that does what the installed program does, where it is not installed."""
        place = posixpath.relpath(self.place, directory)
        code = (
            f"import sys; from {self.module} import {self.function} as run; "
            f"sys.argv[0] = {self.name!r}; sys.exit(run())"
        )
        return f"PYTHONPATH={shlex.quote(place)} python -c {shlex.quote(code)}"


def program_name(source_name: str) -> str | None:
    """Return the name of the program that a source is, `bin/train` or `Scripts\\train.exe`; None for others."""
    match = _PLACE.fullmatch(source_name.strip().strip("\"'").replace("\\", "/"))
    if match is None:
        return None
    name = re.sub(r"(?:-script)?\.(?:exe|pyw?)$", "", match["name"], flags=re.IGNORECASE)
    return name if re.fullmatch(r"[\w.-]+", name) and match["name"] != f"{name}.py" else None


def console_scripts(snapshot: RepositorySnapshot, name: str) -> tuple[ConsoleScript, ...]:
    """Return the entry points of this name that projects of the commit declare, the nearest to the root first."""
    found: dict[str, ConsoleScript] = {}
    for path in sorted(snapshot.texts, key=lambda path: (path.count("/"), path)):
        for declared, target in _declared(path, snapshot.texts[path]):
            match = _TARGET.fullmatch(target.strip()) if declared == name else None
            if match is None:
                continue
            module = _file_of(match["module"], match["function"], posixpath.dirname(path), snapshot)
            if module is not None:
                script = ConsoleScript(name, match["module"], match["function"], path, *module)
                found.setdefault(script.path, script)
    return tuple(found.values())


def declared_names(snapshot: RepositorySnapshot) -> list[str]:
    """Return the names of all entry points that the commit declares."""
    return sorted({name for path, text in snapshot.texts.items() for name, _ in _declared(path, text)})


def _declared(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, target) of the console scripts that a file of a project declares."""
    name = posixpath.basename(path)
    if name == "pyproject.toml":
        document = load_toml(text)
        for keys in (("project", "scripts"), ("tool", "poetry", "scripts"), ("tool", "flit", "scripts")):
            for script, body in table(document, *keys).items():
                target = body.get("reference") or body.get("callable") if isinstance(body, dict) else body
                if isinstance(target, str):
                    yield str(script), target
    elif name == "setup.cfg":
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            return
        yield from _lines(parser.get("options.entry_points", "console_scripts", fallback="").splitlines())
    elif name == "setup.py":
        yield from _of_setup(text)


def _of_setup(text: str) -> Iterator[tuple[str, str]]:
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in nodes:
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg != "entry_points":
                continue
            try:
                value = ast.literal_eval(keyword.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(value, str):
                parser = configparser.ConfigParser(interpolation=None, strict=False)
                try:
                    parser.read_string(re.sub(r"(?m)^[ \t]+", "", value))
                except configparser.Error:
                    continue
                yield from parser.items("console_scripts") if parser.has_section("console_scripts") else ()
            elif isinstance(value, dict):
                lines = value.get("console_scripts", ())
                yield from _lines(lines.splitlines() if isinstance(lines, str) else lines)


def _lines(lines: Iterable[object]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, equals, target = str(line).partition("=")
        if equals:
            yield name.strip(), target.strip()


def _file_of(module: str, function: str, folder: str, snapshot: RepositorySnapshot) -> tuple[str, str] | None:
    """Return the file that holds an entry point's function, and the folder from which its module is imported.

    Where the module only imports the function from another one of the project, the options are declared there.
    """
    inner = module.replace(".", "/")
    for source in _SOURCES:
        place = posixpath.normpath(posixpath.join(folder, source))
        for path in (f"{inner}.py", f"{inner}/__init__.py"):
            whole = posixpath.normpath(posixpath.join(place, path))
            if snapshot.has(whole):
                return _defining(whole, function, place, snapshot), place
    return None


def _defining(path: str, function: str, place: str, snapshot: RepositorySnapshot) -> str:
    try:
        nodes = ast.parse(snapshot.texts.get(path, "")).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return path
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and any((each.asname or each.name) == function for each in node.names):
            start = posixpath.dirname(path) if node.level else place
            for _ in range(max(0, node.level - 1)):
                start = posixpath.dirname(start)
            other = posixpath.normpath(posixpath.join(start, (node.module or "").replace(".", "/") + ".py"))
            return other if snapshot.has(other) else path
    return path
