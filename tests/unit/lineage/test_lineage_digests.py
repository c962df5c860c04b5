"""Which digests a run recorded, in the forms that people write."""

from __future__ import annotations

import json

import pytest

from runner.lineage.digests import digests_in, recorded_digests, variant_role
from runner.settings import CommitFacts
from tests.support.facts import run, settings
from tests.support.values import md5

X, Y = md5("x"), md5("y")
HEX, OTHER = X.hexdigest, Y.hexdigest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEX, [(None, HEX)]),
        (HEX.upper(), [(None, HEX)]),
        (f"md5:{HEX}", [(None, HEX)]),
        (f"{HEX}.dir", [(None, f"{HEX}.dir")]),
        (f"{HEX}, {OTHER}", [(None, HEX), (None, OTHER)]),
        (f"{HEX} {OTHER}", [(None, HEX), (None, OTHER)]),
        (f"data/a.csv={HEX};data/b={OTHER}", [("data/a.csv", HEX), ("data/b", OTHER)]),
        (f"data/a.csv.dvc: md5:{HEX}", [("data/a.csv", HEX)]),
        (json.dumps({"data/a.csv": HEX}), [("data/a.csv", HEX)]),
        (json.dumps({"data/a.csv": {"md5": HEX, "size": 3}}), [("data/a.csv", HEX)]),
        (str({"data\\a.csv": HEX}), [("data/a.csv", HEX)]),
        (json.dumps([HEX, OTHER]), [(None, HEX), (None, OTHER)]),
    ],
)
def test_each_form_of_a_digest_is_read(text: str, expected: list[tuple[str | None, str]]) -> None:
    assert [(path, digest.dvc) for path, digest in digests_in(text)] == expected


@pytest.mark.parametrize(
    "text",
    ["unknown", "", f"{HEX},nope", "{", "[1]", "{'a': 1}", f'{{"/etc/x": "{HEX}"}}', f"../x={HEX}", HEX[:-1], '"text"'],
)
def test_what_is_not_wholly_digests_is_none(text: str) -> None:
    assert digests_in(text) == []


@pytest.mark.parametrize(
    "name", ["data_dvc_md5", "dvc_data_hash", "dvc_hash", "data_md5", "dvc_md5", "train_data_hash"]
)
def test_close_variants_of_data_names_are_inputs(name: str) -> None:
    assert variant_role(name) == "input"


@pytest.mark.parametrize("name", ["model_md5", "dvc_model_hash", "output_checksum"])
def test_close_variants_of_model_names_are_outputs(name: str) -> None:
    assert variant_role(name) == "output"


@pytest.mark.parametrize("name", ["git_hash", "config_md5", "md5", "data", "password_hash", "mlflow_data_hash"])
def test_hashes_of_other_things_are_neither(name: str) -> None:
    assert variant_role(name) is None


def test_configured_tags_come_first_and_silence_the_usual_ones() -> None:
    record = run(tags={"dvc_data_md5": HEX, "training_set": OTHER})
    found, notes = recorded_digests(record, settings(yaml="tags: {data: training_set}"))
    assert [(item.digest, item.source, item.tier) for item in found] == [(Y, "tag training_set", 0)]
    assert notes == ()


def test_a_configured_tag_that_the_run_lacks_is_noted() -> None:
    found, notes = recorded_digests(run(tags={"dvc_data_md5": HEX}), settings(yaml="tags: {data: nope}"))
    assert found == ()
    assert "nope" in notes[0]


def test_tags_that_the_commit_names_count_where_the_auditor_names_none() -> None:
    record = run(tags={"theirs": HEX, "mine": OTHER})
    facts = CommitFacts(data_tags=("theirs",))
    assert recorded_digests(record, settings(), facts)[0][0].digest == X
    assert recorded_digests(record, settings(yaml="tags: {data: mine}"), facts)[0][0].digest == Y


def test_the_usual_names_count_in_tags_before_params_and_before_variants() -> None:
    record = run(tags={"dvc_data_md5": HEX, "data_md5": OTHER}, params={"dvc_data_md5": OTHER})
    found, _ = recorded_digests(record, settings())
    assert [(item.source, item.tier) for item in found] == [
        ("tag dvc_data_md5", 1),
        ("param dvc_data_md5", 1),
        ("tag data_md5", 2),
    ]


def test_data_are_inputs_and_models_outputs() -> None:
    found, _ = recorded_digests(run(tags={"dvc_data_md5": HEX, "dvc_model_md5": OTHER}), settings())
    assert {item.source: item.role for item in found} == {"tag dvc_data_md5": "input", "tag dvc_model_md5": "output"}


def test_a_usual_name_that_holds_no_digest_is_noted_and_another_name_passed_over() -> None:
    found, notes = recorded_digests(run(tags={"dvc_data_md5": "unknown", "data_hash": "unknown"}), settings())
    assert found == ()
    assert len(notes) == 1


def test_only_names_that_speak_of_dvc_are_certain() -> None:
    found, _ = recorded_digests(run(tags={"dvc_data_md5": "", "data_hash": HEX, "data_dvc_md5": HEX}), settings())
    assert {item.source: item.certain for item in found} == {"tag data_hash": False, "tag data_dvc_md5": True}
