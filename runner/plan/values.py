"""Recorded params as texts: when two mean the same, and which must not be passed on."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable

from runner.redact import redact

# Whole words only: max_tokens and tokenizer are usual params of a training.
_SECRET = re.compile(r"(?:^|_)(?:password|passwd|secret|token|api_?key|access_?key|credentials?)(?:$|_)")
_ABSOLUTE = re.compile(r"(?:[A-Za-z]:[\\/]|/|\\\\|~|file:)")


def same_value(one: str, other: str) -> bool:
    """Tell whether two texts of a param mean the same: equal, or the same number, bool or None."""
    if one == other:
        return True
    try:
        left, right = ast.literal_eval(one), ast.literal_eval(other)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return bool(left == right)


def key_of(name: str) -> str:
    """Return a param's name as Python has it."""
    return name.replace("-", "_")


def is_secret(name: str, text: str) -> bool:
    """Tell whether a value looks like one that must stay out of commands."""
    return bool(_SECRET.search(re.sub(r"[-./:\s]", "_", name).lower())) or redact(text) != text


def is_absolute(text: str) -> bool:
    """Tell whether a value is a path of some machine."""
    return bool(_ABSOLUTE.match(text))


def names_in(keys: Iterable[str]) -> Callable[[str], str | None]:
    """Return a function from a param's name to the one key `a.b.c` that it is: itself, `a_b_c`, or its last part."""
    known = list(keys)
    plain: dict[str, list[str]] = {}
    last: dict[str, list[str]] = {}
    for key in known:
        plain.setdefault(_plain(key), []).append(key)
        last.setdefault(key.rpartition(".")[2], []).append(key)

    def find(name: str) -> str | None:
        if name in known:
            return name
        for names in (plain.get(_plain(name)), last.get(name)):
            if names:
                return names[0] if len(names) == 1 else None
        return None

    return find


def _plain(name: str) -> str:
    return re.sub(r"[-./:]", "_", name)
