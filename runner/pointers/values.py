"""Values of YAML, JSON, TOML and Python files as DVC reads them for its templates: text in, plain values out.

DVC reads YAML 1.2: `on` and `no` are words there, and `1e-3` is a number. Nothing is ever constructed from a tag.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from typing import Any

from runner.pointers.document import Node, PointerSyntaxError, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LONGEST = 1 << 20  # characters
_MOST_NODES = 200_000  # with all aliases written out

_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_OTHER_BASE = re.compile(r"[-+]?0(?:o[0-7_]+|x[0-9a-fA-F_]+)")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9_]+(?:[eE][-+][0-9]+)?)"
)
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})


def load_file(path: str, text: str) -> dict[str, Any]:
    """Return the mapping that a params file holds, by the ending of its name. Raises PointerSyntaxError."""
    if len(text) > LONGEST:
        raise PointerSyntaxError(f"is longer than {LONGEST} characters")
    ending = path.rpartition(".")[2].lower()
    try:
        if ending == "json":
            value = json.loads(text)
        elif ending == "toml":
            value = tomllib.loads(text)
        elif ending == "py":
            value = _python(text)
        else:
            value = load_yaml(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        if isinstance(error, PointerSyntaxError):
            raise
        raise PointerSyntaxError(
            f"cannot be read: {str(error).splitlines()[0] if str(error) else 'too deep'}"
        ) from error
    if not isinstance(value, dict):
        raise PointerSyntaxError("must be a mapping of keys to values", 1)
    return {str(key): item for key, item in value.items()}


def load_yaml(text: str) -> Any:
    """Return the value of a YAML document; an empty mapping where it is empty. Raises PointerSyntaxError."""
    root = parse(text)
    return {} if root is None else plain(root)


def plain(root: Node) -> Any:
    """Return a node's value. Raises PointerSyntaxError where aliases make it too large, or merge what is no mapping."""
    try:
        if _size(root, {}) > _MOST_NODES:
            raise PointerSyntaxError("grows too large where its aliases are written out", root.line)
        return _value(root, {})
    except RecursionError as error:  # aliases within aliases nest deeper than the text does
        raise PointerSyntaxError("is nested too deeply where its aliases are written out", root.line) from error


def _size(node: Node, sizes: dict[int, int]) -> int:
    known = sizes.get(id(node))
    if known is None:
        parts = [*node.items, *(value for _, value in node.pairs)]
        known = sizes[id(node)] = 1 + sum(_size(part, sizes) for part in parts)
    return known


def _value(node: Node, made: dict[int, Any]) -> Any:
    if id(node) in made:
        return made[id(node)]
    value: Any
    if node.kind == "scalar":
        value = _scalar(node)
    elif node.kind == "sequence":
        value = [_value(item, made) for item in node.items]
    else:
        value = {}
        for key, part in node.pairs:
            if key.text == "<<" and key.style is None:
                for merged in part.items if part.kind == "sequence" else [part]:
                    if merged.kind != "mapping":
                        raise PointerSyntaxError("merges what is no mapping", part.line)
                    value = {**_value(merged, made), **value}
        value.update({_key(key): _value(part, made) for key, part in node.pairs if key.text != "<<"})
    made[id(node)] = value
    return value


def _key(node: Node) -> str:
    """Return a key as text: DVC's templates name it so, whatever it is."""
    value = _scalar(node)
    return node.text if value is None or isinstance(value, bool) else str(value)


def _scalar(node: Node) -> Any:  # noqa: PLR0911  # a row of kinds
    text = node.text
    if node.style is not None:
        return text
    if node.is_null:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text) and len(text) < 400:
        return int(text.replace("_", ""))
    if _OTHER_BASE.fullmatch(text) and len(text) < 400:
        return int(text.replace("_", ""), 0)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if _INFINITE.fullmatch(text):
        return float("-inf" if text.startswith("-") else "inf")
    return float("nan") if text in _NOT_A_NUMBER else text


def _python(text: str) -> dict[str, Any]:
    """Return the constants that a Python file assigns at its top level, and in its classes by their names."""
    return _assigned(ast.parse(text).body)


def _assigned(body: list[ast.stmt]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = _assigned(statement.body)
            continue
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name):
                try:
                    found[target.id] = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    found.pop(target.id, None)
    return found
