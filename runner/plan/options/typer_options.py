"""typer: applications, `typer.run`, options by default value and by `Annotated`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Kind, Option
from runner.plan.options.signatures import Function, parameters
from runner.plan.options.syntax import called, dotted, functions, name_of, text, words_of


def read_typer(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read typer's commands: one alone is the script itself, several are sub-commands."""
    own = functions(tree)
    commands = [
        (name or function.name.replace("_", "-"), function)
        for function in own.values()
        for kind, name in _registered(function, tree)
        if kind == "command"
    ]
    callbacks = [function for function in own.values() for kind, _ in _registered(function, tree) if kind == "callback"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) == "typer.run" and node.args:
            name = name_of(node.args[0]) or ""
            if name in own:
                declared.options += _typer(own[name], scope, declared)
            else:
                declared.unreadable.append(f"typer.run({name})")
    groups = any(called(node) == "add_typer" for node in ast.walk(tree))
    if groups:
        declared.unreadable.append("the commands that add_typer brings")
    if len(commands) == 1 and not callbacks and not groups:
        declared.options += _typer(commands[0][1], scope, declared)
        return
    for callback in callbacks:
        declared.options += _typer(callback, scope, declared)
    for name, function in commands:
        declared.command((name,), _typer(function, scope, declared))
    declared.command_required = declared.command_required or bool(commands)


def _registered(function: Function, tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Yield (`command` or `callback`, name if one is given) for each application that has the function."""
    for decorator in function.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(target, ast.Attribute) and target.attr in ("command", "callback") and _is_app(target.value, tree):
            named = text(decorator.args[0]) if isinstance(decorator, ast.Call) and decorator.args else None
            yield target.attr, named


def _is_app(node: ast.expr | None, tree: ast.Module) -> bool:
    """Tell whether a name is a typer application of the module."""
    name = name_of(node)
    return name is not None and any(
        isinstance(item, ast.Assign)
        and any(name_of(target) == name for target in item.targets)
        and called(item.value) == "Typer"
        for item in ast.walk(tree)
    )


def _typer(node: Function, scope: Scope, declared: Declared) -> list[Option]:
    return [
        option
        for argument, default in parameters(node)
        if (option := _typer_option(argument, default, scope, declared)) is not None
    ]


def _typer_option(argument: ast.arg, default: ast.expr | None, scope: Scope, declared: Declared) -> Option | None:
    annotation, marker = _annotated(argument.annotation)
    if name_of(annotation) == "Context":
        return None
    expression: ast.expr | None = default
    names: list[str]
    if isinstance(default, ast.Call) and called(default) in ("Option", "Argument"):
        first = default.args[0] if default.args else words_of(default).get("default")
        expression = None if isinstance(first, ast.Constant) and first.value is Ellipsis else first
        marker, names = default, [name for item in default.args[1:] if (name := text(item))]
    else:
        names = [name for item in marker.args if (name := text(item))] if marker is not None else []
    positional = called(marker) == "Argument" if marker is not None else default is None
    value, known, source = declared.default(scope, expression)
    if marker is not None and "envvar" in words_of(marker):
        known, source = False, "an environment variable"
    declared_flag = next((name for name in names if name.startswith("--")), None)
    flag, _, negative = (declared_flag or "").partition("/")
    flag = flag or "--" + argument.arg.replace("_", "-")
    switch = isinstance(value, bool) or name_of(annotation) == "bool"
    if switch and not negative and declared_flag is None:
        negative = "--no-" + flag[2:]
    many = annotation is not None and ast.unparse(annotation).lower().replace("optional[", "").startswith("list[")
    kind: Kind = "boolean" if switch and negative else "flag" if switch else "append" if many else "value"
    if positional:
        kind = "list" if many else "value"
    return Option(
        dest=argument.arg,
        flag=None if positional else flag.strip(),
        kind=kind,
        default=value,
        default_known=known and (expression is not None),
        text_default=source,
        required=expression is None,
        type_name=name_of(annotation),
        negative_flag=negative.strip() or None if switch and not positional else None,
    )


def _annotated(node: ast.expr | None) -> tuple[ast.expr | None, ast.Call | None]:
    """Return the type and the marker of `Annotated[TYPE, typer.Option(...)]`."""
    if not isinstance(node, ast.Subscript) or name_of(node.value) != "Annotated":
        return node, None
    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    marker: Any = next((item for item in items[1:] if called(item) in ("Option", "Argument")), None)
    return items[0], marker
