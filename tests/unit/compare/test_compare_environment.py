"""All packages together against the digest that `runner record` left of them."""

from __future__ import annotations

from reproducibility_runner.recording.environment import packages_digest
from runner.compare.environment import compare_environment
from runner.schema.reproduction import Verdict
from tests.support.values import judge, make_plan, make_record, make_rerun, make_run

RAN = make_rerun().environment.packages


def tagged(packages: dict[str, str]):
    """A record with the digest of these packages."""
    return make_record(tags={**make_record().tags, "runner.environment": packages_digest(packages)})


def test_the_very_set_is_verified_by_its_digest() -> None:
    found = compare_environment(tagged({**RAN, "pip": "24"}), make_plan(), make_rerun())
    assert (found.whole, found.whole_source) == (True, "tag runner.environment")
    decision = judge(tagged(RAN), make_plan(), make_rerun(make_run()))
    assert decision.verdict is Verdict.IDENTICAL
    assert f"packages: the {len(RAN)} of the recorded digest (tag runner.environment)" in decision.verified


def test_another_set_is_said_and_not_verified() -> None:
    other = tagged({**RAN, "numpy": "0.0.1"})
    found = compare_environment(other, make_plan(), make_rerun())
    assert found.whole is False
    assert "not the very set that was recorded" in found.reading
    decision = judge(other, make_plan(), make_rerun(make_run()))
    assert not any("recorded digest" in line for line in decision.verified)


def test_without_a_digest_nothing_is_said() -> None:
    assert compare_environment(make_record(), make_plan(), make_rerun()).whole is None
