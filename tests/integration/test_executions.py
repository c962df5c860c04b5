"""One rerun judges all recorded runs that one execution made, each by its own record; a deleted run is said so."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

import pytest

from runner.schema.reproduction import Verdict
from tests.support.judging import Judge, why
from tests.support.projects import EXPERIMENT_ID, START_MS, RecordedProject, script

PARENT = "a" * 32
LOOP = """\
for depth in (1, 2, 3):
    with mlflow.start_run(run_name=f"depth-{depth}"):
        mlflow.log_param("depth", depth)
        mlflow.log_metric("score", sum(values) / depth)
"""
SWEEP = """\
    for depth in (1, 2, 3):
        with mlflow.start_run(nested=True):
            mlflow.log_param("depth", depth)
            mlflow.log_metric("score", sum(values) / depth)
"""


def child(depth: int) -> str:
    return f"{depth}" * 32


def record_each(
    project: RecordedProject,
    scores: Mapping[int, float],
    *,
    start: int,
    step: int,
    tags: Mapping[str, str] | None = None,
) -> None:
    for depth, score in scores.items():
        project.record(
            run_id=child(depth),
            name=f"depth-{depth}" if tags is None else f"bold-fox-{depth}",
            tags={"dvc_model_md5": None, **(tags or {})},
            params={"scale": None, "depth": str(depth)},
            metrics={"score": [score]},
            pointers=False,
            start_ms=start + step * depth,
        )


def scores(project: RecordedProject, depths: Sequence[int] = (1, 2, 3)) -> dict[int, float]:
    return {depth: sum(project.values) / depth for depth in depths}


@pytest.fixture
def loop(project: RecordedProject) -> RecordedProject:
    """A script that logs its main run, then three more in a loop; the second was recorded with another number."""
    project.commit_training(script(after=LOOP))
    project.record()
    recorded = scores(project)
    record_each(project, {**recorded, 2: recorded[2] + 0.5}, start=START_MS, step=6000)
    return project


def test_a_loops_runs_are_judged_by_the_rerun_of_one_and_its_verdict_is_its_own(
    loop: RecordedProject, judge: Judge
) -> None:
    found = judge()
    assert found.verdict is Verdict.IDENTICAL, why(found)
    verdicts = {other.run.id: other.verdict for other in found.others}
    assert verdicts == {child(1): Verdict.IDENTICAL, child(2): Verdict.DIVERGED, child(3): Verdict.IDENTICAL}
    assert len({other.matched_run for other in found.others}) == 3
    diverged = judge(child(2))
    assert diverged.verdict is Verdict.DIVERGED
    assert sum(other.verdict is Verdict.IDENTICAL for other in diverged.others) == 3


def test_a_sweeps_children_and_parent_are_told_apart_by_their_place_and_params(
    project: RecordedProject, judge: Judge
) -> None:
    project.commit_training(script(inside=SWEEP.strip()))
    project.record(run_id=PARENT)
    recorded = scores(project)
    record_each(project, recorded, start=START_MS, step=500, tags={"mlflow.parentRunId": PARENT})
    # of another execution, an hour later: its commit is the same, and so it is not this rerun's to judge
    record_each(project, {4: 1.0}, start=START_MS + 3_600_000, step=0, tags={"mlflow.parentRunId": "b" * 32})
    found = judge(child(2))
    assert found.verdict is Verdict.IDENTICAL, why(found)
    assert {other.run.id: other.verdict for other in found.others} == {
        PARENT: Verdict.IDENTICAL, child(1): Verdict.IDENTICAL, child(3): Verdict.IDENTICAL,
    }  # fmt: skip


def test_a_run_of_another_commit_right_after_is_not_judged(loop: RecordedProject, judge: Judge) -> None:
    other = loop.repository.commit({"notes.md": "later\n"}, "Note")
    (loop.tracker / EXPERIMENT_ID / child(3) / "tags" / "git_commit").write_text(other)
    found = judge()
    assert {run.run.id for run in found.others} == {child(1), child(2)}


def test_a_deleted_run_is_read_and_its_verdict_says_that_it_is_deleted(project: RecordedProject, judge: Judge) -> None:
    project.commit_training()
    project.record()
    trash = project.tracker / ".trash"
    trash.mkdir()
    shutil.move(project.tracker / EXPERIMENT_ID, trash / EXPERIMENT_ID)
    found = judge()
    assert found.verdict is Verdict.IDENTICAL, why(found)
    assert "run: deleted in the tracker, which still has its record" in found.not_verified
