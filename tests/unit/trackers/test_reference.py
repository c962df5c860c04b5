"""What a user may type for RUN."""

from __future__ import annotations

from contextlib import suppress

import pytest

from runner.errors import UsageError
from runner.trackers.reference import (
    FORMS,
    MODEL_FORMS,
    AliasOf,
    LatestOf,
    LoggedModelId,
    OfflineRun,
    OnlineRun,
    Page,
    Reference,
    RunId,
    RunIdPrefix,
    RunName,
    VersionOf,
    parse_reference,
)

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
def test_each_form_is_read_as_what_it_means(text: str, meant: Reference) -> None:
    assert parse_reference(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "runs:/",
        "runs:/a/model",
        "two words",
        "wandb:team/project",
        "wandb:team/../abc",
        "wandb:",
        "https://host/#/experiments/1",
        "https://host/#/compare-runs?runs=[%22a%22,%22b%22]&experiments=[%220%22]",
        "https://host/#/models/fraud",
        "https://wandb.ai/team/project",
        "https://wandb.ai/team/project/sweeps/abc",
        "https://",
        "http://[::1/#/experiments/1/runs/2",
        "https://host/#/experiments/1/runs/..%2F..",
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


MODEL_ID = "m-0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("models:/fraud/7", VersionOf("fraud", 7)),
        ("models:/fraud@champion", AliasOf("fraud", "champion")),
        ("models:/a@b@c", AliasOf("a@b", "c")),
        ("models:/my model/Production", LatestOf("my model", "Production")),
        ("models:/fraud/latest", LatestOf("fraud")),
        ("models:/fraud/Latest", LatestOf("fraud")),
        ("models:/fraud@latest", LatestOf("fraud")),
        (f"models:/{MODEL_ID}", LoggedModelId(MODEL_ID)),
        ("models:/a%2Fb/7", VersionOf("a%2Fb", 7)),  # MLflow decodes nothing either
        ("models:/../7", VersionOf("..", 7)),
    ],
)
def test_references_to_models_are_read_as_mlflow_reads_them(text: str, meant: Reference) -> None:
    assert parse_reference(text) == meant
    if not isinstance(meant, LatestOf):
        assert str(meant) == text


@pytest.mark.parametrize(
    "text",
    [
        "models:/",
        "models:fraud/7",
        "models:/fraud",
        "models:/fraud/",
        "models:/fraud@",
        "models:/@champion",
        "models:/a/b/7",
        "models:/../../etc/7",
        "models://fraud/7",
        "models:/fraud/0",
        "models:/fraud/\u0667",
        "models:/fraud/99999999999999999999",
    ],
)
def test_a_reference_to_a_model_that_means_none_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_reference(text)
    assert MODEL_FORMS in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "server", "meant"),
    [
        (f"http://host:5000/#/experiments/12/runs/{WHOLE}", "http://host:5000", RunId(WHOLE)),
        (f"http://host:5000/#/experiments/12/runs/{WHOLE}/artifacts/model", "http://host:5000", RunId(WHOLE)),
        (f"https://host/#/experiments/1/runs/{WHOLE}?searchFilter=a%2Fb#x", "https://host", RunId(WHOLE)),
        (f"https://host/mlflow/?o=1#/experiments/1/runs/{WHOLE}/model-metrics", "https://host/mlflow", RunId(WHOLE)),
        (f"https://host/a/b/index.html#/experiments/1/runs/{WHOLE}", "https://host/a/b", RunId(WHOLE)),
        (f"https://host/ml/experiments/1/runs/{WHOLE}", "https://host/ml", RunId(WHOLE)),
        (f"HTTPS://me:secret@host/#/runs/{WHOLE}", "https://me:secret@host", RunId(WHOLE)),
        ("http://host/#/models/fraud/versions/7", "http://host", VersionOf("fraud", 7)),
        ("http://host/#/models/my%20model/versions/7/x?y", "http://host", VersionOf("my model", 7)),
        ("http://host/#/models/..%2F..%2Fetc/versions/7", "http://host", VersionOf("../../etc", 7)),
        (f"http://host/#/experiments/1/models/{MODEL_ID}/overview", "http://host", LoggedModelId(MODEL_ID)),
    ],
)
def test_the_address_of_a_page_names_the_server_and_what_it_shows(text: str, server: str, meant: Reference) -> None:
    assert parse_reference(text) == Page(server, meant)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        "wandb/offline-run-20240101_000000-abc",
        "/home/ann/p/wandb/run-20240101_000000-3n1pwvbd/",
        "offline-run-20240101_000000-abc",
        "wandb/latest-run",
        "latest-run",
        "./copies/run-3n1pwvbd.wandb",
    ],
)
def test_the_path_of_a_run_of_wandb_is_a_run(path: str) -> None:
    assert parse_reference(path) == OfflineRun(path)
    assert str(parse_reference(path)) == path


@pytest.mark.parametrize("text", ["sums/run-1", "runs/offline", "https://host/wandb/latest-run"])
def test_what_only_resembles_a_path_of_wandb_is_none(text: str) -> None:
    with suppress(UsageError):
        assert not isinstance(parse_reference(text), OfflineRun)


@pytest.mark.parametrize(
    ("text", "project", "run_id"),
    [
        ("wandb:acme/fraud/ab12cd34", "wandb:acme/fraud", "ab12cd34"),
        ("wandb:acme/fraud/runs/ab12cd34", "wandb:acme/fraud", "ab12cd34"),
        ("wandb:acme/my project/ab12cd34", "wandb:acme/my project", "ab12cd34"),
        ("https://wandb.ai/acme/fraud/runs/ab12cd34", "wandb:https://wandb.ai/acme/fraud", "ab12cd34"),
        ("https://wandb.ai/acme/fraud/runs/ab12cd34/overview?nw=x#y", "wandb:https://wandb.ai/acme/fraud", "ab12cd34"),
        ("https://forge.coreweave.com/wandb/a/b/runs/c", "wandb:https://forge.coreweave.com/a/b", "c"),
        (
            "http://wandb.acme.test:8080/acme/my%20project/runs/1",
            "wandb:http://wandb.acme.test:8080/acme/my project",
            "1",
        ),
        ("https://me:secret@wandb.acme.test/acme/fraud/runs/1", "wandb:https://wandb.acme.test/acme/fraud", "1"),
    ],
)
def test_a_run_on_a_server_of_wandb_is_named_by_its_project_and_id(text: str, project: str, run_id: str) -> None:
    assert parse_reference(text) == OnlineRun(project, run_id)
    assert parse_reference(str(parse_reference(text))) == OnlineRun(project, run_id)


def test_an_escaped_slash_in_a_page_of_wandb_leads_nowhere_else() -> None:
    for text in ("https://wandb.ai/acme/..%2Fother/runs/1", "https://wandb.ai/acme/%2e%2e/runs/1"):
        with pytest.raises(UsageError):
            parse_reference(text)
