"""What the readers of one script find, gathered before it becomes an interface."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from runner.plan.options.expressions import Scope
from runner.plan.options.interface import Option, SubCommand


@dataclass
class Declared:
    """Options and what could not be read. `in_defaults` are nodes of their defaults, which are no use of their own."""

    options: list[Option] = field(default_factory=list)
    commands: list[SubCommand] = field(default_factory=list)
    command_dest: str | None = None
    command_required: bool = False
    unreadable: list[str] = field(default_factory=list)
    in_defaults: set[int] = field(default_factory=set)
    parses: bool = False

    def default(self, scope: Scope, node: ast.expr | None, implied: object = None) -> tuple[object, bool, str | None]:
        """Return (value, known, source text where it is unknown), and note that the nodes are a default's."""
        if node is not None:
            self.in_defaults.update(id(inner) for inner in ast.walk(node))
        return scope.default(node, implied)

    def command(self, words: tuple[str, ...], options: Iterable[Option]) -> None:
        """Add a sub-command."""
        self.commands.append(SubCommand(words, tuple(options)))

    def take(self, other: Declared) -> None:
        """Take over what another module declares."""
        self.options += other.options
        self.commands += other.commands
        self.unreadable += other.unreadable
        self.in_defaults |= other.in_defaults
        self.parses = self.parses or other.parses
        self.command_dest = self.command_dest or other.command_dest
        self.command_required = self.command_required or other.command_required


def with_default(option: Option, default: tuple[object, bool, str | None]) -> Option:
    """Return the option with another default, which also means that it is not required."""
    value, known, text = default
    return replace(option, default=value, default_known=known, text_default=text)
