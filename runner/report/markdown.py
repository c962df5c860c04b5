"""report.md: the whole evidence of one rerun for people, top to bottom, without anything that markdown would obey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from runner.report.phrases import (
    allowed,
    command,
    curve,
    difference,
    log_line,
    numbers,
    plain,
    plural,
    provenance,
    seconds,
    secret_safe,
    size,
    subject,
)
from runner.schema.comparison import Comparison, EnvironmentComparison, Outcome, PackageComparison
from runner.schema.lineage import Considered
from runner.schema.model_files import RegisteredModel
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing, OtherRun, Reproduction
from runner.schema.rerun import CaptureReport, Hardware, LoadedLibrary, Rerun
from runner.verdict.registered import agreement

_ACTIVE = re.compile(r"[\\`*\[\]|~$<>&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)")
_LEADING = re.compile(r"^(\d*)(?=(?:[-+#=]+|[.)])(?:\s|$))")
_TEXT_LIMIT = 300
_TELLING_FLAGS = ("avx", "fma", "sse4", "amx", "asimd", "sve", "bf16")
"""Of a processor's flags those by which libraries of linear algebra choose their code."""


def render_markdown(reproduction: Reproduction) -> str:
    """Return report.md: verdict, what it rests on, every comparison, every fact's provenance, how to do it again."""
    parts = [_head(reproduction)]
    if reproduction.missing is not None:
        parts.append(_missing(reproduction.missing))
    parts.append(_basis(reproduction))
    comparison, plan, rerun = reproduction.comparison, reproduction.plan, reproduction.rerun
    if comparison is not None:
        parts += [_metrics(comparison), _params(comparison), _outputs(comparison)]
    if plan is not None and plan.registered is not None:
        parts.append(_registered(plan.registered, comparison))
    parts.append(_others(reproduction.others))
    if rerun is not None:
        parts.append(_inputs(rerun))
    if plan is not None:
        parts.append(_code(plan))
        parts.append(_provenance(plan))
    if rerun is not None:
        parts.append(_environment(plan, rerun, comparison))
        parts.append(_log(rerun))
    parts.append(_again(reproduction))
    parts.append(_timings(reproduction))
    return "\n\n".join(part for part in parts if part) + "\n"


def inline(text: str | None) -> str:
    """Return text from outside as it looks, with every character escaped that markdown or HTML would act on."""
    if text is None:
        return "-"
    shown = plain(text, _TEXT_LIMIT)
    # What would start a list or a heading does so at the start of a line only.
    lead = _LEADING.match(shown)
    if lead is not None:
        return f"{lead[0]}\\{_ACTIVE.sub(_neutral, shown[lead.end() :])}"
    return _ACTIVE.sub(_neutral, shown)


def _neutral(match: re.Match[str]) -> str:
    # The colon only matters in addresses, which viewers turn into links.
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;", ":": "&#58;"}
    return entities.get(match[0], "\\" + match[0])


def fenced(lines: Sequence[str], language: str = "") -> str:
    """Return lines as a code block whose fence is longer than any run of backticks in them."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heading)} |", f"|{' --- |' * len(heading)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {inline(line)}" for line in lines)


def _head(reproduction: Reproduction) -> str:
    verdict = reproduction.verdict
    stopped = f" Stopped before {reproduction.stopped_before}." if reproduction.stopped_before else ""
    facts = [
        ("Model", reproduction.run.model),
        ("Run", reproduction.run.id),
        ("Name", reproduction.run.name),
        ("Experiment", reproduction.run.experiment),
        ("Tracker", reproduction.run.uri),
    ]
    record, plan = reproduction.record, reproduction.plan
    if record is not None:
        facts.append(("Status", record.status))
        facts.append(("Started", None if record.start_time is None else f"{record.start_time:%Y-%m-%d %H:%M:%S} UTC"))
    if plan is not None:
        facts += [("Plan", plan.digest), ("Execution", plan.execution_digest)]
    facts += [
        ("Made", f"{reproduction.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("Tool", f"reproducibility-runner {reproduction.tool_version}"),
    ]
    first = f"# {verdict.value.upper()}: {inline(subject(reproduction))}: {inline(reproduction.reason)}"
    summary = f"**{verdict.value}** (exit {verdict.exit_code}): {inline(reproduction.reason)}.{stopped}"
    return "\n\n".join(
        [first, summary, _table(("", ""), [(label, inline(value)) for label, value in facts if value is not None])]
    )


def _missing(missing: Missing) -> str:
    lines = [f"## What is missing\n\n{inline(missing.fact)}: {inline(missing.cause)}"]
    for title, words in (
        ("Looked in", missing.looked_in),
        ("Nearest", missing.nearest),
        ("Otherwise there", missing.found_otherwise),
    ):
        if words:
            lines.append(f"{title}:\n\n{_bullets(words)}")
    lines.append(f"To supply it:\n\n{fenced([plain(missing.remedy)], 'sh')}")
    return "\n\n".join(lines)


def _basis(reproduction: Reproduction) -> str:
    return (
        f"## Verified\n\n{_bullets(reproduction.verified) or 'Nothing.'}\n\n"
        f"## Not verified\n\n{_bullets(reproduction.not_verified) or 'Nothing is left open.'}\n\n"
        "What no rerun can show: a script that logs constants reproduces."
    )


def _metrics(comparison: Comparison) -> str:
    rows = []
    order = (Outcome.OUTSIDE, Outcome.MISSING, Outcome.NOT_COMPARED, Outcome.WITHIN, Outcome.EQUAL)
    ranks = {outcome: rank for rank, outcome in enumerate(order)}
    for metric in sorted(comparison.metrics, key=lambda metric: (ranks.get(metric.outcome, len(ranks)), metric.name)):
        original, rerun = numbers(metric.original, metric.rerun)
        tolerance = allowed(metric) if metric.history is not None else "-"
        rows.append(
            (
                inline(metric.name),
                inline(original),
                inline(rerun),
                inline(difference(metric)),
                inline(tolerance),
                metric.outcome.value,
                inline(curve(metric)),
            )
        )
    if not rows:
        return "## Metrics\n\nNone."
    table = _table(("metric", "recorded", "rerun", "difference", "allowed", "outcome", "curve"), rows)
    mappings = ""
    if comparison.mappings:
        mappings = f"\n\nBoth sides in the form of the original's store:\n\n{_bullets(comparison.mappings)}"
    return f"## Metrics\n\n{table}{mappings}"


def _params(comparison: Comparison) -> str:
    if not comparison.params:
        return ""
    ordered = sorted(comparison.params, key=lambda param: (param.outcome is Outcome.EQUAL, param.name))
    rows = [
        (
            inline(param.name),
            inline(secret_safe(param.name, param.original)),
            inline(secret_safe(param.name, param.rerun)),
            param.outcome.value,
            inline(param.note or ""),
        )
        for param in ordered
    ]
    return f"## Params\n\n{_table(('param', 'recorded', 'rerun', 'outcome', 'note'), rows)}"


def _outputs(comparison: Comparison) -> str:
    if not comparison.outputs:
        return ""
    rows = [
        (
            inline(output.path),
            inline(None if output.original is None else str(output.original)),
            inline(None if output.rerun is None else str(output.rerun)),
            output.outcome.value,
            "-" if output.written is None else "yes" if output.written else "no",
            inline(output.note or ""),
        )
        for output in comparison.outputs
    ]
    return f"## Outputs\n\n{_table(('path', 'recorded', 'rerun', 'outcome', 'written', 'note'), rows)}"


def _others(others: Sequence[OtherRun]) -> str:
    if not others:
        return ""
    rows = [
        (inline(other.run.id), inline(other.run.name), other.verdict.value, str(other.compared), inline(other.reason))
        for other in others
    ]
    head = "Likely to be of the execution that made this run, judged by the same rerun; the verdict above is not theirs"
    table = _table(("run", "name", "verdict", "metrics", "reason"), rows)
    return f"## Other runs of the execution\n\n{head}\n\n{table}"


def _registered(registered: RegisteredModel, comparison: Comparison | None) -> str:
    facts: list[tuple[str, str | None]] = [
        ("Asked for", registered.reference),
        ("Model", registered.title),
        ("Registry", registered.registry),
        ("Its run", f"{registered.run_id} ({registered.run_source})"),
        ("Files at", registered.place),
        ("Digest of all bytes", registered.digest),
    ]
    found = None if comparison is None else comparison.registered
    if found is not None:
        facts += [
            ("Digest of the content", found.registered),
            ("of the run's own model", found.logged or registered.logged_note),
            ("of the rerun's model", found.rerun or "it logged none"),
            ("Compared", agreement(found)),
        ]
    rows = [(inline(file.path), inline(str(file.sha256)), size(file.size_bytes)) for file in registered.artifact.files]
    table = _table(("", ""), [(label, inline(value)) for label, value in facts if value])
    return f"## Registered model\n\n{table}\n\n{_table(('file', 'SHA-256', 'size'), rows)}"


def _inputs(rerun: Rerun) -> str:
    if not rerun.inputs:
        return ""
    observed = {True: "yes", False: "no", None: "not observed"}
    rows = [
        (
            inline(file.path),
            file.role,
            inline("nothing recorded" if file.expected is None else str(file.expected)),
            "as recorded"
            if file.digest == file.expected
            else inline(None if file.digest is None else str(file.digest)),
            inline(f"sha256:{file.sha256.removeprefix('sha256:')}" if file.sha256 else None),
            size(file.size_bytes) or "-",
            file.place,
            inline(file.held_by or file.rebuilt_by or "nobody"),
            observed[file.opened],
            observed[file.unchanged],
        )
        for file in rerun.inputs
    ]
    heading = (
        "path", "role", "recorded", "restored", "SHA-256", "size", "place", "held by", "opened", "unchanged",
    )  # fmt: skip
    asked = f"\n\nRemotes that were asked:\n\n{_bullets(rerun.remotes_asked)}" if rerun.remotes_asked else ""
    return f"## Restored files\n\n{_table(heading, rows)}{asked}"


def _code(plan: Plan) -> str:
    facts = [
        ("Repository", plan.lineage.repository),
        ("Commit", plan.lineage.commit),
        ("Command", plan.command),
        ("From", plan.command_source + (" (inferred)" if plan.command_inferred else "")),
        ("In", plan.working_directory),
    ]
    return f"## Code and command\n\n{_table(('', ''), [(label, inline(value)) for label, value in facts])}"


def _provenance(plan: Plan) -> str:
    rows = [
        (inline(fact.fact), inline(fact.value), inline(fact.source), _considered(fact.considered))
        for fact in provenance(plan)
    ]
    rows += [
        (inline(file.path), inline(str(file.digest)), inline(file.source), _considered(file.considered))
        for file in plan.lineage.files
    ]
    return f"## Where each fact was found\n\n{_table(('fact', 'value', 'source', 'also considered'), rows)}"


def _considered(considered: Sequence[Considered]) -> str:
    return "; ".join(f"{inline(o.value)} of {inline(o.source)}: {inline(o.reason)}" for o in considered) or "-"


def _environment(plan: Plan | None, rerun: Rerun, comparison: Comparison | None) -> str:
    environment = rerun.environment
    lines = [f"Python {inline(environment.python)}, {len(environment.packages)} packages."]
    if plan is not None:
        specification = plan.environment
        day = "" if environment.as_of is None else f", as of {environment.as_of:%Y-%m-%d %H:%M} UTC"
        lines.append(f"Source: {inline(specification.source)}{day}; Python: {inline(specification.python_source)}.")
        if specification.constraints:
            count = specification.constrained(environment.packages)
            versions = plural(count, "version")
            lines.append(
                f"Where it pins none: {versions} as recorded ({inline(specification.constraints_source or '')})."
            )
        if specification.recorded_overrides:
            lines.append(
                f"Where it asks for others: {inline(' '.join(specification.recorded_overrides))} as recorded "
                f"({inline(specification.constraints_source or '')})."
            )
        images = [(plan.images.base, plan.images.base_digest), (plan.images.tools, plan.images.tools_digest)]
        if plan.images.train is not None:
            images.append((plan.images.train, plan.images.train_digest))
        lines.append(_bullets(f"image {name} {digest or '(no digest)'}" for name, digest in images))
        if plan.images.system_packages:
            versions = ", ".join(f"{name} {version}" for name, version in sorted(plan.images.system_packages.items()))
            source = inline(plan.system_packages.source or "")
            lines.append(
                f"System packages of the training's image, with what they need ({source}): {inline(versions)}."
            )
    if comparison is not None:
        lines += _difference(comparison.environment)
    lines.append(_hardware(rerun.hardware, rerun.capture))
    return "## Environment\n\n" + "\n\n".join(lines)


def _difference(found: EnvironmentComparison) -> list[str]:
    """Return the environment beside the recorded one: what could have moved numbers, counts, and every package."""
    rows: list[tuple[str, ...]] = [
        (inline(item.name), inline(item.original), inline(item.rerun), item.outcome, _recorded_by(item), "")
        for item in (found.python,)
        if item is not None
    ]
    if found.platform is not None:
        platform = found.platform
        rows.append(("platform", inline(platform.original), inline(platform.rerun), platform.outcome, "-", ""))
        if platform.gpu_original is not None or platform.gpus_rerun:
            here = ", ".join(platform.gpus_rerun) or "none"
            rows.append(("GPU", inline(platform.gpu_original), inline(here), "", "-", ""))
    order = ("changed", "removed", "added", "same", "unknown")
    rows += [
        (
            inline(item.name),
            inline(item.original),
            inline(item.rerun),
            item.outcome,
            _recorded_by(item),
            item.moves_numbers if item.differs else "",
        )
        for item in sorted(found.packages, key=lambda item: (order.index(item.outcome), item.name))
    ]
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found.counts.items() if count)
    head = ("package", "recorded", "rerun", "", "recorded by", "moves numbers")
    return [f"{inline(found.reading)} ({counts})." if found.reading else f"Packages: {counts}.", _table(head, rows)]


def _recorded_by(package: PackageComparison) -> str:
    return {"run": "the run", "commit": "its commit", None: "-"}[package.recorded_by]


def _hardware(hardware: Hardware, capture: CaptureReport) -> str:
    facts = [
        ("Platform", hardware.platform),
        ("CPU", hardware.cpu_model),
        ("CPU flags", _flags(hardware)),
        ("CPUs", str(hardware.cpus)),
        ("GPUs", ", ".join(capture.gpus) or None),
        ("C library", hardware.libc),
        ("Compiler of Python", hardware.compiler),
        ("Kernel", hardware.kernel),
        ("Libraries", "; ".join(map(_library, capture.libraries)) or None),
        ("Variables", " ".join(f"{name}={value}" for name, value in capture.variables.items()) or None),
    ]
    return _table(("rerun on", ""), [(label, inline(value)) for label, value in facts if value is not None])


def _flags(hardware: Hardware) -> str | None:
    """Return how many there are, and of those that choose code paths the ones that are there."""
    telling = [flag for flag in hardware.cpu_flags if flag.startswith(_TELLING_FLAGS)]
    return f"{len(hardware.cpu_flags)}: {' '.join(telling)}" if hardware.cpu_flags else None


def _library(library: LoadedLibrary) -> str:
    threads = None if library.threads is None else plural(library.threads, "thread")
    kernel = None if library.kernel is None else f"code for {library.kernel}"
    return ", ".join(part for part in (library.name, threads, kernel, library.version) if part)


def _log(rerun: Rerun) -> str:
    status = "none" if rerun.exit_code is None else str(rerun.exit_code)
    head = f"## Log\n\nEnding: {rerun.ending.value}, exit status {status}."
    if rerun.log_cut:
        head += " The log was cut at its limit."
    return f"{head}\n\n{fenced([log_line(line) for line in rerun.log_tail], 'text')}" if rerun.log_tail else head


def _again(reproduction: Reproduction) -> str:
    lines = [command("reproduce", reproduction), command("plan", reproduction)]
    return f"## Again\n\n{fenced(lines, 'sh')}"


def _timings(reproduction: Reproduction) -> str:
    times = reproduction.timings or (reproduction.rerun.timings if reproduction.rerun is not None else {})
    if not times:
        return ""
    return (
        f"## Times\n\n{_table(('phase', 'seconds'), [(inline(name), seconds(value)) for name, value in times.items()])}"
    )
