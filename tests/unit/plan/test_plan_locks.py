"""Lock files of other tools in the plan: which counts, what is said of it, and which one is refused."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.environment import specify_environment
from runner.plan.lists.pinned import pinned_names
from runner.plan.lists.pyproject import is_package
from runner.schema.plan import EnvironmentSpec
from runner.settings import Settings
from tests.support.facts import run, settings, snapshot
from tests.support.lock_files import text

POETRY = {name: text(f"poetry-1.8/{name}") for name in ("poetry.lock", "pyproject.toml")}
PDM = {name: text(f"pdm-2.12/{name}") for name in ("pdm.lock", "pyproject.toml")}
PIPENV = {name: text(f"pipenv/{name}") for name in ("Pipfile.lock", "Pipfile")}
PYLOCK = {"pylock.toml": text("pylock/pylock.toml")}
FROZEN = {"requirements.txt": f"six==1.16.0 --hash=sha256:{'a' * 64}\n"}
KINDS = {"poetry.lock": POETRY, "pdm.lock": PDM, "Pipfile.lock": PIPENV, "pylock.toml": PYLOCK}
CHANGED = {
    "poetry.lock": ("pyproject.toml", '"~8.1"', '"~8.0"'),
    "pdm.lock": ("pyproject.toml", "click>=8.1", "click>=8.0"),
    "Pipfile.lock": ("Pipfile", "~=8.1", "~=8.0"),
}


def specified(texts: dict[str, str], chosen: Settings | None = None) -> EnvironmentSpec:
    chosen = chosen or settings()
    repository = snapshot(texts)
    record = run(environment_files=())
    return specify_environment(record, repository, chosen, commit_facts(repository, chosen), "src/train.py")[0]


def refusal(texts: dict[str, str], chosen: Settings | None = None) -> MissingFact:
    with pytest.raises(MissingFact) as caught:
        specified(texts, chosen)
    assert caught.value.fact == "environment"
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_decides_alone_whoever_wrote_it(kind: str) -> None:
    spec = specified({**KINDS[kind], **FROZEN})
    assert (spec.kind, spec.main, spec.source) == (kind, kind, f"{kind} at the commit")
    assert (spec.exact, spec.as_of, spec.is_lock, spec.install_project) == (True, None, True, False)
    assert spec.files == KINDS[kind]
    assert {"click", "tabulate", "wcwidth", "importlib-metadata"} <= pinned_names(spec)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_beside_the_script_counts(kind: str) -> None:
    spec = specified({f"src/{name}": content for name, content in KINDS[kind].items()})
    assert (spec.kind, spec.root, spec.main) == (kind, "src", f"src/{kind}")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("poetry.lock", "group dev, extra progress of poetry.lock left out"),
        ("pdm.lock", "group dev, extra progress of pdm.lock left out"),
        ("Pipfile.lock", "category develop of Pipfile.lock left out"),
    ],
)
def test_what_of_a_lock_is_not_installed_is_said(kind: str, words: str) -> None:
    assert f"environment: {words}" in specified(KINDS[kind]).notes


@pytest.mark.parametrize("kind", CHANGED)
def test_a_lock_of_another_manifest_is_refused_and_no_other_list_silently_taken(kind: str) -> None:
    name, before, after = CHANGED[kind]
    assert before in KINDS[kind][name]
    texts = {**KINDS[kind], **FROZEN, name: KINDS[kind][name].replace(before, after)}
    error = refusal(texts)
    assert error.cause.startswith(f"{kind} at the commit was not made from")
    assert error.remedy.startswith("runner reproduce ")
    assert "environment: requirements.txt" in error.remedy
    assert f"environment: {kind}" in error.remedy


@pytest.mark.parametrize("kind", CHANGED)
def test_a_lock_of_another_manifest_is_taken_where_the_auditor_names_it_which_is_said(kind: str) -> None:
    name, before, after = CHANGED[kind]
    texts = {**KINDS[kind], name: KINDS[kind][name].replace(before, after)}
    spec = specified(texts, settings(yaml=f"environment: {kind}\n"))
    assert spec.kind == kind
    assert any("was not made from" in note and "taken since" in note for note in spec.notes)
    refusal({**texts, "runner.yaml": f"environment: {kind}\n"})  # the audited party does not set the terms


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_cannot_be_read_is_refused_with_the_reason(kind: str) -> None:
    broken = {**KINDS[kind], kind: KINDS[kind][kind][:-900] + "\n<<<<<<< HEAD\n"}
    error = refusal({**broken, **FROZEN})
    assert error.cause.startswith(f"{kind} at the commit cannot be read: ")
    assert "environment: requirements.txt" in error.remedy
    assert f"environment: {kind}" not in error.remedy
    assert refusal(broken, settings(yaml=f"environment: {kind}\n")).cause == error.cause


@pytest.mark.parametrize("kind", ["poetry.lock", "pdm.lock", "Pipfile.lock"])
def test_a_lock_whose_manifest_cannot_be_read_or_is_not_there(kind: str) -> None:
    manifest = next(name for name in KINDS[kind] if name != kind)
    error = refusal({**KINDS[kind], manifest: "broken ["})
    assert f"has a {manifest} beside it that cannot be read" in error.cause
    assert specified({kind: KINDS[kind][kind], **FROZEN}).kind == "requirements"


def test_a_lock_that_is_no_list_of_packages_is_refused() -> None:
    for kind, content in (("pylock.toml", "packages = 1\n"), ("Pipfile.lock", "[1]"), ("pdm.lock", "package = {}\n")):
        assert kind in refusal({**KINDS[kind], kind: content}).cause
    assert "nested too deeply" in refusal({"pylock.toml": "a = " + "[" * 100_000}).cause


UV_LOCK = """version = 1
requires-python = ">=3.9"
[[package]]
name = "app"
version = "1"
source = { editable = "." }
[[package]]
name = "foo"
version = "1"
source = { editable = "libs/foo" }
[[package]]
name = "bar"
version = "1"
source = { directory = "../shared/bar" }
[[package]]
name = "lib"
version = "1"
source = { git = "https://github.com/acme/lib.git?rev=v1#0123456789abcdef0123456789abcdef01234567" }
"""
PROJECT = '[project]\nname = "{}"\nversion = "1"\n'


def test_a_uv_lock_takes_the_projects_of_all_its_folders_along() -> None:
    """Without them uv cannot tell whether it is theirs."""
    projects = {f"{folder}pyproject.toml": PROJECT.format("x") for folder in ("src/", "src/libs/foo/", "shared/bar/")}
    spec = specified({"src/uv.lock": UV_LOCK, "other/pyproject.toml": PROJECT, **projects})
    assert (spec.kind, spec.is_lock) == ("uv.lock", True)
    assert set(spec.files) == {"src/uv.lock", *projects}
    assert spec.repositories == ("https://github.com/acme/lib.git",)


@pytest.mark.parametrize(
    ("lock", "words"),
    [("version = [", "cannot be read"), ("version = 2\n", "has the format 2"), ("package = 1\n", "cannot be read")],
)
def test_a_uv_lock_that_cannot_be_read_is_refused(lock: str, words: str) -> None:
    error = refusal({"uv.lock": lock, "pyproject.toml": PROJECT.format("x"), **FROZEN})
    assert error.cause.startswith("uv.lock ")
    assert words in error.cause
    assert "environment: requirements.txt" in error.remedy


SHA = "0123456789abcdef0123456789abcdef01234567"


def test_repositories_that_packages_come_from_are_those_that_the_plan_names() -> None:
    pinned = f"lib[x] @ git+https://me:geheim@github.com/acme/lib@{SHA}\n-e git+ssh://git@github.com/acme/b#egg=b\n"
    spec = specified({"requirements.txt": pinned})
    assert spec.repositories == ("https://github.com/acme/lib", "ssh://git@github.com/acme/b")
    assert not spec.exact
    assert [note for note in spec.notes if "is no commit" in note] == [
        "environment: ssh://git@github.com/acme/b at its default branch is no commit: as a tag is today, a branch on "
        "the run's day"
    ]


def test_a_commit_of_another_repository_and_a_folder_are_pinned_but_not_what_they_need() -> None:
    spec = specified({"requirements.txt": f"six==1.16.0\nlib @ git+https://github.com/acme/lib@{SHA}\n./libs/foo\n"})
    assert (spec.exact, spec.as_of is None, spec.install_project) == (True, False, False)
    assert pinned_names(spec) == {"six"}


def test_a_list_that_pip_compile_wrote_is_whole_with_them_too() -> None:
    header = "# This file is autogenerated by pip-compile with Python 3.11\n"
    spec = specified({"requirements.txt": f"{header}six==1.16.0\nlib @ git+https://github.com/acme/lib@{SHA}\n"})
    assert (spec.exact, spec.as_of) == (True, None)


BY_POETRY = '[project]\nname = "my-sums"\nversion = "1"\n[build-system]\nbuild-backend = "poetry.core.masonry.api"\n'
BY_PDM = '[project]\nname = "sums"\n[build-system]\nbuild-backend = "pdm.backend"\n'


@pytest.mark.parametrize(
    ("manifest", "files", "installed"),
    [
        (BY_POETRY, ("train.py",), False),
        (BY_POETRY, ("src/my_sums/__init__.py",), True),
        (BY_POETRY, ("my_sums.py",), True),
        (f"{BY_POETRY}[tool.poetry]\npackage-mode = false\n", ("my_sums.py",), False),
        (f'{BY_POETRY}[tool.poetry]\npackages = [{{ include = "lib" }}]\n', ("lib/a.py",), True),
        (f'{BY_POETRY}[tool.poetry]\npackages = [{{ include = "lib" }}]\n', ("src/a.py",), False),
        (f'{BY_POETRY}[tool.poetry]\npackages = [{{ include = "lib/*.py", from = "src" }}]\n', ("src/lib/a.py",), True),
        (BY_PDM, ("src/sums/__init__.py",), True),
        (f"{BY_PDM}[tool.pdm]\ndistribution = false\n", ("src/sums/__init__.py",), False),
        (f'{BY_PDM}[tool.pdm]\npackage-type = "application"\n', ("src/sums/__init__.py",), False),
    ],
)
def test_a_project_that_its_tool_would_not_install_is_not_built(
    manifest: str, files: tuple[str, ...], installed: bool
) -> None:
    """A folder of scripts that Poetry 2 or PDM keeps the packages of, and that no build would find a package in."""
    repository = snapshot({"pylock.toml": PYLOCK["pylock.toml"], "pyproject.toml": manifest}, files=files)
    assert is_package(repository, "pyproject.toml") is installed
