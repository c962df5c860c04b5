"""Which other runs one execution of a script made: a loop, the children of a sweep, a parent (VERDICTS rule 12).

A tracker does not say so. Runs of the same source and user that follow each other without a pause are likely to be of
one execution; whether one rerun says anything about them is decided by their commit, data and command.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from runner.compare.runs import is_unnamed
from runner.schema.run_record import RunRecord
from runner.trackers.interface import RunSummary, Selection, Tracker

_PAUSE = timedelta(seconds=60)  # between two runs of a script, for what it loads in between
_REACH = timedelta(hours=12)  # from the run to where others are looked for
_MOST = 200  # runs that are read
_OF_PROCESS = (
    *("mlflow.source.name", "mlflow.user", "mlflow.source.git.commit", "mlflow.source.git.diff", "git_commit"),
)


def other_runs(tracker: Tracker, record: RunRecord) -> tuple[RunRecord, ...]:
    """Return the other runs of the execution that made a run, by their start; none where it has no times.

    They are looked for in its experiment, and its parent anywhere. Raises TrackerUnavailable.
    """
    if record.start_time is None or not record.tags.get("mlflow.source.name"):
        return ()
    found = {record.run_id: record}
    for parent in _parents(tracker, record):
        found.setdefault(parent.run_id, parent)
    near = _near(tracker, record)
    place = next((index for index, run in enumerate(near) if run.run_id == record.run_id), None)
    if place is not None:
        _walk(tracker, record, near[place + 1 :], found)
        _walk(tracker, record, near[:place][::-1], found)
    others = [run for run in found.values() if run.run_id != record.run_id]
    return tuple(sorted(others, key=lambda run: (run.start_time is None, run.start_time or 0, run.run_id)))


def _parents(tracker: Tracker, record: RunRecord) -> Iterator[RunRecord]:
    seen = {record.run_id}
    while record.parent_run_id is not None and record.parent_run_id not in seen:
        seen.add(record.parent_run_id)
        if not tracker.has_run(record.parent_run_id):
            return
        record = tracker.read_run(record.parent_run_id)
        yield record


def _near(tracker: Tracker, record: RunRecord) -> list[RunSummary]:
    start, end = record.start_time, record.end_time or record.start_time
    assert start is not None and end is not None  # noqa: S101, PT018  # whoever calls has looked
    return tracker.select(
        Selection(
            experiments=(record.experiment_name,),
            since_ms=int((start - _REACH).timestamp() * 1000),
            until_ms=int((end + _REACH).timestamp() * 1000),
        )
    )


def _walk(tracker: Tracker, record: RunRecord, near: list[RunSummary], found: dict[str, RunRecord]) -> None:
    """Add the runs that go on where those that are found end, away from the run itself, until there is a pause."""
    for summary in near:
        if len(found) > _MOST:
            return
        if summary.run_id in found or summary.damaged:
            continue
        run = tracker.read_run(summary.run_id)
        if any(run.tags.get(name) != record.tags.get(name) for name in _OF_PROCESS):
            continue
        first, last = _span(found)
        start, end = run.start_time, run.end_time or run.start_time
        if start is None or end is None or start > last + _PAUSE or end < first - _PAUSE or _again(run, found):
            return
        found[run.run_id] = run


def _span(found: dict[str, RunRecord]) -> tuple[datetime, datetime]:
    starts = [run.start_time for run in found.values() if run.start_time is not None]
    ends = [run.end_time or run.start_time for run in found.values() if run.start_time is not None]
    return min(starts), max(end for end in ends if end is not None)


def _again(run: RunRecord, found: dict[str, RunRecord]) -> bool:
    """Tell whether a run says what one that is found says, so that the script was rather started again."""
    return any(
        (run.params, run.parent_run_id) == (other.params, other.parent_run_id)
        and (run.name == other.name or (is_unnamed(run.name) and is_unnamed(other.name)))
        and run.metrics
        and {each.name for each in run.metrics} == {each.name for each in other.metrics}
        for other in found.values()
    )
