"""Which of the captured runs is the original's counterpart (VERDICTS rule 12). Metrics are never a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.compare.params import same_params
from runner.schema.plan import Plan
from runner.schema.rerun import CapturedRun, Rerun
from runner.schema.run_record import RunRecord

_GENERATED_NAME = re.compile(r"[a-z]{3,}-[a-z]{3,}-\d{1,4}")
_SHOWN_SIBLINGS = 6


@dataclass(frozen=True)
class Match:
    """The counterpart, or the sentence that says why there is none; `notes` tell what does not fit well."""

    run: CapturedRun | None
    problem: str | None
    notes: tuple[str, ...] = ()


def match_run(record: RunRecord, plan: Plan, rerun: Rerun) -> Match:  # noqa: ARG001  # the plan may fix it one day
    """Find the counterpart by place in the parent chain, experiment, name, params, tags, then place among siblings.

    A key that no candidate has decides nothing; where several are left, none is taken.
    """
    runs = sorted(rerun.capture.runs, key=lambda run: run.started)
    if not runs:
        return Match(None, "the training logged no run")
    keys: tuple[Callable[[CapturedRun], bool], ...] = (
        lambda run: (run.parent_run_id is None) == (record.parent_run_id is None),
        lambda run: run.experiment in (record.experiment_name, record.experiment_id),
        lambda run: record.name is not None and run.name == record.name,
        lambda run: same_params(record, run.params),
        lambda run: _script_tags(run.tags) == _script_tags(record.tags),
    )
    candidates = list(runs)
    for key in keys:
        candidates = [run for run in candidates if key(run)] or candidates
    if len(candidates) > 1:
        placed = _by_place(record, candidates, runs)
        if placed is None:
            return Match(None, _ambiguous(record, candidates))
        candidates = [placed]
    return Match(candidates[0], None, _notes(record, candidates[0]))


def _script_tags(tags: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if not name.startswith("mlflow.")}


def _by_place(record: RunRecord, candidates: Sequence[CapturedRun], runs: Sequence[CapturedRun]) -> CapturedRun | None:
    """Return the run at the original's place among its siblings, if both sides have equally many."""
    parents = {run.parent_run_id for run in candidates}
    if len(parents) != 1 or record.run_id not in record.siblings:
        return None
    siblings = [run for run in runs if run.parent_run_id in parents]
    if len(siblings) != len(record.siblings):
        return None
    placed = siblings[record.siblings.index(record.run_id)]
    return placed if placed in candidates else None


def _ambiguous(record: RunRecord, candidates: Sequence[CapturedRun]) -> str:
    shown = ", ".join(_describe(run) for run in candidates[:_SHOWN_SIBLINGS])
    more = f" and {len(candidates) - _SHOWN_SIBLINGS} more" if len(candidates) > _SHOWN_SIBLINGS else ""
    if not any(same_params(record, run.params) for run in candidates):
        return f"none of the {len(candidates)} runs that the training logged has the recorded params: {shown}{more}"
    return f"{len(candidates)} of the runs that the training logged could be the recorded one: {shown}{more}"


def _describe(run: CapturedRun) -> str:
    params = " ".join(f"{name}={value[:40]}" for name, value in sorted(run.params.items())[:3])
    return " ".join(part for part in (run.run_id[:8], f'"{run.name}"' if run.name else "", params) if part)


def _notes(record: RunRecord, run: CapturedRun) -> tuple[str, ...]:
    notes = []
    generated = all(_GENERATED_NAME.fullmatch(name or "") for name in (record.name, run.name))
    if record.name and run.name != record.name and not generated:
        notes.append(f'run name: "{record.name}" recorded, "{run.name or ""}" logged')
    if (record.parent_run_id is None) != (run.parent_run_id is None):
        sides = ("none", "one") if record.parent_run_id is None else ("one", "none")
        notes.append(f"parent run: {sides[0]} recorded, {sides[1]} logged")
    if run.experiment is not None and run.experiment not in (record.experiment_name, record.experiment_id):
        notes.append(f'experiment: "{record.experiment_name}" recorded, "{run.experiment}" logged')
    return tuple(notes)
