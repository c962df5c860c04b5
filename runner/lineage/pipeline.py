"""The stages of `dvc.yaml` at the commit: their commands, dependencies and outs."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from runner.pointers.document import parse
from runner.schema.snapshot import RepositorySnapshot

_TEMPLATE = re.compile(r"\$\{\s*([A-Za-z0-9_.\[\]-]+)\s*\}")
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Stage:
    """A stage; all paths are from the repository's root. `command` is None where a template in it stays open."""

    name: str
    file: str
    command: str | None
    working_directory: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]

    def runs(self, script: str) -> bool:
        """Tell whether the command starts a script, by its path or as a module (`-m`)."""
        if self.command is None:
            return False
        try:
            words = shlex.split(self.command)
        except ValueError:
            return False
        for before, word in zip(["", *words], words, strict=False):
            path = word.replace(".", "/") + ".py" if before == "-m" else word
            if _join(self.working_directory, path) == script:
                return True
        return False


def stages_of(snapshot: RepositorySnapshot) -> tuple[Stage, ...]:
    """Return all stages that can be read; a file that is no valid `dvc.yaml` has none."""
    stages: list[Stage] = []
    for path, text in sorted(snapshot.texts.items()):
        if posixpath.basename(path) == "dvc.yaml":
            stages += _stages(path, text, snapshot.texts)
    return tuple(stages)


def stage_of(snapshot: RepositorySnapshot, script: str) -> tuple[Stage, ...]:
    """Return the stages that run a script."""
    return tuple(stage for stage in stages_of(snapshot) if stage.runs(script))


def _stages(path: str, text: str, texts: Mapping[str, str]) -> list[Stage]:
    document = load_mapping(text)
    folder = posixpath.dirname(path)
    values = load_mapping(texts.get(_join(folder, "params.yaml"), ""))
    entries = document.get("vars")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            values.update(entry)
        elif isinstance(entry, str):
            values.update(load_mapping(texts.get(_join(folder, entry.partition(":")[0]), "")))
    stages = document.get("stages")
    return [
        _stage(str(name), path, folder, body, values)
        for name, body in (stages.items() if isinstance(stages, dict) else ())
        if isinstance(body, dict)
    ]


def _stage(name: str, path: str, folder: str, body: dict[str, Any], values: dict[str, Any]) -> Stage:
    inner = body.get("do") if "foreach" in body else body
    inner = inner if isinstance(inner, dict) else {}
    wdir = inner.get("wdir", ".")
    working_directory = _join(folder, wdir if isinstance(wdir, str) else ".")
    commands = inner.get("cmd", "")
    lines = [line for line in (commands if isinstance(commands, list) else [commands]) if isinstance(line, str)]
    command = interpolate(" && ".join(line.strip() for line in lines if line.strip()), values)
    outs = [
        out
        for key in ("outs", "metrics", "plots")
        for out in (interpolate(text, values) for text in _paths(inner.get(key)))
        if out
    ]
    deps = [dep for dep in (interpolate(text, values) for text in _paths(inner.get("deps"))) if dep]
    return Stage(
        name=name,
        file=path,
        command=command or None,
        working_directory=working_directory or ".",
        deps=tuple(_join(working_directory, dep) for dep in deps),
        outs=tuple(dict.fromkeys(_join(working_directory, out) for out in outs)),
    )


def _paths(entries: Any) -> list[str]:
    """Return the paths of a list of outs or deps: plain, or as the key of their options."""
    paths: list[str] = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, str):
            paths.append(entry)
        elif isinstance(entry, dict):
            paths += [key for key in entry if isinstance(key, str)]
    return paths


def interpolate(text: str, values: Mapping[str, Any]) -> str | None:
    """Return `text` with each `${a.b}` replaced from `values` as DVC does for scalars; None where one stays open."""
    open_templates = False

    def value_of(match: re.Match[str]) -> str:
        nonlocal open_templates
        value: Any = values
        for part in re.split(r"[.\[\]]+", match[1].rstrip("]")):
            if isinstance(value, Mapping):
                value = value.get(part)
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            return str(value)
        open_templates = True
        return match[0]

    replaced = _TEMPLATE.sub(value_of, text)
    return None if open_templates or "${" in replaced else replaced


def load_mapping(text: str) -> dict[str, Any]:
    """Return a YAML mapping; empty for anything else, since the commit's files are not ours to correct.

    Merges of anchors count as something else: they can multiply without bound, and so can nesting.
    """
    if len(text) > _LONGEST or "<<" in text:
        return {}
    try:
        parse(text)  # refuses deep nesting before the loader follows it
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError):  # TypeError: a key that cannot be one
        return {}
    return {str(key): value for key, value in document.items()} if isinstance(document, dict) else {}


def _join(folder: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))
