"""Which packages of a locked graph are installed in one environment, for locks that do not say so themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from runner.inside.packages.locked.package import LockProblem

Candidate = TypeVar("Candidate")
_ROUNDS = 50


@dataclass(frozen=True)
class Demand(Generic[Candidate]):
    """That something needs a package here. `text` is how it was written, `allows` what satisfies it."""

    name: str
    extras: frozenset[str]
    text: str
    allows: Callable[[Candidate], bool]


def walk(
    roots: Sequence[Demand[Candidate]],
    candidates: Mapping[str, Sequence[Candidate]],
    demands_of: Callable[[Candidate, frozenset[str]], Sequence[Demand[Candidate]]],
) -> dict[str, Candidate]:
    """Return the package that is installed for each name that `roots` lead to.

    `candidates` are what the lock holds by name, the preferred first; nearly always one. Where a lock holds several,
    for other Pythons, it is the first that satisfies all that need it here: asked in rounds, until none changes.
    Raises LockProblem where the lock lacks what is needed.
    """
    chosen: dict[str, Candidate] = {}
    for _ in range(_ROUNDS):
        before = chosen
        chosen, unmet = _choose(_reached(roots, candidates, demands_of, before), candidates)
        if chosen == before:
            if unmet is not None:
                raise LockProblem(f"does not hold {unmet}")
            return chosen
    raise LockProblem("holds several versions of a package, of which no choice satisfies all that need it")


def _reached(
    roots: Sequence[Demand[Candidate]],
    candidates: Mapping[str, Sequence[Candidate]],
    demands_of: Callable[[Candidate, frozenset[str]], Sequence[Demand[Candidate]]],
    chosen: Mapping[str, Candidate],
) -> dict[str, list[Demand[Candidate]]]:
    """Return all demands on each package, as the versions lead to others that were chosen the round before."""
    reached: dict[str, list[Demand[Candidate]]] = {}
    extras: dict[str, frozenset[str]] = {}
    waiting = deque(roots)
    while waiting:
        demand = waiting.popleft()
        known = reached.setdefault(demand.name, [])
        more = demand.extras - extras.get(demand.name, frozenset())
        first = not known
        known.append(demand)
        if not first and not more:
            continue
        extras[demand.name] = extras.get(demand.name, frozenset()) | demand.extras
        choice = chosen.get(demand.name) or _first(candidates.get(demand.name, ()), (demand,))
        if choice is None:
            raise LockProblem(f"does not hold {demand.text}")
        waiting.extend(demands_of(choice, extras[demand.name]))
    return reached


def _choose(
    reached: Mapping[str, Sequence[Demand[Candidate]]], candidates: Mapping[str, Sequence[Candidate]]
) -> tuple[dict[str, Candidate], str | None]:
    """Return a choice for each name, and a demand that it does not meet, which later rounds may not have."""
    chosen: dict[str, Candidate] = {}
    unmet = None
    for name, demands in reached.items():
        choice = _first(candidates[name], demands)
        chosen[name] = choice  # type: ignore[assignment]  # what was reached has candidates
        unmet = unmet or next((demand.text for demand in demands if not demand.allows(chosen[name])), None)
    return chosen, unmet


def _first(candidates: Sequence[Candidate], demands: Sequence[Demand[Candidate]]) -> Candidate | None:
    """Return the first that satisfies all demands, else the first of all."""
    fitting = (each for each in candidates if all(demand.allows(each) for demand in demands))
    return next(fitting, next(iter(candidates), None))
