"""A project whose run logged a model that was then registered: trained and registered by a real MLflow."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.support.mlflow_stores import quiet, write
from tests.support.projects import START_MS, RecordedProject, script
from tests.support.repositories import Repository

MODEL = '''\
"""Logs a model as MLflow's own flavors do; MLflow 3 keeps it beside its run, older versions among its artifacts."""
import platform
import tempfile
from pathlib import Path

import mlflow
from mlflow.models.model import Model
from mlflow.tracking import MlflowClient


def log_model(run, weights):
    client = MlflowClient()
    if hasattr(client, "create_logged_model"):
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        made = client.create_logged_model(run.info.experiment_id, name="model", source_run_id=run.info.run_id)
        described = Model(
            artifact_path=made.artifact_location, run_id=run.info.run_id, model_uuid=made.model_id,
            model_id=made.model_id,
        )
        client.log_model_artifacts(made.model_id, write(described, weights))
        client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
        client.log_outputs(run.info.run_id, models=[LoggedModelOutput(model_id=made.model_id, step=0)])
    else:
        described = Model(artifact_path="model", run_id=run.info.run_id)
        mlflow.log_artifacts(write(described, weights), "model")
        client._record_logged_model(run.info.run_id, described)


def write(described, weights):
    folder = Path(tempfile.mkdtemp())
    (folder / "data").mkdir()
    (folder / "data" / "weights.bin").write_text(repr(weights))
    (folder / "requirements.txt").write_text("mlflow\\n")
    python = platform.python_version()
    (folder / "python_env.yaml").write_text(f"python: {python}\\nbuild_dependencies:\\n- pip==23.{len(python)}\\n")
    described.add_flavor("python_function", loader_module="sums", data="data", python_version=python)
    described.save(str(folder / "MLmodel"))
    return str(folder)
'''
_REGISTER = r"""
import json, os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow.tracking import MlflowClient

tracker, registry, steps = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
mlflow.set_tracking_uri(tracker)
mlflow.set_registry_uri(registry)
client = MlflowClient()
for name, *arguments in steps:
    getattr(mlflow if name == "register_model" else client, name)(*arguments)
models = client.search_logged_models(["0", *(e.experiment_id for e in client.search_experiments())]) \
    if hasattr(client, "search_logged_models") else []
print(json.dumps([model.model_id for model in models]))
"""


_TELL = f"""\
import runpy, sys, time
since = time.time()
now = time.time
time.time = lambda: {START_MS / 1000} + now() - since  # the day whose packages the rerun gets
import mlflow
sys.argv = ["train.py"]
runpy.run_path("train.py", run_name="__main__")
print(mlflow.last_active_run().info.run_id)
"""


class ReleasedProject(RecordedProject):
    """Its run is made by `python`, which has some version of MLflow, into files or a `database`."""

    def __init__(self, folder: Path, python: Path, requirements: str, *, database: bool = False) -> None:
        folder.mkdir()
        super().__init__(folder)
        self.python = python
        self.database = database
        training = script(inside="import log_model; log_model.log_model(mlflow.active_run(), values)")
        training = training.replace(
            'set_tracking_uri("file:mlruns")', 'set_tracking_uri(os.environ.get("TRACKER", "file:mlruns"))'
        )
        training = training.replace("import argparse\n", "import argparse\nimport os\n")
        self.files = {"train.py": training, "log_model.py": MODEL}
        self.commit_training(training, {"log_model.py": MODEL, "requirements.txt": requirements})

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"sqlite:///{self.folder}/author/mlflow.db" if self.database else f"file:{self.tracker}"

    def copied(self, folder: Path, *, move_places: bool = False) -> ReleasedProject:
        """The same project in another folder; the places that its store recorded are left as they are, or moved."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = copy.copy(self)
        other.folder = folder
        other.repository = Repository(folder / "project")
        other.tracker = other.repository.path / "mlruns"
        if move_places:
            columns = [
                ("runs", "artifact_uri"),
                ("experiments", "artifact_location"),
                ("model_versions", "storage_location"),
            ]
            with closing(sqlite3.connect(folder / "author" / "mlflow.db")) as database, database:
                for table, column in [*columns, ("logged_models", "artifact_location")]:
                    sql = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                    database.execute(sql, (str(self.folder), str(folder)))
        return other

    def train(self) -> str:
        """Train as the author does, and tag the run as PATTERN says. Returns the run's id."""
        place = self.folder / "author"
        for name, text in self.files.items():
            write(place / name, text)
        write(place / "data" / "train.csv", self.data.decode())
        (place / "runs").mkdir(exist_ok=True)
        environ = {**quiet(), "TRACKER": self.uri, "MLFLOW_ALLOW_FILE_STORE": "true"}
        write(place / "tell.py", _TELL)
        told = subprocess.run(
            [self.python, "tell.py"], cwd=place, env=environ, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr
        run_id = told.stdout.split()[-1]
        tags = {
            "mlflow.source.name": "train.py",
            "git_commit": self.commit,
            "dvc_data_md5": self.stored_data.digest.dvc,
            "dvc_model_md5": self.stored_model.digest.dvc,
        }
        self.call([["set_tag", run_id, tag, value] for tag, value in tags.items()])
        self.commit_pointers()
        return run_id

    def call(self, steps: list[list[object]], *, registry: str | None = None) -> list[str]:
        """Let the real client do these steps, each a method with its arguments. Returns ids of models it knows."""
        arguments = [self.uri, registry or self.uri, json.dumps(steps)]
        told = subprocess.run(
            [self.python, "-c", _REGISTER, *arguments],
            cwd=self.folder, env=quiet(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        return list(json.loads(told.stdout.splitlines()[-1]))

    def model_id(self) -> str:
        """The id of the one model that MLflow 3 logged."""
        (found,) = self.call([])
        return found

    def file_of_model(self, name: str) -> Path:
        """The one file of the model that the run logged, wherever this version of MLflow keeps it."""
        (found,) = [path for path in self.folder.rglob(name) if "artifacts" in path.parts]
        return found
