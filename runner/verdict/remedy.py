"""The command to paste that does what was done, with something changed: it repeats what the auditor had typed."""

from __future__ import annotations

from collections.abc import Iterator

from runner.schema.invocation import Option
from runner.schema.plan import Plan


def again(plan: Plan, *options: str, name: str = "reproduce") -> str:
    """Return `runner NAME RUN` with the options that were typed, and others instead or beside.

    The tracker is always named: evidence is read in other places than where it was made.
    """
    return plan.invocation.again(_run(plan), *options, name=name, found=tuple(_places(plan)))


def _run(plan: Plan) -> str:
    return plan.run.id if plan.registered is None else plan.registered.reference


def _places(plan: Plan) -> Iterator[Option]:
    yield "--tracker", plan.run.uri
    registered = plan.registered
    if registered is not None and registered.name is not None and registered.registry != plan.run.uri:
        yield "--registry-uri", registered.registry
    if registered is not None and registered.run_source == "--run":
        yield "--run", registered.run_id
