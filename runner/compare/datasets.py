"""Datasets that a run said it was given (`mlflow.log_input`), by MLflow's own digests. Pure.

MLflow computes a digest from what the training holds in memory, so that an equal one says something of the data;
another one may be of another version of MLflow or of the library that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.schema.comparison import DatasetComparison, Outcome
from runner.schema.rerun import CapturedRun
from runner.schema.run_record import RunRecord


def compare_datasets(record: RunRecord, run: CapturedRun) -> tuple[DatasetComparison, ...]:
    """Return every recorded dataset beside what the rerun was given by that name and for that context."""
    keys = dict.fromkeys((each.name, each.context) for each in record.dataset_inputs)
    found = []
    for name, context in keys:
        original = {each.digest for each in record.dataset_inputs if (each.name, each.context) == (name, context)}
        rerun = {each.digest for each in run.datasets if (each.name, each.context) == (name, context)}
        outcome = Outcome.MISSING if not rerun else Outcome.EQUAL if original == rerun else Outcome.OUTSIDE
        found.append(
            DatasetComparison(
                name=name,
                context=context,
                original=tuple(sorted(original)),
                rerun=tuple(sorted(rerun)),
                outcome=outcome,
            )
        )
    return tuple(found)


def why_not_identical(datasets: Sequence[DatasetComparison]) -> Iterator[str]:
    """Yield why a rerun on other data than the recorded is not identical, whatever its numbers."""
    for dataset in datasets:
        if dataset.outcome is Outcome.OUTSIDE:
            yield f"dataset {dataset.title}: MLflow's digest {differing(dataset)}"


def differing(dataset: DatasetComparison) -> str:
    """Return both sides in words."""
    return f"{', '.join(dataset.original)} recorded, {', '.join(dataset.rerun) or 'none'} logged"
