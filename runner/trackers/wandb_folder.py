"""W&B's folder of runs, offline ones and local copies of those that went online: the same files in both.

ROOT/offline-run-DATE_TIME-ID/ or ROOT/run-DATE_TIME-ID/
    run-ID.wandb                                        all records
    files/wandb-metadata.json, requirements.txt, conda-environment.yaml, diff.patch, diff_COMMIT.patch, ...
"""

from __future__ import annotations

import io
import itertools
import os
import re
import shlex
from contextlib import AbstractContextManager
from pathlib import Path

from runner.errors import AmbiguousRun, NotAStore, TrackerUnavailable
from runner.inside.wandb.records import FILE_BYTES, RunFile, read_run_file
from runner.schema.model_files import ModelFile
from runner.schema.run_record import Artifact, RunRecord, StoreKind
from runner.trackers.artifacts import hash_files
from runner.trackers.folder import Folder, readable, reading
from runner.trackers.interface import RunSummary
from runner.trackers.recorded import ARTIFACT_COUNT
from runner.trackers.wandb_beside import is_own_file, read_beside
from runner.trackers.wandb_record import UNCATEGORIZED, Beside, build_record
from runner.trackers.wandb_tracker import WandbTracker

RUN_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(?P<id>[^/\\]+)")
SUFFIX = ".wandb"
_FILES = "files"


def holds_runs(root: Path) -> bool:
    """Tell whether a folder is one of W&B's, with a run in it."""
    return any(True for _ in _run_folders(Folder(root)))


def open_run(path: Path) -> tuple[WandbFolder, str]:
    """Return the tracker of the folder in which a run lies, and the run's id, from the path of its folder or file.

    Raises NotAStore where there is none.
    """
    place = Path(os.path.realpath(path))
    folder = place.parent if place.name.endswith(SUFFIX) else place
    files = [place.name] if place.name.endswith(SUFFIX) else _logs(Folder(folder), "")
    if not folder.is_dir() or len(files) != 1 or not (folder / files[0]).is_file():
        what = (
            "there is nothing" if not place.exists() else f"there are {len(files)} files of runs" if files else "no run"
        )
        raise NotAStore(f"{what} of W&B at {path}", f"ls -R {shlex.quote(str(path.parent))} | grep '[.]wandb$'")
    tracker = WandbFolder(folder.parent, only=(folder.name, files[0]))
    return tracker, tracker.only_id()


class WandbFolder(WandbTracker):
    """A folder of runs of W&B, or one run of it."""

    kind = StoreKind.WANDB_FILE

    def __init__(self, root: Path, only: tuple[str, str] | None = None) -> None:
        """Open the folder; `only` is the folder and the file of the one run that is meant."""
        super().__init__(root.absolute().as_uri())
        self._folder = Folder(root)
        self._only = only

    @property
    def place(self) -> Path:
        """Where the one run that is meant lies, else the folder of all."""
        return self._folder.root if self._only is None else self._folder.root / self._only[0]

    def only_id(self) -> str:
        """Return the id of the one run that is meant."""
        assert self._only is not None  # noqa: S101  # of `open_run`
        folder, file = self._only
        with self._reading():
            return self._read(folder, file).run_id or file.removesuffix(SUFFIX).removeprefix("run-")

    def check(self) -> None:
        with self._reading():
            if not self._places():
                raise TrackerUnavailable(
                    f"the runs in {self.uri} are gone", f"ls {shlex.quote(str(self._folder.root))}"
                )

    def read_run(self, run_id: str) -> RunRecord:
        with self._reading():
            folder, file = self._locate(run_id)
            run = self._read(folder, file)
            run.run_id = run.run_id or run_id
            return build_record(run, self._beside(folder), uri=self.uri, store=self.kind)

    def read_artifact(self, run_id: str, path: str, limit_bytes: int) -> bytes | None:
        with self._reading():
            files = self._files(self._locate(run_id)[0])
            return None if files is None else files.read(path, limit_bytes)

    def hash_artifacts(self, run_id: str, path: str) -> tuple[ModelFile, ...]:
        with self._reading():
            return hash_files(self._files(self._locate(run_id)[0]), path)

    def _has_run(self, run_id: str) -> bool:
        with self._reading():
            return any(run_id == found for found, _, _ in self._places())

    def _with_prefix(self, prefix: str) -> list[RunSummary]:
        with self._reading():
            return [self._summary(*place) for place in self._places() if place[0].lower().startswith(prefix)]

    def _named(self, experiment: str, name: str) -> list[RunSummary]:
        return [run for run in self._runs(experiment) if run.name == name]

    def _experiments(self) -> list[str]:
        return sorted({run.experiment for run in self._runs(None)})

    def _runs(self, experiment: str | None) -> list[RunSummary]:
        with self._reading():
            runs = [self._summary(*place) for place in self._places()]
            return [run for run in runs if experiment in (None, run.experiment)]

    def _reading(self) -> AbstractContextManager[None]:
        return reading(f"W&B's folder {self.uri}", self._folder.root)

    def _places(self) -> list[tuple[str, str, str]]:
        """Return id, folder and file of the runs, sorted by folder; the id is the folder's word."""
        if self._only is not None:
            return [(self.only_id(), *self._only)]
        return list(_run_folders(self._folder))

    def _locate(self, run_id: str) -> tuple[str, str]:
        if self._only is not None:
            return self._only
        found = [(folder, file) for known, folder, file in self._places() if known == run_id]
        if not found:
            raise self._no_run(run_id)
        if len(found) > 1:
            listed = ", ".join(folder for folder, _ in found)
            path = shlex.quote(str(self._folder.root / found[-1][0]))
            raise AmbiguousRun(
                f"{len(found)} folders in {self.uri} are of run {run_id}: {listed}", f"runner reproduce {path}"
            )
        return found[0]

    def _read(self, folder: str, file: str) -> RunFile:
        data = self._folder.read(f"{folder}/{file}", FILE_BYTES)
        if data is None:
            return RunFile(problems=[f"{file} is no plain file of at most {FILE_BYTES} bytes"], unreadable=True)
        return read_run_file(io.BytesIO(data))

    def _summary(self, run_id: str, folder: str, file: str) -> RunSummary:
        run = self._read(folder, file)
        return RunSummary(
            run_id=run.run_id or run_id,
            experiment=run.project or UNCATEGORIZED,
            name=run.name or None,
            start_ms=run.start_ms,
            damaged=run.unreadable,
        )

    def _files(self, folder: str) -> Folder | None:
        real = self._folder.inside(f"{folder}/{_FILES}")
        return Folder(real) if real is not None and real.is_dir() else None

    def _beside(self, folder: str) -> Beside:
        files = self._files(folder)
        if files is None:
            return Beside(
                notes=("W&B's folder of the run has no files: no packages and no metadata beside its values",)
            )
        found = list(itertools.islice(files.files(""), ARTIFACT_COUNT))
        others = tuple(Artifact(path=readable(path), size_bytes=size) for path, size in found if not is_own_file(path))
        return read_beside(files.read, [path for path, _ in found], artifacts=others)


def _run_folders(folder: Folder) -> list[tuple[str, str, str]]:
    """Return id, folder and file of each run in a folder, without those that links lead to."""
    found = []
    for name in folder.folders(""):
        match = RUN_FOLDER.fullmatch(name)
        if match is not None and not (folder.root / name).is_symlink():
            found += [(match["id"], name, file) for file in _logs(folder, name) if file == f"run-{match['id']}{SUFFIX}"]
    return found


def _logs(folder: Folder, path: str) -> list[str]:
    real = folder.inside(path)
    if real is None or not real.is_dir():
        return []
    return sorted(name for name in os.listdir(real) if name.endswith(SUFFIX) and (real / name).is_file())
