"""Which of the captured runs is the original's counterpart (VERDICTS rule 12). Metrics are never a key.

Identity must be shown: a run that differs from the record in what its script says of it is not the recorded run,
however few others there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from runner.compare.params import same_params, why_equal, why_not_decisive
from runner.lineage.digests import variant_role
from runner.lineage.recorded import normalised
from runner.schema.plan import Plan
from runner.schema.rerun import CapturedRun, Rerun
from runner.schema.run_record import RunRecord

_GENERATED_NAME = re.compile(r"[a-z]{3,}-(?:[a-z]{3,}|ox)-\d{1,4}")  # one of MLflow's nouns has two letters
_TRACKERS = {"mlflow": "MLflow", "wandb": "W&B"}
_DEFAULT_EXPERIMENTS = ("Default", "uncategorized")
_LINEAGE_TAG = re.compile(r"(?i)(?:mlflow|wandb|git|dvc|runner|reproducibility_runner)[._-]|.*(?:commit|dirty)$")
"""Tags of MLflow and W&B themselves, and those of code and data, which are compared as commits and bytes (rule 22)."""
_SHOWN_SIBLINGS = 6
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Match:
    """The counterpart, or the sentence that says why there is none; `notes` tell what does not fit well."""

    run: CapturedRun | None
    problem: str | None
    notes: tuple[str, ...] = ()


class _Fit(Enum):
    """How a captured run answers a key."""

    SAME = "same"
    UNTOLD = "untold"  # the script says nothing of it: the record may have it from elsewhere
    OTHER = "other"


@dataclass(frozen=True)
class _Key:
    """One thing by which runs are told apart; `recorded` ends a sentence on those that have it otherwise.

    `decides_alone` tells that it rules out even the only run that is left. Names often hold dates, and other params
    are judged as such (rule 10): these two need a choice.
    """

    recorded: str
    fit: Callable[[CapturedRun], _Fit]
    decides_alone: bool = True


def match_run(record: RunRecord, plan: Plan, rerun: Rerun) -> Match:
    """Find the counterpart by parent chain, experiment, name, group, params, tags, then place among siblings.

    A key that no candidate answers leaves none; where several are left at the end, none is taken.
    """
    kept_by = "wandb" if record.store.is_wandb else "mlflow"
    runs = sorted((run for run in rerun.capture.runs if run.tracker == kept_by), key=lambda run: run.started)
    if not runs:
        which = f" to {_TRACKERS[kept_by]}, which has the recorded one" if rerun.capture.runs else ""
        return Match(None, f"the training logged no run{which}")
    ours = _facts(record, plan)
    logged = frozenset(name for run in runs for name in run.tags)
    keys = (
        _Key("is at the recorded place in the chain of parent runs", lambda run: _parent_fit(record, run)),
        _Key("is in the recorded experiment", lambda run: _experiment_fit(record, run)),
        _Key("has the recorded name", lambda run: _name_fit(record, run), decides_alone=False),
        _Key(
            "is in the recorded group, for the recorded job", lambda run: _group_fit(record, run), decides_alone=False
        ),
        _Key("has the recorded params", lambda run: _params_fit(record, run), decides_alone=False),
        _Key("has the recorded tags", lambda run: _tags_fit(record, run, ours, logged)),
    )
    candidates = list(runs)
    for key in keys:
        fits = {run.run_id: key.fit(run) for run in candidates}
        same = [run for run in candidates if fits[run.run_id] is _Fit.SAME]
        left = same or [run for run in candidates if fits[run.run_id] is _Fit.UNTOLD]
        if not left and (key.decides_alone or len(candidates) > 1):
            return Match(None, _none_of(record, candidates, runs, key, ours))
        candidates = left or candidates
    if len(candidates) > 1:
        placed = _by_place(record, candidates, runs)
        if placed is None:
            return Match(
                None,
                f"{len(candidates)} of the runs that the training logged could be the recorded one: "
                + _listed(candidates),
            )
        candidates = [placed]
    return Match(candidates[0], None, (*_differences(record, candidates[0], ours), *_extra(record, candidates[0])))


def _parent_fit(record: RunRecord, run: CapturedRun) -> _Fit:
    return _Fit.SAME if (run.parent_run_id is None) == (record.parent_run_id is None) else _Fit.OTHER


def _experiment_fit(record: RunRecord, run: CapturedRun) -> _Fit:
    """Compare experiments; one that the script does not set may have come from an environment variable."""
    if run.experiment is None and run.experiment_id is not None:
        return _Fit.SAME if run.experiment_id == record.experiment_id else _Fit.OTHER
    if run.experiment in (record.experiment_name, record.experiment_id):
        return _Fit.SAME
    untold = run.experiment in (None, *_DEFAULT_EXPERIMENTS) or not record.experiment_is_named
    return _Fit.UNTOLD if untold else _Fit.OTHER


def _name_fit(record: RunRecord, run: CapturedRun) -> _Fit:
    if is_unnamed(record.name) == is_unnamed(run.name):
        return _Fit.SAME if is_unnamed(run.name) or run.name == record.name else _Fit.OTHER
    return _Fit.UNTOLD if is_unnamed(run.name) else _Fit.OTHER  # a person may have named the recorded one


def _group_fit(record: RunRecord, run: CapturedRun) -> _Fit:
    """Compare W&B's group and job type, which an environment variable may have set, or a name with a date."""
    fits = set()
    for tag in ("wandb.group", "wandb.job_type"):
        original, rerun = record.tags.get(tag), run.tags.get(tag)
        fits.add(_Fit.SAME if original == rerun else _Fit.UNTOLD if rerun is None else _Fit.OTHER)
    return next(fit for fit in (_Fit.OTHER, _Fit.UNTOLD, _Fit.SAME) if fit in fits)


def is_unnamed(name: str | None) -> bool:
    """Tell whether a run has no name of its author's: none, or one that MLflow made up."""
    return not name or _GENERATED_NAME.fullmatch(name) is not None


def _params_fit(record: RunRecord, run: CapturedRun) -> _Fit:
    return _Fit.SAME if same_params(record, run.params) else _Fit.OTHER


def _tags_fit(record: RunRecord, run: CapturedRun, ours: frozenset[str], logged: frozenset[str]) -> _Fit:
    """Compare tags; one that no run of the training logged may have been set by a person, in MLflow's pages."""
    other = dict(_other_tags(record, run, ours))
    if not other.keys().isdisjoint(logged):
        return _Fit.OTHER
    return _Fit.UNTOLD if other or _extra_tags(record, run) else _Fit.SAME


def _other_tags(record: RunRecord, run: CapturedRun, ours: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield each recorded tag of the script that the captured run has otherwise, or lacks, with words for it."""
    for name, original in sorted(record.tags.items()):
        rerun = run.tags.get(name)
        if name in ours:
            continue
        if rerun is None and run.status != "FINISHED":  # it may have ended before it came to that
            continue
        if rerun is not None and why_equal(original, rerun) is not None:
            continue
        if why_not_decisive(name, original, rerun) is None:
            logged = "none" if rerun is None else f'"{_cut(rerun)}"'
            yield name, f'tag {name}: "{_cut(original)}" recorded, {logged} logged'


def _extra_tags(record: RunRecord, run: CapturedRun) -> tuple[str, ...]:
    return tuple(
        f'tag {name}: none recorded, "{_cut(value)}" logged'
        for name, value in sorted(run.tags.items())
        if name not in record.tags and not _LINEAGE_TAG.match(name)
    )


def _extra(record: RunRecord, run: CapturedRun) -> tuple[str, ...]:
    """Return in words what was logged beyond the record; an autologging of another version logs other params."""
    params = sorted(set(run.params) - set(record.params))
    more = f" and {len(params) - _SHOWN_SIBLINGS} more" if len(params) > _SHOWN_SIBLINGS else ""
    line = f"params logged that the record lacks: {', '.join(params[:_SHOWN_SIBLINGS])}{more}"
    return (*((line,) if params else ()), *_extra_tags(record, run))


def _facts(record: RunRecord, plan: Plan) -> frozenset[str]:
    """Return the recorded tags that are no key: MLflow's own, and those that code, data or environment are told by."""
    provenance = (*plan.lineage.provenance, *plan.provenance)
    sources = {fact.source for fact in provenance} | {seen.source for fact in provenance for seen in fact.considered}
    variables = {name.lower() for name in plan.variables}
    return frozenset(
        name
        for name in record.tags
        if f"tag {name}" in sources
        or _LINEAGE_TAG.match(name)
        or variant_role(normalised(name)) is not None
        or normalised(name).removeprefix("env_") in variables
    )


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


def _none_of(
    record: RunRecord,
    candidates: Sequence[CapturedRun],
    runs: Sequence[CapturedRun],
    key: _Key,
    ours: frozenset[str],
) -> str:
    """Return why no candidate is the recorded run: what differs where there is one, else which ones there are."""
    if len(candidates) == 1:
        what = "the run" if len(runs) == 1 else f"the likeliest of {len(runs)} runs"
        differences = "; ".join(_differences(record, candidates[0], ours))
        return f"{what} that the training logged is not shown to be the recorded one: {differences}"
    alike = [_differences(record, run, ours) for run in candidates]
    shared = "; ".join(text for text in alike[0] if all(text in others for others in alike))
    none = f"none of the {len(candidates)} runs that the training logged {key.recorded}"
    return f"{none}{f' ({shared})' if shared else ''}: {_listed(candidates)}"


def _listed(runs: Sequence[CapturedRun]) -> str:
    shown = ", ".join(_describe(run) for run in runs[:_SHOWN_SIBLINGS])
    return shown + (f" and {len(runs) - _SHOWN_SIBLINGS} more" if len(runs) > _SHOWN_SIBLINGS else "")


def _describe(run: CapturedRun) -> str:
    params = " ".join(f"{name}={value[:40]}" for name, value in sorted(run.params.items())[:3])
    return " ".join(part for part in (run.run_id[:8], f'"{run.name}"' if run.name else "", params) if part)


def _differences(record: RunRecord, run: CapturedRun, ours: frozenset[str]) -> tuple[str, ...]:
    """Return in words all in which a run is not as recorded, but for its params and its numbers."""
    words = []
    if _parent_fit(record, run) is not _Fit.SAME:
        sides = ("none", "one") if record.parent_run_id is None else ("one", "none")
        words.append(f"parent run: {sides[0]} recorded, {sides[1]} logged")
    experiment = other_experiment(record, run)
    if experiment is not None:
        words.append(f"experiment: {experiment}")
    if _name_fit(record, run) is not _Fit.SAME:
        words.append(f'run name: "{record.name or ""}" recorded, "{run.name or ""}" logged')
    return (*words, *dict(_other_tags(record, run, ours)).values())


def other_experiment(record: RunRecord, run: CapturedRun) -> str | None:
    """Return that a run was logged in another experiment than the recorded one, None where it was not."""
    if _experiment_fit(record, run) is _Fit.SAME:
        return None
    logged = "none" if run.experiment is run.experiment_id is None else f'"{run.experiment or run.experiment_id}"'
    recorded = f'"{record.experiment_name}" recorded' if record.experiment_is_named else "its name is not recorded"
    return f"{recorded}, {logged} logged"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
