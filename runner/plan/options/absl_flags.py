"""absl's flags."""

from __future__ import annotations

import ast
import re

from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Kind, Option
from runner.plan.options.syntax import called, words_of

_DEFINES = re.compile(
    r"DEFINE_(?P<kind>string|integer|float|bool|boolean|enum|list|multi_\w+|enum_class|spaceseplist)$"
)


def read_absl(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read `flags.DEFINE_integer(NAME, DEFAULT, ...)` and its like."""
    for node in ast.walk(tree):
        match = _DEFINES.match(called(node))
        if match is None or not isinstance(node, ast.Call):
            continue
        words = words_of(node)
        name = scope.value(node.args[0] if node.args else words.get("name"))
        if not isinstance(name, str):
            declared.unreadable.append(f"the flag at line {node.lineno}")
            continue
        boolean = match["kind"] in ("bool", "boolean")
        given = node.args[1] if len(node.args) > 1 else words.get("default")
        value, known, source = declared.default(scope, given)
        choices = scope.value(node.args[2]) if match["kind"] == "enum" and len(node.args) > 2 else None
        kind: Kind = "boolean" if boolean else "append" if match["kind"].startswith("multi_") else "value"
        declared.options.append(
            Option(
                dest=name,
                flag=f"--{name}",
                kind=kind,
                default=value,
                default_known=known,
                text_default=source,
                choices=tuple(map(str, choices)) if isinstance(choices, list) else None,
                negative_flag=f"--no{name}" if boolean else None,
                joined=True,
            )
        )
