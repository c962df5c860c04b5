"""A YAML document as nodes that know their place in the text, so that a rewrite touches nothing else.

Built from the parser's events and not by its composer: that one follows the nesting of a hostile file with the C stack.
Tags are not resolved: a digest of digits alone stays text, with its leading zeros.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 64  # levels; DVC nests its own structures five deep, params of users a little more
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class PointerSyntaxError(ValueError):
    """A pointer or lock file that cannot be read; the text is a sentence with its line. Not an error for users yet."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)
        self.problem = problem
        self.line = line


@dataclass(eq=False, slots=True)
class Node:
    """A part of a document. `start` and `end` are offsets in the text, `line` counts from 1, `column` from 0.

    `text` is a scalar's value. `pairs` are the entries of a mapping, `items` those of a sequence. The end of a block is
    that of its last part.
    """

    kind: Literal["scalar", "mapping", "sequence"]
    start: int
    end: int
    line: int
    column: int
    text: str = ""
    style: str | None = None
    flow: bool = False
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    @property
    def is_null(self) -> bool:
        """Tell whether this is a plain scalar that means nothing."""
        return self.kind == "scalar" and self.style is None and self.text in _NULLS

    def get(self, key: str) -> Node | None:
        """Return the value of a mapping's key, None where the key is not there."""
        return next((value for name, value in self.pairs if name.text == key), None)


def parse(text: str, *, aliases: bool = True) -> Node | None:
    """Return the root of the only document in `text`, None where it is empty.

    With aliases a node may have several places; without, they are refused. Raises PointerSyntaxError.
    """
    skipped = 1 if text.startswith("\ufeff") else 0
    try:
        return _Builder(text, skipped, aliases).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise PointerSyntaxError(f"is not YAML: {error.problem or error.context}", line) from error
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise PointerSyntaxError(f"is not YAML: {str(error).splitlines()[0]}") from error


class _Builder:
    def __init__(self, text: str, skipped: int, aliases: bool) -> None:
        self._events: Any = yaml.parse(text[skipped:], Loader=_Loader)
        self._text = text
        self._skipped = skipped
        self._aliases = aliases
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise PointerSyntaxError("holds a second YAML document", _line(event))
                root = self._node(next(self._events), 0)
        return None if root is None or root.is_null else root

    def _node(self, event: Any, depth: int) -> Node:
        line = _line(event)
        if depth > _DEEPEST:
            raise PointerSyntaxError(f"is nested more than {_DEEPEST} levels deep", line)
        if isinstance(event, yaml.AliasEvent):
            if not self._aliases:
                raise PointerSyntaxError("uses a YAML alias; write it out", line)
            if event.anchor not in self._anchors:
                raise PointerSyntaxError(f"names an anchor that is not there: {event.anchor}", line)
            return self._anchors[event.anchor]
        start, end = event.start_mark.index + self._skipped, event.end_mark.index + self._skipped
        node = Node("scalar", start, end, line, event.start_mark.column)
        if isinstance(event, yaml.ScalarEvent):
            node.text, node.style = event.value, None if event.style in ("", None) else event.style
        else:
            node.kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
            node.flow = bool(event.flow_style)
            self._fill(node, depth)
        if event.anchor is not None:  # after its content: an alias to a node from within it would be a circle
            self._anchors[event.anchor] = node
        return node

    def _fill(self, node: Node, depth: int) -> None:
        names: set[str] = set()
        for event in self._events:
            if isinstance(event, yaml.CollectionEndEvent):
                if node.flow:
                    node.end = _end(event) + self._skipped
                return
            part = self._node(event, depth + 1)
            if node.kind == "sequence":
                node.items.append(part)
            else:
                if part.kind != "scalar":
                    raise PointerSyntaxError("has a key that is not plain text", part.line)
                if part.text in names:
                    raise PointerSyntaxError(f"has the key {part.text!r} twice", part.line)
                names.add(part.text)
                value = self._node(next(self._events), depth + 1)
                if value.start == value.end:  # nothing after the colon; the parser puts it where the next word starts
                    value.start = value.end = self._text.find(":", part.end) + 1
                node.pairs.append((part, value))
                part = value
            # an alias points back to where it was anchored
            node.end = max(node.end, part.end)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _end(event: Any) -> int:
    return int(event.end_mark.index)
