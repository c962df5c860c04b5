"""Pipelines that DVC built, from the run's id alone: what a store holds is restored, the rest is made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.schema.reproduction import Verdict
from tests.support.capture_environments import DVC_TODAY, program_of
from tests.support.dvc_projects import FEATURIZE, PIPELINE, PREPARE, RAW, TRAIN, DvcProject
from tests.support.judging import Judge, judging, why


@pytest.fixture
def project(tmp_path: Path) -> DvcProject:
    """A DVC project without commits yet."""
    folder = tmp_path / "author"
    folder.mkdir()
    return DvcProject(folder, program_of(DVC_TODAY, "dvc"))


@pytest.fixture
def judge(
    project: DvcProject,
    shared_engine: DockerEngine,
    shared_images: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Judge]:
    with judging(project, shared_engine, tmp_path, monkeypatch) as judge:
        yield judge


def built(project: DvcProject, *, pipeline: str = PIPELINE, raw: bytes = RAW) -> None:
    """Build the pipeline as its author does: data added, stages run, all of it committed."""
    project.start()
    project.write({"prepare.py": PREPARE, "featurize.py": FEATURIZE, "train.py": TRAIN, "dvc.yaml": pipeline})
    project.write({"data/raw.csv": raw})
    project.dvc("add", "-q", "data/raw.csv")
    project.dvc("repro", "-q")
    project.save("Build the pipeline")


def paths(files: object, **fields: object) -> list[str]:
    return sorted(f.path for f in files if all(getattr(f, k) == v for k, v in fields.items()))  # type: ignore[attr-defined]


def test_a_stage_gets_its_inputs_of_the_lock_and_nothing_else_is_pulled(project: DvcProject, judge: Judge) -> None:
    built(project)
    project.push()
    project.forget()
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    rerun, plan = reproduction.rerun, reproduction.plan
    assert rerun is not None
    assert plan is not None
    assert paths(rerun.inputs, place="workspace") == ["data/features"]
    assert rerun.stages_run == ()
    assert plan.command == "python train.py"
    assert paths(plan.lineage.files, use="earlier stages") == ["data/clean.csv", "data/raw.csv"]
    (model,) = reproduction.comparison.outputs if reproduction.comparison else ()
    assert (model.path, model.written, model.outcome.value) == ("model.bin", True, "equal")


def test_what_no_store_holds_is_made_by_the_stages_before_from_what_one_does(project: DvcProject, judge: Judge) -> None:
    built(project)
    project.push("data/raw.csv")
    project.forget()
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    rerun = reproduction.rerun
    assert rerun is not None
    assert rerun.stages_run == ("prepare of dvc.yaml", "featurize of dvc.yaml")
    made = {file.path: file for file in rerun.inputs if file.rebuilt_by}
    assert made["data/features"].digest == made["data/features"].expected
    assert made["data/features"].opened
    assert made["data/features"].unchanged
    assert rerun.doubts == ()
    assert any("data/features" in line and "rebuilt by stage featurize" in line for line in reproduction.verified)


@pytest.mark.full
def test_rebuilt_bytes_that_differ_from_the_locks_are_said_and_a_divergence_is_nobodys_fault(
    project: DvcProject, judge: Judge
) -> None:
    built(project)
    project.push("data/raw.csv")
    project.forget()
    project.write({"featurize.py": FEATURIZE.replace("2 *", "3 *")})
    project.save("Change a stage, and do not run it")
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "data/features was rebuilt by stage featurize of dvc.yaml as md5:" in reproduction.reason
    assert reproduction.rerun is not None
    assert len(reproduction.rerun.doubts) == 1


@pytest.mark.full
def test_a_stage_that_cannot_be_run_again_stops_the_rerun_with_what_it_said(project: DvcProject, judge: Judge) -> None:
    built(project)
    project.push("data/raw.csv")
    project.forget()
    project.write({"prepare.py": "raise SystemExit('the raw data have no header')\n"})
    project.save("Break a stage")
    project.record()
    done = judge.with_evidence()
    reproduction = done.reproduction
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert (
        "stage prepare of dvc.yaml, which must make data/clean.csv since no store holds it, ended with exit status 1"
        in (reproduction.reason)
    )
    assert reproduction.reason.endswith("the raw data have no header")
    assert (done.evidence / "logs" / "stage-prepare.log").read_text().strip() == "the raw data have no header"


def test_a_pipeline_without_a_lock_is_run_from_what_git_holds(project: DvcProject, judge: Judge) -> None:
    project.write({"prepare.py": PREPARE, "featurize.py": FEATURIZE, "train.py": TRAIN, "dvc.yaml": PIPELINE})
    project.write({"data/raw.csv": RAW})
    project.save("A pipeline that nobody committed the lock of")
    project.record()
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.rerun is not None
    assert reproduction.rerun.stages_run == ("prepare of dvc.yaml", "featurize of dvc.yaml")
    assert any("nothing records its digest" in line for line in reproduction.not_verified)


def test_a_lock_of_other_code_is_a_doubt_and_a_divergence_is_then_nobodys_fault(
    project: DvcProject, judge: Judge
) -> None:
    built(project)
    project.push()
    project.forget()
    project.write({"featurize.py": FEATURIZE.replace("2 *", "3 *")})
    project.save("Change a stage; the author runs it, and never commits the lock")
    project.record(metrics={"loss": [3 * 7.75 / 2**step for step in range(4)], "total": [3 * 7.75]})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert (
        "dvc.lock at the commit is not of its code: stage featurize had other bytes of featurize.py"
        in reproduction.reason
    )


def test_a_stage_of_a_loop_runs_with_the_values_of_the_commit(project: DvcProject, judge: Judge) -> None:
    project.start()
    pipeline = (
        "stages:\n  train:\n    foreach: ${scales}\n    do:\n      cmd: python train.py data/raw.csv ${item.factor}\n"
        "      deps: [train.py, data/raw.csv]\n      outs: ['models/${key}.bin']\n"
    )
    training = TRAIN.replace('Path("model.bin")', 'Path(f"models/{sys.argv[3]}.bin")')
    pipeline = pipeline.replace("${item.factor}", "${item.factor} ${key}")
    training = training.replace("scale = float(sys.argv[2])", "scale = float(sys.argv[2])")
    project.write({"train.py": training, "dvc.yaml": pipeline, "data/raw.csv": b"3.0\n4.5\n8.0\n"})
    project.write({"params.yaml": "scales: {one: {factor: 1e0}, half: {factor: 0.5}}\n", "models/.keep": ""})
    project.dvc("add", "-q", "data/raw.csv")
    project.dvc("repro", "-q")
    project.save("A loop")
    project.push()
    project.forget()
    total = 0.5 * 15.5
    project.record(
        tags={"runner.command": "dvc repro train@half"},
        params={"scale": "0.5"},
        metrics={"loss": [total / 2**step for step in range(4)], "total": [total]},
    )
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.plan is not None
    assert reproduction.plan.command == "dvc repro --single-item --force --no-run-cache train@half"
    assert reproduction.plan.expected_outputs == ("models/half.bin",)
