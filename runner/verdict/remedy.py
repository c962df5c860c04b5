"""The command to paste that does what was done, with something changed: it repeats what the auditor had typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from runner.redact import redact
from runner.schema.plan import Plan

_FLAGS = {
    "repository": "--repo",
    "commit": "--commit",
    "remote": "--remote",
    "command": "--command",
    "python": "--python",
}
_REPEATED = frozenset({"--with", "--allow", "--warm-start"})


def again(plan: Plan, *options: str, name: str = "reproduce") -> str:
    """Return `runner NAME RUN` with the options that the plan was made with, and others instead or beside."""
    words = ["runner", name, _run(plan), *map(redact, options), "--tracker", redact(plan.run.uri)]
    for flag, value in _given(plan):
        if flag not in options or (flag in _REPEATED and not any(_same(value, option) for option in options)):
            words += [flag, redact(value)]
    return shlex.join(words)


def _run(plan: Plan) -> str:
    return plan.run.id if plan.registered is None else plan.registered.reference


def _given(plan: Plan) -> Iterator[tuple[str, str]]:
    registered = plan.registered
    if registered is not None and registered.name is not None and registered.registry != plan.run.uri:
        yield "--registry-uri", registered.registry
    if registered is not None and registered.run_source == "--run":
        yield "--run", registered.run_id
    facts = {fact.fact: fact for fact in reversed((*plan.lineage.provenance, *plan.provenance))}
    for name, flag in _FLAGS.items():
        if name in facts and facts[name].source.split(" ")[0] == flag:
            yield flag, facts[name].value
    for package in plan.environment.overrides:
        yield "--with", package
    for what in plan.policy.allow:
        if what != "existing":
            yield "--allow", what
    for path in plan.policy.allow_existing:
        yield "--allow", f"existing:{path}"
    for path in plan.policy.warm_start:
        yield "--warm-start", path


def _same(value: str, other: str) -> bool:
    """Tell whether two options are about one thing: other versions of one package are."""
    return value == other or value.partition("==")[0] == other.partition("==")[0]
