"""The value of an expression as far as the commit alone decides it (VERDICTS rule 11)."""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.lineage.pipeline import load_mapping
from runner.plan.options.interface import NOWHERE, Surroundings
from runner.plan.options.syntax import called, dotted, parse, text

MISSING: Any = object()
"""Stands for a value that the commit does not decide."""

_PURE_CALLS = frozenset({"str", "int", "float", "bool", "list", "tuple", "Path", "PurePath", "join", "dict"})
_ONLY_READ = frozenset(
    {"log_params", "log_param", "log_dict", "print", "pprint", "len", "dict", "list", "tuple", "sorted", "str", "dumps"}
    | {"dump", "info", "debug", "warning", "deepcopy", "enumerate", "zip", "range", "isinstance", "min", "max", "sum"}
)
_LOADERS = frozenset({"safe_load", "load", "full_load", "params_show"})
_DEEPEST = 3


@dataclass
class Scope:
    """The names of a module that have one value, whatever surrounds the run; `around` is the rest of the commit."""

    constants: dict[str, Any] = field(default_factory=dict)
    around: Surroundings = NOWHERE
    files: dict[str, Any] = field(default_factory=dict)

    def value(self, node: ast.expr | None) -> Any:
        """Return the value of a pure expression, `MISSING` for any other; None for no expression."""
        return self._evaluate(node) if node is not None else None

    def default(self, node: ast.expr | None, implied: Any = None) -> tuple[Any, bool, str | None]:
        """Return (value, known, source text where it is unknown) of an option's default."""
        if node is None:
            return implied, True, None
        value = self.value(node)
        if value is MISSING:
            return None, False, ast.unparse(node)
        if isinstance(value, str) and (value.startswith(("/", "~")) or value[1:3] in (":\\", ":/")):
            return value, False, repr(value)  # a file outside the commit
        return value, True, None

    def _evaluate(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name | ast.Attribute):
            found = self.constants.get(dotted(node) or "", MISSING)
            return MISSING if isinstance(found, Opened) else found
        for kind, evaluate in _EVALUATED.items():
            if isinstance(node, kind):
                return evaluate(self, node)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return MISSING

    def _sequence(self, node: ast.List | ast.Tuple) -> Any:
        items = [self._evaluate(item) for item in node.elts]
        return MISSING if any(item is MISSING for item in items) else items

    def _operation(self, node: ast.BinOp) -> Any:
        return _combined(node.op, self._evaluate(node.left), self._evaluate(node.right))

    def _subscript(self, node: ast.Subscript) -> Any:
        return self._item(node.value, node.slice)

    def _dictionary(self, node: ast.Dict) -> Any:
        keys = [MISSING if key is None else self._evaluate(key) for key in node.keys]
        values = [self._evaluate(value) for value in node.values]
        if MISSING in keys or MISSING in values:
            return MISSING
        try:
            return dict(zip(keys, values, strict=True))
        except TypeError:
            return MISSING

    def _item(self, container: ast.expr, index: ast.expr, otherwise: Any = MISSING) -> Any:
        whole, key = self._evaluate(container), self._evaluate(index)
        if whole is MISSING or key is MISSING:
            return MISSING
        try:
            return whole[key]
        except (TypeError, KeyError, IndexError):
            return otherwise

    def _call(self, node: ast.Call) -> Any:
        name = called(node)
        if name == "get" and isinstance(node.func, ast.Attribute) and len(node.args) in (1, 2) and not node.keywords:
            whole = self._evaluate(node.func.value)
            if not isinstance(whole, dict):
                return MISSING
            return self._item(node.func.value, node.args[0], self.value(node.args[1]) if node.args[1:] else None)
        path = file_read(node, self.constants)
        if path is not None:
            return self.read(path)
        arguments = [self._evaluate(argument) for argument in node.args]
        if node.keywords or name not in _PURE_CALLS or MISSING in arguments:
            return MISSING
        if name in ("Path", "PurePath", "join"):
            return "/".join(str(part) for part in arguments)
        return arguments[0] if len(arguments) == 1 else MISSING

    def read(self, name: str) -> Any:
        """Return what a file of the commit holds, `MISSING` where it is not the commit's or cannot be read."""
        found = self.around.file(name)
        if found is None:
            return MISSING
        value = load_config(*found)
        if value is MISSING:
            return MISSING
        self.files[found[0]] = value
        return value


def load_config(path: str, content: str) -> Any:
    """Return the values of a YAML or JSON file, `MISSING` where it is neither."""
    if not path.endswith(".json"):
        return load_mapping(content) or MISSING
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return MISSING
    return value if isinstance(value, dict) else MISSING


def file_read(node: ast.Call, constants: Mapping[str, Any]) -> str | None:
    """Return the path of the file that `yaml.safe_load(open(PATH))` and its like read, None where none shows."""
    name = called(node)
    if name == "params_show" and not node.args:
        return "params.yaml"
    if name not in _LOADERS or not node.args:
        return None
    return _path(node.args[0], constants, within=True)


def _path(node: ast.expr, constants: Mapping[str, Any], *, within: bool) -> str | None:
    """Return the path that an expression is, or that the file object which it is was opened with."""
    if isinstance(node, ast.Call) and within:
        if called(node) == "open" and isinstance(node.func, ast.Name) and node.args:
            return _path(node.args[0], constants, within=False)
        if called(node) in ("read_text", "open", "read") and isinstance(node.func, ast.Attribute):
            return _path(node.func.value, constants, within=True)
    if isinstance(node, ast.Call):
        found = Scope(dict(constants)).value(node)
        return found if isinstance(found, str) else None
    if isinstance(node, ast.Name | ast.Attribute):
        found = constants.get(dotted(node) or "")
        return found.path if isinstance(found, Opened) else found if isinstance(found, str) else None
    if isinstance(node, ast.BinOp):
        found = Scope(dict(constants)).value(node)
        return found if isinstance(found, str) else None
    return text(node)


@dataclass(frozen=True)
class Opened:
    """A file object in a variable."""

    path: str


def scope_of(tree: ast.Module, around: Surroundings = NOWHERE, depth: int = 0) -> Scope:
    """Return the names that a module gives exactly one value, at its top or in a function, and those it imports.

    A name within a function counts where the whole module assigns it once: what shadows another is no constant.
    """
    scope = Scope(around=around)
    if depth < _DEEPEST:
        _imported(tree, scope, depth)
    assigned: dict[str, int] = {}
    handed = _handed(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned[node.id] = assigned.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            assigned[node.arg] = assigned.get(node.arg, 0) + 1
        elif isinstance(node, ast.Call | ast.Subscript | ast.Delete):
            changed = _changed(node)
            if changed is not None:
                assigned[changed] = assigned.get(changed, 0) + 1
    places = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign | ast.With)]
    for place in sorted(places, key=lambda node: node.lineno):
        for name, value in _named(place):
            if assigned.get(name) != 1:
                continue
            evaluated = _opened(value, scope) if isinstance(place, ast.With) else scope.value(value)
            if isinstance(evaluated, dict | list) and name in handed:
                continue
            if evaluated is not MISSING and evaluated is not None:
                scope.constants[name] = evaluated
            elif isinstance(value, ast.Constant) and value.value is None:
                scope.constants[name] = None
    return scope


def _handed(tree: ast.Module) -> set[str]:
    """Return the names that are given to functions which may change what they hold."""
    return {
        argument.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) not in _ONLY_READ
        for argument in node.args
        if isinstance(argument, ast.Name)
    }


def _changed(node: ast.AST) -> str | None:
    """Return the name of what a statement changes in place: then it is no constant."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return (dotted(node.value) or "").partition(".")[0] or None
    if isinstance(node, ast.Call) and called(node) in ("update", "append", "extend", "pop", "setdefault", "clear"):
        return dotted(node.func.value) if isinstance(node.func, ast.Attribute) else None
    return None


def _named(node: ast.stmt) -> list[tuple[str, ast.expr]]:
    if isinstance(node, ast.With):
        return [
            (item.optional_vars.id, item.context_expr)
            for item in node.items
            if isinstance(item.optional_vars, ast.Name)
        ]
    if isinstance(node, ast.AnnAssign):
        return [(node.target.id, node.value)] if isinstance(node.target, ast.Name) and node.value is not None else []
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        if isinstance(target, ast.Name):
            return [(target.id, node.value)]
        if (
            isinstance(target, ast.Tuple)
            and isinstance(node.value, ast.Tuple)
            and len(target.elts) == len(node.value.elts)
        ):
            pairs = zip(target.elts, node.value.elts, strict=True)
            return [(name.id, value) for name, value in pairs if isinstance(name, ast.Name)]
    return []


def _opened(node: ast.expr, scope: Scope) -> Any:
    path = _path(node, scope.constants, within=True) if isinstance(node, ast.Call) else None
    return MISSING if path is None else Opened(path)


def _imported(tree: ast.Module, scope: Scope, depth: int) -> None:
    """Bring in the constants of the commit's own modules, under the names that the module knows them by."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found = scope.around.module(node.module or "", node.level)
            inner = parse(found[1]) if found else None
            if inner is not None:
                theirs = scope_of(inner, scope.around, depth + 1)
                _adopt(scope, theirs, {alias.name: alias.asname or alias.name for alias in node.names})
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found = scope.around.module(alias.name, 0)
                inner = parse(found[1]) if found else None
                if inner is not None:
                    theirs = scope_of(inner, scope.around, depth + 1)
                    _adopt(scope, theirs, {name: f"{alias.asname or alias.name}.{name}" for name in theirs.constants})


def _adopt(scope: Scope, theirs: Scope, names: Mapping[str, str]) -> None:
    scope.files.update(theirs.files)
    for name, own in names.items():
        if name == "*":
            scope.constants.update(theirs.constants)
        elif name in theirs.constants:
            scope.constants[own] = theirs.constants[name]


_NUMERIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: lambda left, right: left**right if abs(left) <= 1e6 and abs(right) <= 64 else MISSING,
}


def _combined(operation: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        if isinstance(operation, ast.Div):  # of pathlib
            return f"{left}/{right}"
        return left + right if isinstance(operation, ast.Add) else MISSING
    compute = _NUMERIC.get(type(operation))
    if compute is None or not (isinstance(left, int | float) and isinstance(right, int | float)):
        return MISSING
    try:
        return compute(left, right)
    except ArithmeticError:
        return MISSING


_EVALUATED: dict[type[ast.expr], Callable[[Scope, Any], Any]] = {
    ast.List: Scope._sequence,
    ast.Tuple: Scope._sequence,
    ast.Dict: Scope._dictionary,
    ast.Subscript: Scope._subscript,
    ast.Call: Scope._call,
    ast.BinOp: Scope._operation,
}
