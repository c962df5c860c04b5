"""What makes a rerun failed or unverifiable, whatever its numbers say. Each function answers rules of VERDICTS.md."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from runner.compare.datasets import differing
from runner.redact import redact
from runner.schema.comparison import Comparison, FileComparison, Outcome
from runner.schema.lineage import LineageFile
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import CapturedRun, Ending, Rerun, RestoredFile
from runner.schema.run_record import UNFINISHED, RunRecord
from runner.verdict.defaults import other_defaults
from runner.verdict.hosts import shown_hosts
from runner.verdict.remedy import again

CACHE = "cache"
"""What `RestoredFile.held_by` says where no remote holds the bytes."""

_OF_NOTHING = frozenset(getattr(hashlib, name)(b"").hexdigest() for name in ("md5", "sha256"))
_ENDED_EARLY = frozenset({"FAILED", "KILLED"})
_SERVICE = re.compile(
    r"(?i)\b(?P<address>(?:https?|s3|s3a|gs|gcs|abfss?|wasbs?|hdfs|dbfs|jdbc:[a-z]+|postgresql(?:\+\w+)?|mysql(?:\+\w+)?"
    r"|mssql(?:\+\w+)?|oracle|snowflake|bigquery|databricks|mongodb(?:\+srv)?|redis|kafka|delta)://[^\s\"',}]*)"
)


def why_failed(plan: Plan, rerun: Rerun, comparison: Comparison) -> str | None:
    """Return why the recorded command did not finish well, None where it did (rule 24)."""
    ending = _why_ended_badly(plan, rerun)
    if ending is not None:
        return ending
    if rerun.capture.problems:
        return f"what the training did was not captured whole: {redact(rerun.capture.problems[0])}"
    if not rerun.capture.runs:
        return "the command ended well, and logged no run"
    if comparison.matched_run is not None and comparison.matched_status != "FINISHED":
        status = comparison.matched_status
        return "the run that it logged was never ended" if status is None else f"the run that it logged is {status}"
    return None


def _why_ended_badly(plan: Plan, rerun: Rerun) -> str | None:
    if rerun.ending is Ending.FINISHED and rerun.exit_code == 0:
        return None
    limits = plan.limits
    memory = "" if limits.memory_bytes is None else f" (limit {_size(limits.memory_bytes)})"
    status = "without an exit status" if rerun.exit_code is None else f"with exit status {rerun.exit_code}"
    reasons = {
        Ending.OUT_OF_MEMORY: f"the training was killed for memory{memory}",
        Ending.KILLED: f"the training was killed (exit status {rerun.exit_code}), from outside or for memory: nothing "
        "tells",
        Ending.OUT_OF_PROCESSES: f"the command ended {status}: it may have no more processes and threads "
        f"(--pids-limit {limits.pids})",
        Ending.WROTE_TOO_MUCH: f"the training wrote more than it may ({_size(limits.output_bytes)}: limits.output of "
        "runner.yaml)",
        Ending.TIMED_OUT: f"the training did not end within {limits.timeout_s:g} s ({limits.timeout_source})",
    }
    return reasons.get(rerun.ending, f"the command ended {status}")


def unverifiable_causes(
    plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison, *, record_changed: bool
) -> tuple[Missing, ...]:
    """Return all that keeps the numbers from saying anything about the original, most telling first."""
    run = matched_run(rerun, comparison)
    causes: list[Missing] = []
    if record_changed:
        cause = "the tracker's record of the run changed during the rerun"
        causes.append(Missing(fact="record", cause=cause, remedy=again(plan)))
    causes += _status_causes(plan, record)
    causes += _input_causes(plan, rerun)
    causes += _trained_causes(plan, rerun)
    if run is None:
        cause = comparison.match_problem or "no captured run is the recorded one"
        remedy = again(plan, "--command", "COMMAND THAT LOGS THIS RUN ALONE")
        causes.append(Missing(fact="captured run", cause=cause, remedy=remedy))
    else:
        causes += _tracker_causes(plan, rerun, run)
    causes += _service_causes(plan, record, rerun)
    causes += _inferred_param_causes(plan, record, rerun, comparison)
    causes += [
        Missing(fact=metric.name, cause=f"--metric names {metric.name}, which is not recorded", remedy=again(plan))
        for metric in comparison.metrics
        if metric.outcome is Outcome.NOT_COMPARED and metric.name in plan.policy.only and metric.original is None
    ]
    return tuple(causes)


def divergence_says_nothing(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> Missing | None:
    """Return why a divergence may be ours and not the author's (rules 11, 21, 28), None where it is the author's.

    The same holds for code that was committed only after the run had begun.
    """
    other_input = other_code(plan) or _doubt(plan, rerun) or _line_endings(plan)
    if other_input is not None:
        return other_input
    if plan.command_inferred and plan.options_uncovered:
        options = ", ".join(plan.options_uncovered)
        return Missing(
            fact="command",
            cause=f"the command was inferred, and nothing pins its {options}",
            remedy=again(plan, "--command", _completed(plan)),
        )
    other = next((each for each in comparison.datasets if each.outcome is Outcome.OUTSIDE), None)
    if other is not None:
        return Missing(
            fact="data",
            cause=f"the training was given another dataset {other.title} than the recorded one: MLflow's digest "
            f"{differing(other)}",
            remedy=again(plan, "--pointer", "md5:DIGEST=PATH") + "    the file that the recorded dataset was read from",
            looked_in=("datasets that the run logged",),
        )
    recorded = {file.path for file in plan.lineage.files if file.role == "input"}
    unopened = [file.path for file in workspace_inputs(plan, rerun) if file.opened is False and file.path in recorded]
    if unopened:
        return Missing(
            fact="data",
            cause=f"{', '.join(unopened)} was restored and the training never opened it",
            remedy=again(plan, "--command", "COMMAND THAT READS IT"),
        )
    return _closed_network(plan, record, rerun)


def _line_endings(plan: Plan) -> Missing | None:
    """Return that a file was hashed with line endings that git does not hold: the training had other bytes then."""
    mended = [file for file in plan.committed if file.mended is not None]
    if not mended or "line-endings" in plan.policy.allow:
        return None
    return Missing(
        fact="data",
        cause=f"{mended[0].path} has the digest that {mended[0].source} records with {mended[0].mended} alone, and not "
        "as git holds it",
        remedy=again(plan, "--allow", "line-endings"),
    )


def _completed(plan: Plan) -> str:
    """Return the command with a place for the first option, or variable, that nothing pins."""
    for text in plan.options_uncovered:
        option, _, rest = text.partition(" ")
        if option.startswith("-"):
            return f"{plan.command} {option} VALUE"
        if text.startswith("environment variable "):
            return f"{rest.split(' ')[1]}=VALUE {plan.command}"
    return f"{plan.command} ARGUMENTS"


def _doubt(plan: Plan, rerun: Rerun) -> Missing | None:
    """Return that an input may not be what the run had (rules 19 and 23)."""
    if not rerun.doubts:
        return None
    return Missing(
        fact="data",
        cause=rerun.doubts[0],
        remedy=again(plan, "--pointer", "DIGEST=PATH") + "    if the run had other bytes",
        looked_in=rerun.remotes_asked,
    )


def other_code(plan: Plan) -> Missing | None:
    """Return that the run may have had other code: of a commit that nobody recorded, or of a later one.

    The latter in a work tree of which nothing is known.
    """
    if not plan.lineage.commit_known:
        return Missing(
            fact="commit",
            cause=f"the run records no commit, and {plan.lineage.commit[:12]} may not be the one that it was made from",
            remedy=again(plan, "--commit", "SHA") + "    the one that it was made from",
            looked_in=("tags and params of the run",),
        )
    change = plan.code_changed
    if change is None or plan.lineage.clean:
        return None
    since = change.seconds_after_start
    how_long = f"{since} s" if since < 120 else f"{since // 60} min"
    return Missing(
        fact="code",
        cause=f"commit {change.commit[:12]} changed {change.path} {how_long} after the run started, and nothing shows "
        "that the run was made from a clean work tree",
        remedy=again(plan, "--commit", change.commit),
        nearest=(f"--commit {change.commit}",),
    )


def _closed_network(plan: Plan, record: RunRecord, rerun: Rerun) -> Missing | None:
    """Return that the training wanted what the closed network kept from it: many then go on with other data."""
    if "network" in plan.policy.allow:
        return None
    hosts = shown_hosts(record, rerun)
    if hosts:
        cause = f"the training asked for {hosts}, and the network is closed while training"
        return Missing(fact="data", cause=cause, remedy=again(plan, "--allow", "network"))
    for name, address in _services(plan, record, rerun):
        cause = f"the run read {name} from {address}, and the network is closed while training"
        return Missing(fact="data", cause=cause, remedy=_pinning(name))
    return None


def why_later(plan: Plan, comparison: Comparison) -> Missing | None:
    """Return that metrics were recorded after the run's end, which no rerun can log (rule 7)."""
    later = [metric.name for metric in comparison.metrics if metric.kind == "later"]
    if not later:
        return None
    others = [m.name for m in comparison.metrics if m.outcome in (Outcome.EQUAL, Outcome.WITHIN)]
    options = [word for name in others for word in ("--metric", name)]
    verb = "was" if len(later) == 1 else "were"
    return Missing(
        fact="metrics",
        cause=f"{', '.join(later)} {verb} recorded later than the run, by a person or an evaluation",
        remedy=again(plan, *options) if options else again(plan, "--command", "COMMAND THAT LOGS IT"),
    )


def nothing_compared(plan: Plan, comparison: Comparison) -> Missing | None:
    """Return why the rerun shows nothing although nothing differs (rules 1 and 6), None where it shows something."""
    measured = [metric for metric in comparison.metrics if metric.kind == "measured"]
    if any(metric.outcome in (Outcome.EQUAL, Outcome.WITHIN) for metric in measured):
        return None
    if any(
        output.outcome is Outcome.EQUAL and output.written and not _is_empty(output) for output in comparison.outputs
    ):
        return None
    compared = [m for m in comparison.metrics if m.outcome in (Outcome.EQUAL, Outcome.WITHIN)]
    if compared and all(metric.kind == "nan" for metric in compared):
        cause = "nothing was compared: all that is equal is NaN"
    elif compared:
        cause = f"nothing was compared but {', '.join(metric.name for metric in compared)}, which any such run logs"
    elif comparison.ignored_metrics:
        cause = f"nothing was compared: all {comparison.ignored_metrics} recorded metrics are ignored"
    else:
        cause = "nothing was compared: the run recorded no metric and no output that came out again"
    ignored = [metric.name for metric in comparison.metrics if metric.outcome is Outcome.IGNORED]
    return Missing(fact="baseline", cause=cause, remedy=again(plan, "--metric", ignored[0] if ignored else "NAME"))


def _is_empty(output: FileComparison) -> bool:
    return output.original is not None and output.original.hexdigest in _OF_NOTHING


def matched_run(rerun: Rerun, comparison: Comparison) -> CapturedRun | None:
    """Return the captured run that is the original's counterpart."""
    return next((run for run in rerun.capture.runs if run.run_id == comparison.matched_run), None)


def workspace_inputs(plan: Plan, rerun: Rerun) -> tuple[RestoredFile, ...]:
    """Return the restored files that the training was given: inputs, and those of unknown role in the workspace."""
    paths = {file.path for file in plan.lineage.files if file.role != "output"}
    paths |= {file.path for file in plan.supplied if file.kind == "input"}
    return tuple(file for file in rerun.inputs if file.path in paths and file.place == "workspace")


def missing_params(comparison: Comparison) -> tuple[str, ...]:
    """Return in words each decisive param that is missing or different (rule 10)."""
    words = []
    for param in comparison.params:
        if not param.decisive or param.outcome not in (Outcome.OUTSIDE, Outcome.MISSING):
            continue
        if param.outcome is Outcome.MISSING:
            words.append(f"param {param.name} was not logged again")
        else:
            words.append(
                redact(f"param {param.name}={param.original}") + " recorded, " + redact_value(param.name, param.rerun)
            )
    return tuple(words)


def redact_value(name: str, value: str | None) -> str:
    """Return a param's value, hidden where its name or its text looks like a secret's."""
    return redact(f"{name}={value}").removeprefix(f"{name}=")


def _status_causes(plan: Plan, record: RunRecord) -> Iterator[Missing]:
    """Rule 13: a run that has not ended has no last values."""
    if record.status in UNFINISHED and "unfinished" not in plan.policy.allow:
        yield Missing(
            fact="status",
            cause=f"the recorded run is {record.status}: it has not ended",
            remedy=again(plan, "--allow", "unfinished"),
        )
    elif record.status not in {"FINISHED", *UNFINISHED, *_ENDED_EARLY}:
        yield Missing(fact="status", cause=f"the recorded run's status {record.status} is unknown", remedy=again(plan))


def _input_causes(plan: Plan, rerun: Rerun) -> Iterator[Missing]:
    """Rules 20 and 28: the bytes that were recorded, all of them, before and after, and held by a store."""
    restored = {file.path: file for file in rerun.inputs}
    for file in plan.lineage.files:
        if file.role == "output" or (file.role == "unknown" and file.path in plan.expected_outputs):
            continue
        found = restored.get(file.path)
        if file.use != "training":
            yield from _unforeseen(plan, rerun, file, found)
            continue
        if file.role == "unknown" and found is not None and not _was_input(found, rerun):
            continue
        cause = _why_not_the_input(file, found)
        if cause is not None:
            yield Missing(fact="data", cause=cause, remedy=again(plan, "--remote", "URL"))
        elif (
            found is not None
            and found.rebuilt_by is None
            and found.held_by in (None, CACHE)
            and "cached" not in plan.policy.allow
        ):
            yield Missing(
                fact="data",
                cause=f"{file.path} ({file.digest}) is in no remote: only the local cache has it",
                remedy=again(plan, "--allow", "cached"),
            )


def _unforeseen(plan: Plan, rerun: Rerun, file: LineageFile, found: RestoredFile | None) -> Iterator[Missing]:
    """Yield that the training looked for what its stage does not declare, and what therefore was not restored."""
    absent = rerun.capture.files_absent
    if found is None and any(path == file.path or path.startswith(f"{file.path}/") for path in absent):
        yield Missing(
            fact="data",
            cause=f"the training looked for {file.path}, which its stage does not declare and which was not restored",
            remedy=again(plan, "--pull", "all"),
        )


def _was_input(file: RestoredFile, rerun: Rerun) -> bool:
    """Tell whether a file that nothing calls input or output can have fed the training.

    It cannot if it was kept aside, never read, or written by the training before it was read.
    """
    if file.place == "reference" or file.opened is False:
        return False
    capture = rerun.capture
    return (
        file.unchanged is not False
        or file.path not in capture.files_opened
        or file.path in capture.files_opened_before_output
    )


def _why_not_the_input(file: LineageFile, found: RestoredFile | None) -> str | None:
    if found is None or found.place != "workspace" or found.digest is None:
        return f"{file.path} ({file.digest}) was not restored"
    if found.rebuilt_by is not None and found.unchanged:
        return None
    if found.rebuilt_by is None and (found.digest != file.digest or found.expected != file.digest):
        return f"{file.path} is {found.digest}, recorded is {file.digest}"
    if found.unchanged is False:
        return f"the training changed {file.path}, which it was to read"
    if found.unchanged is None:
        return f"{file.path} was not checked again after training"
    return None


def _trained_causes(plan: Plan, rerun: Rerun) -> Iterator[Missing]:
    """Rules 16 and 18: the result must come from training, not from what lay there."""
    given = given_outputs(plan, rerun)
    if given and "evaluation" not in plan.policy.allow:
        yield Missing(
            fact="training",
            cause=f"evaluated, not trained: the recorded {given[0]} itself was given to the command",
            remedy=again(plan, "--allow", "evaluation"),
        )
    for result in rerun.pre_existing:
        if not existing_allowed(plan, result.path):
            yield Missing(
                fact="training",
                cause=f"pre-existing result: the training used {result.path}, which the commit already holds and "
                f"which {result.why}",
                remedy=again(plan, "--allow", f"existing:{result.path}"),
            )


def given_outputs(plan: Plan, rerun: Rerun) -> tuple[str, ...]:
    """Return the recorded outputs that were put at their own path before training, which makes it an evaluation."""
    outputs = {file.path for file in plan.lineage.files if file.role == "output" and not file.maybe_previous}
    return tuple(sorted(file.path for file in rerun.inputs if file.path in outputs and file.place == "workspace"))


def existing_allowed(plan: Plan, path: str) -> bool:
    """Tell whether `--allow existing:PATH` covers a path, itself or a folder of it."""
    return any(path == allowed or path.startswith(allowed.rstrip("/") + "/") for allowed in plan.policy.allow_existing)


def _tracker_causes(plan: Plan, rerun: Rerun, run: CapturedRun) -> Iterator[Missing]:
    """Rules 14 and 15: nothing of an earlier run may have entered, which the empty scratch store cannot give."""
    if run.resumed:
        yield Missing(
            fact="earlier run",
            cause="the run continues an earlier one, which was not rerun",
            remedy=again(plan, "--command", "COMMAND THAT STARTS FROM THE BEGINNING"),
        )
    for read in sorted(rerun.capture.reads, key=lambda read: read.sequence):
        if run.ended is None or read.sequence < run.ended:
            yield Missing(
                fact="tracker",
                cause=f"the training read from the tracker what only the original store has: "
                f"{read.what} {redact(read.detail)}".rstrip(),
                remedy=again(plan, "--command", "COMMAND THAT DOES NOT READ IT"),
            )
            return


def _service_causes(plan: Plan, record: RunRecord, rerun: Rerun) -> Iterator[Missing]:
    """Rule 28: data that the run read from a service, which the rerun could reach, is pinned by nothing."""
    if "network" not in plan.policy.allow:
        return
    for name, address in _services(plan, record, rerun):
        yield Missing(
            fact="data",
            cause=f"the run read {name} from a service that nothing pins: {address}",
            remedy=_pinning(name),
        )


def _pinning(name: str) -> str:
    return f"add `inputs: {{{name}: PATH}}` to runner.yaml, PATH being the file of the repository that DVC pins"


def _services(plan: Plan, record: RunRecord, rerun: Rerun) -> Iterator[tuple[str, str]]:
    """Yield name and address of each dataset that the run read from a service and no restored file stands for."""
    pinned = {file.path for file in workspace_inputs(plan, rerun) if file.digest == file.expected and file.opened}
    for dataset in record.dataset_inputs:
        address = _SERVICE.search(dataset.source or "")
        if address is not None and plan.policy.inputs.get(dataset.name) not in pinned:
            yield dataset.name, redact(address["address"])


def _inferred_param_causes(plan: Plan, record: RunRecord, rerun: Rerun, comparison: Comparison) -> Iterator[Missing]:
    """Rule 10: other params under a command that we inferred are another experiment, and nobody's fault."""
    different = missing_params(comparison)
    if plan.command_inferred and different:
        cause = f"the inferred command is another experiment: {different[0]}"
        remedy = again(plan, "--command", f"{plan.command} ARGUMENTS") + "    those that the original had"
        if plan.values_elsewhere:
            file = plan.values_elsewhere[0]
            cause += f"; {file.path} has the recorded values in commit {file.commit[:12]}"
            remedy = again(plan, "--commit", file.commit)
        yield (
            _line_endings(plan)
            or other_defaults(plan, record, rerun, comparison)
            or Missing(fact="command", cause=cause, remedy=remedy)
        )


def _size(count: int) -> str:
    gibibytes = count / (1 << 30)
    return f"{gibibytes:.3g} GiB" if gibibytes >= 1 else f"{count / (1 << 20):.3g} MiB"
