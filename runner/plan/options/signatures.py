"""Options that the signature of a function declares: python-fire, tyro and jsonargparse."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from runner.plan.options.dataclass_options import fields_of
from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Kind, Option
from runner.plan.options.syntax import classes, dotted, functions, name_of, text, words_of

Function = ast.FunctionDef | ast.AsyncFunctionDef
_COMMAND_LINES = frozenset({"CLI", "auto_cli"})


def parameters(node: Function) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """Yield the parameters of a function with their defaults, without `self`."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    lacking = len(arguments) - len(node.args.defaults)
    defaults: list[ast.expr | None] = [None] * lacking + list(node.args.defaults)
    pairs = [*zip(arguments, defaults, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    yield from (pair for pair in pairs if pair[0].arg not in ("self", "cls"))


def read_fire(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read what `fire.Fire(...)` calls: a function, several by name, or the module's own."""
    own = functions(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or dotted(node.func) not in ("fire.Fire", "Fire"):
            continue
        given = node.args[0] if node.args else words_of(node).get("component")
        if isinstance(given, ast.Dict):
            for key, value in zip(given.keys, given.values, strict=True):
                function = own.get(name_of(value) or "")
                if function is not None and (name := text(key)) is not None:
                    declared.command((name,), _plain(function, scope, declared, joined=True))
                else:
                    declared.unreadable.append(f"what Fire calls at line {node.lineno}")
            declared.command_required = True
        elif isinstance(given, ast.Name) and given.id in own:
            declared.options += _plain(own[given.id], scope, declared, joined=True)
        elif given is None:
            for item in tree.body:
                if isinstance(item, Function) and not item.name.startswith("_"):
                    declared.command((item.name,), _plain(item, scope, declared, joined=True))
            declared.command_required = True
        elif isinstance(given, ast.Name) and given.id in classes(tree):
            _fire_class(classes(tree)[given.id], scope, declared)
        else:
            declared.unreadable.append(f"what Fire calls at line {node.lineno}")


def _fire_class(node: ast.ClassDef, scope: Scope, declared: Declared) -> None:
    """A class gives its methods as sub-commands; what its constructor takes may stand beside them."""
    methods = [item for item in node.body if isinstance(item, Function)]
    constructor = next((item for item in methods if item.name == "__init__"), None)
    if constructor is not None:
        declared.options += _plain(constructor, scope, declared, joined=True)
    for method in methods:
        if not method.name.startswith("_"):
            declared.command((method.name,), _plain(method, scope, declared, joined=True))
    declared.command_required = True


def _plain(node: Function, scope: Scope, declared: Declared, *, joined: bool) -> list[Option]:
    found = []
    for argument, default in parameters(node):
        value, known, source = declared.default(scope, default)
        found.append(
            Option(
                dest=argument.arg,
                flag=f"--{argument.arg}",
                default=value,
                default_known=known,
                text_default=source,
                required=default is None,
                type_name=name_of(argument.annotation),
                joined=joined,
            )
        )
    if node.args.kwarg is not None:
        declared.unreadable.append(f"what **{node.args.kwarg.arg} of {node.name} takes")
    return found


def read_signatures(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read functions and classes that tyro and jsonargparse turn into a command line."""
    own, types = functions(tree), classes(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func) or ""
        given = name_of(node.args[0]) if node.args else None
        if name == "tyro.cli" and given in own:
            declared.options += [_kebab(option) for option in _plain(own[given], scope, declared, joined=False)]
        elif name == "tyro.cli":
            declared.options += [_kebab(option) for option in fields_of(given, types, scope, declared, node)]
        elif name.rpartition(".")[2] in _COMMAND_LINES and (given in own or given in types):
            body = own.get(given or "") or _constructor(types[given or ""])
            if body is None:
                declared.unreadable.append(f"what the command line at line {node.lineno} builds")
                continue
            for option in _plain(body, scope, declared, joined=False):
                declared.options.append(Option(**{**option.__dict__, "flag": None}) if option.required else option)


def _constructor(node: ast.ClassDef) -> Function | None:
    return next((item for item in node.body if isinstance(item, Function) and item.name == "__init__"), None)


def _kebab(option: Option) -> Option:
    switch = isinstance(option.default, bool) or option.type_name == "bool"
    flag = (option.flag or "").replace("_", "-")
    kind: Kind = "boolean" if switch else option.kind
    negative = "--no-" + flag[2:] if switch else None
    return Option(**{**option.__dict__, "flag": flag, "kind": kind, "negative_flag": negative})
