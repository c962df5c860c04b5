"""What of the commit lies around a script: its modules, the files that it names, its folder of configurations."""

from __future__ import annotations

import ast
import posixpath

from runner.plan.options.config_files import named_files
from runner.plan.options.interface import Surroundings
from runner.plan.options.syntax import dotted, name_of, parse, text, words_of
from runner.schema.snapshot import RepositorySnapshot

_MOST_MODULES = 40
_MOST_FILES = 200


def surroundings(snapshot: RepositorySnapshot, script: str, directory: str = ".") -> Surroundings:
    """Return what a script that is started in `directory` finds around it, as far as the snapshot holds it."""
    own = posixpath.dirname(script)

    def module(name: str, level: int) -> tuple[str, str] | None:
        path = _module(snapshot, script, directory, name, level)
        return None if path is None or path not in snapshot.texts else (path, snapshot.texts[path])

    def file(name: str) -> tuple[str, str] | None:
        path = _named(snapshot, own, directory, name)
        return None if path is None or path not in snapshot.texts else (path, snapshot.texts[path])

    def folder(name: str) -> dict[str, str]:
        base = posixpath.normpath(posixpath.join(own, name))
        start = "" if base == "." else f"{base}/"
        return {
            path.removeprefix(start): content
            for path, content in snapshot.texts.items()
            if path.startswith(start) and path.endswith((".yaml", ".yml"))
        }

    return Surroundings(module, file, folder)


def unread_around(snapshot: RepositorySnapshot, script: str, directory: str = ".") -> tuple[str, ...]:
    """Return the paths whose texts tell of a script's options and that the snapshot lacks; read them and ask again."""
    own = posixpath.dirname(script)
    wanted: dict[str, None] = {}
    waiting, seen = [script], set[str]()
    while waiting and len(seen) < _MOST_MODULES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        if path not in snapshot.texts:
            wanted.setdefault(path)
            continue
        tree = parse(snapshot.texts[path])
        if tree is None:
            continue
        waiting += _imported(tree, snapshot, path, directory)
        named = (_named(snapshot, own, directory, name) for name in named_files(tree))
        wanted.update(dict.fromkeys(path for path in named if path is not None))
        wanted.update(dict.fromkeys(_configurations(tree, snapshot, own)))
    return tuple(path for path in wanted if path not in snapshot.texts)


def _imported(tree: ast.Module, snapshot: RepositorySnapshot, script: str, directory: str) -> list[str]:
    found: list[str | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [_module(snapshot, script, directory, alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(_module(snapshot, script, directory, node.module or "", node.level))
            for alias in node.names:
                name = f"{node.module}.{alias.name}" if node.module else alias.name
                found.append(_module(snapshot, script, directory, name, node.level))
    return [path for path in found if path is not None]


def _configurations(tree: ast.Module, snapshot: RepositorySnapshot, own: str) -> list[str]:
    """Return the files of the folder that `@hydra.main` names."""
    folders = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) == "main" and dotted(node.func) in ("hydra.main", "main"):
            given = text(words_of(node).get("config_path") or (node.args[0] if node.args else None))
            if given is not None:
                folders.append(posixpath.normpath(posixpath.join(own, given)))
    return [
        entry.path
        for folder in folders
        for entry in snapshot.tree
        if entry.kind == "file"
        and entry.path.endswith((".yaml", ".yml"))
        and (folder == "." or entry.path.startswith(f"{folder}/"))
    ][:_MOST_FILES]


def _named(snapshot: RepositorySnapshot, own: str, directory: str, name: str) -> str | None:
    if name.startswith(("/", "~")) or ":" in name[:3]:
        return None
    places = dict.fromkeys((directory, own, "."))
    paths = (posixpath.normpath(posixpath.join(place, name)) for place in places)
    return next((path for path in paths if not path.startswith("..") and snapshot.has(path)), None)


def _module(snapshot: RepositorySnapshot, script: str, directory: str, name: str, level: int) -> str | None:
    own = posixpath.dirname(script)
    if level:
        base = own
        for _ in range(level - 1):
            base = posixpath.dirname(base)
        places = [base]
    else:
        places = list(dict.fromkeys((own, directory, ".", "src")))
    inner = name.replace(".", "/")
    for place in places:
        base = posixpath.normpath(posixpath.join(place, inner)) if inner else place
        for path in (f"{base}.py", f"{base}/__init__.py"):
            if snapshot.has(path):
                return path
    return None
