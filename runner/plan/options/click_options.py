"""click: commands, groups, options and arguments, as decorators."""

from __future__ import annotations

import ast

from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Kind, Option
from runner.plan.options.syntax import called, functions, is_name, is_true, name_of, text, words_of

_DECORATORS = frozenset({"option", "argument"})


def read_click(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read functions that click decorates: a lone command is the script itself, those of a group are sub-commands."""
    own = functions(tree)
    bare = _bare_names(tree)
    groups = {name for name, node in own.items() if any(_is(item, "group", bare=bare) for item in node.decorator_list)}
    for name, node in own.items():
        options = [
            option
            for item in node.decorator_list
            if isinstance(item, ast.Call) and _is(item, *_DECORATORS, bare=bare)
            if (option := _option(item, scope, declared)) is not None
        ]
        commands = [item for item in node.decorator_list if _in_group(item, groups)]
        if name in groups or not (commands or options):
            declared.options += options
        elif commands:
            first = commands[0]
            named = text(first.args[0]) if isinstance(first, ast.Call) and first.args else None
            declared.command((named or name.replace("_", "-"),), options)
        else:
            declared.options += options
    if groups:
        declared.command_required = True
        if any(called(node) == "add_command" for node in ast.walk(tree)) or not declared.commands:
            declared.unreadable.append("its sub-commands")


def _bare_names(tree: ast.Module) -> set[str]:
    """Return the names that the module imports from click."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("click", "rich_click")
        for alias in node.names
    }


def _is(decorator: ast.expr, *names: str, bare: set[str]) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    if name_of(target) not in names:
        return False
    return is_name(target, "click") or (isinstance(target, ast.Name) and target.id in bare)


def _in_group(decorator: ast.expr, groups: set[str]) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (
        isinstance(target, ast.Attribute)
        and target.attr == "command"
        and isinstance(target.value, ast.Name)
        and target.value.id in groups
    )


def _option(node: ast.Call, scope: Scope, declared: Declared) -> Option | None:
    positional = called(node) == "argument"
    names = [str(value) for item in node.args if isinstance(value := scope.value(item), str)]
    words = words_of(node)
    if not names:
        declared.unreadable.append(f"the option at line {node.lineno}")
        return None
    long = next((name for name in names if name.startswith("--")), names[0])
    flag, _, negative = long.partition("/")
    plain = next((name for name in names if not name.startswith("-")), None)
    many = positional and text(words.get("nargs")) is None and scope.value(words.get("nargs")) in (-1,)
    kind: Kind = "boolean" if negative else "flag" if is_true(words.get("is_flag")) else "list" if many else "value"
    if is_true(words.get("multiple")):
        kind = "append"
    if is_true(words.get("count")):
        kind = "count"
    default, known, source = declared.default(scope, words.get("default"), None if kind == "value" else False)
    if "envvar" in words:
        known, source = False, "an environment variable"
    return Option(
        dest=plain or flag.strip().lstrip("-").replace("-", "_").lower(),
        flag=None if positional else flag.strip(),
        kind=kind,
        default=default,
        default_known=known,
        text_default=source,
        required=(positional and "default" not in words and not _is_false(words.get("required")))
        or is_true(words.get("required")),
        choices=_choices(words.get("type"), scope),
        type_name=name_of(words.get("type")),
        negative_flag=negative.strip() or None,
        other_flags=tuple(name for name in names if name.startswith("-") and name != long),
    )


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _choices(node: ast.expr | None, scope: Scope) -> tuple[str, ...] | None:
    if not isinstance(node, ast.Call) or called(node) != "Choice" or not node.args:
        return None
    values = scope.value(node.args[0])
    if "case_sensitive" in words_of(node) or not isinstance(values, list):
        return None
    return tuple(str(value) for value in values)
