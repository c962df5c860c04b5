"""The shape that all our values share: immutable, strict, closed, and safe to write as JSON.

JSON has no NaN and no infinity; `Number` writes them as the strings "NaN", "Infinity" and "-Infinity" and reads these
back, so that every document is JSON that other tools can read and nothing turns into null.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

_FROM_TEXT = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _number_from_json(value: Any) -> Any:
    if isinstance(value, str):
        if value not in _FROM_TEXT:
            raise ValueError("a number, or one of the strings NaN, Infinity, -Infinity")
        return _FROM_TEXT[value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def number_to_json(value: float) -> float | str:
    """Return a finite float as it is and the three others as their strings."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


Number = Annotated[
    float,
    BeforeValidator(_number_from_json, json_schema_input_type=float | str),
    PlainSerializer(number_to_json, return_type=float | str, when_used="json"),
]
"""A float that survives JSON, bit for bit, also when it is not finite."""


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return value.astimezone(timezone.utc)


UtcTime = Annotated[datetime, AfterValidator(_in_utc)]
"""A point in time, always in UTC."""


class Value(BaseModel):
    """Base of all values that flow through a rerun: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the document as JSON text."""
        return self.model_dump_json(indent=indent)


def canonical_digest(value: Any) -> str:
    """Return `sha256:HEX` over the canonical JSON (sorted keys, no spaces) of a JSON-ready value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
