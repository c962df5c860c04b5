"""The templates of `dvc.yaml`: `${a.b[0]}` from values, and what `foreach` and `matrix` make of one stage.

As DVC does it: a text that is one template alone takes the value as it is; a mapping within a command becomes options.
What stays open raises, since a command that is half filled in is another command.
"""

from __future__ import annotations

import copy
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runner.pointers.document import PointerSyntaxError

_TEMPLATE = re.compile(r"(?<!\\)\$\{(?P<inner>.*?)\}", re.DOTALL)
_PART = re.compile(r"[^.\[\]]+")
_EXPRESSION = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[[^.\[\]]+\])*")
_LONGEST = 1 << 16  # characters of one text that a template was filled into
_MOST_STAGES = 2000
ITEM, KEY = "item", "key"


class OpenTemplate(PointerSyntaxError):
    """A template names no value, or one that cannot stand where it does."""


@dataclass(frozen=True)
class Parsing:
    """What `[parsing]` of DVC's configuration says of mappings in commands."""

    bool: str = "store_true"
    list: str = "nargs"


def merge(into: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Merge values as `vars` does; a value that would replace another is refused. Raises PointerSyntaxError."""
    for key, value in update.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            merge(old, value)
        elif key in into:
            raise PointerSyntaxError(f"cannot redefine {key!r}, which other vars or params.yaml hold already")
        else:
            into[key] = copy.deepcopy(value) if isinstance(value, dict | list) else value


def resolve(value: Any, values: Mapping[str, Any], *, command: bool = False, parsing: Parsing | None = None) -> Any:
    """Return a value with all templates in it filled in, those of keys too. Raises OpenTemplate."""
    if isinstance(value, dict):
        return {
            str(resolve(key, values)): resolve(item, values, command=command, parsing=parsing)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [resolve(item, values, command=command, parsing=parsing) for item in value]
    return _filled(value, values, command, parsing or Parsing()) if isinstance(value, str) else value


def _filled(text: str, values: Mapping[str, Any], command: bool, parsing: Parsing) -> Any:
    matches = list(_TEMPLATE.finditer(text))
    if len(matches) == 1 and matches[0][0] == text and not command:
        return select(matches[0]["inner"], values)
    pieces: list[str] = []
    end = 0
    for match in matches:
        value = select(match["inner"], values)
        if isinstance(value, list) or (isinstance(value, dict) and not command):
            raise OpenTemplate(f"{match[0]} is no single value")
        pieces += [text[end : match.start()], as_text(value, parsing)]
        end = match.end()
        if sum(map(len, pieces)) > _LONGEST:
            raise OpenTemplate(f"grows longer than {_LONGEST} characters")
    return ("".join(pieces) + text[end:]).replace("\\${", "${")


def select(expression: str, values: Mapping[str, Any]) -> Any:
    """Return the value that `a.b[0]` names. Raises OpenTemplate."""
    if not _EXPRESSION.fullmatch(expression):
        raise OpenTemplate(f"${{{expression}}} is no name of a value")
    value: Any = values
    for part in _PART.findall(expression):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise OpenTemplate(f"${{{expression}}} names no value")
    return value


def as_text(value: Any, parsing: Parsing | None = None) -> str:
    """Return a value as it stands in a text; a mapping becomes the options of a command."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, dict):
        return str(value)
    parsing = parsing or Parsing()
    words: list[str] = []
    for name, item in _flat(value):
        if isinstance(item, bool):
            words += [f"--{name}"] if item else [f"--no-{name}"] if parsing.bool == "boolean_optional" else []
        elif isinstance(item, list):
            texts = [_word(part) for part in item]
            words += [f"--{name} {text}" for text in texts] if parsing.list == "append" else []
            words += [f"--{name} {' '.join(texts)}"] if parsing.list != "append" and texts else []
        else:
            words.append(f"--{name} {_word(item)}")
    return " ".join(words)


def _word(value: Any) -> str:
    if isinstance(value, list | dict):
        raise OpenTemplate("a list within a list cannot become options")
    return shlex.quote(value) if isinstance(value, str) else str(value)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def members_of_foreach(data: Any, values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the key of each stage that a `foreach` makes, with what it adds to the values. Raises OpenTemplate."""
    data = resolve(data, values)
    if isinstance(data, dict):
        return _few([(as_text(key), {ITEM: item, KEY: key}) for key, item in data.items()])
    if not isinstance(data, list):
        raise OpenTemplate("foreach must be a list or a mapping")
    composite = any(isinstance(item, list | dict) for item in data)
    named = {str(place) if composite else as_text(item): item for place, item in enumerate(data)}
    return _few([(key, {ITEM: item}) for key, item in named.items()])


def members_of_matrix(data: Any, values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the key of each stage that a `matrix` makes, with what it adds to the values. Raises OpenTemplate."""
    matrix = resolve(data, values)
    if not isinstance(matrix, dict) or not all(isinstance(axis, list) for axis in matrix.values()):
        raise OpenTemplate("matrix must map names to lists")
    count = 1
    for axis in matrix.values():
        count *= len(axis)
        if count > _MOST_STAGES:
            raise OpenTemplate(f"makes more than {_MOST_STAGES} stages")
    found: dict[str, dict[str, Any]] = {}
    for combination in itertools.product(*matrix.values()):
        item = dict(zip(matrix, combination, strict=True))
        key = "-".join(
            f"{name}{matrix[name].index(value)}" if isinstance(value, list | dict) else as_text(value)
            for name, value in item.items()
        )
        found[key] = {ITEM: item, KEY: key}
    return list(found.items())


def _few(members: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    if len(members) > _MOST_STAGES:
        raise OpenTemplate(f"makes more than {_MOST_STAGES} stages")
    return members
