"""`sys.argv` by position, without a library."""

from __future__ import annotations

import ast

from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Option
from runner.plan.options.syntax import is_attribute


def read_positions(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read `NAME = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5`: positional arguments by number.

    All uses must be of this kind, from the first position on without a gap; anything else is not told.
    """
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _is_argv(node.value, tree)]
    uses = [node for node in uses if not _is_zero(node.slice)]
    sliced = any(isinstance(node.slice, ast.Slice) for node in uses)
    if not uses:
        return
    found: dict[int, Option] = {}
    seen: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            continue
        inner = [use for use in uses if any(item is use for item in ast.walk(node.value))]
        if len(inner) != 1 or not isinstance(inner[0].slice, ast.Constant):
            continue
        position = inner[0].slice.value
        if not isinstance(position, int) or position in found:
            continue
        default = _otherwise(node.value, inner[0])
        value, known, source = (None, True, None)
        if default is not None:
            value, known, source = declared.default(scope, default)
        found[position] = Option(
            dest=node.targets[0].id,
            flag=None,
            default=value,
            default_known=known,
            text_default=source,
            required=default is None,
        )
        seen.add(id(inner[0]))
    others = [node for node in uses if id(node) not in seen and not _repeats(node, found)]
    if sliced or others or sorted(found) != list(range(1, len(found) + 1)):
        declared.unreadable.append("sys.argv")
        return
    declared.options += [found[position] for position in sorted(found)]


def _repeats(node: ast.Subscript, found: dict[int, Option]) -> bool:
    return isinstance(node.slice, ast.Constant) and node.slice.value in found


def _otherwise(node: ast.expr, use: ast.Subscript) -> ast.expr | None:
    """Return the value without the argument: the branch of a condition on the number of arguments."""
    for item in ast.walk(node):
        if isinstance(item, ast.IfExp):
            within = [any(inner is use for inner in ast.walk(branch)) for branch in (item.body, item.orelse)]
            if within == [True, False]:
                return item.orelse
            if within == [False, True]:
                return item.body
    return None


def _is_argv(node: ast.expr, tree: ast.Module) -> bool:
    if is_attribute(node, "sys", "argv"):
        return True
    return isinstance(node, ast.Name) and node.id == "argv" and _imports_argv(tree)


def _imports_argv(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "sys" and any(item.name == "argv" for item in node.names)
        for node in ast.walk(tree)
    )


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0
