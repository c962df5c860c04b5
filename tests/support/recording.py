"""A project whose author types `runner record`: committed, pushed, its data on a remote that is a folder.

author = Author(tmp_path)
said = author.record("--strict", "--", str(python), "train.py", "--scale", "2")
author.runs()

It owns `runner.py`, `runner/` and `runner.yaml`, as thousands of projects do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.support.command import CommandLine, Said
from tests.support.repositories import Repository, Store, dvc_config, pointer_text

DATA = b"1.5\n2.25\n4.0\n"
NOT_OURS = "raise SystemExit('this is the project\\'s own')\n"
SCRIPT = """\
import argparse
import sys
from pathlib import Path

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, default=1.0)
parser.add_argument("--api-key")
arguments = parser.parse_args()

mlflow.set_tracking_uri("file:../mlruns")
mlflow.set_experiment("sums")
values = [float(line) for line in Path("../data/train.csv").read_text().split()]
with mlflow.start_run(run_name="first"):
    mlflow.log_param("scale", arguments.scale)
    for step in range(4):
        mlflow.log_metric("loss", arguments.scale * sum(values) / 2 ** step, step=step)
    Path("model.bin").write_text("model of " + repr([arguments.scale * value for value in values]))
"""


class Author:
    """The project and whoever works on it; `folder` is the project's, trainings run in its folder `src`."""

    def __init__(self, folder: Path, *, script: str = SCRIPT, files: Mapping[str, str | bytes] | None = None) -> None:
        self.store = Store(folder / "remote")
        self.data = self.store.put(DATA)
        self.origin = Repository(folder / "origin.git", bare=True)
        self.repository = Repository(folder / "project")
        self.folder = self.repository.path
        self.commit = self.repository.commit(
            {
                "src/train.py": script,
                "requirements.txt": "mlflow-skinny==2.22.0\npsutil\n",
                "runner.py": NOT_OURS,
                "runner/__init__.py": NOT_OURS,
                "src/runner.py": NOT_OURS,
                "runner.yaml": "jobs: [ours]\n",
                "data/train.csv.dvc": pointer_text("train.csv", self.data),
                "data/.gitignore": "/train.csv\n",
                ".dvc/config": dvc_config("../../remote"),
                ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
                ".gitignore": "mlruns/\n__pycache__/\nwandb/\n",
                "src/.gitignore": "/model.bin\n",
                **(files or {}),
            },
            "Train",
        )
        (self.folder / "data" / "train.csv").write_bytes(DATA)
        self.repository.git("remote", "add", "origin", str(self.origin.path))
        self.push()

    @property
    def tracker(self) -> Path:
        """The author's MLflow store."""
        return self.folder / "mlruns"

    def push(self) -> None:
        """Push what is committed."""
        self.repository.git("push", "-q", "-u", "origin", "main")

    def prompt(self, **variables: str) -> CommandLine:
        """Return a shell in the folder `src`; MLflow 3 asks for a word before it writes to files."""
        usual = {"MLFLOW_ALLOW_FILE_STORE": "true", "GIT_PYTHON_REFRESH": "quiet", "GIT_CONFIG_GLOBAL": os.devnull}
        return CommandLine(self.folder / "src", **{**usual, **variables})

    def record(self, *arguments: str, **variables: str) -> Said:
        """Type `runner record`."""
        return self.prompt(**variables).run("record", *arguments)

    def runs(self) -> dict[str, dict[str, str]]:
        """Return the tags of each recorded run, by its id."""
        found = {}
        for meta in self.tracker.glob("*/*/meta.yaml"):
            tags = meta.parent / "tags"
            found[meta.parent.name] = {path.name: path.read_text() for path in tags.iterdir()}
        return found

    def run(self) -> tuple[str, dict[str, str]]:
        """Return the one run and its tags."""
        ((run, tags),) = self.runs().items()
        return run, tags
