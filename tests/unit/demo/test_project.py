"""The demo's folder: what may be written there, when it is made again, and what the author's container is told."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from runner.demo.project import (
    MARKER,
    DemoProject,
    alter_record,
    author_digest,
    author_files,
    existing_project,
    make_project,
    project_digest,
    unpack,
)
from runner.engine.interface import ContainerOutcome, ContainerRequest, Engine, EngineInfo, Sink
from runner.errors import DiskFull, IndexUnavailable, InternalError, RunnerError, UsageError
from runner.network import NetworkSettings
from runner.progress import NoProgress

RUN = "project/runs/mlruns/1/aa11"
FILES = {
    f"{RUN}/tags/mlflow.runName": b"experiment_v1",
    f"{RUN}/metrics/test_r2": b"1795464114454 0.4945670116162584 0\n",
    f"{RUN}/meta.yaml": b"run_id: aa11\n",
    "project/runs/mlruns/1/meta.yaml": b"name: diabetes\n",
    "project/.git/refs/heads/main": b"b7e65511983f29878d8681b9ca74f0d3a85d1e11\n",
    "remote/files/md5/7b/335f": b"age,sex\n",
    "history.txt": b"6ed37cf  2025-02-03  First\nb7e6551  2025-06-02  Last\n",
}


class Author(Engine):
    """An engine in which the author's container says and leaves what the test wants."""

    def __init__(self, archive: bytes = b"", *, said: bytes = b"", exit_code: int = 0) -> None:
        self.archive, self.said, self.exit_code = archive, said, exit_code
        self.requests: list[ContainerRequest] = []

    @property
    def session_id(self) -> str:
        return "session"

    @property
    def info(self) -> EngineInfo:
        raise AssertionError("not asked for")

    def run(self, request: ContainerRequest, *, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        self.requests.append(request)
        stderr(self.said[:7])
        stderr(self.said[7:])
        stdout(self.archive)
        return ContainerOutcome(exit_code=self.exit_code, out_of_memory=False, timed_out=False, seconds=1.0)

    def ensure_volume(self, name: str) -> None:
        raise AssertionError("not asked for")

    def image_digest(self, reference: str) -> str | None:
        raise AssertionError("not asked for")

    def close(self) -> None:
        pass


def archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def regular(name: str, mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = mode
    return member


WHOLE = archive_of(*((regular(name), content) for name, content in FILES.items()))


def make(folder: Path, engine: Engine, network: NetworkSettings | None = None) -> DemoProject:
    return make_project(
        folder, engine=engine, image="tools", network=network or NetworkSettings(), progress=NoProgress()
    )


def test_made_project_names_its_runs_and_its_history(tmp_path: Path) -> None:
    project = make(tmp_path / "demo", Author(WHOLE))
    assert project.runs == {"experiment_v1": "aa11"}
    assert project.log == ("6ed37cf  2025-02-03  First", "b7e6551  2025-06-02  Last")


def test_altered_store_differs_from_the_original_in_one_metric_alone(tmp_path: Path) -> None:
    project = make(tmp_path / "demo", Author(WHOLE))
    original = {
        path.relative_to(project.tracker): path.read_text() for path in project.tracker.rglob("*") if path.is_file()
    }
    altered = {
        path.relative_to(project.altered_tracker): path.read_text()
        for path in project.altered_tracker.rglob("*")
        if path.is_file()
    }
    assert original.keys() == altered.keys()
    assert [path.name for path in original if original[path] != altered[path]] == ["test_r2"]
    assert altered[Path("1/aa11/metrics/test_r2")] == "1795464114454 0.5446 0\n"
    assert project.recorded == 0.4945670116162584


def test_second_demo_in_the_same_folder_makes_nothing_again(tmp_path: Path) -> None:
    engine = Author(WHOLE)
    first = make(tmp_path / "demo", engine)
    second = make(tmp_path / "demo", engine)
    assert second == first
    assert len(engine.requests) == 1


def test_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    engine = Author(WHOLE)
    with pytest.raises(UsageError) as caught:
        make(tmp_path, engine)
    assert caught.value.exit_code == 2
    assert "not empty" in caught.value.cause
    assert "runner demo" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert engine.requests == []


@pytest.mark.parametrize("marker", ["", "[]", "3", "{}", "not json"])
def test_folder_whose_marker_is_not_ours_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / MARKER).write_text(marker)
    with pytest.raises(UsageError, match="holds no demo"):
        existing_project(tmp_path)


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        existing_project(tmp_path / "demo")


def test_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert existing_project(tmp_path) is None
    assert make(tmp_path, Author(WHOLE)).folder == tmp_path


@pytest.mark.parametrize("path", ["remote/files/md5/7b/335f", f"{RUN}/metrics/test_r2", "project/.git/refs/heads/main"])
def test_changed_demo_is_neither_used_nor_removed(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "demo"
    make(folder, Author(WHOLE))
    (folder / path).write_text("tried something")
    with pytest.raises(UsageError, match="changed") as caught:
        make(folder, Author(WHOLE))
    assert f"rm -r {folder}" in caught.value.remedy
    assert (folder / path).read_text() == "tried something"


def test_demo_of_another_version_is_not_taken_for_ours(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    make(folder, Author(WHOLE))
    marker = json.loads((folder / MARKER).read_text())
    assert marker["author"] == author_digest()
    assert marker["digest"] == project_digest(folder)
    (folder / MARKER).write_text(json.dumps({**marker, "author": "sha256:0"}))
    with pytest.raises(UsageError, match="another version"):
        existing_project(folder)


def test_demo_that_broke_off_is_made_again_from_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with pytest.raises(InternalError):
        make(folder, Author(archive_of((regular("remote/half"), b"x"), (regular("strange"), b""))))
    assert (folder / "remote" / "half").exists()
    make(folder, Author(WHOLE))
    assert not (folder / "remote" / "half").exists()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"== installing the project's requirements\nerror: failed to fetch\n", IndexUnavailable),
        (b"== pilot on the first 150 patients\nValueError: bad\n", InternalError),
        (b"== installing\nuv: No space left on device (os error 28)\n", DiskFull),
    ],
)
def test_broken_off_author_is_told_apart_by_the_stage(tmp_path: Path, said: bytes, error: type[RunnerError]) -> None:
    with pytest.raises(error) as caught:
        make(tmp_path / "demo", Author(said=said, exit_code=1))
    assert caught.value.cause
    assert caught.value.remedy


def test_index_password_is_in_no_message_argument_or_variable(tmp_path: Path) -> None:
    engine = Author(
        said=b"== installing\nerror: failed to fetch https://ada:hunter2@index.example/simple\n", exit_code=1
    )
    network = NetworkSettings(index_url="https://ada:hunter2@index.example/simple", ca_bundle=b"PEM")
    with pytest.raises(IndexUnavailable) as caught:
        make(tmp_path / "demo", engine, network)
    (request,) = engine.requests
    assert "hunter2" not in caught.value.cause
    assert "hunter2" not in " ".join([*request.argv, *request.environment.values()])
    assert b"UV_DEFAULT_INDEX=https://ada:hunter2@index.example/simple\n" in (request.stdin or ())
    assert ("/author/ca.pem", b"PEM") in request.files


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "project/../../outside", "other/file", ".runner-demo.json"]
)
def test_archive_member_outside_the_demo_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InternalError):
        unpack(io.BytesIO(archive_of((regular(name), b"x"))), tmp_path / "demo")
    assert not (tmp_path / "outside").exists()


def test_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    member = regular("project/link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    with pytest.raises(InternalError):
        unpack(io.BytesIO(archive_of((member, b""))), tmp_path)


def test_unpacked_objects_keep_their_mode(tmp_path: Path) -> None:
    unpack(io.BytesIO(archive_of((regular("remote/files/md5/7b/335f", 0o444), b"x"))), tmp_path)
    assert (tmp_path / "remote/files/md5/7b/335f").stat().st_mode & 0o777 == 0o444


def test_altering_takes_the_record_of_the_named_run(tmp_path: Path) -> None:
    unpack(io.BytesIO(WHOLE), tmp_path)
    project = DemoProject(folder=tmp_path, runs={"experiment_v1": "aa11"}, log=(), recorded=0.5, altered=0.25)
    alter_record(project)
    assert (project.altered_tracker / "1/aa11/metrics/test_r2").read_text().split()[1] == "0.25"


def test_author_pins_every_package_and_names_no_index() -> None:
    files = dict(author_files())
    requirements = files["author/project/requirements.txt"].decode()
    lines = [line for line in requirements.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all(re.match(r"[a-z0-9-]+==[0-9][^ ]*( ; .*)?$", line) for line in lines)
    assert "://" not in requirements


def test_author_follows_the_pattern() -> None:
    files = {path: content.decode() for path, content in author_files()}
    script = files["author/project/scripts/train.py"]
    history = files["author/history.sh"]
    assert 'set_tracking_uri("file:runs/mlruns")' in script
    assert all(tag in script for tag in ("git_commit", "dvc_data_md5", "dvc_model_md5"))
    assert len(re.findall(r"^commit \d{4}-\d\d-\d\d ", history, re.MULTILINE)) >= 6
    # Each model is versioned after the run that made it: at the run's own commit its pointer is stale.
    for name in ("pilot", "experiment_v1", "experiment_v2"):
        after = history[history.index(f"--run-name {name}") :]
        assert after.index("dvc add --quiet runs/diabetes/model.joblib") < after.index("commit ")
