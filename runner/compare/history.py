"""Aligning two curves of a metric point by point (VERDICTS rules 2, 3 and 5)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from runner.compare.canonical import Form
from runner.compare.tolerance import bits, compare_numbers
from runner.schema.comparison import HistoryComparison, Outcome

DRIFT_PARTS = 16
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Point:
    """A logged value in canonical form; `order` is its place among all points of its side."""

    step: int
    timestamp_ms: int
    order: int
    value: float


@dataclass(frozen=True)
class Pair:
    """A point of the original and its counterpart; one side is None where the other has no such step."""

    step: int
    original: float | None
    rerun: float | None


@dataclass(frozen=True)
class Alignment:
    """Two curves side by side, in order of steps.

    `by_time` tells that steps are times and were compared in order; `reordered` and `deduplicated` that points of one
    millisecond were taken as a set, or duplicates dropped; `repeats_unknown` that the original's store may have
    dropped repeats of a value, so that only the distinct values of a step could be compared.
    """

    pairs: tuple[Pair, ...]
    same_steps: bool
    by_time: bool = False
    reordered: bool = False
    deduplicated: bool = False
    repeats_unknown: bool = False


def last_points(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points that tie at the last (step, time); the order among them is unknown to the original's store."""
    end = max((point.step, point.timestamp_ms) for point in points)
    return tuple(point for point in points if (point.step, point.timestamp_ms) == end)


def last_logged(points: Sequence[Point]) -> Point:
    """Return the last point of the rerun, where sequence numbers decide ties."""
    return max(points, key=lambda point: (point.step, point.timestamp_ms, point.order))


def only_recorded(original: Sequence[Point], rerun: Sequence[Point]) -> tuple[Point, ...]:
    """Return of the rerun what the original got to: at each of its steps as many points as it has there."""
    if steps_are_times(original) and steps_are_times(rerun):
        return tuple(sorted(rerun, key=lambda point: (point.step, point.order))[: len(original)])
    room: dict[int, int] = defaultdict(int)
    for point in original:
        room[point.step] += 1
    kept = []
    for point in sorted(rerun, key=lambda point: point.order):
        if room[point.step]:
            room[point.step] -= 1
            kept.append(point)
    return tuple(kept)


def align(original: Sequence[Point], rerun: Sequence[Point], form: Form) -> Alignment:
    """Put the two curves side by side."""
    if steps_are_times(original) and steps_are_times(rerun):
        return _align_in_order(original, rerun)
    ours, theirs = _by_step(original), _by_step(rerun)
    pairs: list[Pair] = []
    same_steps, reordered, deduplicated, repeats_unknown = True, False, False, False
    for step in sorted(ours.keys() | theirs.keys()):
        recorded, logged = ours.get(step, []), theirs.get(step, [])
        if not form.keeps_order:
            recorded = sorted(recorded, key=lambda point: (point.timestamp_ms, point.order))
            logged = sorted(logged, key=lambda point: (point.timestamp_ms, point.order))
        if form.drops_duplicates and recorded and len(logged) > len(recorded):
            distinct = _without_duplicates(logged)
            if len(distinct) == len(recorded):
                logged, deduplicated = distinct, True
            elif _same_distinct(recorded, logged):
                logged, repeats_unknown = list(recorded), True
        if not form.keeps_order and len(recorded) == len(logged):
            arranged = _arrange_ties(recorded, logged)
            reordered = reordered or arranged != logged
            logged = arranged
        same_steps = same_steps and len(recorded) == len(logged)
        pairs += _pair_up(step, recorded, logged)
    return Alignment(
        tuple(pairs), same_steps, reordered=reordered, deduplicated=deduplicated, repeats_unknown=repeats_unknown
    )


def summarise(alignment: Alignment, rtol: float, atol: float, points: tuple[int, int]) -> HistoryComparison:
    """Count what is equal and within, and say where the first point outside is; `points` are the sides' numbers."""
    equal = inside = 0
    first: int | None = None
    for index, pair in enumerate(alignment.pairs):
        if pair.original is None or pair.rerun is None:
            outcome = Outcome.OUTSIDE
        else:
            outcome = compare_numbers(pair.original, pair.rerun, rtol, atol)
        equal += outcome is Outcome.EQUAL
        inside += outcome is Outcome.WITHIN
        if outcome is Outcome.OUTSIDE and first is None:
            first = index
    return HistoryComparison(
        points_original=points[0],
        points_rerun=points[1],
        points_equal=equal,
        points_within=inside,
        same_steps=alignment.same_steps,
        first_difference=first,
        first_difference_step=None if first is None else alignment.pairs[first].step,
        drift=_drift(alignment.pairs),
    )


def history_outcome(history: HistoryComparison) -> Outcome:
    """Return how the curve as a whole compares; another step grid is outside (rule 5)."""
    if not history.same_steps or history.first_difference is not None:
        return Outcome.OUTSIDE
    return Outcome.WITHIN if history.points_within else Outcome.EQUAL


def steps_are_times(points: Sequence[Point]) -> bool:
    """Tell whether the training used the clock for a step, in seconds or milliseconds."""

    def is_time(point: Point) -> bool:
        return (
            any(abs(point.step * unit_ms - point.timestamp_ms) < _DAY_MS for unit_ms in (1000, 1))
            and point.step * 1000 > _DAY_MS
        )

    return all(is_time(point) for point in points)


def _align_in_order(original: Sequence[Point], rerun: Sequence[Point]) -> Alignment:
    recorded = sorted(original, key=lambda point: (point.step, point.order))
    logged = sorted(rerun, key=lambda point: (point.step, point.order))
    pairs = []
    for index in range(max(len(recorded), len(logged))):
        ours = recorded[index] if index < len(recorded) else None
        theirs = logged[index] if index < len(logged) else None
        step = ours.step if ours is not None else recorded[-1].step
        pairs.append(Pair(step, None if ours is None else ours.value, None if theirs is None else theirs.value))
    return Alignment(tuple(pairs), len(recorded) == len(logged), by_time=True)


def _by_step(points: Sequence[Point]) -> dict[int, list[Point]]:
    steps: dict[int, list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda point: point.order):
        steps[point.step].append(point)
    return dict(steps)


def _pair_up(step: int, recorded: Sequence[Point], logged: Sequence[Point]) -> list[Pair]:
    return [
        Pair(
            step,
            recorded[index].value if index < len(recorded) else None,
            logged[index].value if index < len(logged) else None,
        )
        for index in range(max(len(recorded), len(logged)))
    ]


def _without_duplicates(points: Sequence[Point]) -> list[Point]:
    seen: set[tuple[int, bytes]] = set()
    kept = []
    for point in points:
        key = (point.timestamp_ms, bits(point.value))
        if key not in seen:
            seen.add(key)
            kept.append(point)
    return kept


def _same_distinct(recorded: Sequence[Point], logged: Sequence[Point]) -> bool:
    return {bits(point.value) for point in recorded} == {bits(point.value) for point in logged}


def _arrange_ties(recorded: Sequence[Point], logged: Sequence[Point]) -> list[Point]:
    """Give each group of the original's points of one millisecond the next points of the rerun, both in one order."""
    arranged: list[Point] = []
    start = 0
    while start < len(recorded):
        end = start
        while end < len(recorded) and recorded[end].timestamp_ms == recorded[start].timestamp_ms:
            end += 1
        places = sorted(range(start, end), key=lambda index: _rank(recorded[index].value))
        values = sorted(logged[start:end], key=lambda point: _rank(point.value))
        group = dict(zip(places, values, strict=True))
        arranged += [group[index] for index in range(start, end)]
        start = end
    return arranged


def _rank(value: float) -> tuple[bool, float]:
    return (True, 0.0) if math.isnan(value) else (False, value)


def _drift(pairs: Sequence[Pair]) -> tuple[float, ...]:
    differences = [_difference(pair) for pair in pairs]
    if not any(differences):
        return ()
    parts = min(DRIFT_PARTS, len(differences))
    edges = [round(part * len(differences) / parts) for part in range(parts + 1)]
    return tuple(max(differences[low:high]) for low, high in pairwise(edges))


def _difference(pair: Pair) -> float:
    if pair.original is None or pair.rerun is None:
        return math.inf
    if bits(pair.original) == bits(pair.rerun):
        return 0.0
    difference = abs(pair.rerun - pair.original)
    return math.inf if math.isnan(difference) else difference
