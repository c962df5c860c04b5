"""RunRecord, Plan and Rerun in, Comparison out. Pure."""

from __future__ import annotations

from runner.compare.datasets import compare_datasets, why_not_identical
from runner.compare.environment import compare_environment
from runner.compare.files import compare_outputs
from runner.compare.metrics import WHOLE, compare_metrics
from runner.compare.params import compare_params, with_params_given
from runner.compare.registered import compare_registered
from runner.compare.runs import match_run
from runner.schema.comparison import Comparison
from runner.schema.plan import Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord


def compare(record: RunRecord, plan: Plan, rerun: Rerun) -> Comparison:
    """Compare the original with its rerun, thing by thing; nothing is judged here.

    Where no captured run is the original's counterpart, metrics, params and outputs are empty and `match_problem`
    says why.
    """
    rerun = with_params_given(plan, rerun)
    match = match_run(record, plan, rerun)
    environment = compare_environment(record, plan, rerun)
    if match.run is None:
        return Comparison(
            matched_run=None, match_problem=match.problem, metrics=(), params=(), outputs=(), environment=environment
        )
    result = compare_metrics(record, match.run, plan.policy)
    datasets = compare_datasets(record, match.run)
    caps = (*result.caps, *why_not_identical(datasets))
    if record.status != WHOLE:
        caps = (*caps, f"only what was recorded until the run ended as {record.status}")
    return Comparison(
        matched_run=match.run.run_id,
        matched_status=match.run.status,
        metrics=result.metrics,
        params=compare_params(record, match.run),
        outputs=compare_outputs(record, plan, rerun, match.run),
        datasets=datasets,
        registered=None
        if plan.registered is None
        else compare_registered(plan.registered, rerun.capture, match.run.run_id),
        environment=environment,
        mappings=result.mappings,
        notes=match.notes,
        ignored_metrics=result.ignored,
        capped="reproduced" if caps else "identical",
        caps=caps,
    )
