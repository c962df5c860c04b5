"""The capture in the container of a training: what no rerun may lose, and what must not pass unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.projects import RUN_ID, RecordedProject, script

MODELS = """
    mlflow.log_text("weights", "net/weights.txt")
    client = mlflow.tracking.MlflowClient()
    client.create_registered_model("net")
    client.create_model_version("net", mlflow.get_artifact_uri("net"), mlflow.active_run().info.run_id)
    client.set_registered_model_alias("net", "champion", "1")
"""

# As `python -S` has it, no `.pth` file is read; MLflow is found all the same.
PAST_THE_CAPTURE = """
import subprocess, sys
packages = [path for path in sys.path if path.endswith("site-packages")][0]
code = "import sys; sys.path.append(%r); import mlflow; mlflow.set_tracking_uri('file:unseen'); "
code += "mlflow.start_run(experiment_id='0')"
subprocess.run([sys.executable, "-S", "-c", code % packages], check=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> RecordedProject:
    (tmp_path / "author").mkdir()
    return RecordedProject(tmp_path / "author")


def judge(project: RecordedProject, engine: DockerEngine, folder: Path, **flags: str) -> Reproduction:
    folder.mkdir()
    settings = load_settings(Flags(tracker=str(project.tracker), **flags), {}, folder)  # type: ignore[arg-type]
    return reproduce(RUN_ID, settings, progress=NoProgress(), engine=engine).reproduction


def test_a_command_that_makes_its_environment_anew_is_captured_with_its_models(
    project: RecordedProject, shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path
) -> None:
    """`env -i` takes away the variable that says where the capture is."""
    project.commit_training(script(inside=MODELS.strip()))
    project.record()
    command = 'env -i PATH="$PATH" python -I train.py'
    reproduction = judge(project, shared_engine, tmp_path / "elsewhere", command=command)
    assert reproduction.rerun is not None
    capture = reproduction.rerun.capture
    assert capture.problems == ()
    assert (capture.processes, capture.mlflow_processes) == (1, 1)
    assert {"train.py", "data/train.csv"} <= set(capture.files_opened)
    (run,), (version,) = capture.runs, capture.versions
    assert (version.name, version.run_id, version.path, version.aliases) == ("net", run.run_id, "net", ("champion",))
    assert version.files == {"weights.txt": run.artifacts["net/weights.txt"]}
    assert reproduction.verdict is Verdict.IDENTICAL, (reproduction.reason, reproduction.rerun.log_tail)


def test_a_process_that_logs_past_the_capture_makes_the_rerun_failed_and_says_where(
    project: RecordedProject, shared_engine: DockerEngine, shared_images: Prepared, tmp_path: Path
) -> None:
    project.commit_training(script(after=PAST_THE_CAPTURE))
    project.record()
    reproduction = judge(project, shared_engine, tmp_path / "elsewhere")
    assert reproduction.verdict is Verdict.FAILED, reproduction.reason
    assert reproduction.rerun is not None
    assert "logged past the capture, to unseen" in reproduction.reason, "\n".join(reproduction.rerun.log_tail)
