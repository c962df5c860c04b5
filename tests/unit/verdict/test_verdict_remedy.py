"""A remedy repeats what was typed: pasted as it is, it gets no stuck where the command before it was already past."""

from __future__ import annotations

from runner.schema.lineage import Provenance
from runner.schema.plan import Policy
from runner.verdict.remedy import again
from tests.support.values import changed, make_plan

TRACKER = "--tracker file:///srv/acme/mlruns"


def typed():
    """A plan that was made with many options."""
    plan = make_plan(policy=Policy(allow=("network", "existing"), allow_existing=("a b.pkl",), warm_start=("w.pt",)))
    facts = (
        Provenance(fact="commit", value="9f3c", source="--commit"),
        Provenance(fact="remote", value="s3://b/p", source="--remote main"),
        Provenance(fact="command", value="python t.py --x 1", source="--command"),
        Provenance(fact="python", value="3.9", source="python in runner.yaml"),
    )
    environment = changed(plan.environment, overrides=("torch==2.1", "seaborn"))
    lineage = changed(plan.lineage, provenance=(*facts, *plan.lineage.provenance))
    return changed(plan, lineage=lineage, provenance=(), environment=environment)


def test_what_was_typed_is_typed_again_and_what_a_file_says_is_not():
    assert again(typed(), name="plan").split(TRACKER)[1].strip() == (
        "--commit 9f3c --remote s3://b/p --command 'python t.py --x 1' --with torch==2.1 --with seaborn "
        "--allow network --allow 'existing:a b.pkl' --warm-start w.pt"
    )


def test_what_the_remedy_changes_takes_the_place_of_what_was_typed():
    words = again(typed(), "--with", "torch==2.0", "--commit", "abc", "--allow", "network")
    assert (words.count("torch"), words.count("--commit"), words.count("network"), words.count("seaborn")) == (
        1,
        1,
        1,
        1,
    )
    assert "existing:a b.pkl" in words


def test_of_what_was_recorded_only_the_run_is_named():
    plan = make_plan()
    assert again(plan) == f"runner reproduce {plan.run.id} {TRACKER}"
