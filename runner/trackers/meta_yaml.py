"""The `meta.yaml` of MLflow's file stores: a stranger's YAML, which the loader's own recursion must survive."""

from __future__ import annotations

from typing import Any

import yaml

_DEEPEST = 32
_SHORT = 4096  # bytes; no nesting that fits in is deep enough to exhaust the stack

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_meta(data: bytes) -> dict[str, Any] | None:
    """Return the mapping that the text holds; None for anything else.

    The C loader recurses for each level, and aliases make a short text a value of any size: neither is needed here.
    """
    try:
        if (len(data) > _SHORT or b"*" in data) and not _is_plain(data):
            return None
        meta = yaml.load(data, Loader=_Loader)  # noqa: S506  # a safe loader
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return meta if isinstance(meta, dict) else None


def _is_plain(data: bytes) -> bool:
    depth = 0
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            return False
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return False
    return True
