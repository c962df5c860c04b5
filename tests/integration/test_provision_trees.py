"""Packages that no index has, on a real engine: folders and files of the commit, and other repositories by https."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact
from runner.inside import layout
from runner.prepare import Prepared
from runner.repository.bundle import cached_bundle
from runner.repository.mirror import open_mirror
from runner.schema.rerun import ResolvedEnvironment
from tests.integration.test_provision_locks import case_of
from tests.support.git_server import serving_git
from tests.support.package_index import BACKEND, PackageIndex, wheel_bytes
from tests.support.provisioning import Case, refused
from tests.support.repositories import FIRST_DATE, Repository
from tests.support.values import changed

HOUR = 3600
BACKEND_ITSELF = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def package(name: str, text: str, folder: str = "") -> dict[str, str]:
    """A folder that builds a package of one module, with a build backend of its own."""
    prologue = f"def module():\n    return {text!r}\n"
    return {
        f"{folder}pyproject.toml": f'[project]\nname = "{name}"\nversion = "1.0"\n{BACKEND_ITSELF}',
        f"{folder}backend.py": BACKEND.format(name=name, version="1.0", prologue=prologue),
    }


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Case:
    return case_of(shared_engine, shared_images, cache_volume)


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


def provisioned(
    case: Case, project: Repository, held: Mapping[str, str | bytes | None], index: Any, tmp_path: Path, **fields: Any
) -> ResolvedEnvironment:
    """Commit the files and provision from them as the host does, with the commit's bundle."""
    commit = project.commit(held)
    mirror = open_mirror(str(project.path), tmp_path / "cache", commit=commit)
    plan = case.plan(commit=commit, **fields)
    plan = changed(plan, lineage=changed(plan.lineage, repository=str(project.path)))
    return case.provision(plan, index, bundle=cached_bundle(mirror, commit), package_sources=tmp_path / "mirrors")


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as index:
        yield index


def test_folders_and_wheels_of_the_repository_are_installed_beside_packages(
    case: Case, project: Repository, index: PackageIndex, tmp_path: Path
) -> None:
    index.add_wheel("other", "2.0")
    text = "other\n./libs/foo\n-e ./libs/bar\n./wheels/baz-3.0-py3-none-any.whl\n"
    files: dict[str, str | bytes | None] = {
        "requirements.txt": text,
        **package("foo", "what = 'foo'", "libs/foo/"),
        **package("bar", "what = 'bar'", "libs/bar/"),
        "wheels/baz-3.0-py3-none-any.whl": wheel_bytes("baz", "3.0", {"baz.py": "what = 'baz'\n"}, requires=("other",)),
    }
    made = provisioned(case, project, files, index, tmp_path, files={"requirements.txt": text})
    assert made.packages == {"bar": "1.0", "baz": "3.0", "foo": "1.0", "other": "2.0"}
    assert case.python(made, "import foo, bar, baz; print(foo.what, bar.what, baz.what)").split() == [
        "foo",
        "bar",
        "baz",
    ]
    assert any("libs/foo of the repository was installed as foo 1.0" in note for note in made.notes)
    # What the commit's code built is in nobody else's store.
    assert case.shell(f"find {layout.UV_CACHE} -name 'foo-1.0*' -o -name 'bar-1.0*' -o -name 'baz-3.0*'") == ""


def test_another_repository_at_a_commit_is_fetched_by_the_host_and_built_without_a_network(
    case: Case, project: Repository, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Repository(tmp_path / "library")
    commit = library.commit(package("lib", "version = 'first'", "python/"))
    library.commit(package("lib", "version = 'second'", "python/"))
    with serving_git(library, tmp_path, monkeypatch) as server:
        address = server.address
        text = f"lib @ git+{address}@{commit}#subdirectory=python\n"
        fields: dict[str, Any] = {"files": {"requirements.txt": text}, "repositories": (address,)}
        made = provisioned(case, project, {"requirements.txt": text}, index, tmp_path, **fields)
    assert case.python(made, "import lib; print(lib.version)").strip() == "first"
    assert any(f"{address} at {commit}" in note for note in made.notes)
    # The same again needs no server: it is ready.
    assert provisioned(case, project, {"requirements.txt": text}, index, tmp_path, **fields).packages == made.packages


@pytest.mark.full
def test_a_branch_of_another_repository_is_what_it_was_on_the_day(
    case: Case, project: Repository, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Repository(tmp_path / "library")
    commits = [library.commit(package("lib", f"number = {number}")) for number in range(3)]
    with serving_git(library, tmp_path, monkeypatch) as server:
        address = server.address
        text = f"git+{address}@main\n"
        fields: dict[str, Any] = {"files": {"requirements.txt": text}, "repositories": (address,)}
        day = datetime.fromtimestamp(FIRST_DATE + HOUR + 1, timezone.utc)
        made = provisioned(case, project, {"requirements.txt": text}, index, tmp_path, as_of=day, **fields)
    assert case.python(made, "import lib; print(lib.number)").strip() == "1"
    assert any(commits[1] in note for note in made.notes)


def test_members_of_a_workspace_are_installed_as_uv_has_them(
    case: Case, project: Repository, index: PackageIndex, tmp_path: Path
) -> None:
    app = '[project]\nname = "app"\nversion = "1.0"\nrequires-python = ">=3.9"\ndependencies = ["foo"]\n'
    app += '[tool.uv]\npackage = false\n[tool.uv.workspace]\nmembers = ["libs/*"]\n'
    files = {"pyproject.toml": f"{app}[tool.uv.sources]\nfoo = {{ workspace = true }}\n"}
    files |= package("foo", "what = 'foo'", "libs/foo/") | package("unused", "", "libs/unused/")
    for name in files:
        files[name] = files[name].replace(
            'version = "1.0"\n[build', 'version = "1.0"\nrequires-python = ">=3.9"\n[build'
        )
    project.commit(files)
    subprocess.run([Path(sys.executable).with_name("uv"), "lock", "--offline", "--quiet"], cwd=project.path, check=True)
    files["uv.lock"] = (project.path / "uv.lock").read_text()
    texts = {name: text for name, text in files.items() if name.endswith((".toml", ".lock"))}
    made = provisioned(case, project, files, index, tmp_path, kind="uv.lock", main="uv.lock", files=texts)
    assert made.packages == {"foo": "1.0"}
    assert case.python(made, "import foo; print(foo.what)").strip() == "foo"


POETRY_LOCK = """
[[package]]
name = "foo"
version = "1.0"
optional = false
python-versions = "*"
develop = true
files = []
[package.dependencies]
other = "*"
[package.source]
type = "directory"
url = "../libs/foo"

[[package]]
name = "other"
version = "2.0"
optional = false
python-versions = "*"
files = [{{file = "other-2.0-py3-none-any.whl", hash = "sha256:{sha256}"}}]

[metadata]
lock-version = "2.0"
"""


def test_a_path_dependency_of_a_poetry_lock_is_built_from_the_commit(
    case: Case, project: Repository, index: PackageIndex, tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(index.add_wheel("other", "2.0")).hexdigest()
    index.add_wheel("other", "3.0")
    texts = {
        "app/pyproject.toml": '[tool.poetry.dependencies]\nfoo = { path = "../libs/foo", develop = true }\n',
        "app/poetry.lock": POETRY_LOCK.format(sha256=sha256),
    }
    files = {**texts, **package("foo", "what = 'foo'", "libs/foo/")}
    fields = {"kind": "poetry.lock", "root": "app", "main": "app/poetry.lock", "files": texts}
    made = provisioned(case, project, files, index, tmp_path, **fields)
    assert {"foo": "1.0", "other": "2.0"}.items() <= made.packages.items()
    assert case.python(made, "import foo; print(foo.what)").strip() == "foo"


def test_a_folder_that_is_no_package_is_a_missing_fact_that_names_it(
    case: Case, project: Repository, index: PackageIndex, tmp_path: Path
) -> None:
    text = "./libs/nothing\n"
    commit = project.commit({"requirements.txt": text})
    mirror = open_mirror(str(project.path), tmp_path / "cache", commit=commit)
    plan = case.plan(text, commit=commit)
    error = refused(case, plan, index, bundle=cached_bundle(mirror, commit))
    assert isinstance(error, MissingFact)
    assert "libs/nothing" in error.cause
