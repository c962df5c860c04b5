"""The screen of `runner check`: one row a run, then what is missing, by fact."""

from __future__ import annotations

from collections.abc import Sequence

from runner.report.phrases import cut, plain, plural
from runner.report.text import NARROWEST, Page
from runner.schema.check import Auditability, Check, CheckedFile, CheckedRun, Held

_ID = 8
_NAME = 24
_ENVIRONMENT = 30
_HEADINGS = ("run", "name", "start", "code", "data", "command", "environment", "can be audited")
_WORDS = {Auditability.AUDITABLE: "yes", Auditability.LACKING: "no", Auditability.UNKNOWN: "not known"}


def render_check(check: Check, *, width: int) -> str:
    """Return the table, folded for a terminal of `width` characters: rows are cut, what is to be pasted is not."""
    page = Page(max(width, NARROWEST))
    counts = {outcome: sum(run.outcome is outcome for run in check.runs) for outcome in Auditability}
    head = f"CHECK  {plural(len(check.runs), 'run')}: {counts[Auditability.AUDITABLE]} can be audited"
    if counts[Auditability.LACKING]:
        head += f", {counts[Auditability.LACKING]} cannot"
    if counts[Auditability.UNKNOWN]:
        head += f", {counts[Auditability.UNKNOWN]} could not be looked at"
    page.head(head, f"exit {check.exit_code}")
    _table(page, [_HEADINGS, *(_cells(run) for run in check.runs)])
    _missing(page, check)
    return page.text()


def _table(page: Page, rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        page.raw("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)))


def _cells(run: CheckedRun) -> tuple[str, ...]:
    facts = {fact.fact: fact for fact in run.facts}
    lacking = {missing.fact for missing in run.missing}
    commit = facts["commit"].value[:7] if "commit" in facts else _absent("commit", lacking)
    command = "-"
    if "command" in facts:
        command = "inferred" if facts["command"].source.startswith("inferred") else "recorded"
    environment = "-"
    if "environment" in facts:
        python = f"{facts['python'].value} " if "python" in facts else ""
        environment = cut(plain(python + facts["environment"].value), _ENVIRONMENT)
    why = ", ".join(dict.fromkeys(missing.fact for missing in run.missing))
    return (
        plain(run.run.id[:_ID]),
        cut(plain(run.run.name or "-"), _NAME),
        f"{run.start:%Y-%m-%d}" if run.start is not None else "-",
        commit,
        _data(run.files),
        command if "command" not in lacking else "missing",
        environment if "environment" not in lacking else "missing",
        _WORDS[run.outcome] + (f": {why}" if why else ""),
    )


def _absent(fact: str, lacking: set[str]) -> str:
    return "missing" if fact in lacking else "-"


def _data(files: Sequence[CheckedFile]) -> str:
    """Return how many of the digests are in a remote."""
    if not files:
        return "no digest"
    held = sum(file.held is Held.HELD for file in files)
    if held == len(files):
        return f"{held} held"
    unasked = sum(file.held is Held.UNASKED for file in files)
    return f"{unasked} not asked" if unasked else f"{held} of {len(files)} held"


def _missing(page: Page, check: Check) -> None:
    for fact, count in check.missing_facts.items():
        run, missing = next((run, each) for run in check.runs for each in run.missing if each.fact == fact)
        page.row(
            "missing", f"{plain(fact)}: {plural(count, 'run')}, such as {run.run.id[:_ID]}: {plain(missing.cause)}"
        )
        page.paste("supply", plain(missing.remedy))
    unreachable = {run.unreachable.cause: run.unreachable for run in check.runs if run.unreachable is not None}
    for error in unreachable.values():
        page.row("not reached", plain(error.cause))
        page.paste("then", plain(error.remedy))
    lacking = sum(bool(run.missing) for run in check.runs)
    if lacking:
        page.row(
            "record",
            f"`runner record` would have saved what {check.saved_by_record} of {plural(lacking, 'run')} lack",
        )
    weak = sorted({line.partition(":")[0] for run in check.runs for line in run.weak})
    if weak:
        page.row("not exact", f"{', '.join(weak)} of some runs: `runner plan RUN` or --json says which")
