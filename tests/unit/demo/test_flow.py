"""The demo's cases, what it prints, and when it may exit 0."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from runner.demo.flow import (
    DemoResult,
    demo_cases,
    demo_exit_code,
    describe_end,
    describe_project,
    describe_result,
    reproduce_cases,
)
from runner.demo.project import DemoProject
from runner.schema.reproduction import Reproduction, RunIdentity, Verdict
from runner.settings import Settings

PROJECT = DemoProject(
    folder=Path("/somewhere/demo"),
    runs={"experiment_v1": "aa11", "experiment_v2": "bb22", "pilot": "cc33"},
    log=("6ed37cf  2025-02-03  First", "b7e6551  2025-06-02  Last"),
    recorded=0.4945670116162584,
    altered=0.5446,
)


def reproduction(verdict: Verdict) -> Reproduction:
    return Reproduction(
        tool_version="0",
        created=datetime(2025, 1, 1, tzinfo=timezone.utc),
        verdict=verdict,
        reason=f"because {verdict.value}",
        verified=(),
        not_verified=(),
        run=RunIdentity(id="aa11", uri="file:/store"),
    )


def result(verdict: Verdict, expected: Verdict = Verdict.IDENTICAL) -> DemoResult:
    return DemoResult(name="experiment_v1", expected=expected, verdict=verdict, seconds=1.25)


def test_cases_are_two_honest_records_an_altered_one_and_one_without_data() -> None:
    cases = demo_cases(PROJECT)
    assert [(case.run, case.expected) for case in cases] == [
        ("aa11", Verdict.IDENTICAL),
        ("bb22", Verdict.IDENTICAL),
        ("aa11", Verdict.DIVERGED),
        ("cc33", Verdict.UNVERIFIABLE),
    ]
    assert [case.tracker == PROJECT.altered_tracker for case in cases] == [False, False, True, False]


def test_each_case_is_reproduced_from_its_own_store_and_the_authors_repository() -> None:
    asked: list[tuple[str, Settings]] = []

    def reproduce(run: str, settings: Settings) -> Reproduction:
        asked.append((run, settings))
        return reproduction(Verdict.IDENTICAL)

    results = reproduce_cases(PROJECT, reproduce=reproduce, base_image="python:3.11")
    assert [run for run, _ in asked] == ["aa11", "bb22", "aa11", "cc33"]
    assert {settings.repo for _, settings in asked} == {"/somewhere/demo/project"}
    assert asked[2][1].tracker == "/somewhere/demo/altered/mlruns"
    assert asked[0][1].sources == {"tracker": "--tracker", "repo": "--repo", "base_image": "--base-image"}
    # No term of the audit is set by the demo.
    assert all(settings.policy == Settings().policy for _, settings in asked)
    assert [entry.as_expected for entry in results] == [True, True, False, False]


def test_each_result_is_shown_as_it_comes() -> None:
    shown: list[str] = []

    def reproduce(run: str, settings: Settings) -> Reproduction:
        shown.append(f"start {run}")
        return reproduction(Verdict.IDENTICAL)

    reproduce_cases(PROJECT, reproduce=reproduce, show=shown.append)
    assert [text.split()[0] for text in shown] == ["start", "IDENTICAL"] * 4


@pytest.mark.parametrize("verdict", Verdict)
def test_exit_is_0_only_if_the_verdict_is_the_expected_one(verdict: Verdict) -> None:
    for expected in Verdict:
        results = (result(Verdict.IDENTICAL), result(verdict, expected))
        assert demo_exit_code(results) == (0 if verdict is expected else 1)


def test_nothing_done_is_no_success() -> None:
    assert demo_exit_code(()) == 1


def test_reproduced_does_not_pass_for_identical() -> None:
    assert not result(Verdict.REPRODUCED).as_expected


def test_json_has_the_four_fields() -> None:
    assert result(Verdict.FAILED).to_json() == {
        "name": "experiment_v1",
        "expected": "identical",
        "verdict": "failed",
        "seconds": 1.25,
    }


def test_unexpected_verdict_is_said_aloud() -> None:
    case = demo_cases(PROJECT)[0]
    assert "as expected" in describe_result(result(Verdict.IDENTICAL), case, "all equal")
    assert "NOT AS EXPECTED: it should be identical" in describe_result(result(Verdict.DIVERGED), case, "differs")


def test_page_shows_history_and_folder_and_fits_a_screen() -> None:
    cases = demo_cases(PROJECT)
    text = "\n".join(
        [
            describe_project(PROJECT, "runner-demo"),
            *(describe_result(result(case.expected, case.expected), case, "a reason") for case in cases),
            describe_end(tuple(result(case.expected, case.expected) for case in cases), "runner-demo"),
        ]
    )
    assert all(line in text for line in PROJECT.log)
    assert "made in runner-demo" in text
    assert "4 of 4 as expected" in text
    assert len(text.splitlines()) < 50
    assert max(map(len, text.splitlines())) <= 120


def test_commands_to_type_next_quote_the_folder() -> None:
    text = describe_end((result(Verdict.IDENTICAL),), "my demos/one")
    assert "cd 'my demos/one/project'" in text
    assert "runner reproduce diabetes/experiment_v1 --tracker runs/mlruns" in text


def test_removed_folder_is_not_offered_for_a_visit() -> None:
    text = describe_end((result(Verdict.IDENTICAL),), None)
    assert "cd " not in text
    assert "runner demo --keep" in text
