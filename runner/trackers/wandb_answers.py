"""What `wandb_client` brought from a server, as what an offline run's file and folder would tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from runner.inside.wandb.records import POINTS, HistoryRow, RunFile
from runner.schema.run_record import Artifact
from runner.trackers.folder import Folder
from runner.trackers.wandb_beside import is_own_file, read_beside
from runner.trackers.wandb_client import HISTORY, LAST_STEP
from runner.trackers.wandb_record import Beside

STATES = {
    "running": "RUNNING",
    "pending": "SCHEDULED",
    "preempting": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "crashed": "KILLED",
    "killed": "KILLED",
    "preempted": "KILLED",
}
"""W&B's words for how a run ended, with MLflow's."""

_TELEMETRY_FEATURES = "3"
_CONTINUES = {5: "resumed", 71: "forked", 72: "forked"}  # W&B's telemetry.Feature: resumed, fork_mode, rewind_mode


def run_of(answer: Mapping[str, Any], folder: Folder, entity: str, project: str) -> tuple[RunFile, list[str]]:
    """Return what the API says of a run as the file of an offline run would, and sentences on what it lacks."""
    run = answer["attributes"]
    config = run["config"] if isinstance(run["config"], dict) else {}
    inner = config.get("_wandb")
    own: Mapping[str, Any] = inner if isinstance(inner, dict) else {}
    state = str(run["state"])
    status = STATES.get(state, "RUNNING")
    rows, problems = _history(answer, folder)
    if state == "crashed":
        problems.append("W&B calls the run crashed: it was not heard of any more, and may have gone on unheard")
    elif state not in STATES:
        problems.append(f"W&B calls the run {state!r}, which is taken for still going on")
    continues = _continues(own)
    return (
        RunFile(
            run_id=str(run["name"] or ""),
            entity=entity,
            project=project,
            name=str(run["displayName"] or ""),
            group=str(run["group"] or ""),
            job_type=str(run["jobType"] or ""),
            notes=str(run["notes"] or ""),
            tags=tuple(map(str, run["tags"] or ())),
            sweep_id=str(run["sweepName"] or ""),
            start_ms=milliseconds(run["createdAt"]),
            resumed="resumed" in continues,
            forked="forked" in continues,
            git_commit=str(run["commit"] or ""),
            config=config,
            summary=run["summaryMetrics"] if isinstance(run["summaryMetrics"], dict) else {},
            history=rows,
            step_metrics=_step_metrics(own.get("m")),
            exit_code=None if status in ("RUNNING", "SCHEDULED") else 0 if status == "FINISHED" else 1,
            complete=not problems and status not in ("RUNNING", "SCHEDULED"),
        ),
        problems,
    )


def _history(answer: Mapping[str, Any], folder: Folder) -> tuple[list[HistoryRow], list[str]]:
    """Return all rows, and in sentences why they may not be all (VERDICTS rule 4)."""
    rows: list[HistoryRow] = []
    problems = []
    points = 0
    with (folder.root / HISTORY).open() as file:
        for line in file:
            row = json.loads(line)
            points += len(row)
            if points > POINTS:
                problems.append(f"more than {POINTS} values were logged, and not all are read")
                break
            step = row.get("_step")
            rows.append(HistoryRow(int(step) if isinstance(step, (int, float)) else 0, row))
    count = answer["attributes"]["historyLineCount"]
    if not answer["whole"]:
        problems.append(f"W&B's history was not read to its end: it is too long, or its last step is over {LAST_STEP}")
    elif isinstance(count, int) and count != answer["lines"]:
        problems.append(f"W&B gave {answer['lines']} rows of the history, and counts {count}: it may be cut")
    elif not isinstance(count, int):
        problems.append("W&B does not say how many rows the history has: it may be cut")
    before, after = answer["attributes"], answer["after"]
    if before != after:
        changed = ", ".join(sorted(name for name in before if before[name] != after.get(name)))
        problems.append(f"the run changed while it was read: {changed}")
    return rows, problems


def _continues(own: Mapping[str, Any]) -> set[str]:
    """Return how a run goes on from an earlier one, by what W&B's client noted of itself in its config."""
    telemetry = own.get("t")
    features = telemetry.get(_TELEMETRY_FEATURES) if isinstance(telemetry, dict) else None
    found = {_CONTINUES[number] for number in features or () if isinstance(number, int) and number in _CONTINUES}
    sessions = own.get("e")
    if isinstance(sessions, dict) and len(sessions) > 1:
        found.add("resumed")
    return found


def _step_metrics(metrics: Any) -> dict[str, str]:
    """Return the metrics that have an axis of their own, with it: W&B writes them by numbers of fields."""
    found: dict[str, str] = {}
    listed = metrics if isinstance(metrics, list) else []
    for metric in filter(lambda each: isinstance(each, dict), listed):
        name, index = metric.get("1") or metric.get("2"), metric.get("5")
        axis = metric.get("4")
        if isinstance(index, int) and 0 < index <= len(listed) and isinstance(listed[index - 1], dict):
            axis = listed[index - 1].get("1")
        if isinstance(name, str) and isinstance(axis, str):
            found[name] = axis
    return found


def beside_of(answer: Mapping[str, Any], folder: Folder) -> Beside:
    read, names = answer["read"], [name for name, _ in answer["files"]]
    stray = [name for name in names if name.startswith("/") or ".." in re.split(r"[/\\]", name)]
    others = [(name, size) for name, size in answer["files"] if name not in stray and not is_own_file(name)]
    notes = [f"{len(stray)} files of the run have names that lead elsewhere, and are left out"] if stray else []
    return read_beside(
        lambda name, limit: None if read.get(name) is None else folder.read(read[name], limit),
        names,
        artifacts=tuple(Artifact(path=name, size_bytes=size) for name, size in others),
        notes=notes,
    )


def milliseconds(text: Any) -> int | None:
    """Return a time of W&B's, which is UTC where it names no zone."""
    try:
        when = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)).replace("Z", "+00:00"))
    except ValueError:
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)
    return int(when.timestamp() * 1000)
