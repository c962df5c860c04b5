"""`setup.py`, read and never run: what it hands to `setup()`, as far as that is written down."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from runner.plan.lists.found import join
from runner.schema.snapshot import RepositorySnapshot

_READS = frozenset({"open", "read_text", "readlines", "splitlines", "parse_requirements", "read"})
_COPIES = frozenset({"list", "tuple", "sorted", "set"})
_CHANGES = frozenset({"append", "extend", "insert", "remove", "pop", "clear"})
_OF_A_PACKAGE = frozenset(
    {"packages", "py_modules", "ext_modules", "package_dir", "entry_points", "scripts", "console_scripts"}
)
_MOST = 20_000  # nodes; a setup.py is a page
_DEEPEST = 20  # names that lead to one another


@dataclass(frozen=True)
class SetupScript:
    """What a `setup.py` says.

    `requires` are lines of a requirements file, None where they show only when it is run, empty where it lists none.
    `package` tells that it installs modules or programs.
    """

    requires: tuple[str, ...] | None
    package: bool = False


def read_setup_script(snapshot: RepositorySnapshot, path: str) -> SetupScript:
    """Read the `setup.py` at `path` of the commit."""
    try:
        tree = ast.parse(snapshot.texts[path])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return SetupScript(None, package=True)
    if sum(1 for _ in ast.walk(tree)) > _MOST:
        return SetupScript(None, package=True)
    return _Reader(tree, posixpath.dirname(path), snapshot).read()


class _Reader:
    def __init__(self, tree: ast.Module, folder: str, snapshot: RepositorySnapshot) -> None:
        self._tree = tree
        self._folder = folder
        self._snapshot = snapshot
        self._values: dict[str, ast.expr | None] = {}  # None for what is changed in a way that is not followed
        self._functions: dict[str, ast.FunctionDef] = {}
        self._opened: dict[str, ast.expr] = {}
        for statement in tree.body:
            self._note(statement)

    def read(self) -> SetupScript:
        calls = [node for node in ast.walk(self._tree) if isinstance(node, ast.Call) and _name(node.func) == "setup"]
        if len(calls) != 1:
            return SetupScript(None, package=True)
        keywords = self._keywords(calls[0])
        if keywords is None:
            return SetupScript(None, package=True)
        package = not _OF_A_PACKAGE.isdisjoint(keywords)
        if "install_requires" not in keywords:
            return SetupScript((), package)
        requires = self._lines(keywords["install_requires"])
        return SetupScript(None if requires is None else tuple(requires), package or requires is None)

    def _note(self, statement: ast.stmt) -> None:
        """Note what a statement of the module gives names to."""
        if isinstance(statement, ast.FunctionDef):
            self._functions[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for target in _targets(statement):
                self._values[target] = statement.value
        elif isinstance(statement, ast.AugAssign):
            for target in _targets(statement):
                before = self._values.get(target)
                self._values[target] = None if before is None else ast.BinOp(before, statement.op, statement.value)
        elif isinstance(statement, ast.With):
            for item in statement.items:
                if isinstance(item.optional_vars, ast.Name):
                    self._opened[item.optional_vars.id] = item.context_expr
            for inner in statement.body:
                self._note(inner)
        elif isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):  # it is what is run
            for inner in statement.body:
                self._note(inner)
        else:
            self._forget(statement)

    def _forget(self, statement: ast.stmt) -> None:
        """Forget the values of what a statement may or may not change."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                self._values.update(dict.fromkeys(_targets(node)))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
                self._values[_name(node.func.value)] = None

    def _keywords(self, call: ast.Call) -> dict[str, ast.expr] | None:
        found: dict[str, ast.expr] = {}
        for keyword in call.keywords:
            if keyword.arg is not None:
                found[keyword.arg] = keyword.value
                continue
            value = self._followed(keyword.value)
            if isinstance(value, ast.Call) and _name(value.func) == "dict" and not value.args:
                inner = self._keywords(value)
                if inner is None:
                    return None
                found |= inner
            elif isinstance(value, ast.Dict) and all(isinstance(key, ast.Constant) for key in value.keys):
                found |= {str(key.value): item for key, item in zip(value.keys, value.values, strict=True)}  # type: ignore[union-attr]
            else:
                return None
        return found

    def _followed(self, node: ast.expr, depth: int = 0) -> ast.expr | None:
        while isinstance(node, ast.Name) and depth < _DEEPEST:
            value = self._values.get(node.id)
            if value is None:
                return None
            node, depth = value, depth + 1
        return node

    def _text(self, node: ast.expr) -> str | None:
        value = self._followed(node)
        return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None

    def _lines(self, node: ast.expr | None, depth: int = 0) -> list[str] | None:
        """Return the requirements that an expression stands for, None where only running it tells."""
        node = None if node is None else self._followed(node)
        if node is None or depth > _DEEPEST:
            return None
        if isinstance(node, ast.Constant):
            return [line.strip() for line in node.value.splitlines()] if isinstance(node.value, str) else None
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return self._items(node.elts, depth)
        found: list[str] | None = None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._lines(node.left, depth + 1), self._lines(node.right, depth + 1)
            found = None if left is None or right is None else left + right
        elif isinstance(node, ast.Subscript):
            found = self._lines(self._item(node), depth + 1)
        elif isinstance(node, ast.Call) and _name(node.func) in _COPIES and len(node.args) == 1:
            found = self._lines(node.args[0], depth + 1)
        return self._of_file(node) if found is None else found

    def _item(self, node: ast.Subscript) -> ast.expr | None:
        held = self._followed(node.value)
        if isinstance(held, ast.Dict) and isinstance(node.slice, ast.Constant):
            for key, value in zip(held.keys, held.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == node.slice.value:
                    return value
        return None

    def _items(self, items: list[ast.expr], depth: int) -> list[str] | None:
        found: list[str] = []
        for item in items:
            if isinstance(item, ast.Starred):
                inner = self._lines(item.value, depth + 1)
                if inner is None:
                    return None
                found += inner
                continue
            text = self._text(item)
            if text is None:
                return None
            found.append(text)
        return found

    def _of_file(self, node: ast.expr) -> list[str] | None:
        """Return an include of the one file whose lines an expression takes, by its own functions or by `open`."""
        parts = list(self._reached(node))
        called = {_name(part.func) for part in parts if isinstance(part, ast.Call)}
        if _READS.isdisjoint(called):
            return None
        names = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        files = {name for name in names if name.endswith((".txt", ".in", ".pip")) and "\n" not in name}
        if len(files) != 1:
            return None
        name = files.pop().lstrip("/")
        return [f"-r {name}"] if self._snapshot.has(join(self._folder, name)) else None

    def _reached(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the nodes of an expression, with those of the module's values and functions that it names."""
        seen: set[str] = set()
        waiting = [node]
        while waiting:
            for part in ast.walk(waiting.pop()):
                yield part
                if isinstance(part, ast.Name) and part.id not in seen:
                    seen.add(part.id)
                    more = (self._values.get(part.id), self._functions.get(part.id), self._opened.get(part.id))
                    waiting += [item for item in more if item is not None]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _targets(statement: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]
