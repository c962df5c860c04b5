"""Datasets are told by name, context and MLflow's digest; another one is never passed over."""

from __future__ import annotations

import pytest

from runner.compare.datasets import compare_datasets
from runner.schema.comparison import Outcome
from runner.schema.reproduction import Verdict
from runner.schema.rerun import CapturedDataset
from runner.schema.run_record import DatasetInput
from tests.support.values import AUC, LOSS, captured, judge, make_record, make_rerun, make_run

RECORDED = (DatasetInput(name="train", digest="aa11", context="training"),)


def given(*datasets: tuple[str, str, str | None]) -> tuple[CapturedDataset, ...]:
    return tuple(CapturedDataset(name=name, digest=digest, context=context) for name, digest, context in datasets)


@pytest.mark.parametrize(
    ("logged", "outcome"),
    [
        ([("train", "aa11", "training")], Outcome.EQUAL),
        ([("train", "aa11", "training"), ("test", "bb22", "testing")], Outcome.EQUAL),
        ([("train", "bb22", "training")], Outcome.OUTSIDE),
        ([("train", "aa11", "training"), ("train", "bb22", "training")], Outcome.OUTSIDE),
        ([("train", "aa11", "testing")], Outcome.MISSING),
        ([], Outcome.MISSING),
    ],
)
def test_a_dataset_is_the_recorded_one_only_by_name_context_and_all_its_digests(logged, outcome) -> None:
    run = make_run(datasets=given(*logged))
    (dataset,) = compare_datasets(make_record(dataset_inputs=RECORDED), run)
    assert dataset.outcome is outcome


def test_an_equal_digest_is_verified() -> None:
    run = make_run(datasets=given(("train", "aa11", "training")))
    decision = judge(make_record(dataset_inputs=RECORDED), rerun=make_rerun(run))
    assert decision.verdict is Verdict.IDENTICAL
    assert "data: dataset train (training), MLflow's digest aa11 logged again" in decision.verified


def test_another_dataset_with_equal_numbers_is_never_identical_and_stands_under_not_verified() -> None:
    run = make_run(datasets=given(("train", "bb22", "training")))
    decision = judge(make_record(dataset_inputs=RECORDED), rerun=make_rerun(run))
    assert decision.verdict is Verdict.REPRODUCED
    assert "dataset train (training): MLflow's digest aa11 recorded, bb22 logged" in decision.not_verified


def test_another_dataset_with_other_numbers_says_nothing_of_the_author() -> None:
    metrics = (*captured("auc", [value / 2 for value in AUC], first=10), *captured("loss", LOSS, first=20))
    run = make_run(datasets=given(("train", "bb22", "training")), metrics=metrics)
    decision = judge(make_record(dataset_inputs=RECORDED), rerun=make_rerun(run))
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.missing is not None
    assert decision.missing.fact == "data"
    assert "aa11 recorded, bb22 logged" in decision.missing.cause


def test_the_same_dataset_with_other_numbers_is_diverged() -> None:
    metrics = (*captured("auc", [value / 2 for value in AUC], first=10), *captured("loss", LOSS, first=20))
    run = make_run(datasets=given(("train", "aa11", "training")), metrics=metrics)
    decision = judge(make_record(dataset_inputs=RECORDED), rerun=make_rerun(run))
    assert decision.verdict is Verdict.DIVERGED


def test_a_dataset_that_is_not_logged_again_is_not_verified() -> None:
    decision = judge(make_record(dataset_inputs=RECORDED), rerun=make_rerun(make_run()))
    assert "data: dataset train (training) was recorded and not logged again" in decision.not_verified
