"""Which params a script logs itself, and what their values are in its own words."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from runner.plan.options.expressions import MISSING, Opened, Scope
from runner.plan.options.interface import LoggedParam
from runner.plan.options.syntax import called, dotted, name_of, words_of

_CASTS = frozenset({"str", "int", "float", "bool", "list", "repr"})


def read_logged(
    tree: ast.Module,
    scope: Scope,
    options: frozenset[str],
    config_name: str | None = None,
    *,
    parameters: frozenset[str] = frozenset(),
) -> list[LoggedParam]:
    """Return the params of `log_param(NAME, VALUE)` and `log_params({NAME: VALUE})`, of W&B's config too.

    `options` are the destinations that the script has, `config_name` is what it calls Hydra's configuration,
    `parameters` are names that stand for themselves where nothing else assigns them. A name that is logged with several
    values has none.
    """
    holders = _holders(tree) | ({config_name} if config_name else set())
    aliases = _aliases(tree, options, holders)
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    aliases.update({name: name for name in parameters if stored.count(name) == 1})
    dictionaries = _dictionaries(tree)
    found: dict[str, set[LoggedParam]] = {}
    for name, value in _pairs(tree, scope, dictionaries):
        dest = _dest(value, options, aliases, holders)
        constant = None
        if dest is None:
            known = scope.value(value)
            constant = None if known is MISSING or isinstance(known, Opened | dict) or _is_read(value) else str(known)
        found.setdefault(name, set()).add(LoggedParam(name, dest, constant))
    return [next(iter(each)) if len(each) == 1 else LoggedParam(name) for name, each in sorted(found.items())]


def _pairs(tree: ast.Module, scope: Scope, dictionaries: dict[str, ast.Dict]) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, words = called(node), words_of(node)
        if name == "log_param":
            key = scope.value(node.args[0] if node.args else words.get("key"))
            value = node.args[1] if len(node.args) > 1 else words.get("value")
            if isinstance(key, str) and value is not None:
                yield key, value
        elif name == "log_params" or (name == "init" and "config" in words):
            given = node.args[0] if name == "log_params" and node.args else words.get("params") or words.get("config")
            if isinstance(given, ast.Name):
                given = dictionaries.get(given.id)
            if isinstance(given, ast.Dict):
                for key_node, value in zip(given.keys, given.values, strict=True):
                    text = scope.value(key_node)
                    if isinstance(text, str):
                        yield text, value
            elif isinstance(given, ast.Call) and called(given) == "dict":
                yield from ((word.arg, word.value) for word in given.keywords if word.arg)


def _dictionaries(tree: ast.Module) -> dict[str, ast.Dict]:
    """Return the literal dictionaries that have a name which is assigned once."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {name: each[0] for name, each in found.items() if len(each) == 1 and isinstance(each[0], ast.Dict)}


def _holders(tree: ast.Module) -> set[str]:
    """Return the names that hold parsed options: `args = parser.parse_args()`, and absl's FLAGS."""
    found = {"FLAGS", "args", "opt", "opts", "hparams", "flags", "arguments", "cli_args", "parsed_args"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and called(node.value) in (
            "parse_args",
            "parse_known_args",
            "parse_args_into_dataclasses",
            "parse",
            "cli",
            "vars",
        ):
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                found.update(name.id for name in names if isinstance(name, ast.Name))
    return found


def _aliases(tree: ast.Module, options: frozenset[str], holders: set[str]) -> dict[str, str]:
    """Return names that are another word for an option: `lr = args.lr`, and a parameter that is called as it is."""
    found: dict[str, str | None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            dest = _dest(node.value, options, {}, holders)
            if dest is None and name in options and _is_of_argv(node.value):
                dest = name
            found[name] = dest if found.get(name, dest) == dest else None
        elif isinstance(node, ast.AugAssign | ast.For) and isinstance(node.target, ast.Name):
            found[node.target.id] = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                if argument.arg in options:
                    found.setdefault(argument.arg, argument.arg)
    return {name: dest for name, dest in found.items() if dest is not None}


def _dest(node: ast.expr, options: frozenset[str], aliases: dict[str, str], holders: set[str]) -> str | None:
    """Return the option whose value an expression is, through casts and defaults alone."""
    while isinstance(node, ast.Call) and called(node) in _CASTS and len(node.args) == 1 and not node.keywords:
        node = node.args[0]
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    first, _, inner = (dotted(node) or "").partition(".")
    if inner in options and first in holders:
        return inner
    if isinstance(node, ast.Attribute) and node.attr in options:
        base = dotted(node.value) or ""
        return node.attr if base.rpartition(".")[2] in holders else None
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in options:
        held = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
        return str(node.slice.value) if (name_of(held) or "") in holders else None
    return None


def _is_read(node: ast.expr) -> bool:
    """Tell whether a value is looked up: then a file of the commit gives it, and it is no constant of the code."""
    return isinstance(node, ast.Subscript) or called(node) == "get"


def _is_of_argv(node: ast.expr) -> bool:
    return any(isinstance(item, ast.Attribute) and dotted(item) == "sys.argv" for item in ast.walk(node))
