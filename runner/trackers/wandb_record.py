"""What W&B knows of a run, from its file or its API, as a RunRecord. Pure.

Both readers fill a `RunFile`; what lies beside it (`wandb-metadata.json`, `requirements.txt`, patches) comes as
`Beside`. Facts of W&B's that MLflow has no word for become tags that begin with `wandb.`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner.inside.wandb import values
from runner.inside.wandb.records import RunFile
from runner.schema.run_record import CONTINUED, Artifact, MetricHistory, MetricPoint, RunRecord, StoreKind, TextFile
from runner.trackers.recorded import utc_time

METADATA = "wandb-metadata.json"
PATCH = re.compile(r"diff(?:_(?P<commit>[0-9a-f]{7,64}))?\.patch")
"""W&B's names for the changes that no commit holds, and for those since the last commit that was pushed, by its id."""
ENVIRONMENT_FILES = {"requirements.txt": "requirements.txt", "conda-environment.yaml": "conda.yaml"}
"""W&B's names for what lists a run's packages, with MLflow's, under which they are read."""
UNCATEGORIZED = "uncategorized"
"""The project of runs that name none."""

_TOLD = 6
_METADATA_TAGS = {
    "program": "wandb.program",
    "codePath": "wandb.code_path",
    "codePathLocal": "wandb.code_path_local",
    "root": "wandb.root",
    "executable": "wandb.executable",
    "python": "wandb.python",
    "os": "wandb.os",
    "host": "wandb.host",
    "docker": "wandb.docker",
    "gpu": "wandb.gpu",
    "gpu_count": "wandb.gpu_count",
    "cpu_count": "wandb.cpu_count",
    "cudaVersion": "wandb.cuda",
}


@dataclass(frozen=True)
class Beside:
    """What lies beside a run's values: its metadata, texts by W&B's names, all other files, and sentences on them."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    environment_files: tuple[TextFile, ...] = ()
    patches: tuple[TextFile, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    notes: tuple[str, ...] = ()


def build_record(run: RunFile, beside: Beside, *, uri: str, store: StoreKind, status: str | None = None) -> RunRecord:
    """Return the record of a run. `status` is MLflow's word where the store knows it, else the exit record's."""
    points, other = values.history_points(run.history, run.start_ms)
    summary, other_summary = values.summary_points(run.summary, run.start_ms)
    return RunRecord(
        run_id=run.run_id,
        uri=uri,
        store=store,
        experiment_id=run.project or UNCATEGORIZED,
        experiment_name=run.project or UNCATEGORIZED,
        name=run.name or None,
        status=status or status_of(run.exit_code),
        start_time=utc_time(run.start_ms),
        end_time=_end(run),
        params=values.params(run.config),
        tags=_tags(run, {**run.environment, **beside.metadata}),
        metrics=histories([*points, *summary], complete=run.complete),
        artifacts=beside.artifacts,
        environment_files=beside.environment_files,
        patches=beside.patches,
        notes=(*run.problems, *_not_compared(other | other_summary), *_artifacts(run), *beside.notes),
    )


def status_of(exit_code: int | None) -> str:
    """Return MLflow's word for how a run ended. One that wrote no exit may still go on (VERDICTS rule 13)."""
    return "RUNNING" if exit_code is None else "FINISHED" if exit_code == 0 else "FAILED"


def histories(points: list[tuple[str, float, int, int]], *, complete: bool) -> tuple[MetricHistory, ...]:
    """Return points, each a name, value, step and time, as histories by name."""
    found: dict[str, list[MetricPoint]] = defaultdict(list)
    for name, value, step, at in points:
        found[name].append(MetricPoint(step=step, timestamp_ms=at, value=value))
    return tuple(MetricHistory(name=name, points=tuple(found[name]), complete=complete) for name in sorted(found))


def _end(run: RunFile) -> datetime | None:
    """Return when a run ended, as far as its values tell; None for one that may still go on."""
    if run.exit_code is None:
        return None
    inner = run.summary.get("_wandb")
    runtime = inner.get("runtime") if isinstance(inner, Mapping) else None
    ends = [values.last_time_ms(run.history, run.start_ms) or 0]
    if isinstance(runtime, int) and run.start_ms is not None:
        ends.append(run.start_ms + 1000 * runtime)
    return utc_time(max(ends))


def _tags(run: RunFile, metadata: Mapping[str, Any]) -> dict[str, str]:
    recorded_git = metadata.get("git")
    git: Mapping[str, Any] = recorded_git if isinstance(recorded_git, Mapping) else {}
    found: dict[str, Any] = {tag: metadata.get(name) for name, tag in _METADATA_TAGS.items()}
    found |= {
        "wandb.args": _as_json(metadata.get("args")),
        "wandb.entity": run.entity,
        "wandb.git.commit": run.git_commit or git.get("commit"),
        "wandb.git.remote": run.git_remote or git.get("remote"),
        "wandb.group": run.group,
        "wandb.job_type": run.job_type,
        "wandb.notes": run.notes,
        "wandb.sweep": run.sweep_id,
        "wandb.tags": _as_json(list(run.tags)),
        "wandb.step_metrics": json.dumps(run.step_metrics, sort_keys=True) if run.step_metrics else None,
        CONTINUED: continued(run),
    }
    return {name: str(value) for name, value in sorted(found.items()) if value not in (None, "")}


def continued(run: RunFile) -> str | None:
    """Return in words that a run continues an earlier one, whose values its file lacks; None where it does not."""
    if run.forked:
        return "it is a fork of an earlier run"
    if run.resumed:
        return "it was resumed"
    return f"its first step is {run.starting_step}" if run.starting_step > 0 else None


def _as_json(items: Any) -> str | None:
    texts = isinstance(items, (list, tuple)) and items and all(isinstance(item, str) for item in items)
    return json.dumps(list(items)) if texts else None


def _not_compared(names: set[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return [
        f"logged to W&B and no number (media, tables, texts), not compared: {', '.join(sorted(names)[:_TOLD])}{more}"
    ]


def _artifacts(run: RunFile) -> list[str]:
    logged = [artifact.name for artifact in run.logged_artifacts if artifact.type not in ("run_table", "job")]
    notes = []
    for what, names in (("logged", logged), ("used", run.used_artifacts)):
        found = list(dict.fromkeys(filter(None, names)))
        if found:
            more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
            notes.append(f"W&B artifacts that the run {what}, not compared: {', '.join(found[:_TOLD])}{more}")
    return notes
