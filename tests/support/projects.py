"""A small project with one recorded run, as its author left it: repository, DVC remote, MLflow store.

The script computes with exact arithmetic on its data, so that a test knows what the run recorded without training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.mlflow_stores import Point, StoredRun
from tests.support.repositories import Repository, Store, dvc_config, md5, pointer_text

RUN_ID = "5f1d7a3c9b2e4f608a1b2c3d4e5f6071"
EXPERIMENT_ID = "417"
EXPERIMENT = "sums"
RUN_NAME = "first"
START_MS = 1_780_000_000_000
REQUIREMENTS = "mlflow-skinny==2.22.5\n"

SCRIPT = '''\
"""Sums a column, badly on purpose: each step is a little nearer."""
import argparse
from pathlib import Path

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, default=1.0)
arguments = parser.parse_args()

mlflow.set_tracking_uri("file:mlruns")
mlflow.set_experiment("sums")
{before}
values = [float(line) for line in Path("data/train.csv").read_text().split()]
with mlflow.start_run(run_name="first"):
    mlflow.log_param("scale", arguments.scale)
    for step in range(4):
        loss = arguments.scale * sum(values) / 2 ** step
        mlflow.log_metric("loss", loss, step=step)
    mlflow.log_metric("total", arguments.scale * sum(values))
    {inside}
    model = Path("runs/model.bin")
    model.write_text("model of " + repr(values))
{after}
'''


def script(*, before: str = "", inside: str = "", after: str = "") -> str:
    """Return the training script with lines of the test's own in it."""
    return SCRIPT.format(before=before, inside=inside, after=after)


class RecordedProject:
    """Build it, change what a test is about, then `record`."""

    def __init__(self, folder: Path, *, values: Sequence[float] = (1.5, 2.25, 4.0)) -> None:
        self.folder = folder
        self.values = tuple(values)
        self.data = "".join(f"{value}\n" for value in values).encode()
        self.model = f"model of {list(self.values)!r}".encode()
        self.store = Store(folder / "remote")
        self.stored_data = self.store.put(self.data)
        self.stored_model = self.store.put(self.model)
        self.repository = Repository(folder / "project")
        self.tracker = self.repository.path / "mlruns"
        self.commit = ""

    def commit_training(self, text: str | None = None, files: Mapping[str, str | bytes | None] | None = None) -> str:
        """Commit script, requirements and pointers; the data's is stale, the model's is not there yet.

        What `files` has as None is removed, or left out.
        """
        stale = self.store.put(b"0.5\n")
        content: dict[str, str | bytes | None] = {
            "train.py": script() if text is None else text,
            "requirements.txt": REQUIREMENTS,
            ".python-version": "3.11\n",
            "data/train.csv.dvc": pointer_text("train.csv", stale),
            "data/.gitignore": "/train.csv\n",
            ".dvc/config": dvc_config("../../remote"),
            ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
            ".gitignore": "mlruns/\nruns/model.bin\nreproductions/\n",
            **(files or {}),
        }
        there = {
            path: text for path, text in content.items() if text is not None or (self.repository.path / path).exists()
        }
        self.commit = self.repository.commit(there, "Train")
        return self.commit

    def commit_pointers(self) -> str:
        """Commit the pointers as they are after the run, as PATTERN's author does."""
        return self.repository.commit(
            {
                "data/train.csv.dvc": pointer_text("train.csv", self.stored_data),
                "runs/model.bin.dvc": pointer_text("model.bin", self.stored_model),
            },
            "Version data and model of the run",
        )

    def record(
        self,
        *,
        tags: Mapping[str, str | None] | None = None,
        metrics: Mapping[str, Sequence[float]] | None = None,
        params: Mapping[str, str | None] | None = None,
        status: int = 3,
        run_id: str = RUN_ID,
        name: str = RUN_NAME,
        pointers: bool = True,
        start_ms: int = START_MS,
    ) -> str:
        """Write the run to the file store as MLflow 2.22 does; a tag or param of None is left out. Returns its id.

        Unless `pointers` is false, those of the run are committed after it, as PATTERN's author does.
        """
        if pointers:
            self.commit_pointers()
        total = sum(self.values)
        recorded = metrics or {"loss": [total / 2**step for step in range(4)], "total": [total]}
        all_tags = {
            "mlflow.runName": name,
            "mlflow.source.name": "train.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.user": "ann",
            "git_commit": self.commit,
            "dvc_data_md5": md5(self.data).dvc,
            "dvc_model_md5": md5(self.model).dvc,
            **(tags or {}),
        }
        experiment = self.tracker / EXPERIMENT_ID
        run = experiment / run_id
        _write(
            experiment / "meta.yaml",
            f"artifact_location: file:///home/ann/project/mlruns/{EXPERIMENT_ID}\ncreation_time: {start_ms}\n"
            f"experiment_id: '{EXPERIMENT_ID}'\nlast_update_time: {start_ms}\nlifecycle_stage: active\n"
            f"name: {EXPERIMENT}\n",
        )
        _write(
            run / "meta.yaml",
            f"artifact_uri: file:///home/ann/project/mlruns/{EXPERIMENT_ID}/{run_id}/artifacts\n"
            f"end_time: {start_ms + 5000}\nentry_point_name: ''\nexperiment_id: '{EXPERIMENT_ID}'\n"
            f"lifecycle_stage: active\nrun_id: {run_id}\nrun_name: {name}\nrun_uuid: {run_id}\nsource_name: ''\n"
            f"source_type: 4\nsource_version: ''\nstart_time: {start_ms}\nstatus: {status}\ntags: []\nuser_id: ann\n",
        )
        (run / "artifacts").mkdir(exist_ok=True)
        for tag, value in all_tags.items():
            if value is not None:
                _write(run / "tags" / tag, value)
        for param, text in {"scale": "1.0", **(params or {})}.items():
            if text is not None:
                _write(run / "params" / param, text)
        for metric, points in recorded.items():
            _write(
                run / "metrics" / metric,
                "".join(f"{start_ms + 1000 + step} {value!r} {step}\n" for step, value in enumerate(points)),
            )
        return run_id

    def stored_run(self, **metrics: list[Point]) -> StoredRun:
        """Return the run for a store that is written by hand, with metrics of the test's own beside its own."""
        total, start = sum(self.values), START_MS + 1000
        return StoredRun(
            run_id=RUN_ID,
            experiment=EXPERIMENT,
            name=RUN_NAME,
            params={"scale": "1.0"},
            tags={
                "mlflow.source.name": "train.py",
                "git_commit": self.commit,
                "dvc_data_md5": self.stored_data.digest.dvc,
                "dvc_model_md5": self.stored_model.digest.dvc,
            },
            metrics={
                "loss": [(start + step, total / 2**step, step) for step in range(4)],
                "total": [(start, total, 0)],
                **metrics,
            },
            start=START_MS,
            end=START_MS + 5000,
        )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
