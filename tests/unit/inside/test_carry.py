"""The cache as an archive: what goes into it, what comes out at the other end, and what hostile ones cannot do."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.inside import carry, layout
from runner.inside.packages import environment
from runner.inside.packages.environment import find_ready
from runner.inside.protocol import PhaseError
from tests.support.inside import Cache, Host
from tests.unit.inside.test_prune import Store


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A machine's cache: one wheel in two environments, a build, and what is not to go."""
    store = Store(Cache(tmp_path / "here", monkeypatch))
    wheel = store.wheel("shared", "S")
    (wheel.parent / "run.sh").write_text("#!/bin/sh\n")
    (wheel.parent / "run.sh").chmod(0o755)
    os.utime(wheel, (1_600_000_000, 1_600_000_000))
    for key in ("one", "two"):
        folder = store.environment(key, wheel)
        (folder / "bin" / "python").unlink()
        (folder / "bin" / "python").symlink_to(os.path.realpath("/bin/sh"))
    store.environment("half", wheel, ready=False)
    built = store.path / "built" / "repository"
    for name in ("wheels/b.whl", "project/p.whl", "uv/archive-v0/B/b.py", "jobs/j/input/archive"):
        (built / name).parent.mkdir(parents=True)
        (built / name).write_text(name)
    for name in ("uv/.lock", "uv/.tmpX/part", "objects/files/md5/ab/c", "work/rerun/sandbox/s", "images/base"):
        (store.path / name).parent.mkdir(parents=True, exist_ok=True)
        (store.path / name).write_text("not to go")
    return store


def packed() -> bytes:
    stream = io.BytesIO()
    carry.pack(stream)
    return stream.getvalue()


def other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = Cache(tmp_path / "there", monkeypatch)
    cache.path.mkdir(exist_ok=True)
    return cache.path


def take_in(archive: bytes, monkeypatch: pytest.MonkeyPatch, *, whole: bool = True) -> int:
    from runner.rerun.answers import stream, value

    def pieces(_: object) -> Iterator[bytes]:
        yield from stream(archive[start : start + 70_000] for start in range(0, len(archive), 70_000))

    Host({"cache": pieces, "whole": lambda _: value(whole)}, monkeypatch)
    return int(carry.handle({})["environments"])


def test_what_is_finished_goes_and_nothing_else(here: Store) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed())) as tar:
        names = [member.name for member in tar if not member.isdir()]
    tops = {name.split("/")[0] for name in names}
    assert tops == {"uv", "built", "environments", "locks"}
    assert not [name for name in names if "half" in name or "jobs" in name or ".tmp" in name or name.endswith(".lock")]
    assert {"built/repository/wheels/b.whl", "built/repository/project/p.whl"} <= set(names)


def test_another_machine_finds_the_environments_ready_and_their_files_are_still_one(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed()
    assert len(archive) < 4 << 20, "a wheel is in it once"
    there = other_machine(tmp_path, monkeypatch)
    assert take_in(archive, monkeypatch) == 2
    for key in ("one", "two"):
        assert find_ready(f"spec-{key}") is not None
    wheel = there / "uv" / "archive-v0" / "S" / "shared.py"
    assert wheel.stat().st_nlink == 3
    assert wheel.stat().st_mtime == 1_600_000_000, "compiled modules name it"
    assert (there / "uv/wheels-v8/pypi/shared/1-py3-none-any/shared.py").read_bytes() == wheel.read_bytes()
    assert (wheel.parent / "run.sh").stat().st_mode & 0o777 == 0o755
    assert wheel.stat().st_mode & 0o777 == 0o644
    assert (there / "environments/one/bin/python").is_symlink()
    assert (there / "built/repository/uv/archive-v0/B/b.py").is_file()
    assert not (there / "incoming").exists() or not list((there / "incoming").iterdir())
    assert not (there / "objects").exists()


def test_what_is_there_already_stays_as_it_is(here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed()
    there = other_machine(tmp_path, monkeypatch)
    take_in(archive, monkeypatch)
    (there / "environments/one/mine").write_text("mine")
    (there / "locks/spec-two.json").unlink()
    (there / "environments/two/.ready").unlink()  # half of one, as a killed process leaves it
    inode = (there / "uv/archive-v0/S/shared.py").stat().st_ino
    assert take_in(archive, monkeypatch) == 1
    assert (there / "environments/one/mine").read_text() == "mine"
    assert (there / "uv/archive-v0/S/shared.py").stat().st_ino == inode
    assert find_ready("spec-two") is not None


def test_nothing_of_a_file_that_changed_while_it_was_read_is_taken(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed()
    there = other_machine(tmp_path, monkeypatch)
    with pytest.raises(PhaseError, match="changed while it was read"):
        take_in(archive, monkeypatch, whole=False)
    assert not [path for path in there.rglob("*") if path.is_file() and path.name != ".lock"]


def test_nothing_of_an_archive_that_breaks_off_is_taken(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed()
    there = other_machine(tmp_path, monkeypatch)
    with pytest.raises(PhaseError, match="nothing of it was taken"):
        take_in(archive[: len(archive) // 2], monkeypatch)
    assert not [path for path in there.rglob("*") if path.is_file() and path.name != ".lock"]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"x") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("/outside")],
        [member("environments/../../outside")],
        [member("work/rerun/state/environment")],
        [member("objects/files/md5/ab/c")],
        [member("environments/k/out", tarfile.SYMTYPE, "/"), member("environments/k/out/outside")],
        [member("uv/a", tarfile.SYMTYPE, "../.."), member("uv/a/outside")],
        [member("uv/a", tarfile.LNKTYPE, "../../outside")],
        [member("uv/a", tarfile.LNKTYPE, "/etc/passwd")],
        [member("uv/s", tarfile.SYMTYPE, "/etc/passwd"), member("uv/a", tarfile.LNKTYPE, "uv/s")],
        [member("uv/s", tarfile.SYMTYPE, "/etc/passwd"), member("uv/s")],
        [member("uv/d", tarfile.CHRTYPE)],
        [member("uv/f", tarfile.FIFOTYPE)],
        [member("uv/a"), member("uv/a")],
        [member("uv/a"), member("uv/a/b")],
    ],
)
def test_an_archive_that_no_cache_of_ours_gave_is_refused_and_writes_nowhere_else(
    members: list[tarfile.TarInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for each in members:
            tar.addfile(each, io.BytesIO(b"x" * each.size))
    there = other_machine(tmp_path, monkeypatch)
    with pytest.raises(PhaseError, match="nothing of it was taken"):
        take_in(stream.getvalue(), monkeypatch)
    assert not [path for path in tmp_path.rglob("*") if path.name != ".lock" and not path.is_dir()]
    assert not Path("/outside").exists()
    assert there.is_dir()


def test_an_environment_is_put_in_place_whole_after_the_wheels_and_before_its_lock(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed()
    there = other_machine(tmp_path, monkeypatch)

    def killed(key: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        take_in(archive, monkeypatch)
    assert (there / "uv/archive-v0/S/shared.py").exists()
    assert find_ready("spec-one") is None
    assert not (there / layout.LOCKS).exists() or not list(Path(layout.LOCKS).iterdir())
