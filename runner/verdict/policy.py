"""The auditor's terms: how they differ from the default, and whether a result meets what was required of it."""

from __future__ import annotations

from runner.schema.plan import MetricPolicy, Policy
from runner.schema.reproduction import Reproduction, Verdict

DEFAULT = Policy()
_MEETS = {
    "identical": frozenset({Verdict.IDENTICAL}),
    "reproduced": frozenset({Verdict.IDENTICAL, Verdict.REPRODUCED}),
}


def looser_than_default(policy: Policy) -> tuple[str, ...]:
    """Return in words each way in which a policy asks for less than the default does (VERDICTS rule 8)."""
    words = [
        f"{name} {value:g} (default {default:g})"
        for name, value, default in (("rtol", policy.rtol, DEFAULT.rtol), ("atol", policy.atol, DEFAULT.atol))
        if value > default
    ]
    for metric, own in sorted(policy.metrics.items()):
        words += _looser_for(metric, own)
    if policy.ignore:
        words.append(f"ignores {', '.join(sorted(policy.ignore))}")
    if policy.only:
        words.append(f"only {', '.join(sorted(policy.only))}")
    return tuple(words)


def _looser_for(metric: str, own: MetricPolicy) -> list[str]:
    if own.ignore:
        return [f"ignores {metric}"]
    words = []
    if own.rtol is not None and own.rtol > DEFAULT.rtol:
        words.append(f"{metric}: rtol {own.rtol:g}")
    if own.atol is not None and own.atol > DEFAULT.atol:
        words.append(f"{metric}: atol {own.atol:g}")
    if own.last_only:
        words.append(f"{metric}: last value only")
    return words


def requirement_met(reproduction: Reproduction, policy: Policy) -> bool:
    """Tell whether a result is what `--require` and `--require-complete` ask for; true where neither is given."""
    if policy.require is not None and reproduction.verdict not in _MEETS[policy.require]:
        return False
    return not (policy.require_complete and reproduction.not_verified)
