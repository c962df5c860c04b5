"""Rule 9 for what is registered: every combination of the three models, and what may become of them meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from runner.compare.build import compare
from runner.compare.registered import compare_registered, differing
from runner.report.markdown import render_markdown
from runner.report.plan import render_plan
from runner.report.text import render_text
from runner.schema.model_files import RegisteredModel
from runner.schema.reproduction import Decision, Verdict
from runner.schema.rerun import CapturedModel, Rerun
from runner.verdict.decide import decide
from runner.verdict.registered import what_changed, why_not_the_runs
from tests.support.models import (
    captured_files,
    logged_as_model,
    logged_by_run,
    model_files,
    registered,
    registered_again,
    texts,
)
from tests.support.values import (
    RERUN_ID,
    captured,
    changed,
    make_plan,
    make_record,
    make_reproduction,
    make_rerun,
    make_run,
)

GOOD = (Verdict.IDENTICAL, Verdict.REPRODUCED)


def rerun_of(*models: CapturedModel, **fields: Any) -> Rerun:
    return make_rerun(make_run(**fields.pop("run", {})), capture={"models": models, **fields})


def verdict_of(model: RegisteredModel, *models: CapturedModel, **options: Any) -> Decision:
    fields = {name: options.pop(name) for name in ("run", "versions") if name in options}
    rerun = rerun_of(*models, **fields)
    plan, record = make_plan(registered=model), make_record()
    return decide(plan, record, rerun, compare(record, plan, rerun), **options)


A, B, C = (texts(weights) for weights in ("1 2 3", "1 2 4", "9 9 9"))


@pytest.mark.parametrize(
    ("of_registry", "of_run", "of_rerun"), [*itertools.product([A, B, C], [A, B, C, None], [A, B, C, None])]
)
def test_only_a_registered_model_that_is_the_runs_and_the_reruns_passes(
    of_registry: dict[str, str], of_run: dict[str, str] | None, of_rerun: dict[str, str] | None
) -> None:
    """rule 09: whatever else agrees, other bytes than the rerun's, or than the run's own, are never reproduced."""
    model = registered(of_registry, of_run, **({} if of_run else {"same_place": False, "logged_note": "gone"}))
    again = None if of_rerun is None else {**of_rerun, "MLmodel": texts(run=RERUN_ID)["MLmodel"]}
    decision = verdict_of(model, *([] if again is None else [logged_by_run(again)]))
    passes = of_rerun == of_registry and of_run in (None, of_registry)
    assert (decision.verdict in GOOD) == passes
    if passes:
        assert any(line.startswith("registered: fraud v7 is") for line in decision.verified)
        assert ("gone" in " ".join(decision.not_verified)) == (of_run is None)
    else:
        assert decision.verdict is Verdict.UNVERIFIABLE
        assert decision.missing is not None
        assert decision.missing.fact == "registered model"
        assert not any(line.startswith("registered:") for line in decision.verified)
    stopped_before = why_not_the_runs(model) is not None
    assert stopped_before == (of_run not in (None, of_registry))


@pytest.mark.parametrize(
    ("swapped", "named"),
    [
        ({**A, "model.pkl": "other"}, "model.pkl"),
        ({**A, "code/evil.py": "import os"}, "code/evil.py"),
        ({name: text for name, text in A.items() if name != "model.pkl"}, "model.pkl"),
        ({**A, "MLmodel": A["MLmodel"].replace("mlflow.sklearn", "evil")}, "MLmodel (flavors)"),
        ({**A, "MLmodel": A["MLmodel"] + "metadata: {a: 1}\n"}, "MLmodel (metadata)"),
        ({**A, "requirements.txt": "evil"}, "requirements.txt"),
        ({}, "is not registered"),
    ],
)
def test_any_file_that_was_swapped_added_or_taken_away_is_named(swapped: dict[str, str], named: str) -> None:
    decision = verdict_of(registered(swapped), logged_by_run(A))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert named in decision.reason


def test_nothing_is_never_equal_to_nothing() -> None:
    assert differing(model_files({}), model_files({})) != ()


@pytest.mark.parametrize("logged", [logged_by_run, logged_as_model])
def test_the_reruns_model_is_found_wherever_its_mlflow_keeps_it(logged: Any) -> None:
    assert verdict_of(registered(), logged(A)).verdict in GOOD


def test_of_several_models_of_one_name_none_is_chosen_by_its_content() -> None:
    """Else one checkpoint of a run could be swapped for another; that the rerun registers one again tells which."""
    checkpoints = [logged_as_model(files, model_id=f"m-{n}") for n, files in enumerate((B, A, C))]
    decision = verdict_of(registered(), *checkpoints)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert "3 models of other bytes each" in decision.reason
    again, other = registered_again(checkpoints[1]), registered_again(checkpoints[0])
    assert verdict_of(registered(), *checkpoints, versions=(again,)).verdict in GOOD
    assert verdict_of(registered(), *checkpoints, versions=(other,)).verdict is Verdict.UNVERIFIABLE
    assert verdict_of(registered(), checkpoints[1], logged_as_model(A, model_id="m-9")).verdict in GOOD


def test_files_of_two_models_are_never_taken_for_one() -> None:
    """Two checkpoints of one name: together they have the registered files, and neither alone has."""
    first, second = {**A, "more.bin": "x"}, {**B, "MLmodel": A["MLmodel"]}
    decision = verdict_of(
        registered({**A, "more.bin": "x"}), logged_as_model(second), logged_as_model(B, model_id="m-2")
    )
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert verdict_of(registered(first), logged_as_model(first)).verdict in GOOD


def test_a_model_of_another_name_counts_only_where_none_has_the_name() -> None:
    other = logged_by_run(A, "other")
    assert verdict_of(registered(path=None), other).verdict in GOOD
    assert verdict_of(registered(), other).verdict in GOOD
    assert verdict_of(registered(), other, logged_by_run(B)).verdict is Verdict.UNVERIFIABLE
    elsewhere = registered_again(logged_by_run(B, "third"))
    assert verdict_of(registered(), other, versions=(elsewhere,)).verdict is Verdict.UNVERIFIABLE


def test_a_registered_file_that_is_no_model_is_compared_by_its_path() -> None:
    joblib = registered({"model.joblib": "x"}, path="out/model.joblib")
    for path, text, passes in (
        ("out/model.joblib", "x", True),
        ("out/model.joblib", "y", False),
        ("other/model.joblib", "x", False),
    ):
        decision = verdict_of(joblib, run={"artifacts": captured_files({path: text})})
        assert (decision.verdict in GOOD) == passes


def test_only_the_texts_at_the_top_of_a_model_are_taken_apart() -> None:
    """A file of that name deeper in is anybody's: its bytes count."""
    folder = logged_by_run(
        {"MLmodel": A["MLmodel"], "data/MLmodel": texts(run="x")["MLmodel"], "model.pkl": A["model.pkl"]}
    )
    assert verdict_of(registered({**A, "data/MLmodel": A["MLmodel"]}), folder).verdict is Verdict.UNVERIFIABLE


def test_numbers_that_diverge_are_diverged_whatever_the_model() -> None:
    values = {"metrics": (*captured("auc", (0.5,), first=10), *captured("loss", (0.9, 0.5, 0.3, 0.2), first=20))}
    assert verdict_of(registered(), logged_by_run(B), run=values).verdict is Verdict.DIVERGED


def test_what_changed_meanwhile_is_unverifiable_before_any_number() -> None:
    """rule 09: read again at the end."""
    decision = verdict_of(registered(), logged_by_run(A), registered_change="the alias moved")
    assert (decision.verdict, decision.reason) == (Verdict.UNVERIFIABLE, "the alias moved")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (registered(version=8), "meant fraud v7 when it was read, and means fraud v8 now"),
        (registered(run_id="f" * 32), f"is of run {'f' * 32} now"),
        (registered(B), "changed during the rerun: model.pkl"),
        (registered({**A, "more": ""}), "changed during the rerun: more"),
        (registered(texts(run="other")), "changed during the rerun: MLmodel"),
        (registered(place="s3://elsewhere"), "what the registry says"),
        (registered(status="FAILED_REGISTRATION"), "what the registry says"),
        (registered(A, B), "the run of fraud v7 logged changed"),
    ],
)
def test_each_change_of_a_registered_model_is_told(after: RegisteredModel, words: str) -> None:
    assert what_changed(registered(), registered()) is None
    assert words in (what_changed(registered(), after) or "")


def test_a_version_that_is_not_ready_is_not_judged() -> None:
    assert "PENDING_REGISTRATION" in (why_not_the_runs(registered(status="PENDING_REGISTRATION")) or "")
    assert why_not_the_runs(registered(status=None)) is None


def test_name_version_alias_and_bytes_are_bound_in_the_plans_digest() -> None:
    digests = {
        make_plan(registered=model).digest
        for model in (
            None,
            registered(),
            registered(version=8),
            registered(name="other"),
            registered(alias=None),
            registered(alias="challenger"),
            registered(B),
            registered(texts(run="another run's")),
        )
    }
    assert len(digests) == 8
    assert (
        make_plan(registered=registered()).digest == make_plan(registered=registered(registry="file:///moved")).digest
    )


def test_reports_name_the_version_first_and_how_the_three_compare() -> None:
    plan, rerun = make_plan(registered=registered()), rerun_of(logged_by_run(A))
    reproduction = make_reproduction(plan=plan, rerun=rerun)
    reproduction = changed(reproduction, run=changed(reproduction.run, model="fraud v7"))
    screen = render_text(reproduction, width=120, color=False)
    assert screen.startswith('IDENTICAL  fraud v7 = run ab12cd34 "rf-depth-8"')
    assert "models:/fraud@champion (v7)" in screen
    assert "= the run's own = the rerun's model" in screen
    assert "set_registered_model_alias" not in screen  # it is the champion already
    assert "--tracker" in screen.splitlines()[-1]
    assert "models:/fraud@champion" in screen.splitlines()[-1]
    page = render_markdown(reproduction)
    assert "## Registered model" in page
    assert "model.pkl" in page
    assert "fraud v7" in page.splitlines()[0]
    assert "its run from the registry" in render_plan(plan, width=120)
    other = make_reproduction(plan=make_plan(registered=registered(alias=None)), rerun=rerun)
    assert "set_registered_model_alias('fraud', 'champion', '7')" in render_text(other, width=120, color=False)
    swapped = make_reproduction(plan=make_plan(registered=registered(B, alias=None)), rerun=rerun)
    assert "set_registered_model_alias" not in render_text(swapped, width=120, color=False)


def test_what_a_report_shows_of_a_hostile_name_does_nothing() -> None:
    hostile = registered(name="a\x1b[31m|`<b>\n", reference="models:/a\x1b[31m/7", alias=None)
    rerun = rerun_of(logged_by_run(A))
    reproduction = make_reproduction(plan=make_plan(registered=hostile), rerun=rerun)
    for text in (render_text(reproduction, width=100, color=False), render_markdown(reproduction)):
        assert "\x1b" not in text
    assert "<b>" not in render_markdown(reproduction)


def test_which_of_the_three_agree_is_part_of_the_comparison() -> None:
    found = compare_registered(registered(A, A), rerun_of(logged_by_run(B)).capture, RERUN_ID)
    assert (found.equals_run, found.equals_rerun, found.run_equals_rerun) == (True, False, False)
    found = compare_registered(registered(A, B), rerun_of(logged_by_run(B)).capture, RERUN_ID)
    assert (found.equals_run, found.equals_rerun, found.run_equals_rerun) == (False, False, True)
    found = compare_registered(registered(A, None, same_place=False), rerun_of().capture, RERUN_ID)
    assert (found.equals_run, found.equals_rerun, found.run_equals_rerun) == (None, None, None)
    assert (found.rerun, found.holds) == (None, False)
