"""Lock files of other tools: what they install here is what those tools would install, and what is none is refused."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from runner.inside.packages import toml
from runner.inside.packages.locked import pdm, pipfile, poetry, pylock
from runner.inside.packages.locked.package import LockedList, LockProblem
from runner.lineage.packages import linux_markers
from tests.support.lock_files import PDM, POETRY, document, linux_tags, text

OLD = {
    "click": "8.1.8",
    "importlib-metadata": "6.11.0",
    "packaging": "21.3",
    "pyparsing": "3.3.3",
    "tabulate": "0.9.0",
    "wcwidth": "0.9.4",
    "zipp": "3.23.1",
}
"""What Poetry's own exporter gives for Python before 3.10."""
NEW = {"click": "8.1.8", "packaging": "23.2", "tabulate": "0.9.0", "wcwidth": "0.9.4"}
"""The same since 3.11."""
BY_PYTHON = {"3.9.18": OLD, "3.11.7": NEW, "3.13.1": NEW}
HASH = "sha256:" + "a" * 64


def versions(found: LockedList) -> dict[str, str | None]:
    return {package.name: package.version for package in found.packages}


def here(python: str = "3.11.7") -> dict[str, str]:
    return linux_markers(python, "x86_64")


@pytest.mark.parametrize("python", BY_PYTHON)
@pytest.mark.parametrize("tool", POETRY)
def test_a_lock_of_any_poetry_installs_what_poetry_would(tool: str, python: str) -> None:
    """Markers, extras of a dependency and versions by Python count; groups and optional packages are left out."""
    lock, manifest = document(f"{tool}/poetry.lock"), document(f"{tool}/pyproject.toml")
    found = poetry.read(lock, manifest, here(python), root=".")
    assert versions(found) == BY_PYTHON[python]
    assert all(package.hashes for package in found.packages)
    assert found.indexes == ()


@pytest.mark.parametrize("python", ["3.11.7", "3.13.1"])
@pytest.mark.parametrize("tool", PDM)
def test_a_lock_of_any_pdm_installs_what_pdm_would(tool: str, python: str) -> None:
    lock, manifest = document(f"{tool}/pdm.lock"), document(f"{tool}/pyproject.toml")
    found = pdm.read(lock, manifest, here(python), root=".")
    assert versions(found) == NEW
    assert all(package.hashes for package in found.packages)


def test_a_lock_that_lacks_what_its_manifest_asks_for_on_this_python_is_refused() -> None:
    """PDM kept one version of a package, the last that was asked for, whatever its marker says."""
    lock, manifest = document("pdm-2.10/pdm.lock"), document("pdm-2.10/pyproject.toml")
    with pytest.raises(LockProblem, match=r"does not hold packaging ==21\.3"):
        pdm.read(lock, manifest, here("3.9.18"), root=".")


def test_a_pipfile_lock_installs_its_default_category() -> None:
    lock = document("pipenv/Pipfile.lock")
    found = versions(pipfile.read(lock, here(), root="."))
    assert found == {**NEW, "packaging": "21.3", "pyparsing": "3.3.3"}
    assert "importlib-metadata" in versions(pipfile.read(lock, here("3.9.18"), root="."))
    assert pipfile.left_out(lock) == ("category develop",)


@pytest.mark.parametrize("python", BY_PYTHON)
def test_a_pylock_installs_what_its_markers_say(python: str) -> None:
    minor = python.rpartition(".")[0]
    found = pylock.read(document("pylock/pylock.toml"), here(python), root=".", tags=list(linux_tags(minor)))
    assert versions(found) == BY_PYTHON[python]
    assert all(package.hashes for package in found.packages)


def test_a_pylock_for_other_pythons_is_refused() -> None:
    with pytest.raises(LockProblem, match=r"has nothing for this Python: .*3\.14"):
        pylock.read(document("pylock/pylock.toml"), here("3.14.0"), root=".", tags=list(linux_tags("3.14")))
    with pytest.raises(LockProblem, match="is no lock of PEP 751"):
        pylock.read({"lock-version": "1.0", "created-by": "x"}, here(), root=".")


def mismatch(tool: str, manifest: dict[str, Any]) -> str | None:
    if tool == "pipenv":
        return pipfile.mismatch(document("pipenv/Pipfile.lock"), manifest)
    module, name = (poetry, "poetry.lock") if tool in POETRY else (pdm, "pdm.lock")
    return module.mismatch(document(f"{tool}/{name}"), manifest)


MANIFESTS = [*((tool, "pyproject.toml") for tool in (*POETRY, *PDM)), ("pipenv", "Pipfile")]


@pytest.mark.parametrize(("tool", "name"), MANIFESTS)
def test_a_lock_is_that_of_its_manifest_by_its_own_tools_hash_whatever_the_formatting(tool: str, name: str) -> None:
    original = text(f"{tool}/{name}")
    reformatted = "# why\n" + original.replace(" = ", "   =  ").replace("\n\n", "\n\n\n").replace('"Sums a', '"All a')
    assert reformatted != original
    assert mismatch(tool, toml.loads(original)) is None
    assert mismatch(tool, toml.loads(reformatted)) is None


@pytest.mark.parametrize(("tool", "name"), MANIFESTS)
def test_a_lock_is_not_that_of_a_manifest_that_asks_for_something_else(tool: str, name: str) -> None:
    changed = re.sub(r"8\.1\b", "8.0", text(f"{tool}/{name}"))
    assert "was not made from" in str(mismatch(tool, toml.loads(changed)))


@pytest.mark.parametrize("tool", [*POETRY, *PDM, "pipenv"])
def test_a_lock_without_its_tools_hash_is_said_to_have_none(tool: str) -> None:
    if tool == "pipenv":
        found = pipfile.mismatch({"_meta": {}}, {})
    else:
        found = (poetry if tool in POETRY else pdm).mismatch({"metadata": {}}, document(f"{tool}/pyproject.toml"))
    assert "records no" in str(found)


def test_groups_and_extras_that_are_left_out_are_named() -> None:
    for tool in (*POETRY, *PDM):
        module = poetry if tool in POETRY else pdm
        assert module.left_out(document(f"{tool}/pyproject.toml")) == ("group dev", "extra progress")
    assert pylock.left_out({"extras": ["b"], "dependency-groups": ["a", "c"], "default-groups": ["c"]}) == (
        "group a",
        "extra b",
    )


POETRY_PLACES = f"""
[[package]]
name = "Index_One"
version = "1.0"
optional = false
python-versions = "*"
files = [{{file = "a.whl", hash = "{HASH}"}}, {{file = "b.whl", hash = "md5:{"b" * 32}"}}]
[package.source]
type = "legacy"
url = "https://download.example/whl/cpu"
reference = "cpu"
[package.dependencies]
folder = "*"

[[package]]
name = "folder"
version = "0.1"
optional = false
python-versions = "*"
files = []
develop = true
[package.source]
type = "directory"
url = "../libs/folder"

[[package]]
name = "from-git"
version = "0.2"
optional = false
python-versions = "*"
files = []
[package.source]
type = "git"
url = "https://user:geheim@github.com/acme/from-git.git"
reference = "main"
resolved_reference = "{"c" * 40}"
subdirectory = "python"

[[package]]
name = "archive"
version = "3"
optional = false
python-versions = "*"
files = [{{file = "archive-3-py3-none-any.whl", hash = "{HASH}"}}]
[package.source]
type = "url"
url = "https://files.example/archive-3-py3-none-any.whl"

[[package]]
name = "wheel-file"
version = "4"
optional = false
python-versions = "*"
files = []
[package.source]
type = "file"
url = "wheels/wheel_file-4-py3-none-any.whl"

[metadata]
lock-version = "2.0"
"""
MANIFEST = {
    "tool": {"poetry": {"dependencies": dict.fromkeys(["Index.One", "from-git", "archive", "wheel-file"], "*")}}
}


def test_packages_of_a_poetry_lock_come_from_where_it_says() -> None:
    found = poetry.read(toml.loads(POETRY_PLACES), MANIFEST, here(), root="app")
    by_name = {package.name: package for package in found.packages}
    assert found.indexes == ("https://download.example/whl/cpu",)
    assert by_name["index-one"].line == f"index-one==1.0 --hash={HASH}"
    assert by_name["archive"].line == f"archive @ https://files.example/archive-3-py3-none-any.whl --hash={HASH}"
    folder, wheel, git = (by_name[name].tree for name in ("folder", "wheel-file", "from-git"))
    assert folder is not None
    assert (folder.path, folder.editable, folder.address) == ("libs/folder", True, None)
    assert wheel is not None
    assert (wheel.path, wheel.is_file) == ("app/wheels/wheel_file-4-py3-none-any.whl", True)
    assert git is not None
    assert (git.address, git.revision, git.path) == ("https://github.com/acme/from-git.git", "c" * 40, "python")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('lock-version = "2.0"', 'lock-version = "3.0"', "has the format 3.0"),
        ("../libs/folder", "../../elsewhere", "takes folder from ../../elsewhere: it lies outside the repository"),
        ("../libs/folder", "C:\\\\libs", "only its author's machine had"),
        ("https://user:geheim@github.com/acme/from-git.git", "file:///srv/x.git", "only https and ssh"),
        ("https://files.example/archive", "http://files.example/archive", "only https is followed"),
        ('type = "url"', 'type = "carrier-pigeon"', "which is not read"),
        ('folder = "*"', 'folder = ">= banana"', "words that Poetry does not know"),
        ('folder = "*"', 'lacking = "*"', "does not hold lacking"),
    ],
)
def test_what_cannot_be_had_again_is_a_problem_of_the_lock(before: str, after: str, words: str) -> None:
    assert before in POETRY_PLACES
    with pytest.raises(LockProblem, match=re.escape(words)):
        poetry.read(toml.loads(POETRY_PLACES.replace(before, after)), MANIFEST, here(), root="app")


def graph(**dependencies: dict[str, str]) -> dict[str, Any]:
    """A lock of Poetry's older format: `NAME_VERSION={NAME: CONSTRAINT}`."""
    packages = []
    for key, wanted in dependencies.items():
        name, version = key.split("_")
        packages.append({"name": name, "version": f"{version}.0", "python-versions": "*", "dependencies": wanted})
    return {"metadata": {"lock-version": "1.1"}, "package": packages}


def asked(**dependencies: str) -> dict[str, Any]:
    return {"tool": {"poetry": {"dependencies": {"python": "^3.9", **dependencies}}}}


def test_of_several_versions_that_one_is_installed_which_all_accept() -> None:
    """The first guess leads to demands that do not hold in the end."""
    lock = graph(a_2={"b": ">=2"}, a_1={"b": "<2"}, b_2={"c": "*"}, b_1={}, c_1={}, d_1={"a": "<2"})
    assert versions(poetry.read(lock, asked(a="*", d="*"), here(), root=".")) == {"a": "1.0", "b": "1.0", "d": "1.0"}


def test_versions_that_no_choice_reconciles_are_a_problem() -> None:
    lock = graph(a_1={"b": "<2"}, b_1={}, b_2={}, c_1={"b": ">=2"})
    with pytest.raises(LockProblem, match="does not hold b"):
        poetry.read(lock, asked(a="*", c="*"), here(), root=".")


def test_extras_that_are_asked_for_later_bring_their_packages_too() -> None:
    lock = graph(a_1={}, b_1={}, c_1={})
    a, _, c = lock["package"]
    a["dependencies"] = {"b": {"version": "*", "optional": True}}
    a["extras"] = {"more": ["b (>=1)"]}
    c["dependencies"] = {"a": {"version": "*", "extras": ["more"]}}
    assert set(versions(poetry.read(lock, asked(a="*", c="*"), here(), root="."))) == {"a", "b", "c"}
    assert set(versions(poetry.read(lock, asked(a="*"), here(), root="."))) == {"a"}


def test_what_older_versions_never_locked_is_not_missed() -> None:
    lock = graph(a_1={"setuptools": "*", "b": "*"}, b_1={"pip": ">=20", "wheel": "*"})
    assert set(versions(poetry.read(lock, asked(a="*"), here(), root="."))) == {"a", "b"}
    lock = graph(a_1={"setuptools": "*"}, setuptools_60={})
    assert set(versions(poetry.read(lock, asked(a="*"), here(), root="."))) == {"a", "setuptools"}


def test_hashes_of_the_oldest_locks_are_found_by_name() -> None:
    lock = graph(a_1={})
    lock["metadata"]["hashes"] = {"a": ["d" * 64]}
    (package,) = poetry.read(lock, asked(a="*"), here(), root=".").packages
    assert package.hashes == (f"sha256:{'d' * 64}",)


def test_places_of_a_pdm_lock() -> None:
    lock = copy.deepcopy(document("pdm-2.12/pdm.lock"))
    places = {
        "click": {"path": "./libs/click", "editable": True},
        "tabulate": {"git": "ssh://git@github.com/a/b.git", "revision": "e" * 40, "ref": "v1"},
        "wcwidth": {"url": "https://files.example/wcwidth.whl"},
    }
    for entry in lock["package"]:
        entry.update(places.get(entry["name"], {}))
    found = {
        package.name: package
        for package in pdm.read(lock, document("pdm-2.12/pyproject.toml"), here(), root=".").packages
    }
    click, tabulate = found["click"].tree, found["tabulate"].tree
    assert click is not None
    assert (click.path, click.editable) == ("libs/click", True)
    assert tabulate is not None
    assert (tabulate.address, tabulate.revision, tabulate.exact) == ("ssh://git@github.com/a/b.git", "e" * 40, True)
    assert found["wcwidth"].line.startswith("wcwidth @ https://files.example/wcwidth.whl --hash=")


def test_places_of_a_pipfile_lock_and_its_own_index() -> None:
    lock = copy.deepcopy(document("pipenv/Pipfile.lock"))
    lock["_meta"]["sources"].append({"name": "own", "url": "https://packages.example/simple", "verify_ssl": True})
    lock["default"] |= {
        "sums": {"path": ".", "editable": True},
        "lib": {"git": "https://github.com/a/lib.git", "ref": "f" * 40},
    }
    read = pipfile.read(lock, here(), root=".")
    found = {package.name: package.tree for package in read.packages}
    assert read.indexes == ("https://packages.example/simple",)
    assert found["sums"] is not None
    assert (found["sums"].path, found["sums"].editable) == (".", True)
    assert found["lib"] is not None
    assert found["lib"].revision == "f" * 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"_meta": {"pipfile-spec": 5}}, "has the format 5"),
        ({"default": {"x": {"version": "*"}}}, "pins x to no version"),
        ({"default": {"x": {"version": "==1", "markers": "a b"}}}, "a marker of x that cannot be read"),
        ({"default": {"x": 1}}, "an entry for x that is no table"),
    ],
)
def test_a_pipfile_lock_that_is_none_is_a_problem(change: dict[str, Any], words: str) -> None:
    with pytest.raises(LockProblem, match=words):
        pipfile.read({**document("pipenv/Pipfile.lock"), **change}, here(), root=".")
