"""argparse: options, positional arguments, groups, parents and sub-parsers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from runner.plan.options.declared import Declared, with_default
from runner.plan.options.expressions import MISSING, Scope
from runner.plan.options.interface import Kind, Option
from runner.plan.options.syntax import called, functions, is_true, name_of, text, words_of

PARSERS = frozenset({"ArgumentParser", "ArgParser", "HfArgumentParser", "add_parser"})
_GROUPS = frozenset({"add_argument_group", "add_mutually_exclusive_group"})


@dataclass
class _Parser:
    """A parser object of the script; the root has no words."""

    words: tuple[str, ...] = ()
    options: list[Option] = field(default_factory=list)
    parents: list[_Parser] = field(default_factory=list)
    defaults: dict[str, ast.expr] = field(default_factory=dict)
    exclusive: str | None = None
    inner: _Parser | None = None

    @property
    def own(self) -> _Parser:
        """The parser itself, where this is one of its groups."""
        return self.inner or self


@dataclass
class _Reader:
    scope: Scope
    declared: Declared
    root: _Parser = field(default_factory=_Parser)
    parsers: list[_Parser] = field(default_factory=list)
    names: dict[tuple[str, str], _Parser] = field(default_factory=dict)
    subparsers: dict[tuple[str, str], tuple[_Parser, ast.Call]] = field(default_factory=dict)
    given: dict[tuple[str, str], _Parser] = field(default_factory=dict)
    loose: list[_Parser] = field(default_factory=list)

    def receiver(self, node: ast.Call, function: str) -> _Parser:
        """Return the parser whose method a call is: of the function, of what calls it, of the module, else the root."""
        target = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(target, ast.Call):
            made = self.made(target, function)
            return made or self.root
        name = name_of(target) or ""
        return (
            self.names.get((function, name))
            or self.given.get((function, name))
            or self.names.get(("", name), self.root)
        )

    def made(self, node: ast.expr, function: str) -> _Parser | None:
        """Return the parser that an expression makes, or that it stands for."""
        if isinstance(node, ast.Name):
            return (
                self.names.get((function, node.id))
                or self.given.get((function, node.id))
                or self.names.get(("", node.id))
            )
        name = called(node)
        if not isinstance(node, ast.Call) or not name:
            return None
        words = words_of(node)
        if name in _GROUPS:
            inner = self.receiver(node, function).own
            group = f"line {node.lineno}" if name == "add_mutually_exclusive_group" else None
            return _Parser(inner=inner, exclusive=group)
        if name not in PARSERS:
            return None
        parser = self.root
        if name == "add_parser":
            command = self.scope.value(node.args[0]) if node.args else MISSING
            if not isinstance(command, str):
                self.declared.unreadable.append(f"the sub-command at line {node.lineno}")
                return _Parser()
            target = node.func.value if isinstance(node.func, ast.Attribute) else None
            holder = self.subparsers.get((function, name_of(target) or "")) or self.subparsers.get(
                ("", name_of(target) or "")
            )
            parser = _Parser(words=(*(holder[0].words if holder else ()), command))
            self.parsers.append(parser)
        elif isinstance(words.get("add_help"), ast.Constant) and not is_true(words.get("add_help")):
            parser = _Parser()  # made to be a parent of others
            self.loose.append(parser)
        parents = words.get("parents")
        for item in parents.elts if isinstance(parents, ast.List | ast.Tuple) else ():
            made = self.made(item, function)
            if made is not None and made.own is not parser:
                parser.parents.append(made.own)
        return parser

    def visit(self, node: ast.AST, function: str) -> None:
        for item in ast.iter_child_nodes(node):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                self.visit(item, item.name)
                continue
            if isinstance(item, ast.Assign | ast.AnnAssign) and item.value is not None:
                self.assign(item, function)
            if isinstance(item, ast.Call):
                self.call(item, function)
            if isinstance(item, ast.For):
                self.loop(item, function)
            self.visit(item, function)

    def assign(self, node: ast.Assign | ast.AnnAssign, function: str) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        name = name_of(targets[0]) or ""
        value = node.value
        if value is None:
            return
        if isinstance(value, ast.Call) and called(value) == "add_subparsers":
            self.subparsers[(function, name)] = (self.receiver(value, function).own, value)
            return
        made = self.made(value, function)
        if made is not None:
            self.names[(function, name)] = made

    def loop(self, node: ast.For, function: str) -> None:
        """Follow `for p in (train, test): p.add_argument(...)` by its first round alone, and say so of the others."""
        if isinstance(node.iter, ast.List | ast.Tuple) and isinstance(node.target, ast.Name):
            made = [self.made(item, function) for item in node.iter.elts]
            if made and all(made):
                shared = _Parser()
                for parser in made:
                    if parser is not None:
                        parser.own.parents.append(shared)
                self.names[(function, node.target.id)] = shared

    def call(self, node: ast.Call, function: str) -> None:
        name = called(node)
        if name == "add_argument" and isinstance(node.func, ast.Attribute):
            parser = self.receiver(node, function)
            option = self.option(node, parser.exclusive)
            if option is not None:
                parser.own.options.append(option)
        elif name == "set_defaults" and isinstance(node.func, ast.Attribute):
            defaults = self.receiver(node, function).own.defaults
            defaults.update(words_of(node))
            for word in node.keywords:
                known = self.scope.value(word.value) if word.arg is None else {}
                if isinstance(known, dict):
                    defaults.update(
                        {str(name): ast.parse(repr(value), mode="eval").body for name, value in known.items()}
                    )
                else:
                    self.declared.unreadable.append(f"the defaults at line {node.lineno}")
        elif name in ("parse_args", "parse_known_args", "parse_intermixed_args"):
            self.declared.parses = True
        elif name == "add_subparsers":
            words = words_of(node)
            self.declared.command_dest = text(words.get("dest")) or self.declared.command_dest
            self.declared.command_required = self.declared.command_required or is_true(words.get("required"))
            self.subparsers.setdefault((function, ""), (self.receiver(node, function).own, node))

    def bind(self, tree: ast.Module) -> None:
        """Note which parser each call of the module's own functions hands over."""
        own = functions(tree)
        for _ in range(2):
            for function, node in _calls_within(tree):
                target = own.get(called(node)) if isinstance(node.func, ast.Name) else None
                if target is None:
                    continue
                for argument, parameter in zip(node.args, target.args.args, strict=False):
                    parser = self.made(argument, function) if isinstance(argument, ast.Name) else None
                    if parser is not None:
                        self.given.setdefault((target.name, parameter.arg), parser)

    def option(self, node: ast.Call, exclusive: str | None) -> Option | None:
        names = [self.scope.value(argument) for argument in node.args]
        words = words_of(node)
        if not names or not all(isinstance(name, str) for name in names):
            self.declared.unreadable.append(f"the option at line {node.lineno}")
            return None
        if len(words) != len(node.keywords):
            self.declared.unreadable.append(f"the settings of {names[0]!r}")
        flags = [name for name in names if isinstance(name, str)]
        positional = not flags[0].startswith("-")
        long = next((flag for flag in flags if flag.startswith("--")), flags[0])
        dest = text(words.get("dest")) or (flags[0] if positional else long.lstrip("-").replace("-", "_"))
        action = text(words.get("action")) or name_of(words.get("action")) or "store"
        if action in ("help", "version"):
            return None
        kind, implied = _kind_of(action, words.get("nargs"))
        default, known, source = self.declared.default(self.scope, words.get("default"), implied)
        optional = positional and text(words.get("nargs")) in ("?", "*")
        choices = self.scope.value(words.get("choices"))
        return Option(
            dest=dest,
            flag=None if positional else long,
            kind=kind,
            default=default,
            default_known=known and action not in ("store_const", "append_const") and "env_var" not in words,
            text_default=source,
            required=(positional and not optional and "default" not in words) or is_true(words.get("required")),
            choices=tuple(str(choice) for choice in choices) if isinstance(choices, list | tuple | dict) else None,
            type_name=name_of(words.get("type")),
            negative_flag="--no-" + long[2:] if kind == "boolean" else None,
            exclusive=exclusive,
            other_flags=() if positional else tuple(flag for flag in flags if flag != long),
        )


def read_argparse(tree: ast.Module, scope: Scope, declared: Declared) -> None:
    """Read what `add_argument` declares, each with the sub-command that takes it."""
    # Once to see which parser is which, once to read: functions stand before what calls them.
    first = _Reader(scope, Declared())
    first.visit(tree, "")
    first.bind(tree)
    reader = _Reader(scope, declared, given=_same_parsers(first))
    reader.visit(tree, "")
    _resolve_given(first, reader)
    taken: set[int] = set()
    commands = [(parser, _options_of(parser, declared, scope, taken)) for parser in reader.parsers]
    # A parser that no sub-command has as its parent is one that a function hands to the script's own.
    reader.root.parents += [parser for parser in reader.loose if id(parser) not in taken]
    declared.options += _options_of(reader.root, declared, scope, set())
    for parser, options in commands:
        declared.command(parser.words, options)
    if reader.subparsers and not commands:
        declared.unreadable.append("its sub-commands")


def _same_parsers(first: _Reader) -> dict[tuple[str, str], _Parser]:
    """Return a new parser for each that functions are given; `_resolve_given` puts them where they belong."""
    made: dict[int, _Parser] = {}
    return {
        key: made.setdefault(id(parser.own), _Parser())
        for key, parser in first.given.items()
        if parser.own is not first.root
    }


def _resolve_given(first: _Reader, reader: _Reader) -> None:
    by_words = {parser.words: parser for parser in reader.parsers}
    seen: set[int] = set()
    for key, shared in reader.given.items():
        target = by_words.get(first.given[key].own.words)
        if target is not None and id(shared) not in seen:
            seen.add(id(shared))
            target.parents.append(shared)


def _options_of(parser: _Parser, declared: Declared, scope: Scope, taken: set[int]) -> list[Option]:
    """Return the options of a parser with those of its parents, each once; `taken` gathers whose they were."""
    taken.add(id(parser))
    found: dict[tuple[str, str | None], Option] = {}
    for parent in parser.parents:
        if parent is not parser:
            options = _options_of(parent, declared, scope, taken)
            found.update({(option.dest, option.flag): option for option in options})
    found.update({(option.dest, option.flag): option for option in parser.options})
    return [
        with_default(option, declared.default(scope, parser.defaults[option.dest]))
        if option.dest in parser.defaults
        else option
        for option in found.values()
    ]


def _calls_within(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    def walk(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
        for item in ast.iter_child_nodes(node):
            inner = item.name if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(item, ast.Call):
                yield function, item
            yield from walk(item, inner)

    yield from walk(tree, "")


def _kind_of(action: str, nargs: ast.expr | None) -> tuple[Kind, Any]:
    """Return how an argparse action takes values, and the default that it implies."""
    if action == "store_true":
        return "flag", False
    if action == "store_false":
        return "inverse", True
    if action == "BooleanOptionalAction":
        return "boolean", None
    if action == "count":
        return "count", None
    if action in ("append", "extend"):
        return ("append" if action == "append" and nargs is None else "list"), None
    return ("value" if nargs is None or text(nargs) == "?" else "list"), None
