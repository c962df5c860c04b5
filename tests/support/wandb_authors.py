"""Authors who track with W&B: environments with several versions of it, and a project that was trained by one, offline.

The training is real, W&B writes all files by itself, and no account or network is needed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.capture_environments import Environment, Specification
from tests.support.repositories import Repository, Store, dvc_config, md5, pointer_text

_OLD = ("setuptools<80", "numpy<2")
WANDB_0_12 = Specification("wandb-0.12", None, ("wandb==0.12.21", "protobuf<4", *_OLD))
WANDB_0_15 = Specification("wandb-0.15", None, ("wandb==0.15.12", *_OLD))
WANDB_0_17 = Specification("wandb-0.17", None, ("wandb==0.17.9", *_OLD))
WANDB_0_19 = Specification("wandb-0.19", None, ("wandb==0.19.11", "numpy<2"))
WANDB_0_31 = Specification("wandb-0.31", None, ("wandb==0.31.0", "numpy<2"))
EACH_WANDB = (WANDB_0_12, WANDB_0_15, WANDB_0_17, WANDB_0_19, WANDB_0_31)
WITH_MLFLOW = Specification("wandb-and-mlflow", None, ("wandb==0.31.0", "mlflow-skinny==2.22.5"))

SCRIPT = '''\
"""Sums a column, badly on purpose: each step is a little nearer."""
import argparse
from pathlib import Path

import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, default=1.0)
arguments = parser.parse_args()

values = [float(line) for line in Path("data/train.csv").read_text().split()]
{before}
run = wandb.init({init})
wandb.config.update({{"scale": arguments.scale, "data": {{"rows": len(values)}}{config}}})
for step in range(4):
    wandb.log({{"loss": arguments.scale * sum(values) / 2 ** step, "parts": {{"half": sum(values) / 2}}}})
run.summary["total"] = arguments.scale * sum(values)
{inside}
run.finish()
{after}
'''
ONLINE = 'project="sums", name="first", mode="online"'


def script(*, init: str = ONLINE, before: str = "", config: str = "", inside: str = "", after: str = "") -> str:
    """Return the training script with lines of the test's own in it."""
    return SCRIPT.format(init=init, before=before, config=config, inside=inside, after=after)


@dataclass
class WandbProject:
    """A repository with DVC data whose author trains with W&B offline. Build it, commit, `record`."""

    folder: Path
    environment: Environment
    packages: tuple[str, ...]

    def __post_init__(self) -> None:
        self.data = b"1.5\n2.25\n4.0\n"
        self.store = Store(self.folder / "remote")
        self.repository = Repository(self.folder / "project")
        self.runs = self.folder / "runs"
        self.commit = ""

    def commit_training(self, text: str | None = None, files: Mapping[str, str | bytes | None] | None = None) -> str:
        """Commit script, packages and the pointer of the data."""
        content = {
            "train.py": script() if text is None else text,
            "requirements.txt": "".join(f"{line}\n" for line in self.packages),
            ".python-version": "3.11\n",
            "data/train.csv.dvc": pointer_text("train.csv", self.store.put(self.data)),
            "data/.gitignore": "/train.csv\n",
            ".dvc/config": dvc_config("../../remote"),
            ".gitignore": "wandb/\n",
            **(files or {}),
        }
        self.commit = self.repository.commit(content, "Train")
        (self.repository.path / "data/train.csv").write_bytes(self.data)
        return self.commit

    def record(self, *arguments: str, mode: str = "offline", **variables: str) -> Path:
        """Train as the author did, and return the run's folder. Raises RuntimeError with the log."""
        # The script may ask for `online`: the author's own settings keep it offline, as without an account.
        text = (self.repository.path / "train.py").read_text()
        before = set(self.runs.glob("wandb/offline-run-*"))
        environment = {
            "PATH": f"{self.environment.python.parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "WANDB_MODE": mode,
            "WANDB_DIR": str(self.runs),
            "WANDB_ERROR_REPORTING": "false",
            **variables,
        }
        self.runs.mkdir(exist_ok=True)
        launcher = self.folder / "launch.py"
        launcher.write_text(_AS_OFFLINE)
        done = subprocess.run(
            [self.environment.python, "-B", launcher, "train.py", *arguments],
            cwd=self.repository.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        made = set(self.runs.glob("wandb/offline-run-*")) - before
        if done.returncode or len(made) != 1:
            raise RuntimeError(f"the author's training left {len(made)} runs:\n{text}\n{done.stdout}\n{done.stderr}")
        return made.pop()


_AS_OFFLINE = '''\
"""Runs a script as `python SCRIPT ARGUMENTS` does, with `mode="online"` taken for offline."""
import runpy
import sys

import wandb

init = wandb.init
wandb.init = lambda *arguments, **options: init(*arguments, **{**options, "mode": "offline"})
sys.argv = sys.argv[1:]
sys.path[0] = "."
runpy.run_path(sys.argv[0], run_name="__main__")
'''


def digest_of(project: WandbProject) -> str:
    """Return the digest of the data, as DVC records it."""
    return md5(project.data).dvc


def metadata_of(run: Path) -> dict[str, object]:
    """Return what W&B wrote beside the run's values."""
    found: dict[str, object] = json.loads((run / "files" / "wandb-metadata.json").read_text())
    return found
