"""Recorded metrics against captured ones (VERDICTS rules 1 to 7, 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from runner.compare.canonical import Form, form_of
from runner.compare.history import (
    Alignment,
    Point,
    align,
    history_outcome,
    last_logged,
    last_points,
    only_recorded,
    summarise,
)
from runner.compare.names import CONSTANT_METRICS, IGNORED_METRICS, IGNORED_PREFIX, logged_name, renamed_to
from runner.compare.tolerance import bits, compare_numbers, worst
from runner.schema.comparison import MetricComparison, Outcome
from runner.schema.plan import MetricPolicy, Policy
from runner.schema.rerun import CapturedRun
from runner.schema.run_record import MetricHistory, RunRecord

LATER_SLACK = timedelta(seconds=5)
"""How long after a run's end its own last values may still arrive."""

Kind = Literal["measured", "constant", "nan", "later"]

WHOLE = "FINISHED"
"""The only status of a run whose curves are whole."""


@dataclass(frozen=True)
class MetricResult:
    """All metrics compared, with the mappings used, what keeps the verdict from `identical`, and how many ignored."""

    metrics: tuple[MetricComparison, ...]
    mappings: tuple[str, ...]
    caps: tuple[str, ...]
    ignored: int


@dataclass
class _Sides:
    """What is needed to compare any metric of the run; collects mappings and caps on the way."""

    record: RunRecord
    policy: Policy
    form: Form
    captured: dict[str, tuple[Point, ...]]
    raw: dict[str, list[float]]
    partial: bool
    mappings: set[str] = field(default_factory=set)
    caps: list[str] = field(default_factory=list)


def compare_metrics(record: RunRecord, run: CapturedRun, policy: Policy) -> MetricResult:
    """Compare every metric that is recorded or captured."""
    form = form_of(record)
    sides = _Sides(
        record=record,
        policy=policy,
        form=form,
        captured=_captured(run, form),
        raw=_raw(run),
        partial=record.status != WHOLE,
    )
    results: list[MetricComparison] = []
    used: set[str] = set()
    for history in sorted(record.metrics, key=lambda history: history.name):
        name = _counterpart(history, sides)
        used.add(name)
        results.append(_compare_metric(history, name, sides))
    results += [_extra(name, points, policy) for name, points in sorted(sides.captured.items()) if name not in used]
    recorded = {history.name for history in record.metrics}
    unrecorded = tuple(name for name in policy.only if name not in recorded)
    named = (
        *(metric for metric in results if metric.name not in unrecorded),
        *(_alone(name, None, (), Outcome.NOT_COMPARED, "named by --metric, and not recorded") for name in unrecorded),
    )
    return MetricResult(
        metrics=named,
        mappings=tuple(sorted(sides.mappings)),
        caps=tuple(sides.caps),
        ignored=sum(metric.outcome is Outcome.IGNORED for metric in named),
    )


def _captured(run: CapturedRun, form: Form) -> dict[str, tuple[Point, ...]]:
    points: dict[str, list[Point]] = {}
    for point in run.metrics:
        canonical = Point(point.step, point.timestamp_ms, point.sequence, form.of(point.value))
        points.setdefault(point.name, []).append(canonical)
    return {name: tuple(sorted(group, key=lambda point: point.order)) for name, group in points.items()}


def _raw(run: CapturedRun) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for point in run.metrics:
        values.setdefault(point.name, []).append(point.value)
    return values


def _recorded(history: MetricHistory, form: Form) -> tuple[Point, ...]:
    return tuple(
        Point(point.step, point.timestamp_ms, order, form.of(point.value)) for order, point in enumerate(history.points)
    )


def why_ignored(name: str, policy: Policy) -> str | None:
    """Return why a metric is not compared, None where it is. One named by `--metric` is never ignored (rule 6)."""
    if policy.only:
        return None if name in policy.only else "not named by --metric"
    if name in policy.ignore or policy.metrics.get(name, MetricPolicy()).ignore:
        return "ignored by the policy"
    if name in policy.metrics:
        return None
    if name.startswith(IGNORED_PREFIX):
        return "ignored: a measurement of the system"
    return "ignored: wall-clock time" if logged_name(name) in IGNORED_METRICS else None


def _counterpart(history: MetricHistory, sides: _Sides) -> str:
    """Return the captured name that stands for a recorded metric: its own, or a library's new name (rule 7)."""
    if history.name in sides.captured or not history.points:
        return history.name
    recorded = {other.name for other in sides.record.metrics}
    for name in renamed_to(history.name):
        if name in sides.captured and name not in recorded:
            comparison = _compare_points(history, sides.captured[name], sides)
            if comparison.outcome in (Outcome.EQUAL, Outcome.WITHIN):
                return name
    return history.name


def _compare_metric(history: MetricHistory, counterpart: str, sides: _Sides) -> MetricComparison:
    logged = sides.captured.get(counterpart, ())
    reason = why_ignored(history.name, sides.policy)
    if reason is not None:
        return _ignored(history, logged, reason, sides.form)
    if not history.points:
        return _alone(history.name, None, logged, Outcome.NOT_COMPARED, "no value is recorded")
    recorded = _recorded(history, sides.form)
    later = _recorded_later(recorded, sides.record)
    if not logged:
        return _not_logged(history.name, recorded, all_later=len(later) == len(recorded))
    if later and len(later) < len(recorded) and len(logged) <= len(recorded) - len(later):
        return _without_later(history, later, logged, sides)
    return _compare_fully(history, counterpart, sides)


def _compare_fully(history: MetricHistory, counterpart: str, sides: _Sides) -> MetricComparison:
    compared = _compare_points(history, sides.captured[counterpart], sides, final=True)
    _collect_mappings(history, counterpart, sides)
    if counterpart != history.name:
        note = _join(f"logged as {counterpart}, its name in newer or older libraries", compared.note)
        return compared.model_copy(update={"note": note})
    return compared


def _not_logged(name: str, recorded: Sequence[Point], *, all_later: bool) -> MetricComparison:
    last = last_points(recorded)[-1].value
    if all_later:
        return _alone(name, last, (), Outcome.NOT_COMPARED, "recorded later: after the run had ended", kind="later")
    return _alone(name, last, (), Outcome.MISSING, "recorded, and not logged again")


def _recorded_later(points: Sequence[Point], record: RunRecord) -> frozenset[int]:
    """Return the places of points with a time after the run's end (rule 7)."""
    if record.end_time is None:
        return frozenset()
    end_ms = (record.end_time + LATER_SLACK).timestamp() * 1000
    return frozenset(point.order for point in points if point.timestamp_ms > end_ms)


def _without_later(
    history: MetricHistory, later: frozenset[int], logged: tuple[Point, ...], sides: _Sides
) -> MetricComparison:
    own = tuple(point for order, point in enumerate(history.points) if order not in later)
    compared = _compare_points(history.model_copy(update={"points": own}), logged, sides, final=True)
    _collect_mappings(history, history.name, sides)
    if compared.outcome is Outcome.OUTSIDE:
        return compared
    note = f"recorded later: {len(later)} of {len(history.points)} points, after the run had ended"
    return compared.model_copy(update={"outcome": Outcome.NOT_COMPARED, "kind": "later", "note": note})


def _compare_points(
    history: MetricHistory, logged: tuple[Point, ...], sides: _Sides, *, final: bool = False
) -> MetricComparison:
    """Compare the points of one metric; only the `final` comparison enters mappings and caps."""
    own = sides.policy.metrics.get(history.name, MetricPolicy())
    rtol, atol = sides.policy.tolerance(history.name)
    recorded = _recorded(history, sides.form)
    cut = sides.partial or not history.complete
    reached = (only_recorded(recorded, logged) if cut else logged) or logged
    alignment = align(recorded, reached, sides.form)
    curve = summarise(alignment, rtol, atol, (len(recorded), len(reached)))
    tied = last_points(recorded)
    last = last_logged(reached).value
    agreeing = min((point.value for point in tied), key=lambda value: _closeness(value, last, rtol, atol))
    outcome = compare_numbers(agreeing, last, rtol, atol)
    if not own.last_only:
        outcome = worst([outcome, history_outcome(curve)])
    if final:
        _collect(history, alignment, sides, own)
    return MetricComparison(
        name=history.name,
        original=agreeing,
        rerun=last,
        outcome=outcome,
        absolute_difference=_absolute(agreeing, last),
        relative_difference=_relative(agreeing, last),
        rtol=rtol,
        atol=atol,
        history=curve,
        kind=_kind(history.name, sides.record, recorded, reached),
        note=_note(alignment, len(tied), own.last_only, len(logged) - len(reached)),
    )


def _closeness(value: float, last: float, rtol: float, atol: float) -> tuple[int, float]:
    order = (Outcome.EQUAL, Outcome.WITHIN, Outcome.OUTSIDE)
    difference = _absolute(value, last)
    return order.index(compare_numbers(value, last, rtol, atol)), float("inf") if difference is None else difference


def _collect(history: MetricHistory, alignment: Alignment, sides: _Sides, own: MetricPolicy) -> None:
    form, name = sides.form, history.name
    if alignment.deduplicated:
        sides.mappings.add(form.duplicates_dropped)
    if alignment.reordered:
        sides.mappings.add(form.order_lost)
    if alignment.by_time:
        sides.mappings.add(f"steps of {name} are times: compared in order")
    if alignment.repeats_unknown:
        sides.caps.append(f"how often {name} was logged at one step: the store drops repeats of a value")
    if own.last_only:
        sides.caps.append(f"the curve of {name}: the policy restricts it to the last value")
    if not history.complete:
        sides.caps.append(f"the curve of {name} may be cut or sampled by the store")


def _collect_mappings(history: MetricHistory, counterpart: str, sides: _Sides) -> None:
    sides.mappings |= sides.form.mappings([point.value for point in history.points])
    sides.mappings |= sides.form.mappings(sides.raw[counterpart])
    if sides.form.rounded(sides.raw[counterpart]):
        sides.caps.append(f"the last digits of {history.name}: the store returns {sides.form.digits}")


def _note(alignment: Alignment, tied: int, last_only: bool, after: int) -> str | None:
    notes = []
    if tied > 1:
        notes.append(f"{tied} points tie at the last step and time: any of them counts as the last")
    if not alignment.same_steps and not last_only:
        notes.append("another grid of steps")
    if alignment.by_time:
        notes.append("steps are times: compared in order")
    if last_only:
        notes.append("last value only")
    if after > 0:
        notes.append(f"{after} points after the recorded ones not compared")
    return "; ".join(notes) or None


def _kind(name: str, record: RunRecord, *sides: Sequence[Point]) -> Kind:
    if all(bits(point.value) == b"NaN" for side in sides for point in side):
        return "nan"
    # Libraries put the phase before it: `train/epoch`.
    known = logged_name(name).lower().rpartition("/")[2] in CONSTANT_METRICS
    return "constant" if known or logged_name(name) in record.params else "measured"


def _alone(
    name: str, original: float | None, logged: Sequence[Point], outcome: Outcome, note: str, *, kind: Kind = "measured"
) -> MetricComparison:
    rerun = last_logged(logged).value if logged else None
    return MetricComparison(name=name, original=original, rerun=rerun, outcome=outcome, note=note, kind=kind)


def _ignored(history: MetricHistory, logged: Sequence[Point], reason: str, form: Form) -> MetricComparison:
    recorded = _recorded(history, form)
    original = last_points(recorded)[-1].value if recorded else None
    return _alone(history.name, original, logged, Outcome.IGNORED, reason)


def _extra(name: str, points: Sequence[Point], policy: Policy) -> MetricComparison:
    reason = why_ignored(name, policy)
    if reason is not None:
        return _alone(name, None, points, Outcome.EXTRA, f"not recorded; {reason}")
    return _alone(name, None, points, Outcome.EXTRA, "not recorded")


def _absolute(original: float, rerun: float) -> float | None:
    if bits(original) == bits(rerun):
        return 0.0
    difference = abs(rerun - original)
    return None if bits(difference) == b"NaN" else difference


def _relative(original: float, rerun: float) -> float | None:
    difference = _absolute(original, rerun)
    if difference is None or (original == 0 and difference != 0):
        return None
    if difference == 0:
        return 0.0
    relative = difference / abs(original)
    return None if bits(relative) == b"NaN" else relative


def _join(*notes: str | None) -> str:
    return "; ".join(note for note in notes if note)
