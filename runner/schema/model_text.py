"""The texts that MLflow writes into every model, taken apart so that what differs each time does not count.

Two models are the same if all their files have the same bytes, but for these three: a model that is logged again has
another id, time and run in its MLmodel, and names the patch version of Python and the versions of pip and the like of
the machine that logged it. Text in, digests out; a stranger's text, so nothing in it is executed or followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from runner.schema.base import canonical_digest
from runner.schema.yaml_text import why_not_composed

LONGEST_TEXT = 1 << 18  # bytes; an MLmodel with a large signature has a few thousand

_WRITTEN_ANEW = frozenset({"artifact_path", "model_id", "model_size_bytes", "model_uuid", "run_id", "utc_time_created"})
_PYTHON = re.compile(r"(?P<minor>3\.\d{1,2})(?:\.\d{1,3})?")
_CONDA_PYTHON = re.compile(r"python={1,2}" + _PYTHON.pattern)
_INSTALLER = re.compile(r"(?:pip|setuptools|wheel)(?:\s*(?:==|<=|>=|<|>|~=)\s*[0-9][0-9.]*)?")
_TAG = re.compile(r"tag:yaml\.org,2002:(?:str|int|float|bool|null|timestamp|map|seq)")
_STRING = "tag:yaml.org,2002:str"


def parts_of(path: str, data: bytes) -> dict[str, str] | None:
    """Return the digest of each top-level entry of one of the three texts, without what differs each time.

    None for any other file, and for a text that is no plain mapping or too long: its bytes count as they are.
    """
    without = _WITHOUT.get(path)
    if without is None or len(data) > LONGEST_TEXT:
        return None
    try:
        text = data.decode("utf-8")
        if why_not_composed(text) is not None:
            return None
        entries = _entries(yaml.compose(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError):
        return None
    return {name: canonical_digest(value) for name, value in sorted(without(entries).items())}


def _entries(node: yaml.Node | None) -> dict[str, Any]:
    """Return a mapping's entries. Raises ValueError for no mapping, a key twice, or what is of a strange kind."""
    if not isinstance(node, yaml.MappingNode) or not _TAG.fullmatch(node.tag):
        raise ValueError("not a mapping")
    names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    if len(set(names)) < len(node.value):
        raise ValueError("not a mapping of names")
    return {key.value: _plain(value) for key, value in node.value}


def _plain(node: yaml.Node) -> Any:
    """Return a node as a value that tells `1`, `"1"` and `true` apart, its mappings without an order.

    Raises ValueError for a tag of its own, by which some loaders would make an object.
    """
    if not _TAG.fullmatch(node.tag):
        raise ValueError(f"the tag {node.tag}")
    if isinstance(node, yaml.MappingNode):
        pairs = [[_plain(key), _plain(value)] for key, value in node.value]
        return {"map": sorted(pairs, key=lambda pair: canonical_digest(pair[0]))}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return f"{node.tag} {node.value}"


def _of_mlmodel(entries: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in entries.items() if name not in _WRITTEN_ANEW}
    for _, flavor in _pairs(kept.get("flavors")):
        for pair in _pairs(flavor):
            if pair[0] == f"{_STRING} python_version":
                pair[1] = _minor(pair[1])
    return kept


def _of_conda(entries: dict[str, Any]) -> dict[str, Any]:
    dependencies = entries.get("dependencies")
    if not isinstance(dependencies, list):
        return entries
    named = [_conda_python(item) for item in dependencies]
    return {**entries, "dependencies": _without_installers(named)}


def _of_python_env(entries: dict[str, Any]) -> dict[str, Any]:
    kept = dict(entries)
    if "python" in kept:
        kept["python"] = _minor(kept["python"])
    if isinstance(kept.get("build_dependencies"), list):
        kept["build_dependencies"] = _without_installers(kept["build_dependencies"])
    return kept


_WITHOUT: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "MLmodel": _of_mlmodel,
    "conda.yaml": _of_conda,
    "python_env.yaml": _of_python_env,
}
TEXTS = frozenset(_WITHOUT)
"""The names of the three, at the top of a model's folder."""


def _pairs(value: Any) -> list[list[Any]]:
    return value["map"] if isinstance(value, dict) else []


def _text(value: Any) -> str:
    """Return a scalar without its tag, nothing for anything else."""
    return value.partition(" ")[2] if isinstance(value, str) else ""


def _minor(value: Any) -> Any:
    match = _PYTHON.fullmatch(_text(value))
    return value if match is None else match["minor"]


def _conda_python(value: Any) -> Any:
    match = _CONDA_PYTHON.fullmatch(_text(value))
    return value if match is None else f"python {match['minor']}"


def _without_installers(values: list[Any]) -> list[Any]:
    return [value for value in values if not _INSTALLER.fullmatch(_text(value))]
