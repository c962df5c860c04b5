"""The screens of `runner reproduce`: a Reproduction as plain text of a given width. Only the verdict has a colour."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from runner.report.phrases import (
    allowed,
    command,
    curve,
    cut,
    difference,
    listed,
    log_line,
    numbers,
    plain,
    plural,
    registered_row,
    short,
    size,
    source_of,
    subject,
    timing,
)
from runner.schema.comparison import Comparison, FileComparison, MetricComparison, Outcome
from runner.schema.plan import Plan
from runner.schema.reproduction import OtherRun, Reproduction, Verdict
from runner.schema.rerun import Ending, Rerun, RestoredFile
from runner.verdict.causes import workspace_inputs
from runner.verdict.statements import code_is_as_recorded
from runner.verdict.suspects import changed_packages, numerical_changes, suspects

NARROWEST = 60
_LABEL = 13
_SHOWN_METRICS = 6
_SHOWN_FILES = 4
_SHOWN_OPEN = 6
_SHOWN_LOG = 20
_SHOWN_OTHERS = 4
_NAME_LIMIT = 32
_PROMOTED = "champion"  # MLflow's own example of an alias
_STYLES = {
    Verdict.IDENTICAL: "bold green",
    Verdict.REPRODUCED: "green",
    Verdict.DIVERGED: "bold red",
    Verdict.UNVERIFIABLE: "bold yellow",
    Verdict.FAILED: "bold magenta",
}


def render_text(
    reproduction: Reproduction, *, width: int, color: bool, show_all: bool = False, evidence_path: str | None = None
) -> str:
    """Return the screen of a verdict, ending in a newline.

    `width` is the terminal's in characters (what is to be pasted is never folded), `show_all` lifts the limits on
    lists, `evidence_path` is where the evidence was written.
    """
    page = Page(max(width, NARROWEST))
    verdict = reproduction.verdict
    stopped = f"   stopped before {reproduction.stopped_before}" if reproduction.stopped_before else ""
    page.head(
        f"{verdict.value.upper()}  {subject(reproduction)}: {plain(reproduction.reason)}{stopped}",
        f"exit {verdict.exit_code}",
    )
    if verdict is Verdict.UNVERIFIABLE:
        _missing(page, reproduction)
    if reproduction.plan is not None and verdict in (Verdict.IDENTICAL, Verdict.REPRODUCED):
        _facts(page, reproduction.plan, reproduction.rerun, reproduction.comparison, show_all=show_all)
    if reproduction.comparison is not None and verdict is not Verdict.FAILED and not _crashed(reproduction):
        _metrics(page, reproduction.comparison, show_all=show_all)
        _params(page, reproduction.comparison, show_all=show_all)
        _outputs(page, reproduction.comparison, show_all=show_all)
        if reproduction.comparison.registered is not None:
            page.row("registered", registered_row(reproduction.comparison.registered))
    if verdict is Verdict.DIVERGED:
        _suspects(page, reproduction)
    _others(page, reproduction.others, show_all=show_all)
    if verdict is Verdict.FAILED or _crashed(reproduction):
        _log(page, reproduction)
    _open(page, reproduction.not_verified, show_all=show_all)
    line = timing(reproduction)
    if line is not None:
        page.line(line)
    if evidence_path is not None:
        page.paste("evidence", plain(evidence_path))
    _next(page, reproduction)
    text = page.text()
    return _coloured(text, verdict) if color else text


class Page:
    """Lines with labels in the margin, folded to a width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = []

    def head(self, text: str, right: str) -> None:
        """Add the first line, with something at its right end."""
        room = self.width - len(right) - 2
        first, *_ = fold(text, room) or [""]
        self.lines.append(f"{first.ljust(room)}  {right}")
        self.lines += [f"  {line}" for line in fold(text[len(first) :].strip(), room - 2)]

    def row(self, label: str, text: str) -> None:
        """Add a labelled text, folded beneath itself."""
        folded = fold(text, self.width - _LABEL - 2) or [""]
        self.lines.append(f"  {label.ljust(_LABEL)}{folded[0]}".rstrip())
        self.lines += [" " * (_LABEL + 2) + line for line in folded[1:]]

    def columns(self, label: str, left: str, right: str, at: int) -> None:
        """Add a labelled pair of texts, the second at column `at` if both fit into the line."""
        joined = f"{left.ljust(at)}  {right}" if len(left) <= at and right else f"{left}  {right}".rstrip()
        self.row(label, joined)

    def line(self, text: str) -> None:
        """Add a text without a label."""
        self.lines += [f"  {line}" for line in fold(text, self.width - 2)]

    def raw(self, text: str) -> None:
        """Add a line that is cut rather than folded."""
        self.lines.append(cut(f"  {text}", self.width).rstrip())

    def paste(self, label: str, text: str, note: str = "") -> None:
        """Add what people will paste, never folded or cut."""
        self.lines.append(f"  {label.ljust(_LABEL)}{text}" + (f"     {note}" if note else ""))

    def text(self) -> str:
        """Return all lines."""
        return "\n".join(self.lines) + "\n"


def _others(page: Page, others: Sequence[OtherRun], *, show_all: bool) -> None:
    """Say what the same rerun says of the other runs of its execution, those that need a look first."""
    if not others:
        return
    counts = Counter(other.verdict for other in others)
    said = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    page.row("others", f"{plural(len(others), 'other run')} of this execution, by the same rerun: {said}")
    order = list(Verdict)
    shown = sorted((other for other in others if other.verdict.exit_code), key=lambda other: order.index(other.verdict))
    for other in shown if show_all else shown[:_SHOWN_OTHERS]:
        name = f' "{plain(other.run.name, _NAME_LIMIT)}"' if other.run.name else ""
        page.row("", f"{other.verdict.value}: {plain(other.run.id[:8])}{name}: {plain(other.reason)}")
    if len(shown) > _SHOWN_OTHERS and not show_all:
        page.row("", f"… {len(shown) - _SHOWN_OTHERS} more (--all)")


def fold(text: str, width: int) -> list[str]:
    """Return the lines of a text folded between words; a word that is longer than a line is broken."""
    return textwrap.wrap(text, max(width, 20), break_on_hyphens=False)


def _coloured(text: str, verdict: Verdict) -> str:
    from rich.color import ColorSystem
    from rich.style import Style

    word = verdict.value.upper()
    return Style.parse(_STYLES[verdict]).render(word, color_system=ColorSystem.STANDARD) + text.removeprefix(word)


def _facts(page: Page, plan: Plan, rerun: Rerun | None, comparison: Comparison | None, *, show_all: bool) -> None:
    at = min(34, page.width // 3)
    repository = plan.lineage.repository.rstrip("/").removesuffix(".git")
    code = f"{plan.lineage.commit[:7]} {plain(repository.rpartition('/')[2] or repository, 40)}"
    page.columns("code", code, source_of(plan, "commit"), at)
    files = workspace_inputs(plan, rerun) if rerun is not None else ()
    shown = files if show_all else files[:_SHOWN_FILES]
    for index, file in enumerate(shown):
        page.columns("data" if index == 0 else "", _file(file), _held(plan, file), at)
    if len(files) > len(shown):
        page.row("", f"… {len(files) - len(shown)} more, bytes checked (--all)")
    params = comparison.params if comparison is not None else ()
    equal = sum(param.outcome is Outcome.EQUAL for param in params)
    again = f"; {plural(equal, 'param')} logged again, equal" if equal else ""
    page.columns("command", plain(plan.command), plain(plan.command_source) + again, at)
    count = len(rerun.environment.packages) if rerun is not None else 0
    python = rerun.environment.python if rerun is not None else plan.environment.python
    page.columns(
        "environment",
        f"Python {plain(python)}, {plural(count, 'package')}",
        plain(plan.environment.source) + _of_day(rerun) + _as_recorded(plan, rerun, comparison),
        at,
    )
    if plan.system_packages.names:
        page.columns(
            "", f"with {plain(', '.join(plan.system_packages.names))}", plain(plan.system_packages.source or ""), at
        )
    network = "network open" if "network" in plan.policy.allow else "no network"
    lowered = f"--allow {','.join(plan.policy.allow)}" if plan.policy.allow else "nothing lowered"
    page.columns("isolation", f"{network}, no credentials", lowered, at)


def _of_day(rerun: Rerun | None) -> str:
    moment = None if rerun is None else rerun.environment.as_of
    return "" if moment is None else f", as of {moment:%Y-%m-%d}"


def _as_recorded(plan: Plan, rerun: Rerun | None, comparison: Comparison | None) -> str:
    """Return how many versions are there because they were recorded, and how far all are the recorded ones."""
    count = plan.environment.constrained(rerun.environment.packages) if rerun is not None else 0
    constrained = f", {plural(count, 'version')} as recorded" if count else ""
    if comparison is None:
        return constrained
    found = comparison.environment
    other, recorded = found.differing, sum(package.recorded_by is not None for package in found.packages)
    if other:
        came = [package for package in other if package.outcome == "added" and plan.environment.overrides]
        words = [f"{plural(len(other) - len(came), 'package')} other than recorded"] if len(other) > len(came) else []
        words += [f"{plural(len(came), 'package')} more with --with"] if came else []
        return f"{constrained}: {', '.join(words)}, {found.counts['same']} the same"
    if found.complete:
        return f"{constrained}: same as recorded"
    return f"{constrained}: {recorded} of {recorded} recorded packages as recorded" if recorded else constrained


def _file(file: RestoredFile) -> str:
    digest = file.expected or file.digest
    return f"{plain(file.path)}  {short(digest) if digest else ''} {size(file.size_bytes)}".rstrip()


def _held(plan: Plan, file: RestoredFile) -> str:
    words = []
    stale = ""
    for recorded in plan.lineage.files:
        if recorded.path == file.path:
            words.append(plain(recorded.source))
            if recorded.pointer_digest is not None and recorded.pointer_digest != recorded.digest:
                stale = f" (pointer at the commit was stale: {recorded.pointer_digest.short}…)"
    if file.rebuilt_by is not None:
        words.append(f"rebuilt by {plain(file.rebuilt_by)}")
    words.append("bytes checked" if file.digest == file.expected and file.unchanged else "bytes differ")
    return listed(words) + stale


def _metrics(page: Page, comparison: Comparison, *, show_all: bool) -> None:
    compared = [metric for metric in comparison.metrics if metric.outcome not in (Outcome.EXTRA, Outcome.IGNORED)]
    ignored = [metric for metric in comparison.metrics if metric.outcome is Outcome.IGNORED]
    if not compared and not ignored:
        return
    telling = [metric for metric in compared if metric.outcome is not Outcome.EQUAL]
    equal = [metric for metric in compared if metric.outcome is Outcome.EQUAL]
    room = max(1, _SHOWN_METRICS - len(telling))
    shown = telling + (equal if show_all else equal[:room])
    aside = ignored if show_all else ignored[:2]
    wide = bool(telling)
    rows = [_heading(wide=wide), *(_metric_row(metric, wide=wide) for metric in shown)]
    rows += [_ignored_row(metric, wide=wide) for metric in aside]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        page.raw("  ".join([*cells, row[-1]]))
    if len(equal) + len(telling) > len(shown):
        page.line(f"… {len(equal) + len(telling) - len(shown)} more, all equal (--all)")
    if len(ignored) > len(aside):
        page.line(f"… {len(ignored) - len(aside)} more ignored (--all)")


def _heading(*, wide: bool) -> list[str]:
    return ["metric".ljust(_LABEL - 2), "recorded", "rerun", *(["difference", "allowed"] if wide else []), "curve"]


def _metric_row(metric: MetricComparison, *, wide: bool) -> list[str]:
    original, rerun = numbers(metric.original, metric.rerun)
    tolerance = allowed(metric) if metric.history is not None else ""
    middle = [difference(metric), tolerance] if wide else []
    return [plain(metric.name, _NAME_LIMIT), original, rerun, *middle, plain(curve(metric))]


def _ignored_row(metric: MetricComparison, *, wide: bool) -> list[str]:
    original, rerun = numbers(metric.original, metric.rerun)
    middle = ["", ""] if wide else []
    return [plain(metric.name, _NAME_LIMIT), f"({original})", f"({rerun})", *middle, plain(metric.note or "ignored")]


def _params(page: Page, comparison: Comparison, *, show_all: bool) -> None:
    other = [param for param in comparison.params if param.outcome in (Outcome.OUTSIDE, Outcome.MISSING)]
    for param in other if show_all else other[:_SHOWN_FILES]:
        sides = (
            f"{param.name}={value}" if value is not None else "not logged" for value in (param.original, param.rerun)
        )
        original, rerun = sides
        note = "" if param.decisive else f" ({param.note})"
        page.row("param", f"{plain(original, 80)} recorded, {plain(rerun, 80)} rerun{plain(note)}")
    if len(other) > _SHOWN_FILES and not show_all:
        page.row("", f"… {len(other) - _SHOWN_FILES} more params differ (--all)")


def _outputs(page: Page, comparison: Comparison, *, show_all: bool) -> None:
    outputs = comparison.outputs if show_all else comparison.outputs[:_SHOWN_FILES]
    for index, output in enumerate(outputs):
        page.row("output" if index == 0 else "", _output(output))
    if len(comparison.outputs) > len(outputs):
        page.row("", f"… {len(comparison.outputs) - len(outputs)} more (--all)")


def _output(output: FileComparison) -> str:
    words = f"{plain(output.path)}  {short(output.original)}" if output.original is not None else plain(output.path)
    if output.outcome is Outcome.EQUAL and output.written:
        return f"{words}  byte-equal"
    return f"{words}  {plain(output.note or output.outcome.value)}"


def _suspects(page: Page, reproduction: Reproduction) -> None:
    plan, rerun, comparison = reproduction.plan, reproduction.rerun, reproduction.comparison
    if plan is None or rerun is None or comparison is None:
        return
    found = suspects(plan, reproduction.record, rerun, comparison) if reproduction.record is not None else ()
    for index, suspect in enumerate(found):
        page.row("most likely" if index == 0 else "", plain(suspect))
    inputs = workspace_inputs(plan, rerun)
    out = ["data (bytes equal)"] if inputs and all(file.digest == file.expected for file in inputs) else []
    if code_is_as_recorded(plan):
        out.append(f"code (commit {plan.lineage.commit[:7]}, recorded as clean)")
    decisive = [param for param in comparison.params if param.decisive]
    if decisive and all(param.outcome is Outcome.EQUAL for param in decisive):
        out.append(f"params ({len(decisive)} of {len(decisive)} equal)")
    if comparison.environment.recorded and not changed_packages(comparison):
        out.append(f"packages ({len(comparison.environment.recorded)} as recorded)")
    if out:
        page.row("ruled out", listed(out))


def _missing(page: Page, reproduction: Reproduction) -> None:
    missing = reproduction.missing
    if missing is None:
        return
    cause = "" if reproduction.reason.startswith(missing.cause) else f": {plain(missing.cause)}"
    page.row("missing", plain(missing.fact) + cause)
    for label, lines in (("looked in", missing.looked_in), ("nearest", missing.nearest)):
        for index, line in enumerate(lines):
            page.row(label if index == 0 else "", plain(line))
    page.paste("supply", plain(missing.remedy))
    for index, line in enumerate(missing.found_otherwise):
        page.row("otherwise" if index == 0 else "", plain(line))


def _crashed(reproduction: Reproduction) -> bool:
    return reproduction.rerun is not None and reproduction.rerun.ending is Ending.CRASHED


def _log(page: Page, reproduction: Reproduction) -> None:
    rerun = reproduction.rerun
    if reproduction.plan is not None:
        page.row("command", f"{plain(reproduction.plan.command)}  {plain(reproduction.plan.command_source)}")
    if rerun is None:
        return
    if rerun.log_tail:
        page.row("log's end", "(cut: it was longer than the limit)" if rerun.log_cut else "")
        for line in rerun.log_tail[-_SHOWN_LOG:]:
            page.raw(f"  | {log_line(line)}")
    else:
        page.row("log's end", "the training wrote nothing")


def _open(page: Page, lines: Sequence[str], *, show_all: bool) -> None:
    shown = lines if show_all else lines[:_SHOWN_OPEN]
    for index, line in enumerate(shown):
        page.row("not verified" if index == 0 else "", plain(line))
    if len(lines) > len(shown):
        page.row("", f"… {len(lines) - len(shown)} more (--all)")


def _promotion(reproduction: Reproduction) -> str | None:
    """Return MLflow's call that would promote a version which came out again; whether it is, is the user's matter."""
    registered = reproduction.plan.registered if reproduction.plan is not None else None
    if registered is None or registered.name is None or registered.alias == _PROMOTED:
        return None
    if reproduction.verdict not in (Verdict.IDENTICAL, Verdict.REPRODUCED):
        return None
    call = f"set_registered_model_alias({registered.name!r}, {_PROMOTED!r}, '{registered.version}')"
    return plain(f"MlflowClient().{call}")


def _next(page: Page, reproduction: Reproduction) -> None:
    rows: list[tuple[str, str]] = []
    if reproduction.verdict is Verdict.DIVERGED and reproduction.comparison is not None:
        changed = [package for package in numerical_changes(reproduction.comparison) if package.outcome == "changed"]
        if changed:
            suspect = f"{changed[0].name}=={changed[0].original}"
            rows.append((command("reproduce", reproduction, "--with", suspect), "try the suspect"))
    if reproduction.verdict in (Verdict.DIVERGED, Verdict.FAILED):
        rows.append((command("reproduce", reproduction, "--keep"), "keep the workspace, to look into it"))
    promotion = _promotion(reproduction)
    if promotion is not None:
        page.paste("promote", promotion)
    if reproduction.plan is not None:
        rows.append((command("plan", reproduction), "every fact, and where it was found"))
    for index, (text, note) in enumerate(rows):
        page.paste("next" if index == 0 else "", text, note)
