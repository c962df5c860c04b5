"""Lock files that real tools wrote end in installed environments, on a real engine and the real index."""

from __future__ import annotations

from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact
from runner.prepare import Prepared, prepare
from runner.schema.plan import Images
from tests.support.lock_files import PDM, POETRY, text
from tests.support.provisioning import Case, own_commit, refused
from tests.unit.provision.test_locked import NEW, OLD

OF_PIPENV = {**NEW, "packaging": "21.3", "pyparsing": "3.3.3"}
SEEDED = {"setuptools": "65.5.1"}
"""What the environments of Poetry and Pipenv had unasked, before Python 3.12."""
FILES = {
    **dict.fromkeys(POETRY, ("poetry.lock", "pyproject.toml")),
    **dict.fromkeys(PDM, ("pdm.lock", "pyproject.toml")),
    "pipenv": ("Pipfile.lock", "Pipfile"),
    "pylock": ("pylock.toml",),
    "uv": ("uv.lock", "pyproject.toml"),
}
IMPORTS = (
    "import click, packaging, tabulate, wcwidth; print(tabulate.tabulate([[click.__version__]], tablefmt='plain'))"
)


def fields(tool: str, *, folder: str = "") -> dict[str, Any]:
    """The specification of a lock that a tool wrote."""
    files = {f"{folder}{name}": text(f"{tool}/{name}") for name in FILES[tool]}
    return {
        "kind": FILES[tool][0],
        "root": folder.rstrip("/") or ".",
        "main": f"{folder}{FILES[tool][0]}",
        "files": files,
        "exact": True,
    }


def case_of(engine: DockerEngine, prepared: Prepared, volume: str) -> Case:
    """Provisions with the images of one Python."""
    base = prepared.base
    images = Images(
        base=base.reference,
        base_digest=base.digest,
        base_origin=base.origin,
        tools=prepared.tools,
        tools_digest=prepared.tools_digest,
    )
    return Case(engine, images, volume)


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Case:
    return case_of(shared_engine, shared_images, cache_volume)


@pytest.mark.parametrize(("tool", "folder"), [("poetry-1.1", ""), ("poetry-2", "app/"), ("pdm-2.10", "")])
def test_a_lock_is_installed_as_its_tool_would_have(case: Case, tool: str, folder: str) -> None:
    made = case.provision(case.plan(**fields(tool, folder=folder)))
    assert made.packages == {**NEW, **(SEEDED if "poetry" in tool else {})}
    assert all("==" in line and "--hash=sha256:" in line for line in made.lock.splitlines())
    assert case.python(made, IMPORTS).strip() == "8.1.8"


@pytest.mark.parametrize(
    ("tool", "packages"), [("pipenv", {**OF_PIPENV, **SEEDED}), ("pylock", NEW), ("uv", {**NEW, "iniconfig": "2.3.1"})]
)
def test_a_lock_that_says_itself_what_is_installed_is_taken_at_its_word(
    case: Case, tool: str, packages: dict[str, str]
) -> None:
    assert case.provision(case.plan(**fields(tool))).packages == packages


def test_locks_of_several_tools_that_hold_the_same_make_one_environment(case: Case) -> None:
    one, other = (case.provision(case.plan(**fields(tool))) for tool in ("poetry-1.1", "poetry-1.0"))
    assert one.key == other.key
    assert other.cached


def test_with_replaces_one_package_of_a_lock(case: Case) -> None:
    made = case.provision(case.plan(**fields("poetry-1.8"), overrides=("click==8.1.7",)))
    assert made.packages == {**NEW, **SEEDED, "click": "8.1.7"}


def test_a_lock_that_lacks_what_this_python_needs_is_a_missing_fact_with_a_remedy(case: Case) -> None:
    given = fields("poetry-1.1")
    given["files"]["poetry.lock"] = given["files"]["poetry.lock"].replace('version = "23.2"', 'version = "22.0"')
    error = refused(case, case.plan(commit=own_commit(), **given))
    assert isinstance(error, MissingFact)
    assert error.cause == "poetry.lock at the commit does not hold packaging ^23.0"
    assert "environment:" in error.remedy


def test_a_uv_lock_of_another_project_is_a_missing_fact_with_what_differs(case: Case) -> None:
    given = fields("uv")
    given["files"]["pyproject.toml"] = given["files"]["pyproject.toml"].replace("click>=8.1", "click>=8.0")
    error = refused(case, case.plan(commit=own_commit(), **given))
    assert isinstance(error, MissingFact)
    assert error.cause.startswith("uv.lock at the commit was not made from pyproject.toml as it is there: mismatched")
    assert "environment:" in error.remedy


@pytest.mark.full
@pytest.mark.parametrize("python", ["3.9", "3.13"])
def test_locks_are_read_and_installed_on_each_python(
    python: str, shared_engine: DockerEngine, cache_volume: str
) -> None:
    case = case_of(shared_engine, prepare(shared_engine, python=python), cache_volume)
    expected = dict.fromkeys((*POETRY, "pylock"), OLD if python == "3.9" else NEW)
    expected |= dict.fromkeys(PDM, NEW) if python != "3.9" else {}
    expected["pipenv"] = {**OF_PIPENV, "importlib-metadata": "6.11.0"} if python == "3.9" else OF_PIPENV
    for tool, packages in expected.items():
        made = case.provision(case.plan(**fields(tool), python=python))
        seeded = SEEDED if python == "3.9" and ("poetry" in tool or tool == "pipenv") else {}
        assert made.packages == {**packages, **seeded}, tool
        assert case.python(made, IMPORTS).strip() == "8.1.8"
