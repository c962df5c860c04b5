"""Recorded params as Hydra's overrides of the configuration at the commit."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.lineage.pipeline import load_mapping
from runner.plan.options.hydra_config import flatten, resolve, written
from runner.plan.options.interface import ConfigGroup, HydraConfig, LoggedParam
from runner.plan.values import is_absolute, is_secret, names_in, same_value
from runner.redact import redact
from runner.schema.run_record import RunRecord

_OVERRIDE = re.compile(r"[+~]{0,2}[\w@./]+(?:=|$)")
RECORDED = "overrides.yaml"
"""Hydra's own record of a job's arguments, in its folder `.hydra`."""


@dataclass
class Overrides:
    """The words after a script of Hydra's, the params that they come from, and what nothing pins or gives."""

    words: tuple[str, ...] = ()
    used: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def recorded_overrides(record: RunRecord) -> tuple[str, ...] | None:
    """Return the arguments that Hydra recorded among the run's artifacts, None where it did not, or several times."""
    files = [file for file in record.environment_files if posixpath.basename(file.path) == RECORDED]
    if len(files) != 1:
        return None
    if files[0].text.strip() in ("", "[]"):
        return ()
    lines = "\n".join(f"  {line}" for line in files[0].text.splitlines())
    found = load_mapping(f"words:\n{lines}").get("words")
    if not isinstance(found, list) or not all(isinstance(word, str) and _OVERRIDE.match(word) for word in found):
        return None
    return tuple(found)


def map_hydra(
    record: RunRecord,
    config: HydraConfig,
    logged: Iterable[LoggedParam],
    tree_path: Callable[[str], str | None],
) -> Overrides:
    """Return the overrides that give the recorded values: Hydra's own record, else what differs at the commit."""
    told = recorded_overrides(record)
    if told is not None and not any(is_secret(*_pair(word)) for word in told):
        return Overrides(words=told, used=sorted(record.params))
    found = Overrides()
    recorded = _by_key(record, config, logged)
    values = dict(config.values)
    words: list[str] = []
    for group in config.groups:
        choice, problem = _choose(group, {key: text for key, (_, text) in recorded.items()}, config)
        if choice is not None:
            words.append(f"{group.name}={choice}")
            start = f"{group.package}." if group.package else ""
            old = set(group.options.get(group.chosen or "", {}))
            values = {key: value for key, value in values.items() if key not in old}
            values.update(group.options[choice] if start or group.options else {})
        elif problem:
            found.uncovered.append(problem)
    # What others refer to comes first: overriding it changes them.
    for key in sorted(values, key=lambda key: ("${" in str(values[key]), key)):
        now = resolve(values)[0].get(key, "???")
        pair = recorded.get(key)
        if pair is None:
            if now == "???" and values[key] == "???":
                found.lacking.append(f"{key}=VALUE")
            elif key in config.moving:
                found.uncovered.append(f"{key} ({redact(config.moving[key][:60])})")
            continue
        name, text = pair
        if same_value(str(now), text) or (
            values[key] != "???" and key not in resolve(values)[0] and not _moves(key, config)
        ):
            found.used.append(name)
            continue
        word = _word(key, name, text, values[key], record, tree_path)
        if word is None:
            found.uncovered.append(f"{key} (the recorded value {redact(text[:40])!r} cannot be passed)")
            continue
        words.append(word)
        values[key] = text
        found.used.append(name)
    found.words = tuple(words)
    return found


def _moves(key: str, config: HydraConfig) -> bool:
    return key in config.moving


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.lstrip("+~"), value


def _word(
    key: str, name: str, text: str, like: Any, record: RunRecord, tree_path: Callable[[str], str | None]
) -> str | None:
    if name in record.params_truncated or is_secret(key, text) or "${" in text:
        return None
    if is_absolute(text):
        inside = tree_path(text)
        if inside is None:
            return None
        text = inside
    return f"{key}={written(text, like=None if like == '???' else like)}"


def _by_key(record: RunRecord, config: HydraConfig, logged: Iterable[LoggedParam]) -> dict[str, tuple[str, str]]:
    """Return (name, value) by the configuration's key. A param that is a whole mapping gives each of its leaves."""
    keys = {*config.values, *(key for group in config.groups for option in group.options.values() for key in option)}
    find = names_in(sorted(keys))
    dests = {each.name: each.dest for each in logged if each.dest is not None}
    constants = {each.name for each in logged if each.constant is not None}
    found: dict[str, tuple[str, str]] = {}
    for name, text in record.params.items():
        if name in constants:
            continue
        key = dests.get(name) or find(name)
        if key is not None:
            found[key] = (name, text)
            continue
        inner = _mapping(text) if any(each.startswith(f"{name}.") for each in keys) else {}
        for leaf, value in flatten(inner, f"{name}."):
            if leaf in keys:
                found[leaf] = (name, str(value))
    return found


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _choose(group: ConfigGroup, recorded: Mapping[str, str], config: HydraConfig) -> tuple[str | None, str | None]:
    """Return the option of a group that the recorded values are of, where the commit's is not, and what is open.

    An option is one whose keys are all those that were recorded of the group, most of them with equal values.
    """
    keys = {key for option in group.options.values() for key in option}
    there = {key: text for key, text in recorded.items() if key in keys}
    if not there or len(group.options) < 2:
        return None, None
    scores = {
        name: (
            sum(key in values for key in there),
            -sum(key not in there for key in values),
            sum(key in values and _equal(values[key], there[key], config) for key in there),
        )
        for name, values in group.options.items()
    }
    best = max(scores.values())
    if group.chosen is not None and scores.get(group.chosen) == best:
        return None, None
    leading = [name for name, score in scores.items() if score == best]
    if len(leading) == 1:
        return leading[0], None
    return None, f"{group.name} (one of {', '.join(sorted(leading))})"


def _equal(value: Any, text: str, config: HydraConfig) -> bool:
    now, _ = resolve({**config.values, "its own value": value})
    return same_value(str(now.get("its own value")), text)
