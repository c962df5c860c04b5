"""Recorded params mapped onto the options that a script declares."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.plan.options import Option, ScriptInterface
from runner.redact import redact
from runner.schema.run_record import RunRecord

# Whole words only: max_tokens and tokenizer are usual params of a training.
_SECRET = re.compile(r"(?:^|_)(?:password|passwd|secret|token|api_?key|access_?key|credentials?)(?:$|_)")
_ABSOLUTE = re.compile(r"(?:[A-Za-z]:[\\/]|/|\\\\|~|file:)")


@dataclass(frozen=True)
class Arguments:
    """The words after the script. `uncovered` names in phrases the options whose value nothing pins, `lacking` the
    required ones without a value."""

    words: tuple[str, ...]
    used: tuple[str, ...]
    uncovered: tuple[str, ...]
    lacking: tuple[str, ...]


def map_params(record: RunRecord, interface: ScriptInterface, tree_path: Callable[[str], str | None]) -> Arguments:
    """Return the arguments that give a script the recorded values.

    Only params whose name is the destination of a declared option are passed. `tree_path` returns the path in the
    repository that a path of another machine ends in, None if there is none.
    """
    recorded = _recorded_by_dest(record)
    known = {_key(name).lower() for name in (*record.params, *record.tags)}
    positional: list[str] = []
    flagged: list[str] = []
    used: list[str] = []
    uncovered: list[str] = list(interface.unreadable)
    uncovered += [f"environment variable {name}" for name in interface.variables if name.lower() not in known]
    lacking: list[str] = []
    for option in interface.options:
        value = recorded.get(_key(option.dest))
        problem: str | None = None
        if value is not None:
            name, text = value
            problem = _unfit(option, name, text, record)
            words = None if problem else _words(option, text, tree_path)
            if words is not None:
                (flagged if option.flag else positional).extend(words)
                used.append(name)
                continue
            problem = problem or f"the recorded value {redact(text[:40])!r} cannot be passed"
        if option.required:
            lacking.append(option.shown)
        elif problem:
            uncovered.append(f"{option.shown} ({problem})")
        elif not option.default_known:
            uncovered.append(f"{option.shown} (default {redact((option.text_default or 'unknown')[:60])})")
    # Options first: a positional list would swallow what follows it.
    return Arguments((*flagged, *positional), tuple(used), tuple(uncovered), tuple(lacking))


def quoted(words: tuple[str, ...]) -> str:
    """Return words as they are typed in a shell."""
    return " ".join(shlex.quote(word) for word in words)


def effective(option: Option, words: list[str]) -> str | None:
    """Return the value that an option has under a command's words, as text; None where it cannot be told."""
    if option.flag is None:
        return None
    for index, word in enumerate(words):
        if option.kind in ("flag", "inverse", "boolean"):
            if word == option.flag:
                return str(option.kind != "inverse")
            if word == option.negative_flag:
                return "False"
        elif word == option.flag and index + 1 < len(words):
            return words[index + 1]
        elif word.startswith(option.flag + "="):
            return word.partition("=")[2]
    return str(option.default) if option.default_known else None


def same_value(one: str, other: str) -> bool:
    """Tell whether two texts of a param mean the same: equal, or the same number, bool or None."""
    if one == other:
        return True
    try:
        left, right = ast.literal_eval(one), ast.literal_eval(other)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return bool(left == right)


def _key(name: str) -> str:
    return name.replace("-", "_")


def _recorded_by_dest(record: RunRecord) -> dict[str, tuple[str, str]]:
    """Return (name, value) by option destination: params, and what the tracker itself holds of a run's names."""
    recorded: dict[str, tuple[str, str]] = {}
    if record.name:
        recorded["run_name"] = ("run name", record.name)
    if record.experiment_is_named:
        recorded["experiment_name"] = ("experiment name", record.experiment_name)
    recorded.update({_key(name): (name, value) for name, value in record.params.items()})
    return recorded


def _unfit(option: Option, name: str, text: str, record: RunRecord) -> str | None:
    if name in record.params_truncated:
        return "its recorded value is cut"
    if _SECRET.search(_key(name).lower()) or redact(text) != text:
        return "its recorded value looks like a secret"
    if option.choices is not None and option.kind == "value" and text not in option.choices:
        return f"the recorded {text[:40]!r} is none of its choices"
    return None


def _words(option: Option, text: str, tree_path: Callable[[str], str | None]) -> list[str] | None:
    """Return an option with a value as words; empty where nothing need be said; None where it cannot be said."""
    truth: Mapping[str, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if option.kind in ("flag", "inverse", "boolean"):
        wanted = truth.get(text.lower())
        return None if wanted is None else _switch(option, wanted)
    if option.kind == "count":
        return [option.flag or ""] * int(text) if text.isdigit() and int(text) < 10 else None
    if text == "None":
        return [] if option.default_known and option.default is None else None
    if option.kind in ("list", "append"):
        return _many(option, text)
    if _ABSOLUTE.match(text):
        inside = tree_path(text)
        if inside is None:
            return None
        text = inside
    return _one(option, text)


def _switch(option: Option, wanted: bool) -> list[str] | None:
    sets = option.kind != "inverse"
    if wanted == sets:
        return [option.flag or ""]
    if option.negative_flag:
        return [option.negative_flag]
    return []  # a plain switch that is not given


def _many(option: Option, text: str) -> list[str] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = text
    items = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    if option.kind == "append":
        return [word for item in items for word in _one(option, item)]
    if not items:
        return [] if option.default_known and not option.default else None
    return [*([option.flag] if option.flag else []), *items]


def _one(option: Option, text: str) -> list[str]:
    if option.flag is None:
        return [text]
    # argparse takes `-1e-5` for an option of its own unless it is joined.
    return [f"{option.flag}={text}"] if text.startswith("-") else [option.flag, text]
