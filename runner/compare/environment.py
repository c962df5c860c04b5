"""The packages, Python and platform that the tracker recorded against those of the rerun."""

from __future__ import annotations

import re

from runner.lineage.packages import PYTHON, linux_markers, normalise, recorded_packages, same_version
from runner.schema.comparison import EnvironmentDifference
from runner.schema.model_files import RegisteredModel
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord


def compare_environment(
    record: RunRecord, rerun: Rerun, registered: RegisteredModel | None = None
) -> tuple[EnvironmentDifference, ...]:
    """Compare each recorded package, and Python, with what trained; empty where nothing is recorded.

    A logged model lists its direct requirements only, so that packages beyond it are not `added`.
    """
    python = rerun.environment.python
    markers = linux_markers(python, re.split(r"[ -]", rerun.hardware.platform)[-1], rerun.hardware.kernel or "")
    ran = {normalise(name): version for name, version in rerun.environment.packages.items()}
    differences = []
    for name, original in sorted(recorded_packages(record, markers, registered).versions.items()):
        if name == PYTHON:
            parts = python.split(".")[: original.count(".") + 1]
            version: str | None = python
            same = ".".join(parts) == original or python == original
        else:
            version = ran.get(name)
            same = version is not None and same_version(version, original)
        if version is None:
            differences.append(EnvironmentDifference(name=name, original=original, rerun=None, outcome="removed"))
        else:
            outcome = "same" if same else "changed"
            differences.append(
                EnvironmentDifference(name=name, original=original, rerun=version, outcome=outcome)  # type: ignore[arg-type]
            )
    return tuple(differences)


def recorded_platform(record: RunRecord) -> str | None:
    """Return the operating system that the recorded paths betray, None where they do not (rule 25)."""
    places = [record.tags.get("mlflow.source.name", ""), record.artifact_root or ""]
    if any(re.search(r"(?:^|///?)[A-Za-z]:[\\/]", place) for place in places):
        return "Windows"
    if any(re.search(r"(?:^|//)/(?:Users|private/var)/", place) for place in places):
        return "macOS"
    return None
