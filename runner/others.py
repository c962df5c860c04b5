"""The other runs of one execution, judged by the rerun of one of them: a loop's, a sweep's, a parent's (rule 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runner.compare.build import compare
from runner.errors import RunNotFound
from runner.finding import Asked
from runner.plan.execution import plan_of_other
from runner.schema.comparison import Comparison
from runner.schema.plan import Plan
from runner.schema.reproduction import OtherRun, RunIdentity, Verdict
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings
from runner.trackers.baseline import baseline_digest
from runner.verdict.decide import decide


def judge_others(
    others: Sequence[RunRecord],
    asked: Asked,
    plan: Plan,
    snapshot: RepositorySnapshot,
    rerun: Rerun,
    comparison: Comparison,
) -> tuple[OtherRun, ...]:
    """Return what the rerun of a run says of other runs that its execution is likely to have made.

    Those whose commit, data or command are others' are left out: nothing of them was carried out. `comparison` is the
    run's own. One run of the training stands for one recorded run: where it would stand for two, it does for none.
    """
    judged = [found for other in others if (found := _judge(other, asked, plan, snapshot, rerun)) is not None]
    uses = Counter([comparison.matched_run, *(each.matched_run for each in judged)])
    return tuple(
        _shared(each) if each.matched_run is not None and uses[each.matched_run] > 1 else each for each in judged
    )


def _judge(record: RunRecord, asked: Asked, plan: Plan, snapshot: RepositorySnapshot, rerun: Rerun) -> OtherRun | None:
    settings: Settings = asked.settings
    own = plan_of_other(plan, snapshot, record, settings, baseline_digest(record))
    if isinstance(own, str):
        return None
    comparison = compare(record, own, rerun)
    decision = decide(own, record, rerun, comparison, record_changed=_changed(asked, record))
    return OtherRun(
        run=RunIdentity.of(record),
        verdict=decision.verdict,
        reason=decision.reason,
        matched_run=comparison.matched_run,
        compared=len(comparison.compared),
    )


def _changed(asked: Asked, before: RunRecord) -> bool:
    try:
        return baseline_digest(asked.tracker.read_run(before.run_id)) != baseline_digest(before)
    except RunNotFound:
        return True


def _shared(other: OtherRun) -> OtherRun:
    return other.model_copy(
        update={
            "verdict": Verdict.UNVERIFIABLE,
            "reason": "the run of the training that could be its counterpart could be another run's as well",
        }
    )
