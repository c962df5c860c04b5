"""The plan as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.errors import MissingFact
from runner.plan.build import build_plan
from runner.plan.images import NOT_MADE
from runner.schema.plan import Plan
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings
from tests.support.facts import TRAIN, lineage, pointed, run, seen, settings, snapshot
from tests.support.values import changed, history, md5

GOLDEN = Path(__file__).parent / "golden" / "plan.json"
DATA, MODEL = "data/train.csv", "models/model.joblib"
TAGS = {"dvc_data_md5": md5("data").hexdigest, "dvc_model_md5": md5("model").hexdigest}
TEXTS = {
    "train.py": TRAIN,
    "requirements.txt": "numpy\n",
    ".python-version": "3.11\n",
    **dict([pointed(DATA, "older"), pointed(MODEL, "older model")]),
}


def repository(**fields: Any) -> RepositorySnapshot:
    texts = {**TEXTS, **fields.pop("texts", {})}
    return snapshot(texts, history=(seen(DATA, "data", ancestor=True), seen(MODEL, "model")), **fields)


def plan(
    record: RunRecord | None = None, source: RepositorySnapshot | None = None, chosen: Settings | None = None
) -> Plan:
    record, source, chosen = record or run(tags=TAGS), source or repository(), chosen or settings()
    return build_plan(record, source, lineage(record, source, chosen), chosen, NOT_MADE, "sha256:" + "0" * 64)


def test_the_plan_of_a_run_of_the_pattern_is_the_golden_one() -> None:
    """After a change that is meant: `python -m tests.unit.plan.test_plan_build`."""
    assert json.loads(plan().to_json()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_every_fact_of_the_plan_has_a_source() -> None:
    found = plan()
    facts = [item.fact for item in found.provenance]
    assert facts == ["command", "working directory", "environment", "python", "timeout", "remote"]
    assert all(item.source for item in (*found.provenance, *found.lineage.provenance))


def test_outputs_are_absent_before_the_training_and_kept_aside_as_reference() -> None:
    found = plan()
    assert (found.expected_outputs, found.reference_files) == ((MODEL,), (MODEL,))


def test_outs_of_the_commands_stage_are_expected_but_never_an_input() -> None:
    text = (
        f"stages:\n  fit:\n    cmd: python train.py --depth 8\n    outs: [report.csv, {DATA}]\n    metrics: [m.json]\n"
    )
    assert plan(source=repository(texts={"dvc.yaml": text})).expected_outputs == ("m.json", MODEL, "report.csv")


def test_a_stage_that_the_command_names_is_forced_and_its_outs_are_expected() -> None:
    """rules 17 and 19: DVC would skip it, and keep its outputs of `persist: true`."""
    text = "stages:\n  fit:\n    cmd: python -m fraud\n    outs: [state.bin]\n  other: {cmd: ls, outs: [other.bin]}\n"
    found = plan(source=repository(texts={"dvc.yaml": text}), chosen=settings(command="dvc repro fit"))
    assert found.command == "dvc repro --single-item --force --no-run-cache fit"
    assert found.expected_outputs == (MODEL, "state.bin")


def test_outs_of_several_stages_of_one_script_are_not_guessed() -> None:
    text = "stages:\n" + "".join(f"  s{n}: {{cmd: python train.py --depth {n}, outs: [o{n}]}}\n" for n in (1, 2))
    assert plan(source=repository(texts={"dvc.yaml": text})).expected_outputs == (MODEL,)


@pytest.mark.parametrize("status", ["RUNNING", "SCHEDULED"])
def test_an_unfinished_run_is_refused_unless_allowed(status: str) -> None:
    record = run(tags=TAGS, status=status)
    with pytest.raises(MissingFact) as caught:
        plan(record)
    assert (caught.value.fact, caught.value.exit_code) == ("finished run", 3)
    assert "--allow unfinished" in caught.value.remedy
    assert plan(record, chosen=settings(allow=("unfinished",))).run.status == status


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_ended_badly_can_still_be_planned(status: str) -> None:
    assert plan(run(tags=TAGS, status=status)).run.status == status


@pytest.mark.parametrize("metrics", [(), (history("loss", []),)])
def test_a_run_without_metrics_has_nothing_to_compare(metrics: Any) -> None:
    with pytest.raises(MissingFact) as caught:
        plan(run(tags=TAGS, metrics=metrics))
    assert caught.value.fact == "metrics"


def test_terms_of_the_commit_count_only_where_the_auditor_allows_it() -> None:
    source = repository(texts={"runner.yaml": "policy: {rtol: 0.5, ignore: [loss], allow: network, only: [auc]}"})
    assert plan(source=source).policy.rtol == 1e-6
    allowed = plan(source=source, chosen=settings(allow=("policy",), atol="0.25")).policy
    assert (allowed.rtol, allowed.atol, allowed.ignore, allowed.only) == (0.5, 0.25, ("loss",), ("auc",))
    assert allowed.allow == ("policy",)
    assert "runner.yaml at the commit" in allowed.source


def test_the_digest_covers_what_and_not_how() -> None:
    first = plan()
    assert first.digest == plan().digest
    elsewhere = plan(chosen=settings(memory="1g"))
    assert elsewhere.digest == first.digest
    assert elsewhere.execution_digest != first.execution_digest
    assert plan(chosen=settings(rtol="0.1")).digest != first.digest
    assert plan(run(tags=TAGS, params={"depth": "9"})).digest != first.digest


def test_notes_of_the_lineage_are_not_verified_and_no_secret_is_in_the_plan() -> None:
    source = repository(texts={"x.dvc": "outs:\n- path: x\n"})
    record = run(tags=TAGS | {"git_repo_url": "https://ann:hunter2@git.example/x"})
    found = plan(record, source)
    assert any(line.startswith("x.dvc has no digest") for line in found.not_verified)
    assert "hunter2" not in found.to_json()


def test_the_command_of_the_run_beside_a_given_one_is_in_the_plan_without_its_secrets() -> None:
    record = run(tags={**TAGS, "runner.command": "python train.py --token hunter2"})
    found = plan(record, chosen=settings(command="python train.py"))
    assert found.recorded_command == "python train.py --token ***"
    assert "hunter2" not in found.to_json()


def test_a_plan_survives_json() -> None:
    found = plan()
    assert Plan.model_validate_json(found.to_json()) == found
    assert changed(found, digest="x") != found


if __name__ == "__main__":
    GOLDEN.write_text(plan().to_json(indent=2) + "\n", encoding="utf-8")
