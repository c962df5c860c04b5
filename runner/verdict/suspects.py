"""What most likely moved the numbers of a divergence, most likely first. Reports name it, and offer to try it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runner.compare.numerical import likelihood, moves_numbers
from runner.compare.runs import other_experiment
from runner.redact import redact
from runner.schema.comparison import Comparison, PackageComparison
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.causes import matched_run
from runner.verdict.statements import platform_difference

_SHOWN = 4
_SEED = re.compile(r"(?i)(?:.*[_./-])?(?:random_?state|seed|random_?seed|rng)")
_UNSEEDED = frozenset({"none", "null", ""})


def changed_packages(comparison: Comparison) -> tuple[PackageComparison, ...]:
    """Return the recorded packages that ran otherwise: those that compute first, those that record or draw last."""
    return tuple(sorted(comparison.environment.differing, key=lambda package: likelihood(package.name)))


def unseeded_params(record: RunRecord) -> tuple[str, ...]:
    """Return the recorded params that say themselves that nothing fixed the random numbers (`random_state=None`)."""
    return tuple(
        f"{name}={value}"
        for name, value in sorted(record.params.items())
        if _SEED.fullmatch(name) and value.strip().lower() in _UNSEEDED
    )


def numerical_changes(comparison: Comparison) -> tuple[PackageComparison, ...]:
    """Return those of the changed packages whose version may move numbers."""
    return tuple(package for package in changed_packages(comparison) if _may_move(package))


def suspects(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> tuple[str, ...]:
    """Return in a sentence each what may have moved the numbers, most likely first.

    What moves none by itself, as packages that record or draw and patches of Python, comes after a sentence that says
    what else there may be.
    """
    words = [*_code(plan, record, rerun, comparison)]
    unseeded = unseeded_params(record)
    if unseeded:
        words.append(f"random numbers: recorded as unseeded ({_listed(unseeded)})")
    platform = platform_difference(comparison)
    lacks_gpu = comparison.environment.platform is not None and comparison.environment.platform.lacks_gpu
    if platform is not None and lacks_gpu:
        words.append(f"platform: {platform}")
    changed, numerical = changed_packages(comparison), numerical_changes(comparison)
    if numerical:
        pairs = [package.words for package in changed]
        words.append(f"environment: {_listed(pairs)} ({plan.environment.source})")
    elif not plan.environment.exact:
        told = "only some of the versions that the run had are recorded" if plan.environment.constraints else None
        words.append(
            f"environment: {told or 'nothing tells which versions the run had'} ({_guessed(plan.environment, rerun)})"
        )
    if platform is not None and not lacks_gpu:
        words.append(f"platform: {platform}")
    python = comparison.environment.python
    differs = python is not None and python.differs
    of_python = [f"Python: {python.original} recorded, {python.rerun} ran"] if python is not None and differs else []
    patch = python is not None and _minor(python.original) == _minor(python.rerun)
    weak = [f"environment: {_listed([package.words for package in changed])}"] if changed and not numerical else []
    if patch:
        weak += of_python
    else:
        words += of_python
    if weak and not words:
        words.append(_untold(record))
    return tuple(redact(text) for text in (*words, *weak))


def _code(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> Iterator[str]:
    """Yield why the code may be another than the run's."""
    lineage, commit = plan.lineage, plan.lineage.commit[:12]
    if not lineage.commit_known:
        yield f"code: commit {commit}, since the run records none"
    elif lineage.recorded_commit is not None:
        yield f"code: commit {commit}, and the run recorded {lineage.recorded_commit[:12]}"
    run = matched_run(rerun, comparison)
    experiment = None if run is None else other_experiment(record, run)
    if experiment is not None:
        change = plan.code_changed
        later = "" if change is None else f"; commit {change.commit[:12]} changed {change.path} soon after"
        yield (
            f"code: experiment {experiment}: the script was another than that of commit {commit}, or a variable "
            f"that no record has chose the experiment{later}"
        )


def _may_move(package: PackageComparison) -> bool:
    return moves_numbers(package.name) != "not by itself"


def _minor(version: str | None) -> list[str]:
    return (version or "").split(".")[:2]


def _untold(record: RunRecord) -> str:
    if any(_SEED.fullmatch(name) for name in record.params):
        return "unknown: nothing that moves numbers by itself is recorded otherwise than it was here"
    return "random numbers: nothing that is recorded says that the training fixes them"


def _guessed(environment: EnvironmentSpec, rerun: Rerun) -> str:
    moment = rerun.environment.as_of or environment.as_of
    when = "" if moment is None else f", as of {moment:%Y-%m-%d} here"
    return f"{environment.source}{when}; Python {environment.python}: {environment.python_source}"


def _listed(texts: Sequence[str]) -> str:
    """Return texts with commas, as many as a line holds."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
