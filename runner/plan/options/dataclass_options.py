"""Dataclasses that become options: HfArgumentParser, simple-parsing, tyro, and the classes of Tap."""

from __future__ import annotations

import ast

from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Kind, Option
from runner.plan.options.syntax import called, classes, dotted, name_of, parse, words_of

_FIELDS = frozenset({"field", "choice", "Field", "flag", "list_field", "mutable_field", "arg", "option"})


def read_dataclasses(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read dataclasses that HfArgumentParser and simple-parsing turn into options, and Tap's classes."""
    types = {**_imported_classes(tree, scope), **classes(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name == "HfArgumentParser" and node.args:
            first = node.args[0]
            for item in first.elts if isinstance(first, ast.Tuple | ast.List) else [first]:
                declared.options += fields_of(name_of(item), types, scope, declared, node)
        elif node.args and (name == "add_arguments" or _parses_directly(node, tree)):
            declared.options += fields_of(name_of(node.args[0]), types, scope, declared, node)
        elif name in ("parse_args", "parse_known_args") and isinstance(node.func, ast.Attribute):
            made = node.func.value
            kind = types.get(called(made)) if isinstance(made, ast.Call) else None
            if kind is not None and {"Tap", "TypedArgumentParser"} & {name_of(base) or "" for base in kind.bases}:
                declared.options += [_tap(option) for option in fields_of(kind.name, types, scope, declared, node)]


def _parses_directly(node: ast.Call, tree: ast.Module) -> bool:
    """Tell whether a call is `simple_parsing.parse`."""
    if dotted(node.func) in ("simple_parsing.parse", "sp.parse"):
        return True
    return dotted(node.func) == "parse" and _from(tree, "parse", "simple_parsing")


def _tap(option: Option) -> Option:
    if option.type_name != "bool":
        return option
    kind: Kind = "inverse" if option.default is True else "flag"
    return Option(**{**option.__dict__, "kind": kind})


def _from(tree: ast.Module, name: str, module: str) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == module and any(alias.name == name for alias in node.names)
        for node in ast.walk(tree)
    )


def _imported_classes(tree: ast.Module, scope: Scope) -> dict[str, ast.ClassDef]:
    found: dict[str, ast.ClassDef] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = scope.around.module(node.module or "", node.level)
            inner = parse(module[1]) if module else None
            theirs = classes(inner) if inner is not None else {}
            found.update({item.asname or item.name: theirs[item.name] for item in node.names if item.name in theirs})
            if any(item.name == "*" for item in node.names):
                found.update(theirs)
    return found


def fields_of(
    name: str | None, types: dict[str, ast.ClassDef], scope: Scope, declared: Declared, at: ast.Call
) -> list[Option]:
    """Return the fields of a dataclass and of its bases as options."""
    node = types.get(name or "")
    if node is None:
        declared.unreadable.append(f"the options of {name}" if name else f"the options at line {at.lineno}")
        return []
    found: dict[str, Option] = {}
    for base in node.bases:
        inherited = name_of(base)
        if inherited in types and inherited != name:
            found.update({option.dest: option for option in fields_of(inherited, types, scope, declared, at)})
        elif inherited not in ("Tap", "TypedArgumentParser", "object", "Generic", "Protocol"):
            declared.unreadable.append(f"the options of {inherited}")
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = _field(item, item.target.id, scope, declared)
    return list(found.values())


def _field(item: ast.AnnAssign, name: str, scope: Scope, declared: Declared) -> Option:
    expression = item.value
    required = expression is None
    if isinstance(expression, ast.Call) and called(expression) in _FIELDS:
        words = words_of(expression)
        factory = words.get("default_factory")
        expression = words.get("default") or (expression.args[0] if expression.args else None)
        if isinstance(factory, ast.Lambda):
            expression = factory.body
        elif factory is not None and name_of(factory) in ("list", "dict"):
            expression = ast.copy_location(ast.List(elts=[], ctx=ast.Load()), item)
        required = expression is None
    value, known, source = declared.default(scope, expression)
    annotation = ast.unparse(item.annotation)
    many = annotation.lower().replace("optional[", "").startswith(("list", "typing.list", "tuple", "sequence"))
    return Option(
        dest=name,
        flag=f"--{name}",
        kind="list" if many else "value",
        default=value,
        default_known=known,
        text_default=source,
        required=required,
        type_name=name_of(item.annotation),
    )
