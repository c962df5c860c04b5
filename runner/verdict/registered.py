"""What keeps a registered model from being reproduced (VERDICTS rule 9): a swapped file never passes."""

from __future__ import annotations

from runner.compare.registered import differing, shown
from runner.schema.comparison import Comparison
from runner.schema.model_files import RegisteredComparison, RegisteredModel
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing
from runner.verdict.remedy import again

FACT = "registered model"
_READY = "READY"


def why_not_the_runs(registered: RegisteredModel) -> str | None:
    """Return why a rerun of the run can say nothing about what is registered, None where it can."""
    if registered.status not in (None, _READY):
        return f"{registered.title} is {registered.status}: its files may not be whole"
    if registered.same_place or registered.logged is None:
        return None
    differences = differing(registered.artifact, registered.logged)
    if not differences:
        return None
    return (
        f"what is registered as {registered.title} ({_short(registered.content_digest)}) is not the model that its run "
        f"logged ({_short(registered.logged.content_digest)}): they differ in {', '.join(shown(differences))}"
    )


def what_changed(before: RegisteredModel, after: RegisteredModel) -> str | None:
    """Return what became of a registered model while its run was rerun, None where it is as it was."""
    if (before.name, before.version, before.model_id) != (after.name, after.version, after.model_id):
        return f"{before.reference} meant {before.title} when it was read, and means {after.title} now"
    if before.run_id != after.run_id:
        return f"{before.title} was of run {before.run_id}, and is of run {after.run_id} now"
    if before.digest != after.digest:
        return f"the files of {before.title} changed during the rerun: {_changed_files(before, after)}"
    if (before.place, before.status) != (after.place, after.status):
        return f"what the registry says of {before.title} changed during the rerun"
    if (before.logged and before.logged.digest) != (after.logged and after.logged.digest):
        return f"the model that the run of {before.title} logged changed during the rerun"
    return None


def _changed_files(before: RegisteredModel, after: RegisteredModel) -> str:
    ours, theirs = ({file.path: file.sha256 for file in model.artifact.files} for model in (before, after))
    return ", ".join(shown(tuple(path for path in sorted({*ours, *theirs}) if ours.get(path) != theirs.get(path))))


def registered_cause(plan: Plan, comparison: Comparison) -> Missing | None:
    """Return why numbers that agree do not make the registered model reproduced, None where they do.

    Other bytes never make a run diverged: many models are written differently each time. But then nothing shows that
    what is registered is what the run made.
    """
    if plan.registered is None:
        return None
    found = comparison.registered
    if found is None:
        cause = f"{plan.registered.title} was not compared with any model of the rerun"
    elif found.holds:
        return None
    else:
        cause = agreement(found)
    return Missing(fact=FACT, cause=cause, remedy=again(plan, "--keep"))


def agreement(found: RegisteredComparison) -> str:
    """Return in a sentence which of the three models agree."""
    of_run = {
        None: "the run's own logged model cannot be had",
        True: "it is the run's own logged model",
        False: f"the run's own logged model is another ({_short(found.logged)})",
    }[found.equals_run]
    registered = f"{found.title} ({_short(found.registered)})"
    if found.rerun_models > 1:
        return (
            f"the rerun logged {found.rerun_models} models of other bytes each, and nothing tells which of them is "
            f"{registered}; {of_run}"
        )
    if found.rerun is None:
        return f"the rerun logged no model to compare {registered} with; {of_run}"
    if found.equals_rerun:
        return f"{registered} is the rerun's model; {of_run}"
    theirs = f"the rerun's model ({_short(found.rerun)})"
    if found.equals_run is False and found.run_equals_rerun:
        return (
            f"{registered} is neither the run's own logged model nor the rerun's, which agree ({_short(found.rerun)})"
        )
    return f"{theirs} has other bytes than {registered}: {', '.join(found.differences)}; {of_run}"


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest.replace("sha256:", "sha256 ")[:15] + "…"
