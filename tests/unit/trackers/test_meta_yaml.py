"""A stranger's `meta.yaml`: read where it is MLflow's, and no harm where it is not."""

from __future__ import annotations

import pytest

from runner.trackers.meta_yaml import parse_meta


def test_a_mapping_is_read_also_a_long_one() -> None:
    assert parse_meta(b"name: a\ntags: []\n") == {"name": "a", "tags": []}
    assert parse_meta(b"name: a\nnote: " + b"x" * 100_000) == {"name": "a", "note": "x" * 100_000}


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 500_000,
        b"- " * 500_000,
        b"{a: " * 200_000,
        b"\n".join(b" " * depth + b"a:" for depth in range(2_000)),
        b"a: &a [x, x]\nb: &b [*a, *a]\n",
        b"!!python/object/apply:os.system ['true']",
        b"a: [1",
        b"\x00",
        b"\xff\xfe",
        b"text",
        b"",
    ],
    ids=["lists", "dashes", "mappings", "indented", "aliases", "object", "torn", "nul", "bytes", "scalar", "empty"],
)
def test_anything_else_is_none_and_never_a_crash(data: bytes) -> None:
    assert parse_meta(data) is None
