"""The verdict, as one function of values. Read docs/verdicts.md beside it.

Order: a command that did not finish well is `failed`, whatever it logged, unless just what we guessed of it broke; a
rerun of something else than the original is `unverifiable`, whatever its numbers; then numbers decide.
"""

from __future__ import annotations

from runner.compare.files import ARTIFACT_PREFIX
from runner.schema.comparison import Comparison, FileComparison, Outcome
from runner.schema.plan import Plan
from runner.schema.reproduction import Decision, Missing, Verdict
from runner.schema.rerun import Ending, Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.causes import (
    divergence_says_nothing,
    given_outputs,
    missing_params,
    nothing_compared,
    unverifiable_causes,
    why_failed,
    why_later,
)
from runner.verdict.policy import looser_than_default
from runner.verdict.registered import FACT, registered_cause
from runner.verdict.remedy import again
from runner.verdict.statements import given_otherwise, not_verified, platform_difference, redated, verified
from runner.verdict.system_packages import lacking_packages
from runner.verdict.unfinished import failure_says_nothing

_OF_OTHER_CODE = ("commit", "code")
"""Facts without which what the training did is told all the same: it is that of other code."""


def decide(  # noqa: PLR0911  # a row of cases, in the order of the page on verdicts
    plan: Plan,
    record: RunRecord,
    rerun: Rerun,
    comparison: Comparison,
    *,
    record_changed: bool = False,
    registered_change: str | None = None,
    lacking: Missing | None = None,
    unfetched: Missing | None = None,
) -> Decision:
    """Return the verdict of a rerun.

    `record_changed` tells that the tracker's record is another one afterwards, `registered_change` what became of the
    registered model meanwhile, `lacking` what the commit lacks of what the training needs, if that was looked for,
    `unfetched` an input of which it had no more than a pointer.
    """
    terms = _terms(plan, rerun, comparison)
    open_points = not_verified(plan, record, rerun, comparison)

    def decision(verdict: Verdict, reason: str, missing: tuple[Missing, ...] = ()) -> Decision:
        others = tuple(cause.cause for cause in missing[1:])
        return Decision(
            verdict=verdict,
            reason=reason + terms,
            verified=verified(plan, rerun, comparison, finished=failure is None),
            not_verified=tuple(dict.fromkeys((*others, *open_points))),
            missing=missing[0] if missing else None,
        )

    failure = why_failed(plan, rerun, comparison)
    if failure is not None:
        says_nothing = failure_says_nothing(plan, record, rerun)
        ours = unfetched or _machine_lacks(plan, rerun) or lacking or says_nothing
        if ours is None:
            failure += "; so had the recorded run" if record.status == "FAILED" else ""
            return decision(Verdict.FAILED, failure)
        reason = f"{failure}; but {ours.cause}" if ours.fact in _OF_OTHER_CODE else ours.cause
        return decision(Verdict.UNVERIFIABLE, reason, (ours,))
    causes = unverifiable_causes(plan, record, rerun, comparison, record_changed=record_changed)
    if registered_change is not None:
        causes = (Missing(fact=FACT, cause=registered_change, remedy=again(plan)), *causes)
    if unfetched is not None:
        causes = (unfetched, *causes)
    if causes:
        more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
        return decision(Verdict.UNVERIFIABLE, causes[0].cause + more, causes)
    differences = _differences(plan, comparison)
    if differences:
        reason = ", and ".join(differences)
        excuse = divergence_says_nothing(plan, record, rerun, comparison) or lacking or lacking_packages(plan, rerun)
        if excuse is not None:
            return decision(Verdict.UNVERIFIABLE, f"{reason}; but {excuse.cause}", (excuse,))
        return decision(Verdict.DIVERGED, reason + _ignored(comparison))
    missing = why_later(plan, comparison) or nothing_compared(plan, comparison) or registered_cause(plan, comparison)
    if missing is not None:
        return decision(Verdict.UNVERIFIABLE, missing.cause, (missing,))
    verdict = Verdict.IDENTICAL if _is_identical(plan, rerun, comparison) else Verdict.REPRODUCED
    return decision(verdict, _agreement(comparison) + _cap(plan, rerun, comparison) + _ignored(comparison))


def _machine_lacks(plan: Plan, rerun: Rerun) -> Missing | None:
    """Return what a failed training missed of its image, before any doubt of the code: it would be missing of any."""
    ended = rerun.ending is Ending.CRASHED or (rerun.ending is Ending.FINISHED and not rerun.capture.problems)
    return lacking_packages(plan, rerun) if ended else None


def _terms(plan: Plan, rerun: Rerun, comparison: Comparison) -> str:
    """Return what must stand in every reason.

    That is what was given in place of the recorded, a looser policy (rule 8), another platform (rule 25), packages of
    another day (rule 26).
    """
    looser = looser_than_default(plan.policy)
    parts = list(given_otherwise(plan))
    parts += [f"policy looser than default: {', '.join(looser)}"] if looser else []
    platform = platform_difference(comparison)
    parts += [platform] if platform else []
    later = redated(plan, rerun)
    parts += [later] if later else []
    return "".join(f"; {part}" for part in parts)


def _differences(plan: Plan, comparison: Comparison) -> tuple[str, ...]:
    """Return in words all that makes the rerun diverged. Other bytes of an output never do (rule 9)."""
    compared = comparison.compared
    outside = [metric for metric in compared if metric.outcome is Outcome.OUTSIDE]
    missing = [metric.name for metric in compared if metric.outcome is Outcome.MISSING]
    words = []
    if outside:
        whose = "its" if len(outside) == 1 else "their"
        words.append(f"{len(outside)} of {len(compared)} compared metrics outside {whose} tolerance")
    if missing:
        verb = "was" if len(missing) == 1 else "were"
        words.append(f"recorded {', '.join(missing)} {verb} not logged again")
    words += missing_params(comparison)
    if not plan.command_inferred:
        words += [
            f"recorded output {output.path} was not written"
            for output in comparison.outputs
            if _unwritten(plan, output)
        ]
    return tuple(words)


def _unwritten(plan: Plan, output: FileComparison) -> bool:
    """Tell whether an output with a digest of this very run was not written by the training (rule 17)."""
    if output.original is None or output.written or output.path.startswith(ARTIFACT_PREFIX):
        return False
    return output.path not in _stale_paths(plan)


def _stale_paths(plan: Plan) -> frozenset[str]:
    return frozenset(file.path for file in plan.lineage.files if file.maybe_previous)


def _is_identical(plan: Plan, rerun: Rerun, comparison: Comparison) -> bool:
    """Tell whether every compared metric and curve is bit-equal, and every output with a recorded digest byte-equal.

    A recorded digest that is an earlier model's is not this run's: it is not compared, and does not count.
    """
    if comparison.capped != "identical" or comparison.caps or given_outputs(plan, rerun):
        return False
    if any(metric.outcome is not Outcome.EQUAL for metric in comparison.compared):
        return False
    stale = _stale_paths(plan)
    return all(
        output.written
        and (
            output.outcome is Outcome.EQUAL
            or output.original is None
            or (output.path in stale and output.outcome is Outcome.NOT_COMPARED)
        )
        for output in comparison.outputs
    )


def _agreement(comparison: Comparison) -> str:
    compared = [metric for metric in comparison.compared if metric.kind != "nan"]
    words = []
    if compared:
        equal = sum(metric.outcome is Outcome.EQUAL for metric in compared)
        which = {1: "the only metric", 2: "both metrics"}.get(len(compared), f"all {len(compared)} metrics")
        if equal == len(compared):
            words.append(f"{which} bit-equal")
        else:
            words.append(f"{which} within tolerance" + (f" ({equal} bit-equal)" if equal else ""))
    decided = [output for output in comparison.outputs if output.original is not None and output.rerun is not None]
    equal_outputs = [output for output in decided if output.outcome is Outcome.EQUAL and output.written]
    other = [output for output in decided if output.outcome is Outcome.OUTSIDE]
    if comparison.registered is not None:
        words.append(f"{comparison.registered.title} equal to the rerun's model")
    if equal_outputs:
        words.append(f"{_what(equal_outputs)} byte-equal")
    if other:
        words.append(f"{_what(other)} of other bytes")
    return ", ".join(words)


def _what(outputs: list[FileComparison]) -> str:
    if len(outputs) > 1:
        return f"{len(outputs)} outputs"
    return "model" if "model" in outputs[0].path.lower() else outputs[0].path


def _cap(plan: Plan, rerun: Rerun, comparison: Comparison) -> str:
    caps = list(comparison.caps)
    caps += [f"evaluated, not trained ({path})" for path in given_outputs(plan, rerun)]
    caps += [f"{output.path} was not written" for output in comparison.outputs if not output.written]
    return f"; not identical by rule: {caps[0]}" if caps else ""


def _ignored(comparison: Comparison) -> str:
    count = comparison.ignored_metrics
    return f"; {count} metric{'' if count == 1 else 's'} ignored" if count else ""
