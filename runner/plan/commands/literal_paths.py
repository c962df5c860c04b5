"""Relative paths that a Python source names in so many words: where these exist, the training was started. Pure."""

from __future__ import annotations

import ast
import posixpath
import re
import warnings

_PATH = re.compile(r"[\w.@+() \\/-]{1,200}")
_TYPED = re.compile(r"\.[A-Za-z]\w{0,9}$")
_MAKES_PATHS = frozenset({"Path", "PurePath", "PosixPath", "join"})
_OPENS = frozenset({"open", "listdir", "scandir", "glob", "walk", "exists", "isfile", "isdir", "load_dotenv"})


def literal_paths(source: str) -> frozenset[str]:
    """Return the relative paths that literals of a source spell, those beneath `__file__` or a variable left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        reader = _Reader(_names_of(tree))
        for statement in tree.body:
            reader.look(statement)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(filter(None, map(_relative, reader.found)))


def _names_of(tree: ast.Module) -> dict[str, str]:
    """Return the names that the module gives, once, to a literal path."""
    stores = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, _value(node.value, names)
            if value is not None and stores.count(name) == 1:
                names[name] = value
    return names


class _Reader:
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self.found: list[str] = []

    def look(self, node: ast.AST) -> None:
        """Take note of what a node and those in it spell; whole paths before their parts."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and ("/" in node.value or "\\" in node.value or _TYPED.search(node.value)):
                self.found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            pass  # with values that only a run has
        elif _is_whole_path(node):
            value = _value(node, self._names)
            if value is not None:
                self.found.append(value)
            elif isinstance(node, ast.Call) and _called(node) not in _MAKES_PATHS:
                for child in ast.iter_child_nodes(node):
                    self.look(child)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):  # a docstring
            for child in ast.iter_child_nodes(node):
                self.look(child)


def _is_whole_path(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div | ast.Add)
    return isinstance(node, ast.Call) and (
        _called(node) in _MAKES_PATHS or (_called(node) in _OPENS and len(node.args) >= 1)
    )


def _value(node: ast.AST, names: dict[str, str]) -> str | None:  # noqa: PLR0911  # a case for each kind of node
    """Return the path that an expression is, None where it has a part that is no literal."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        left, right = _value(node.left, names), _value(node.right, names)
        if left is None or right is None:
            return None
        return posixpath.join(left, right) if isinstance(node.op, ast.Div) else left + right
    if isinstance(node, ast.Call) and _called(node) in _MAKES_PATHS and node.args:
        parts = [_value(argument, names) for argument in node.args]
        return None if None in parts else posixpath.join(*(part for part in parts if part is not None))
    if isinstance(node, ast.Call) and _called(node) in _OPENS and node.args:
        return _value(node.args[0], names)
    return None


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _relative(text: str) -> str | None:
    text = text.replace("\\", "/")
    if not _PATH.fullmatch(text) or text.startswith(("/", "~", " ")) or re.match(r"[A-Za-z]:", text):
        return None
    path = posixpath.normpath(text)
    return None if path in (".", "..") else path
