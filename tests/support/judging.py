"""Reproducing a project's run on the real engine, from a folder of nobody's; afterwards nothing of it may be left.

reproduction = judge()
reproduction = judge("sums/first", tracker=…, command=…)
done = judge.with_evidence()
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.engine import labels
from runner.engine.docker import DockerEngine
from runner.progress import NoProgress, Progress
from runner.reproduce import Reproduced, reproduce
from runner.schema.reproduction import Reproduction
from runner.settings import Flags, load_settings
from tests.support.engines import left_of
from tests.support.projects import RUN_ID, RecordedProject


class Judge:
    """Reproduces runs of one project from a folder."""

    def __init__(self, project: RecordedProject, engine: DockerEngine, folder: Path) -> None:
        self.project = project
        self.engine = engine
        self.folder = folder

    def __call__(self, run: str = RUN_ID, **flags: Any) -> Reproduction:
        return self.with_evidence(run, **flags).reproduction

    def with_evidence(self, run: str = RUN_ID, *, progress: Progress | None = None, **flags: Any) -> Reproduced:
        """Reproduce; `flags` are those of the command line."""
        settings = load_settings(Flags(**{"tracker": str(self.project.tracker), **flags}), {}, self.folder)
        return reproduce(run, settings, progress=progress or NoProgress(), engine=self.engine)


@contextmanager
def judging(
    project: RecordedProject, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Judge]:
    """Yield a judge; containers, volumes, temporary files and half-made evidence are then as they were."""
    folder, temporary = tmp_path / "elsewhere", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = everything_of_ours(engine)
    yield Judge(project, engine, folder)
    assert everything_of_ours(engine) == before
    assert list(temporary.iterdir()) == []
    assert [path for path in folder.rglob(".*") if path.name != ".gitignore"] == []


def why(reproduction: Reproduction) -> str:
    """The reason and the end of the log, for a test that did not get its verdict."""
    tail = reproduction.rerun.log_tail if reproduction.rerun is not None else ()
    return "\n".join((reproduction.reason, *tail))


def everything_of_ours(engine: DockerEngine) -> set[str]:
    """All containers and volumes that this process made, but for those of the tests' own session."""
    filters = {"label": f"{labels.OWNER}={labels.owner()}"}
    found = {container["Id"] for container in engine.client.containers(all=True, filters=filters)}
    found |= {volume["Name"] for volume in engine.client.volumes(filters=filters)["Volumes"] or ()}
    return found - set(left_of(engine, engine.session_id))
