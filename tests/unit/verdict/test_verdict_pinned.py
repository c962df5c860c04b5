"""What is verified of the packages: those that the named source itself pins, and no others."""

from __future__ import annotations

from tests.support.values import changed, judge, make_plan, make_record, make_rerun


def pinned(text, packages, **fields):
    """What is said to be verified of an environment that was specified by a list of requirements."""
    plan = make_plan()
    values = {"kind": "requirements", "main": "requirements.txt", "files": {"requirements.txt": text}, **fields}
    environment = changed(plan.environment, source="requirements.txt at the commit", **values)
    rerun = make_rerun()
    rerun = changed(rerun, environment=changed(rerun.environment, packages=packages))
    decision = judge(plan=changed(plan, environment=environment), rerun=rerun)
    return [line for line in decision.verified if line.startswith("environment:")]


def test_packages_are_exact_only_where_the_source_pins_each_that_is_installed():
    both = {"numpy": "1.26.4", "scikit-learn": "1.4.2"}
    text = "numpy==1.26.4\nscikit_learn==1.4.2\ncolorama==0.4.6; sys_platform == 'win32'\n"
    assert pinned(text, both) == ["environment: 2 packages, exact (requirements.txt at the commit)"]
    some = pinned(text, {**both, "scipy": "1.12.0"}, as_of=make_record().start_time)
    assert some == ["environment: 2 of 3 packages pinned (requirements.txt at the commit)"]
    assert pinned(text, {**both, "scipy": "1.12.0"}) == some  # no date to resolve by, and still not its own
    assert pinned(text, both, overrides=("numpy",)) == [
        "environment: 1 of 2 packages pinned (requirements.txt at the commit)"
    ]
    assert pinned(text, both, recorded_overrides=("numpy==2.2.4",)) == [
        "environment: 1 of 2 packages pinned (requirements.txt at the commit)"
    ]
    assert pinned("# nothing\n", both, overrides=("mlflow-skinny",)) == []
