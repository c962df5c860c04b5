"""What most likely moved the numbers of a divergence, most likely first. Reports name it, and offer to try it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.compare.numerical import likelihood
from runner.redact import redact
from runner.schema.comparison import Comparison, PackageComparison
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord
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


def suspects(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> tuple[str, ...]:
    """Return in a sentence each what may have moved the numbers, most likely first."""
    words = []
    unseeded = unseeded_params(record)
    if unseeded:
        words.append(f"random numbers: recorded as unseeded ({_listed(unseeded)})")
    platform = platform_difference(comparison)
    lacks_gpu = comparison.environment.platform is not None and comparison.environment.platform.lacks_gpu
    if platform is not None and lacks_gpu:
        words.append(f"platform: {platform}")
    changed = changed_packages(comparison)
    if changed:
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
    if python is not None and python.differs:
        words.append(f"Python: {python.original} recorded, {python.rerun} ran")
    return tuple(redact(text) for text in words)


def _guessed(environment: EnvironmentSpec, rerun: Rerun) -> str:
    moment = rerun.environment.as_of or environment.as_of
    when = "" if moment is None else f", as of {moment:%Y-%m-%d} here"
    return f"{environment.source}{when}; Python {environment.python}: {environment.python_source}"


def _listed(texts: Sequence[str]) -> str:
    """Return texts with commas, as many as a line holds."""
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
