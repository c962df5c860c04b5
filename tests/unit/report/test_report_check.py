"""The table of `runner check` says of each run what it has, and of each missing fact how to supply it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from runner.checking import summarise
from runner.report.check import render_check
from runner.schema.check import Auditability, Check, CheckedFact, CheckedFile, CheckedRun, Held, Unreachable
from runner.schema.digest import Digest
from runner.schema.reproduction import Missing, RunIdentity
from tests.support.repositories import md5

FACTS = tuple(
    CheckedFact(fact=fact, value=value, source=source)
    for fact, value, source in (
        ("repository", "acme/fraud", "--repo"),
        ("commit", "9f3c2e1" + "0" * 33, "tag git_commit"),
        ("command", "python train.py", "inferred: tag mlflow.source.name"),
        ("python", "3.9", "model"),
        ("environment", "uv.lock", "uv.lock at the commit"),
    )
)
NO_COMMIT = Missing(fact="commit", cause="the run records no commit", remedy="runner reproduce bbbb --commit SHA")
NO_DATA = Missing(fact="data", cause="no remote holds data.csv", remedy="runner reproduce cccc --remote URL_OR_PATH")
NO_IMAGE = Missing(fact="python", cause="no image has it", remedy="runner reproduce cccc --python 3.11")


def file(held: Held) -> CheckedFile:
    return CheckedFile(path="data.csv", digest=Digest.parse(str(md5(b"x").dvc)), role="input", held=held)


def row(digit: str, outcome: Auditability = Auditability.AUDITABLE, **fields: object) -> CheckedRun:
    identity = RunIdentity(id=digit * 32, uri="file:mlruns", name=f"run {digit}", experiment="sums")
    start = datetime(2024, 2, int(digit, 16), tzinfo=timezone.utc)
    return CheckedRun(run=identity, start=start, outcome=outcome, **fields)


def lacking(digit: str, *missing: Missing, saved: tuple[str, ...] = (), **fields: object) -> CheckedRun:
    return row(digit, Auditability.LACKING, missing=missing, saved_by_record=saved, **fields)


def lines(check: Check) -> list[str]:
    return render_check(check, width=160).splitlines()


def test_a_row_has_its_facts_where_they_are_there() -> None:
    check = summarise([row("a", facts=FACTS, files=(file(Held.HELD),))])
    shown = next(line for line in lines(check) if "aaaaaaaa" in line)
    for cell in ("run a", "2024-02-10", "9f3c2e1", "1 held", "inferred", "3.9 uv.lock", "yes"):
        assert cell in shown
    assert lines(check)[0].startswith("CHECK  1 run: 1 can be audited")
    assert lines(check)[0].endswith("exit 0")


@pytest.mark.parametrize(
    ("held", "shown"),
    [(Held.ABSENT, "0 of 1 held"), (Held.UNASKED, "1 not asked"), (Held.REFUSED, "0 of 1 held")],
)
def test_data_is_held_only_where_a_remote_says_so(held: Held, shown: str) -> None:
    text = render_check(summarise([row("a", files=(file(held),))]), width=160)
    assert shown in text
    assert "1 held" not in text.replace("of 1 held", "")


def test_every_missing_fact_is_counted_once_a_run_with_a_remedy_to_paste_that_is_never_cut() -> None:
    check = summarise([lacking("b", NO_COMMIT), lacking("c", NO_DATA, NO_COMMIT), lacking("d", NO_IMAGE)])
    assert check.missing_facts == {"commit": 2, "data": 1, "python": 1}
    text = render_check(check, width=60)
    for missing in (NO_COMMIT, NO_DATA, NO_IMAGE):
        assert any(line.endswith(missing.remedy) for line in text.splitlines())


def test_what_record_would_have_saved_is_what_runs_lack_all_of_whose_facts_it_saves() -> None:
    check = summarise([lacking("b", NO_COMMIT), lacking("c", NO_DATA, NO_IMAGE), lacking("d", NO_IMAGE)])
    assert check.saved_by_record == 1
    assert "would have saved what 1 of 3 runs lack" in render_check(check, width=160)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((Auditability.AUDITABLE, Auditability.AUDITABLE), 0),
        ((Auditability.AUDITABLE, Auditability.LACKING), 3),
        ((Auditability.LACKING, Auditability.UNKNOWN), 5),
        ((Auditability.AUDITABLE, Auditability.UNKNOWN), 5),
    ],
)
def test_the_exit_code_is_0_only_where_all_can_be_audited(outcomes: tuple[Auditability, ...], code: int) -> None:
    check = summarise([row(f"{index + 1:x}", outcome) for index, outcome in enumerate(outcomes)])
    assert check.exit_code == code


def test_what_could_not_be_reached_is_told_once_and_apart_from_what_is_missing() -> None:
    error = Unreachable(kind="repository-unavailable", cause="git.example does not answer", remedy="try again")
    check = summarise(
        [row("a", Auditability.UNKNOWN, unreachable=error), row("b", Auditability.UNKNOWN, unreachable=error)]
    )
    text = render_check(check, width=160)
    assert text.count("git.example does not answer") == 1
    assert "2 could not be looked at" in text
    assert check.missing_facts == {}


def test_nothing_from_outside_reaches_the_terminal_as_a_command() -> None:
    hostile = row("a").model_copy(update={"run": RunIdentity(id="a" * 32, uri="x", name="\x1b[2Jname\nnext")})
    text = render_check(summarise([hostile]), width=160)
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(render_check(summarise([row("a")]), width=160).splitlines())
