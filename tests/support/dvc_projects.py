"""Projects that DVC itself built, commit by commit, with a run that was recorded at one of them.

    project = DvcProject(folder, dvc)            # dvc: the `dvc` of an environment, of today or of another year
    project.write({"prepare.py": PREPARE, ...})
    project.dvc("stage", "add", "-n", "train", ...)
    project.dvc("repro"); project.commit("Pipeline"); project.push()
    project.record()

Training logs to MLflow through `mlflow`; where the author's commands need it, a stand-in of that name does nothing, so
that DVC runs the real scripts in the author's folder. Their arithmetic is exact: what a run records is known.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.projects import RUN_ID, RecordedProject
from tests.support.repositories import Repository

PREPARE = '''\
"""Keeps the positive numbers."""
from pathlib import Path

lines = Path("data/raw.csv").read_text().split()
Path("data/clean.csv").write_text("".join(f"{line}\\n" for line in lines if float(line) > 0))
'''

FEATURIZE = '''\
"""Doubles them, into a folder."""
from pathlib import Path

values = [2 * float(line) for line in Path("data/clean.csv").read_text().split()]
Path("data/features/deep").mkdir(parents=True, exist_ok=True)
Path("data/features/all.csv").write_text("".join(f"{value!r}\\n" for value in values))
Path("data/features/deep/count.txt").write_text(str(len(values)))
'''

TRAIN = '''\
"""Sums what a file holds."""
import sys
from pathlib import Path

import mlflow

source = sys.argv[1] if len(sys.argv) > 1 else "data/features/all.csv"
scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
mlflow.set_tracking_uri("file:mlruns")
mlflow.set_experiment("sums")
values = [float(line) for line in Path(source).read_text().split()]
with mlflow.start_run(run_name="first"):
    mlflow.log_param("scale", scale)
    for step in range(4):
        mlflow.log_metric("loss", scale * sum(values) / 2 ** step, step=step)
    mlflow.log_metric("total", scale * sum(values))
Path("model.bin").write_text("model of " + repr(values))
'''

_STAND_IN = """\
from contextlib import nullcontext

def start_run(**_): return nullcontext()
def __getattr__(name): return lambda *a, **k: None
"""

PIPELINE = """\
stages:
  prepare:
    cmd: python prepare.py
    deps: [prepare.py, data/raw.csv]
    outs: [data/clean.csv]
  featurize:
    cmd: python featurize.py
    deps: [featurize.py, data/clean.csv]
    outs: [data/features]
  train:
    cmd: python train.py
    deps: [train.py, data/features]
    outs: [model.bin]
"""
RAW = b"1.5\n-3\n2.25\n4\n"
FEATURES = (3.0, 4.5, 8.0)


class DvcProject(RecordedProject):
    """A repository that `dvc` works in, with a remote that is a folder beside it."""

    def __init__(self, folder: Path, dvc: Path, *, values: Sequence[float] = FEATURES) -> None:
        super().__init__(folder, values=values)
        shutil.rmtree(self.store.path)  # what lies there, DVC pushed
        self._dvc = dvc
        stand_in = folder / "stand-in"
        stand_in.mkdir()
        (stand_in / "mlflow.py").write_text(_STAND_IN)
        self._environ = {
            "PATH": f"{dvc.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(stand_in),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / "site-cache"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.write(
            {"requirements.txt": "mlflow-skinny==2.22.5\n", ".python-version": "3.11\n", ".gitignore": "mlruns/\n"}
        )

    def start(self, *, root: str = ".") -> None:
        """Make a DVC project of the repository, or of a folder in it, with the remote as its default."""
        self.dvc("init", "-q", *(["--subdir"] if root != "." else []), root=root)
        self.dvc("remote", "add", "-q", "-d", "main", str(self.store.path), root=root)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files of the work tree."""
        for name, content in files.items():
            path = self.repository.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def dvc(self, *arguments: str, root: str = ".") -> str:
        """Run DVC as the author does and return what it prints."""
        done = subprocess.run(
            [self._dvc, *arguments],
            cwd=self.repository.path / root,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def save(self, message: str) -> str:
        """Commit the work tree as it is; the run is of this commit unless another follows."""
        self.repository.git("add", "-A")
        self.commit = self.repository.commit({}, message)
        return self.commit

    def push(self, *arguments: str) -> None:
        """Bring objects to the remote."""
        self.dvc("push", "-q", *arguments)

    def forget(self) -> None:
        """Lose the author's own cache and whatever is not in git: what is left is commit and remote."""
        self.repository.git("clean", "-fdxq", "-e", "mlruns")

    def record(self, **fields: object) -> str:  # type: ignore[override]
        """Record the run with no digest at all: what its data was is for the commit to tell."""
        tags = {"dvc_data_md5": None, "dvc_model_md5": None, **dict(fields.pop("tags", {}))}  # type: ignore[call-overload]
        return super().record(tags=tags, pointers=False, **fields)  # type: ignore[arg-type]


__all__ = ["FEATURES", "FEATURIZE", "PIPELINE", "PREPARE", "RAW", "RUN_ID", "TRAIN", "DvcProject", "Repository"]
