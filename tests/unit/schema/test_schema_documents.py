"""Our documents: strict, frozen, closed, and whole after a round trip through JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from runner.schema.base import canonical_digest, number_to_json
from runner.schema.configuration import Configuration
from runner.schema.digest import DigestValue
from runner.schema.export import DOCUMENTS, export, main, schema_text
from runner.schema.run_record import MetricPoint, RunRecord
from runner.settings import read_configuration
from tests.support import values

FOLDER = Path(__file__).parents[3] / "docs" / "schemas"


def same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or (
        one == other and math.copysign(1, one) == math.copysign(1, other)
    )


@given(st.floats())
def test_every_float_survives_json_bit_for_bit(value: float) -> None:
    point = MetricPoint(step=0, timestamp_ms=0, value=value)
    text = point.to_json()
    json.loads(text, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    assert same(MetricPoint.model_validate_json(text).value, value)


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (0.5, 0.5)]
)
def test_numbers_that_json_lacks_are_texts(value: float, text: Any) -> None:
    assert number_to_json(value) == text


@pytest.mark.parametrize("value", ["1", "nan", None, True, [1.0]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        MetricPoint(step=0, timestamp_ms=0, value=value)


def test_a_whole_number_becomes_a_float() -> None:
    assert isinstance(MetricPoint.model_validate({"step": 0, "timestamp_ms": 0, "value": 3}).value, float)


def documents() -> dict[str, BaseModel]:
    plan = values.make_plan()
    return {"run-record": values.make_record(), "plan": plan, "lineage": plan.lineage}


@pytest.mark.parametrize("name", ["run-record", "plan", "lineage"])
def test_a_document_is_the_same_after_json_and_valid_by_its_schema(name: str) -> None:
    document = documents()[name]
    text = document.model_dump_json()
    assert type(document).model_validate_json(text) == document
    jsonschema.validate(json.loads(text), json.loads(schema_text(name)))


@pytest.mark.parametrize("name", ["run-record", "plan", "lineage"])
def test_a_document_cannot_be_changed_and_takes_no_other_field(name: str) -> None:
    document = documents()[name]
    with pytest.raises(ValidationError):
        document.schema_version = 2  # type: ignore[attr-defined]
    with pytest.raises(ValidationError):
        type(document).model_validate({**dict(document), "unknown": 1})


def test_texts_are_not_turned_into_numbers() -> None:
    with pytest.raises(ValidationError):
        MetricPoint.model_validate({"step": "1", "timestamp_ms": 0, "value": 0.0})


def test_a_time_without_zone_is_refused() -> None:
    record = json.loads(values.make_record().to_json())
    record["start_time"] = "2025-03-02T10:00:00"
    with pytest.raises(ValidationError, match="time zone"):
        RunRecord.model_validate_json(json.dumps(record))


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_the_committed_schema_is_the_current_one(name: str) -> None:
    """Where this fails: python -m runner.schema.export docs/schemas."""
    committed = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert committed == json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(committed)


def test_no_schema_is_committed_that_is_not_published() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.schema.json" for name in DOCUMENTS}


def test_the_schema_of_the_configuration_takes_what_we_take() -> None:
    schema = json.loads(schema_text("runner-yaml"))
    jsonschema.validate({"python": 3.11, "limits": {"cpus": 4, "timeout": 90}, "with": ["a==1"]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"comand": "x"}, schema)
    assert read_configuration("with: a==1") == Configuration.model_validate({"with": "a==1"})


def test_schemas_are_written_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "new")]) == 0
    assert len(list((tmp_path / "new").iterdir())) == len(DOCUMENTS)
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    export(tmp_path / "new")


def test_a_digest_has_an_algorithm_and_a_shape() -> None:
    text = "0123456789abcdef0123456789abcdef"
    assert DigestValue.parse(text.upper()) == DigestValue("md5", text)
    assert str(DigestValue.parse(f"{text}.dir")) == f"md5:{text}.dir"
    assert str(DigestValue.parse("ab" * 32)) == "sha256:" + "ab" * 32
    for wrong in ("", "md5:", text[:-1], "crc:" + text, "zz" * 16):
        with pytest.raises(ValueError, match="digest"):
            DigestValue.parse(wrong)


def test_a_canonical_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_digest({"a": 1, "b": [2]}) == canonical_digest({"b": [2], "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_digest({"a": math.nan})
