"""`runner reproduce` exits by the verdict, and prints a screen or one document whatever it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner import reproduce as flow
from runner.schema.reproduction import Reproduction, Verdict
from tests.support.values import changed, make_reproduction
from tests.unit.cli.conftest import Types


@pytest.fixture
def reproduced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Has the flow end with a reproduction."""

    def reproduced(reproduction: Reproduction) -> None:
        done = flow.Reproduced(reproduction=reproduction, evidence=tmp_path / "reproductions" / "x")
        monkeypatch.setattr(flow, "reproduce", lambda *_, **__: done)

    return reproduced


def of(verdict: Verdict) -> Reproduction:
    return changed(make_reproduction(), verdict=verdict)


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.IDENTICAL, 0),
        (Verdict.REPRODUCED, 0),
        (Verdict.DIVERGED, 1),
        (Verdict.UNVERIFIABLE, 3),
        (Verdict.FAILED, 4),
    ],
)
def test_each_verdict_has_its_exit_code_with_its_screen_and_its_document(
    types: Types, reproduced: Any, verdict: Verdict, code: int
) -> None:
    reproduced(of(verdict))
    screen = types("reproduce", "x", "--tracker", "t")
    assert (screen.code, screen.out.split()[0], screen.err) == (code, verdict.value.upper(), "")
    said = types("reproduce", "x", "--tracker", "t", "--json")
    assert (said.code, said.err) == (code, "")
    assert json.loads(said.out)["verdict"] == verdict.value
    assert Reproduction.model_validate_json(said.out) == of(verdict)


@pytest.mark.parametrize(
    ("verdict", "flags", "code"),
    [
        (Verdict.IDENTICAL, ["--require", "identical"], 0),
        (Verdict.IDENTICAL, ["--require", "reproduced"], 0),
        (Verdict.REPRODUCED, ["--require", "reproduced"], 0),
        (Verdict.REPRODUCED, ["--require", "identical"], 1),
        (Verdict.IDENTICAL, ["--require-complete"], 1),
        (Verdict.UNVERIFIABLE, ["--require", "identical"], 3),
        (Verdict.FAILED, ["--require-complete"], 4),
    ],
)
def test_what_is_required_raises_the_bar_and_hides_no_other_code(
    types: Types, reproduced: Any, verdict: Verdict, flags: list[str], code: int
) -> None:
    reproduced(of(verdict))
    said = types("reproduce", "x", "--tracker", "t", "--json", *flags)
    assert said.code == code
    assert ("--require" in said.err) is (code == 1)
    json.loads(said.out)


def test_with_nothing_left_unverified_completeness_is_met(types: Types, reproduced: Any) -> None:
    reproduced(changed(make_reproduction(), not_verified=()))
    assert types("reproduce", "x", "--tracker", "t", "--require-complete").code == 0


def test_what_is_printed_in_a_pipe_has_no_colours(types: Types, reproduced: Any) -> None:
    reproduced(of(Verdict.DIVERGED))
    assert "\x1b" not in types("reproduce", "x", "--tracker", "t").out
