"""Small questions about a node of Python's syntax."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator


def parse(source: str) -> ast.Module | None:
    """Return the syntax of a source, None where this Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in their strings, not ours to mend
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def called(node: ast.AST) -> str:
    """Return the last name of what a call calls; empty for what is no call."""
    return name_of(node.func) or "" if isinstance(node, ast.Call) else ""


def name_of(node: ast.expr | None) -> str | None:
    """Return a name, or the last part of a dotted one."""
    return getattr(node, "attr", getattr(node, "id", None))


def dotted(node: ast.expr | None) -> str | None:
    """Return `a.b.c` for names joined by dots, None for all else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return None if before is None else f"{before}.{node.attr}"
    return None


def is_name(node: ast.expr, module: str) -> bool:
    """Tell whether a node is an attribute of a module."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module


def is_attribute(node: ast.expr, module: str, name: str) -> bool:
    """Tell whether a node is `module.name`."""
    return is_name(node, module) and getattr(node, "attr", "") == name


def is_environment(function: ast.expr) -> bool:
    """Tell whether a function is one of `os.environ`."""
    return isinstance(function, ast.Attribute) and is_attribute(function.value, "os", "environ")


def is_true(node: ast.expr | None) -> bool:
    """Tell whether a node is the literal True."""
    return isinstance(node, ast.Constant) and node.value is True


def text(node: ast.expr | None) -> str | None:
    """Return a literal string."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def words_of(node: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments of a call by name."""
    return {word.arg: word.value for word in node.keywords if word.arg}


def functions(tree: ast.AST) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions of a module by name, the first of each."""
    found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.setdefault(node.name, node)
    return found


def classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes at a module's top by name."""
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield all calls of a tree in the order of their lines."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))
