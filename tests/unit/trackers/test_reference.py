"""What a user may type for RUN."""

from __future__ import annotations

import pytest

from runner.errors import UsageError
from runner.trackers.reference import FORMS, RunId, RunIdPrefix, RunName, RunReference, parse_reference

WHOLE = "4cb5b8cbed1f46419e234722370d54d6"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (WHOLE, RunId(WHOLE)),
        (f"  {WHOLE}\n", RunId(WHOLE)),
        (f"runs:/{WHOLE}", RunId(WHOLE)),
        (WHOLE[:31], RunIdPrefix(WHOLE[:31])),
        ("4cb5", RunIdPrefix("4cb5")),
        ("4CB5", RunIdPrefix("4CB5")),
        ("runs:/4cb5", RunIdPrefix("4cb5")),
        ("4cb", RunId("4cb")),
        ("my-own_id", RunId("my-own_id")),
        ("alpha/base", RunName("alpha", "base")),
        ("équipe/τεστ/alpha/base run", RunName("équipe/τεστ/alpha", "base run")),
        ("/Users/me@x.org/exp/base", RunName("/Users/me@x.org/exp", "base")),
        ("exp: one/base", RunName("exp: one", "base")),
    ],
)
def test_each_form_is_read_as_what_it_means(text: str, meant: RunReference) -> None:
    assert parse_reference(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "runs:/",
        "runs:/a/model",
        "two words",
        "models:/fraud/7",
        "models:/fraud@champion",
        "wandb:team/project/abc",
        "wandb/offline-run-20240101_000000-abc",
        "https://host/#/experiments/1/runs/2",
        "s3://bucket/run",
        "./mlruns/1/2",
        "../x/y",
        "~/runs/x",
        "C:\\runs\\x",
        "exp/",
        "/base",
        "λ",
    ],
)
def test_anything_else_is_refused_with_the_forms_that_are_taken(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_reference(text)
    assert FORMS in refused.value.remedy
    assert refused.value.exit_code == 2


def test_a_secret_in_a_refused_text_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        parse_reference("https://me:hunter2@host/run")
    assert "hunter2" not in str(refused.value)
