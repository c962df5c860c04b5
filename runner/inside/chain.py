"""Which stages must run before the training: those that make what it needs and no store holds. Values only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def overlap(one: str, other: str) -> bool:
    """Tell whether two paths are one, or one lies in the other."""
    return one == other or one.startswith(f"{other.rstrip('/')}/") or other.startswith(f"{one.rstrip('/')}/")


def stages_to_run(
    needs: Iterable[str], stages: list[dict[str, Any]], is_there: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Return the stages {name, file, deps[], outs[]} that must run, in the order of `stages`.

    `is_there` tells whether an out is held by a store or by the commit itself.
    """
    chosen: list[dict[str, Any]] = []
    work = list(needs)
    while work:
        path = work.pop()
        for stage in stages:
            absent = any(overlap(out, path) and not is_there(out) for out in stage["outs"])
            if absent and stage not in chosen:
                chosen.append(stage)
                work += stage["deps"]
    return [stage for stage in stages if stage in chosen]
