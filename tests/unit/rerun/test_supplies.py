"""What a restore is sent from this host: the plan's files by the plan's paths, and nothing else that it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import InternalError, MissingFact
from runner.rerun.supplies import Supplies, fetch_inputs, room_for_supplies


def test_only_what_the_plan_supplies_is_sent(tmp_path: Path) -> None:
    (tmp_path / "held").write_bytes(b"1.5\n")
    supplies = Supplies({"data/a.csv": tmp_path / "held"}, {"lib": tmp_path / "held"})
    answers = supplies.answers()
    assert b"".join(answers["supplied"](["data/a.csv"])).endswith(b'1.5\n{"end": true}\n')
    assert b"1.5\n" in b"".join(answers["submodule"]("lib"))
    for name, asked in (
        ("supplied", ["/etc/passwd"]),
        ("supplied", "data/a.csv"),
        ("supplied", ["data/a.csv", "../x"]),
        ("supplied", [["data/a.csv"]]),
        ("submodule", "/etc/passwd"),
        ("submodule", None),
    ):
        with pytest.raises(InternalError):
            b"".join(answers[name](asked))


@pytest.mark.parametrize(
    "source", ["gone.csv", "http://host.example/x.csv", "ftp://host.example/x", "folder", "file:///x"]
)
def test_an_input_that_is_not_there_is_a_missing_fact(tmp_path: Path, source: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingFact) as caught:
        fetch_inputs({"data/a.csv": source}, tmp_path, tmp_path / "room")
    assert caught.value.fact == "data"
    assert "runner.yaml" in caught.value.remedy


def test_the_room_is_gone_afterwards_however_it_ended(tmp_path: Path) -> None:
    def broken_off() -> None:
        with room_for_supplies(tmp_path / "cache") as room:
            (room / "x").write_bytes(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    assert list((tmp_path / "cache").iterdir()) == []
