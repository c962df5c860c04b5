"""How a script is started so that its own project's imports work: plainly, by `-m`, or with folders on the path."""

from __future__ import annotations

import posixpath
import re
import shlex

from runner.plan.lists.imports import distributions_of, read_imports
from runner.schema.snapshot import RepositorySnapshot

_CHANGES_PATH = re.compile(r"\bsys\.path\.(?:insert|append|extend)\b|\bsys\.path\s*(?:\+=|\[)|\bsite\.addsitedir\b")


def start_line(path: str, folder: str, snapshot: RepositorySnapshot) -> str:
    """Return the start of a line that runs the script at `path` in `folder`.

    `python src/train.py` puts src on the path, not the folder where it is started. A script that changes `sys.path` by
    itself is started plainly.
    """
    here = posixpath.relpath(path, folder)
    text = snapshot.texts.get(path, "")
    imports = read_imports(text)
    if posixpath.basename(path) == "__main__.py" or any(item.level for item in imports):
        return _as_module(path, folder, snapshot)
    if _CHANGES_PATH.search(text):
        return f"python {shlex.quote(here)}"
    own = posixpath.dirname(path)
    firsts = sorted({item.module.partition(".")[0] for item in imports if item.module})
    modules = _own_modules(snapshot)
    beside = [name for name in firsts if posixpath.join(own, name) in modules]
    places = [_place_of(name, own, folder, modules) for name in firsts if name not in beside]
    needed = list(dict.fromkeys(place for place in places if place is not None))
    if not needed:
        return f"python {shlex.quote(here)}"
    if needed == [folder] and not beside and _is_module(here):
        return f"python -m {_dotted(here)}"
    paths = ":".join(posixpath.relpath(place, folder) for place in needed)
    return f"PYTHONPATH={shlex.quote(paths)} python {shlex.quote(here)}"


def _own_modules(snapshot: RepositorySnapshot) -> frozenset[str]:
    """Return the paths, without `.py`, of all modules of the commit and of all folders that hold any."""
    files = [entry.path.removesuffix(".py") for entry in snapshot.tree if entry.path.endswith(".py")]
    return frozenset(files) | {path[:end] for path in files for end in range(len(path)) if path[end] == "/"}


def _place_of(name: str, own: str, folder: str, modules: frozenset[str]) -> str | None:
    """Return the folder from which a module of the project is imported, None for a module of others.

    Many a folder has the name of a package that it is about (`mlflow/`), and none of its code.
    """
    if distributions_of(name) is not None:
        return None
    above = [own[:end] for end in range(len(own)) if own[end] == "/"]
    places = dict.fromkeys((folder, ".", "src", *reversed(above), *(f"{place}/src" for place in above)))
    return next((place for place in places if posixpath.normpath(posixpath.join(place, name)) in modules), None)


def _as_module(path: str, folder: str, snapshot: RepositorySnapshot) -> str:
    """Return the start of a script that is part of a package; the package's own parent folder is put on the path."""
    here = posixpath.relpath(path, folder)
    if "/" in here and _is_module(here):
        return f"python -m {_dotted(here)}"
    top = posixpath.dirname(path)
    while "/" in top and snapshot.has(f"{posixpath.dirname(top)}/__init__.py"):
        top = posixpath.dirname(top)
    base = posixpath.dirname(top) or "."
    inner = posixpath.relpath(path, base)
    if not top or not _is_module(inner):
        return f"python {shlex.quote(here)}"
    return f"PYTHONPATH={shlex.quote(posixpath.relpath(base, folder))} python -m {_dotted(inner)}"


def _is_module(path: str) -> bool:
    return all(part.isidentifier() for part in path.removesuffix(".py").split("/"))


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
