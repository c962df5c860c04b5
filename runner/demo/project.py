"""A real project, made the way its author would have made it: in a container, command by command.

    FOLDER/project     the author's repository, with the MLflow store runs/mlruns beside the code
    FOLDER/remote      the project's DVC remote; the data of the run `pilot` has been deleted from it
    FOLDER/altered     a copy of experiment_v1's record in which one metric was altered
    FOLDER/.runner-demo.json   what was made, and a digest over it: by this we know the folder for ours

What the author does stands in `author/history.sh`. The result leaves the container as an archive on its standard
output, so that an engine on another machine will do.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from runner.engine.archive import folder_files
from runner.engine.interface import ContainerOutcome, ContainerRequest, Engine
from runner.errors import DiskFull, IndexUnavailable, InternalError, UsageError
from runner.inside import layout
from runner.network import NetworkSettings
from runner.progress import Progress
from runner.redact import redact

MARKER = ".runner-demo.json"
ALTERED_RUN = "experiment_v1"
ALTERED_METRIC = "test_r2"

_PARTS = ("project", "remote", "altered", "history.txt")
_HOME = "/home/author"
_FILES = "/author"
_CA_BUNDLE = f"{_FILES}/ca.pem"
_PATH = f"{layout.TOOLS_PATH}:/usr/local/bin:/usr/bin:/bin:{Path(layout.TOOLS_PYTHON).parent}"
_ARCHIVE_LIMIT_BYTES = 64 << 20
_TAIL_LINES = 12
# The settings of the host's index may hold a password: they come by standard input, never in an argument or variable
# that the engine would store.
_AS_AUTHOR = (
    f"set -ae; . /dev/stdin; set +a; "
    f"install -d -o {layout.TRAINER_UID} -g {layout.TRAINER_GID} {_HOME}; "
    f"exec setpriv --reuid {layout.TRAINER_UID} --regid {layout.TRAINER_GID} --clear-groups "
    f"bash -ec 'bash {_FILES}/history.sh {_HOME} </dev/null >&2; tar -C {_HOME} -cf - project remote history.txt'"
)


@dataclass(frozen=True, kw_only=True)
class DemoProject:
    """What was made. `runs` maps the names of the author's runs to their ids, `log` is a line per commit, oldest first.

    `recorded` is the true value of the altered metric, `altered` what the copy of the record says instead.
    """

    folder: Path
    runs: dict[str, str]
    log: tuple[str, ...]
    recorded: float
    altered: float

    @property
    def repository(self) -> Path:
        """The author's repository."""
        return self.folder / "project"

    @property
    def tracker(self) -> Path:
        """The author's MLflow store."""
        return self.repository / "runs" / "mlruns"

    @property
    def altered_tracker(self) -> Path:
        """The store with the altered record."""
        return self.folder / "altered" / "mlruns"

    @property
    def remote(self) -> Path:
        """The project's DVC remote."""
        return self.folder / "remote"


def make_project(
    folder: Path, *, engine: Engine, image: str, network: NetworkSettings, progress: Progress
) -> DemoProject:
    """Make the project in `folder`, or return the one that is there, whole and unchanged.

    `image` is our tools image, which has git, DVC and uv. Raises UsageError where the folder holds anything else or a
    demo that was changed, IndexUnavailable where the project's requirements cannot be had.
    """
    there = existing_project(folder)
    if there is not None:
        return there
    folder.mkdir(parents=True, exist_ok=True)
    _remove_parts(folder)
    # Known as ours from the start: a demo that was broken off is made again without a question.
    (folder / MARKER).write_text(json.dumps({"complete": False}) + "\n")
    with tempfile.TemporaryFile() as archive:
        _live_the_history(engine, image, network, progress, archive)
        archive.seek(0)
        unpack(archive, folder)
    project = _describe(folder)
    alter_record(project)
    values = {key: value for key, value in asdict(project).items() if key != "folder"}
    marker = {"complete": True, "author": author_digest(), "digest": project_digest(folder), **values}
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n")
    return project


def existing_project(folder: Path) -> DemoProject | None:
    """Return the whole and unchanged demo in `folder`; None where there is nothing, or what a broken-off one left.

    Raises UsageError for a folder that is not ours to write to.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "runner demo OTHER_FOLDER")
    if not any(folder.iterdir()):
        return None
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text())
        complete = bool(marker["complete"])
    except (OSError, ValueError, TypeError, KeyError):
        raise UsageError(
            f"{folder} is not empty and holds no demo, so nothing was written to it", "runner demo OTHER_FOLDER"
        ) from None
    if not complete:
        return None
    if marker["author"] != author_digest() or marker["digest"] != project_digest(folder):
        raise UsageError(
            f"{folder} holds a demo that was changed since it was made, or made by another version",
            f"runner demo OTHER_FOLDER, or rm -r {shlex.quote(str(folder))} and then the same command again",
        )
    return DemoProject(
        folder=folder,
        runs=marker["runs"],
        log=tuple(marker["log"]),
        recorded=marker["recorded"],
        altered=marker["altered"],
    )


def author_files() -> list[tuple[str, bytes]]:
    """Return what the author works with, as (path relative to `author/`, content)."""
    return [(path, content) for path, content in folder_files(Path(__file__).with_name("author"), "author")]


def author_digest() -> str:
    """Return a digest over the author's files."""
    return _digest(author_files())


def project_digest(folder: Path) -> str:
    """Return a digest over what the cases of the demo rest on: the records, the remote and the commits."""
    parts = ("project/runs/mlruns", "project/.git/refs", "remote", "altered")
    return _digest(pair for part in parts for pair in folder_files(folder / part, part))


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Unpack the author's folders into `folder`. Raises InternalError for any member that does not belong there.

    Everything becomes the user's own: git refuses repositories of other people.
    """
    with tarfile.open(fileobj=archive, mode="r:") as members:
        total = 0
        for member in members:
            parts = Path(member.name).parts
            total += member.size
            if not parts or parts[0] not in _PARTS or ".." in parts or not (member.isreg() or member.isdir()):
                raise InternalError(f"the demo's archive holds {member.name!r}", "run again with --debug and report it")
            if total > _ARCHIVE_LIMIT_BYTES:
                raise InternalError("the demo's archive is too large", "run again with --debug and report it")
            target = folder.joinpath(*parts)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            content = members.extractfile(member)
            assert content is not None  # noqa: S101  # a regular file has content
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
            target.chmod(member.mode & 0o777)


def alter_record(project: DemoProject) -> None:
    """Write a store that holds a copy of the run `ALTERED_RUN` alone, with one metric better than it was."""
    source = next(project.tracker.glob(f"*/{project.runs[ALTERED_RUN]}"))
    experiment = project.altered_tracker / source.parent.name
    shutil.copytree(source, experiment / source.name)
    shutil.copy2(source.parent / "meta.yaml", experiment / "meta.yaml")
    metric = experiment / source.name / "metrics" / ALTERED_METRIC
    time, _, step = metric.read_text().split()
    metric.write_text(f"{time} {project.altered!r} {step}\n")


def _describe(folder: Path) -> DemoProject:
    tracker = folder / "project" / "runs" / "mlruns"
    runs = {path.read_text().strip(): path.parents[1] for path in tracker.glob("*/*/tags/mlflow.runName")}
    recorded = float((runs[ALTERED_RUN] / "metrics" / ALTERED_METRIC).read_text().split()[1])
    return DemoProject(
        folder=folder,
        runs={name: runs[name].name for name in sorted(runs)},
        log=tuple((folder / "history.txt").read_text().splitlines()),
        recorded=recorded,
        altered=round(recorded + 0.05, 4),
    )


def _live_the_history(
    engine: Engine, image: str, network: NetworkSettings, progress: Progress, archive: IO[bytes]
) -> None:
    files = [(f"/{path}", content) for path, content in author_files()]
    ca_path = None
    if network.ca_bundle is not None:
        files.append((_CA_BUNDLE, network.ca_bundle))
        ca_path = _CA_BUNDLE
    variables = network.variables(ca_path)
    told = _Told(progress)

    def receive(data: bytes) -> None:
        archive.write(data)

    outcome = engine.run(
        ContainerRequest(
            image=image,
            argv=("bash", "-c", _AS_AUTHOR),
            purpose="demo",
            environment={"HOME": _HOME, "USER": "author", "PATH": _PATH, "LANG": "C.UTF-8"},
            files=tuple(files),
            stdin=[f"{name}={shlex.quote(value)}\n".encode() for name, value in sorted(variables.items())],
            working_directory="/",
            network="host" if network.needs_host_network else "bridge",
        ),
        stdout=receive,
        stderr=told.feed,
    )
    if outcome.exit_code != 0:
        raise _broken_off(outcome, told)


def _broken_off(outcome: ContainerOutcome, told: _Told) -> DiskFull | IndexUnavailable | InternalError:
    end = redact(" | ".join(told.tail))
    if "No space left on device" in end:
        return DiskFull("no space is left for the demo's project", "runner setup --prune --all")
    if told.stage.startswith("installing"):
        return IndexUnavailable(f"the demo's requirements could not be installed: {end[-600:]}", "runner doctor")
    return InternalError(
        f"the demo's author broke off with status {outcome.exit_code} at {told.stage!r}: {end[-600:]}",
        "run again with --debug and report it",
    )


class _Told:
    """Cuts the author's output into lines, tells of the stages and keeps the end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._rest = b""
        self.stage = "start"
        self.tail: list[str] = []

    def feed(self, data: bytes) -> None:
        self._progress.log(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").strip()
            if text.startswith("== "):
                self.stage = text[3:]
                self._progress.update(self.stage)
            elif text:
                self.tail = [*self.tail[1 - _TAIL_LINES :], text]


def _remove_parts(folder: Path) -> None:
    for name in _PARTS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _digest(files: Iterator[tuple[str, bytes]] | list[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for path, content in files:
        for piece in (path.encode(), content):
            digest.update(len(piece).to_bytes(8, "big") + piece)
    return "sha256:" + digest.hexdigest()
