"""Reading YAML that people wrote into a model, with every problem at its line. Text in, value out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

_LONGEST = 1 << 18  # characters; a configuration is a page
_DEEPEST = 32


_WORDS = {
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be text or a list of texts",
    "string_type": "must be text; put it in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}


@dataclass(frozen=True)
class Problem:
    """What is wrong at a line (from 1; 0 for the whole document), in words."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class UnreadableYaml(ValueError):
    """The text is no document of the model; `problems` has all that is wrong, by line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def read_model(text: str, model: type[Model]) -> Model:
    """Return `text` as a value of `model`.

    Scalars reach the model as their text, except true, false and null, so that `3.10` stays 3.10. Aliases are refused:
    a document of a stranger could grow without bound. Raises UnreadableYaml with every problem.
    """
    data, lines, problems = _load(text)
    if problems:
        raise UnreadableYaml(tuple(problems))
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [_problem(detail, lines, model) for detail in error.errors(include_url=False, include_context=True)]
        raise UnreadableYaml(tuple(sorted(found, key=lambda problem: problem.line))) from error


def _load(text: str) -> tuple[Any, dict[tuple[str | int, ...], int], list[Problem]]:
    if len(text) > _LONGEST:
        return None, {}, [Problem(0, f"is longer than {_LONGEST} characters")]
    lines: dict[tuple[str | int, ...], int] = {}
    problems: list[Problem] = []
    try:
        refused = why_not_composed(text)
        if refused is not None:
            return None, {}, [refused]
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = {} if node is None else _plain(node, (), lines, problems)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return None, {}, [Problem(line, f"is not YAML: {error.problem or error.context}")]
    except yaml.YAMLError as error:
        return None, {}, [Problem(0, f"is not YAML: {str(error).splitlines()[0]}")]
    if not isinstance(data, dict):
        problems.append(Problem(1, "must be a mapping of keys to values"))
    return data, lines, problems


def why_not_composed(text: str) -> Problem | None:
    """Return why a document is not even composed: the composer follows nesting with the stack, and aliases multiply.

    Raises YAMLError where it is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            return Problem(line, "aliases (*name) are not taken; write it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return Problem(line, "is nested too deeply")
    return None


def _plain(
    node: yaml.Node, where: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], problems: list[Problem]
) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(Problem(line, "a key must be plain text"))
                continue
            key = key_node.value
            if key in mapping:
                problems.append(Problem(line, f"key {key!r} occurs twice"))
                continue
            lines[(*where, key)] = line
            mapping[key] = _plain(value_node, (*where, key), lines, problems)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*where, index), lines, problems) for index, item in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    return node.value


def _problem(detail: Any, lines: dict[tuple[str | int, ...], int], model: type[BaseModel]) -> Problem:
    where = tuple(detail["loc"])
    line = 0
    for length in range(len(where), -1, -1):
        if where[:length] in lines:
            line = lines[where[:length]]
            break
    name = ".".join(str(part) for part in where)
    if detail["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(where[-1]), _keys(model, where[:-1]), n=1, cutoff=0.6)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        return Problem(line, f"unknown key {name!r}{hint}")
    message = _WORDS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return Problem(line, f"{name}: {message[:1].lower()}{message[1:]}" if name else message)


def _keys(model: type[BaseModel], where: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are taken at a place, to name the nearest."""
    for part in where:
        inner = next(
            (field.annotation for name, field in model.model_fields.items() if part in (name, field.alias)), None
        )
        candidates = [inner, *getattr(inner, "__args__", ())]
        models = [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
        if inner is None:  # the name of a metric: the model stays that of the mapping's values
            continue
        if not models:
            return []
        model = models[0]
    return [field.alias or name for name, field in model.model_fields.items()]
