"""Recorded outputs against what the training wrote: by bytes, never by tags (VERDICTS rules 9, 17, 22)."""

from __future__ import annotations

from runner.schema.comparison import FileComparison, Outcome
from runner.schema.digest import DigestValue
from runner.schema.lineage import LineageFile
from runner.schema.plan import Plan
from runner.schema.rerun import CapturedRun, OutputFile, Rerun
from runner.schema.run_record import Artifact, RunRecord

ARTIFACT_PREFIX = "artifact:"
"""Marks in a path that it lies beneath the run's artifact root and not in the workspace."""


def compare_outputs(record: RunRecord, plan: Plan, rerun: Rerun, run: CapturedRun) -> tuple[FileComparison, ...]:
    """Compare every recorded output, every expected one without a digest, and every artifact with a digest."""
    written = {output.path: output for output in rerun.outputs}
    recorded = {file.path: file for file in plan.lineage.files if _is_output(file, plan)}
    results = [_compare_file(file, written.get(path)) for path, file in sorted(recorded.items())]
    for path in sorted(set(plan.expected_outputs) - recorded.keys()):
        output = written.get(path)
        results.append(
            FileComparison(
                path=path,
                original=None,
                rerun=None if output is None else output.digest,
                outcome=Outcome.MISSING if output is None else Outcome.NOT_COMPARED,
                written=output is not None and output.written,
                note="no digest is recorded" if output is not None else "expected, and not written",
            )
        )
    results += [_compare_artifact(artifact, run) for artifact in record.artifacts if artifact.digest is not None]
    return tuple(results)


def _is_output(file: LineageFile, plan: Plan) -> bool:
    return file.role == "output" or (file.role == "unknown" and file.path in plan.expected_outputs)


def _compare_file(file: LineageFile, output: OutputFile | None) -> FileComparison:
    note: str | None
    if output is None:
        outcome = Outcome.NOT_COMPARED if file.maybe_previous else Outcome.MISSING
        note = "recorded, and not there after training"
        return FileComparison(
            path=file.path, original=file.digest, rerun=None, outcome=outcome, written=False, note=note
        )
    digest = _of_same_algorithm(file.digest, output)
    outcome, note = _outcome(file.digest, digest)
    if file.maybe_previous and outcome is Outcome.OUTSIDE:
        outcome = Outcome.NOT_COMPARED
        note = "stale: the recorded digest is that of an earlier version, not of what this run wrote"
    if not output.written:
        note = "not written by the training: it was there before" + (f"; {note}" if note else "")
    return FileComparison(
        path=file.path, original=file.digest, rerun=digest, outcome=outcome, written=output.written, note=note
    )


def _outcome(original: DigestValue, rerun: DigestValue) -> tuple[Outcome, str | None]:
    if original.algorithm != rerun.algorithm or original.directory != rerun.directory:
        return Outcome.NOT_COMPARED, f"digests of two kinds: {original.algorithm} and {rerun.algorithm}"
    if original == rerun:
        return Outcome.EQUAL, None
    return Outcome.OUTSIDE, "other bytes; many models are written differently each time"


def _of_same_algorithm(original: DigestValue, output: OutputFile) -> DigestValue:
    if original.algorithm == "sha256" and output.digest.algorithm != "sha256" and output.sha256 is not None:
        return DigestValue.parse(output.sha256)
    return output.digest


def _compare_artifact(artifact: Artifact, run: CapturedRun) -> FileComparison:
    original = artifact.digest
    logged = run.artifacts.get(artifact.path)
    rerun = None
    note: str | None
    if logged is not None:
        rerun = logged.sha256 if original is not None and original.algorithm == "sha256" else logged.md5
    if original is None or rerun is None:
        outcome, note = Outcome.MISSING, "recorded, and not logged again"
    else:
        outcome, note = _outcome(original, rerun)
    return FileComparison(
        path=ARTIFACT_PREFIX + artifact.path,
        original=original,
        rerun=rerun,
        outcome=outcome,
        written=rerun is not None,
        note=note,
    )
