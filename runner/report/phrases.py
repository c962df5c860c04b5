"""The words and figures that all reports share. All text from outside passes `plain` before it is shown."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

from runner.redact import redact
from runner.schema.comparison import HistoryComparison, MetricComparison, Outcome
from runner.schema.digest import DigestValue
from runner.schema.lineage import Provenance
from runner.schema.model_files import RegisteredComparison
from runner.schema.plan import Plan
from runner.schema.reproduction import Reproduction
from runner.verdict.causes import redact_value
from runner.verdict.registered import agreement
from runner.verdict.remedy import again

_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 8
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def plain(text: str, limit: int | None = None) -> str:
    """Return text that is safe on a terminal: one line, secrets hidden, characters that act shown as escapes.

    Longer than `limit` it is cut, with an ellipsis in the last place.
    """
    shown = "".join(_escaped(character) for character in redact(text))
    return shown if limit is None else cut(shown, limit)


def cut(text: str, limit: int) -> str:
    """Return text of at most `limit` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def log_line(text: str) -> str:
    """Return a line of a log as it would look, without its colours and cursor movements."""
    overwritten = _ANSI.sub("", text).rstrip("\r\n").rpartition("\r")[2]
    return plain(overwritten.expandtabs(4))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _OBEYED:
        return character
    code = ord(character)
    if character in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def secret_safe(name: str, value: str | None) -> str:
    """Return a param's value for display, hidden where its name tells that it is a secret."""
    return "-" if value is None else plain(redact_value(name, value))


def number(value: float | None) -> str:
    """Return a number to 8 digits."""
    return "-" if value is None else f"{value:.8g}"


def numbers(original: float | None, rerun: float | None) -> tuple[str, str]:
    """Return both sides to 8 digits, or in full where 8 digits would hide their difference."""
    if original is not None and rerun is not None and number(original) == number(rerun) and original != rerun:
        return repr(original), repr(rerun)
    return number(original), number(rerun)


def difference(metric: MetricComparison) -> str:
    """Return how far the rerun's last value is from the original's, with its direction."""
    if metric.original is None or metric.rerun is None or metric.absolute_difference is None:
        return "-"
    if metric.absolute_difference == 0:
        return "0"
    sign = "+" if metric.rerun > metric.original else "-"
    if metric.relative_difference is None or not math.isfinite(metric.relative_difference):
        return f"{sign}{metric.absolute_difference:.2g}"
    if metric.relative_difference < 1e-5:
        return f"{sign}{metric.relative_difference:.1e} rel"
    return f"{sign}{metric.relative_difference * 100:.2g} %"


def allowed(metric: MetricComparison) -> str:
    """Return the tolerance of a metric."""
    parts = [f"{metric.rtol:g} rel"] if metric.rtol or not metric.atol else []
    return " + ".join([*parts, *([f"{metric.atol:g} abs"] if metric.atol else [])])


def curve(metric: MetricComparison) -> str:
    """Return how the curve compares: how much of it is equal, or where it drifts, drawn."""
    history = metric.history
    if history is None:
        return metric.note or metric.outcome.value
    words = _curve(history) if history.points_original > 1 or not history.same_steps else metric.outcome.value
    line = sparkline(history.drift) if metric.outcome is Outcome.OUTSIDE and len(history.drift) > 1 else ""
    words = f"{words}  {line}" if line else words
    return f"{words}; {metric.note}" if metric.note else words


def _curve(history: HistoryComparison) -> str:
    total = history.points_original
    if not history.same_steps:
        return f"other steps: {total} points recorded, {history.points_rerun} logged"
    if history.first_difference is not None:
        good = history.points_equal + history.points_within
        if good > history.first_difference:  # later points agree again: several may be of one step
            return f"{total - good}/{total} points outside, first at step {history.first_difference_step}"
        return (
            f"outside from step {history.first_difference_step} on"
            if history.first_difference
            else "outside from the start"
        )
    if history.points_within:
        return f"{history.points_equal}/{total} steps bit-equal, the rest within"
    return f"{history.points_equal}/{total} steps bit-equal"


def sparkline(values: Sequence[float]) -> str:
    """Draw at most 8 values, scaled to the largest finite one."""
    parts = min(_SPARKS, len(values))
    edges = [round(part * len(values) / parts) for part in range(parts + 1)] if parts else []
    largest = [max(values[low:high]) for low, high in pairwise(edges)]
    top = max((value for value in largest if math.isfinite(value)), default=0.0)
    return "".join(_block(value, top) for value in largest)


def _block(value: float, top: float) -> str:
    if not math.isfinite(value):
        return _BLOCKS[-1]
    return _BLOCKS[0] if top == 0 else _BLOCKS[min(len(_BLOCKS) - 1, math.ceil(value / top * (len(_BLOCKS) - 1)))]


def size(count: int | None) -> str:
    """Return a number of bytes in the unit that suits it."""
    if count is None:
        return ""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"


def short(digest: DigestValue) -> str:
    """Return a digest in short."""
    return f"{digest.algorithm} {digest.short}…"


def plural(count: int, noun: str) -> str:
    """Return `1 package`, `2 packages`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def seconds(value: float) -> str:
    """Return a duration to a tenth of a second."""
    return f"{value:.1f}"


def listed(words: Iterable[str]) -> str:
    """Return words with commas between them."""
    return ", ".join(words)


def subject(reproduction: Reproduction) -> str:
    """Return the original run in a phrase: `run ab12cd34 "name" (2025-03-02)`, after the model that it made."""
    run = reproduction.run
    words = [f"{plain(run.model, 80)} ="] if run.model is not None else []
    words.append(f"run {plain(run.id[:8])}")
    if run.name:
        words.append(f'"{plain(run.name, 60)}"')
    record = reproduction.record
    if record is not None and record.start_time is not None:
        words.append(f"({record.start_time:%Y-%m-%d})")
    return " ".join(words)


def registered_row(comparison: RegisteredComparison) -> str:
    """Return how a registered model compares: `models:/fraud/7 sha256 e41b… = the run's = the rerun's model`."""
    digest = f"sha256 {comparison.registered.removeprefix('sha256:')[:8]}…"
    version = comparison.title.rpartition(" ")[2]
    number = f" ({plain(version)})" if not comparison.reference.endswith(f"/{version.removeprefix('v')}") else ""
    words = f"{plain(comparison.reference)}{number}  {digest}"
    if comparison.holds:
        whose = "= the run's own = the rerun's model" if comparison.equals_run else "= the rerun's model"
        return f"{words}  {whose}"
    return f"{words}  {plain(agreement(comparison))}"


def command(name: str, reproduction: Reproduction, *options: str) -> str:
    """Return a command of ours on the run of this reproduction, with what it needs to find it."""
    if reproduction.plan is not None:
        return plain(again(reproduction.plan, *options, name=name))
    found = (("--tracker", reproduction.run.uri),)
    return plain(reproduction.invocation.again(reproduction.run.id, *options, name=name, found=found))


def provenance(plan: Plan) -> tuple[Provenance, ...]:
    """Return where each fact was found, without repeats."""
    return tuple({fact.fact: fact for fact in (*plan.lineage.provenance, *plan.provenance)}.values())


def source_of(plan: Plan, fact: str) -> str:
    """Return where a fact was found, empty if nobody says."""
    return next((plain(found.source) for found in provenance(plan) if found.fact == fact), "")


def timing(reproduction: Reproduction) -> str | None:
    """Return the phases' times in a line, None where none was measured."""
    rerun = reproduction.rerun
    times = dict(reproduction.timings) or (dict(rerun.timings) if rerun is not None else {})
    if not times:
        return None
    total = times.pop("total", None)
    total = sum(times.values()) if total is None else total
    shown = {name: times[name] for name in ("fetch", "restore", "provision", "train") if name in times}
    cached = {"provision": " cached"} if rerun is not None and rerun.environment.cached else {}
    parts = [f"{name} {seconds(value)}{cached.get(name, '')}" for name, value in shown.items()]
    parts.append(f"rest {seconds(max(0.0, total - sum(shown.values())))}")
    return f"{seconds(total)} s: {' | '.join(parts)}"
