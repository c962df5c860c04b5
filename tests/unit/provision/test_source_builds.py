"""Builds from source: what is read before, what may come out, and who gets the index's credentials."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from runner.inside import build, layout
from runner.inside.packages import archives
from runner.inside.packages.archives import Archive, BuildSystem
from runner.inside.packages.archives import build_system as declared
from runner.inside.packages.indexes import IndexSettings
from runner.inside.packages.source_builds import BuildFolder, Preparation, fetch
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.uv import Uv, WheelsNeeded
from runner.inside.protocol import PhaseError
from tests.support.package_index import PackageIndex, source_bytes, wheel_bytes


def build_system(path: Path) -> BuildSystem:
    return declared(Archive(path))


def collect(folder: BuildFolder, made: dict[str, Any]) -> dict[str, Any] | None:
    return Preparation(folder, Uv(IndexSettings(), secrets="/nonexistent"), "python3", None).collect(made)


def archive(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, BytesIO(text.encode()))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildFolder:
    monkeypatch.setattr(layout, "BUILT", str(tmp_path / "built"))
    monkeypatch.setattr(os, "chown", lambda *_: None)
    return BuildFolder("repo", "attempt")


def job(folder: BuildFolder, name: str | None = "one", **files: str) -> dict[str, Any]:
    path = folder.job("one")
    (path / "output" / "dist").mkdir(parents=True)
    for file in files.values():
        stem = file.split("-py3")[0].rpartition("-")
        (path / "output" / "dist" / file).write_bytes(wheel_bytes(stem[0] or "x", stem[2], {"x.py": ""}))
    job: dict[str, Any] = {"path": str(path), "subpath": "x", "name": name, "version": "1.0", "tree": None}
    return {**job, "title": f"{name} 1.0", "build_as_of": None, "in_workspace": False, "asked": 0, "chain": []}


def test_the_build_system_is_read_and_not_run(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["flit_core >=3.2"]\nbuild-backend = "flit_core.buildapi"\n'
    found = build_system(archive(tmp_path / "a.tar.gz", {"a-1/pyproject.toml": text, "a-1/x/pyproject.toml": "no"}))
    assert found == BuildSystem(requires=("flit_core >=3.2",), backend="flit_core.buildapi")


def test_without_one_it_is_setuptools(tmp_path: Path) -> None:
    found = build_system(archive(tmp_path / "a.tar.gz", {"a-1/setup.py": ""}))
    assert found.backend == "setuptools.build_meta:__legacy__"
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as pack:
        pack.writestr("b-1/pyproject.toml", '[build-system]\nrequires = ["wheel"]\n')
    assert build_system(tmp_path / "b.zip").requires == ("wheel",)


def test_a_build_requirement_that_no_index_gives_is_refused(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["x @ https://example.org/x.whl"]\n'
    with pytest.raises(PhaseError, match="no package index can give"):
        build_system(archive(tmp_path / "a.tar.gz", {"a-1/pyproject.toml": text}))


def test_a_broken_archive_is_a_missing_environment(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"not gzip")
    with pytest.raises(PhaseError, match="cannot be read"):
        build_system(tmp_path / "a.tar.gz")


def test_the_wheel_of_the_package_is_kept_and_the_job_removed(folder: BuildFolder) -> None:
    made = job(folder, a="one-1.0-py3-none-any.whl", b="numpy-9.9-py3-none-any.whl")
    assert collect(folder, made) is None
    assert [(wheel.name, wheel.version) for wheel in folder.wheels()] == [("one", "1.0")]
    assert not Path(made["path"]).exists()


@pytest.mark.parametrize("name", ["numpy-9.9-py3-none-any.whl", "one-2.0-py3-none-any.whl", "one.whl", "notes.txt"])
def test_the_wheel_of_another_package_is_not_taken(folder: BuildFolder, name: str) -> None:
    with pytest.raises(PhaseError, match="gave no wheel"):
        collect(folder, job(folder, a=name))


def test_a_link_in_the_place_of_a_wheel_is_not_followed(folder: BuildFolder, tmp_path: Path) -> None:
    made = job(folder)
    (tmp_path / "secret").write_text("of others")
    (Path(made["path"]) / "output" / "dist" / "one-1.0-py3-none-any.whl").symlink_to(tmp_path / "secret")
    with pytest.raises(PhaseError, match="gave no wheel"):
        collect(folder, made)


def test_a_link_in_the_place_of_the_folder_of_wheels_leads_to_nobody_elses(folder: BuildFolder, tmp_path: Path) -> None:
    made = job(folder)
    others = tmp_path / "others"
    others.mkdir()
    (others / "one-1.0-py3-none-any.whl").write_bytes(wheel_bytes("one", "1.0", {"one.py": "poison"}))
    (Path(made["path"]) / "output" / "dist").rmdir()
    (Path(made["path"]) / "output" / "dist").symlink_to(others)
    with pytest.raises(PhaseError, match="gave no wheel"):
        collect(folder, made)


def test_a_wheel_with_odd_entries_is_refused_and_named(folder: BuildFolder) -> None:
    made = job(folder)
    content = wheel_bytes("one", "1.0", {"../../one.py": ""})
    (Path(made["path"]) / "output" / "dist" / "one-1.0-py3-none-any.whl").write_bytes(content)
    with pytest.raises(PhaseError, match=r"one 1\.0 gave a wheel that is not installed: its entry '\.\./\.\./one\.py'"):
        collect(folder, made)


def test_the_wheel_of_a_tree_is_kept_for_that_place_and_way_alone(folder: BuildFolder) -> None:
    tree = SourceTree("libs/a", editable=True)
    made = {**job(folder, None, a="one-1.0-py3-none-any.whl"), "version": None, "tree": tree.key, "commit": "c" * 40}
    assert collect(folder, made) is None
    assert folder.of_tree(tree.key) is not None
    assert folder.of_tree(SourceTree("libs/a").key) is None
    assert folder.of_tree(SourceTree("libs/b", editable=True).key) is None
    assert folder.wheels() == []


def test_a_tree_gives_the_package_that_the_list_calls_it_by(folder: BuildFolder) -> None:
    made = {**job(folder, "other", a="one-1.0-py3-none-any.whl"), "version": None, "tree": "k", "title": "libs/a"}
    with pytest.raises(PhaseError, match="building libs/a gave no wheel"):
        collect(folder, made)


def test_what_needs_itself_to_be_built_is_refused_with_the_way_there(folder: BuildFolder) -> None:
    preparation = Preparation(folder, Uv(IndexSettings(), secrets="/nonexistent"), "python3", None)
    with pytest.raises(PhaseError, match=r"a has no wheel .*: building it needs itself, by way of a and b"):
        preparation.source(WheelsNeeded("a", None, ""), as_of=None, chain=("a", "b"))


LEGACY = """
import os, sys
import numpy as np
from Cython.Build import cythonize
from setuptools import setup
import own_helper
NEEDS = ["pytest-runner>=2"]
setup(name="a", setup_requires=NEEDS + ["setuptools_scm"], ext_modules=cythonize("a.pyx"))
"""


def test_what_a_legacy_project_writes_down_or_imports_is_read_and_not_run(tmp_path: Path) -> None:
    config = "[options]\nsetup_requires =\n  cffi>=1\n  wheel\n"
    found = build_system(archive(tmp_path / "a.tar.gz", {"a-1/setup.py": LEGACY, "a-1/setup.cfg": config}))
    assert found.requires == (
        *("setuptools>=40.8.0", "wheel", "cffi>=1", "pytest-runner>=2", "setuptools_scm", "numpy", "Cython"),
    )


def test_what_a_project_declares_is_not_added_to_by_its_imports(tmp_path: Path) -> None:
    text = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    found = build_system(archive(tmp_path / "a.tar.gz", {"a-1/setup.py": LEGACY, "a-1/pyproject.toml": text}))
    assert found.requires == ("setuptools", "pytest-runner>=2", "setuptools_scm")


@pytest.mark.parametrize(
    "text", ["print 'two'", "\0", "setup(setup_requires=" + "[" * 90 + "]" * 90 + ")", "a = a\nsetup(setup_requires=a)"]
)
def test_a_setup_py_that_python_cannot_parse_says_nothing(tmp_path: Path, text: str) -> None:
    assert build_system(archive(tmp_path / "a.tar.gz", {"a-1/setup.py": text})).requires == (
        "setuptools>=40.8.0",
        "wheel",
    )


def test_an_archive_that_unpacks_to_no_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_UNPACKED_LIMIT", 1 << 20)
    path = archive(tmp_path / "a.tar.gz", {f"a-1/{number}": "x" * 300_000 for number in range(9)})
    with pytest.raises(PhaseError, match="unpacks to more than"):
        build_system(path)


def test_an_archive_that_breaks_off_is_a_missing_environment(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar.gz", {f"a-1/{number}": os.urandom(9000).hex() for number in range(9)})
    content = bytearray(whole.read_bytes())
    (tmp_path / "b.tar.gz").write_bytes(content[: len(content) // 2])
    content[len(content) // 2 :] = os.urandom(len(content) - len(content) // 2)
    (tmp_path / "c.tar.gz").write_bytes(content)
    for name in ("b.tar.gz", "c.tar.gz"):
        with pytest.raises(PhaseError, match="cannot be read"):
            build_system(tmp_path / name)


def test_the_package_in_a_folder_of_the_commit_is_read_from_there(tmp_path: Path) -> None:
    texts = {name: f'[build-system]\nrequires = ["{name}"]\n' for name in ("root", "member")}
    path = archive(tmp_path / "p.tar", {"pyproject.toml": texts["root"], "libs/a/pyproject.toml": texts["member"]})
    assert declared(Archive(path, folder="libs/a")).requires == ("member",)
    assert declared(Archive(path, folder=".")).requires == ("root",)
    assert declared(Archive(path, folder="a")).requires == ("setuptools>=40.8.0", "wheel")


@pytest.mark.parametrize("listed", ['["x @ https://evil.example/x.whl"]', '["--index-url https://evil.example"]'])
def test_what_a_build_asks_for_is_checked_before_it_is_fetched(folder: BuildFolder, listed: str) -> None:
    made = job(folder)
    (Path(made["path"]) / "output" / "need.json").write_text(listed)
    with pytest.raises(PhaseError, match="no package index can give"):
        collect(folder, made)


def test_credentials_go_to_the_host_that_they_are_for_and_the_bytes_are_checked(tmp_path: Path) -> None:
    with PackageIndex(userinfo="me:secret") as index:
        content = index.add_wheel("a", "1")
        address = index.address.replace("/simple", "/files/a-1-py3-none-any.whl")
        digest = hashlib.sha256(content).hexdigest()
        fetch(address, tmp_path / "a", sha256=digest, settings=IndexSettings(default=index.address_with_credentials))
        assert (tmp_path / "a").read_bytes() == content
        elsewhere = index.address_with_credentials.replace("127.0.0.1", "localhost")
        with pytest.raises(PhaseError, match="HTTP 401"):
            fetch(address, tmp_path / "b", sha256=digest, settings=IndexSettings(default=elsewhere))
        with pytest.raises(PhaseError, match="other bytes"):
            fetch(
                address, tmp_path / "c", sha256="0" * 64, settings=IndexSettings(own=(index.address_with_credentials,))
            )


def test_offline_fetches_nothing(tmp_path: Path) -> None:
    with pytest.raises(PhaseError, match="--offline"):
        fetch("https://example.org/a", tmp_path / "a", sha256="", settings=IndexSettings(offline=True))


def run_build(tmp_path: Path, prologue: str, name: str = "one") -> tuple[int, Path]:
    for part in ("input", "output"):
        (tmp_path / part).mkdir()
    (tmp_path / "input" / "a.tar.gz").write_bytes(source_bytes(name, "1.0", prologue=prologue))
    document = {
        "archive": str(tmp_path / "input" / "a.tar.gz"),
        "source": str(tmp_path / "output" / "source"),
        "root": ".",
        "output": str(tmp_path / "output"),
        "python": sys.executable,
        "backend": "backend",
        "backend_path": ["."],
        "editable": False,
        "requires": ["known>=1"],
    }
    (tmp_path / "input" / "job.json").write_text(json.dumps(document))
    done = subprocess.run([sys.executable, "-I", build.__file__, str(tmp_path)], capture_output=True, check=False)
    return done.returncode, tmp_path / "output"


def test_a_wheel_is_built_by_the_backend_in_the_archive(tmp_path: Path) -> None:
    status, output = run_build(tmp_path, "def module(): return ''\n")
    assert status == 0
    assert [path.name for path in (output / "dist").iterdir()] == ["one-1.0-py3-none-any.whl"]


def test_what_a_backend_asks_for_besides_is_handed_out_and_not_fetched(tmp_path: Path) -> None:
    status, output = run_build(
        tmp_path, "def get_requires_for_build_wheel(_): return ['not-there-zz>=1', 'pytest']\ndef module(): return ''\n"
    )
    assert status == build.NEEDS_MORE
    assert json.loads((output / "need.json").read_text()) == ["not-there-zz>=1"]


def test_a_version_that_a_backend_asks_for_is_handed_out_although_another_is_there(tmp_path: Path) -> None:
    status, output = run_build(
        tmp_path, "def get_requires_for_build_wheel(_): return ['pytest>=1', 'known>=1']\ndef module(): return ''\n"
    )
    assert status == build.NEEDS_MORE
    assert json.loads((output / "need.json").read_text()) == ["pytest>=1"]


def test_a_backend_that_fails_fails_the_build(tmp_path: Path) -> None:
    assert run_build(tmp_path, "def module(): raise ValueError\n")[0] not in (0, build.NEEDS_MORE)
