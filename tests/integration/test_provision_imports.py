"""What the training imports decides what a list may lack, and what is added or left out; on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import MissingFact
from runner.network import NetworkSettings
from runner.prepare import Prepared, images_of
from runner.progress import NoProgress
from runner.rerun import provision as host_side
from runner.rerun.provision import lacks_wheels
from runner.schema.plan import ImportedModule
from tests.support.package_index import PackageIndex
from tests.support.provisioning import Case, own_commit, refused

DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)
FAILS = "def module(): raise SystemExit('RuntimeError: only versions >=3.7,<3.10 are supported.')\n"


def imports(*names: str, at_once: bool = True) -> tuple[ImportedModule, ...]:
    """Modules, each of the distribution `NAME-dist`."""
    return tuple(
        ImportedModule(name=name, path="train.py", distributions=(f"{name}-dist",), at_once=at_once) for name in names
    )


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Case:
    return Case(shared_engine, images_of(shared_images), cache_volume)


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with PackageIndex() as index:
        index.add_wheel("one", "1.0")
        for name in ("first", "second", "there"):
            index.add_wheel(f"{name}_dist", "1.0", {f"{name}.py": ""})
            index.add_wheel(f"{name}_dist", "2.0", {f"{name}.py": ""}, upload_time="2024-06-01T00:00:00Z")
        index.add_wheel("brings", "1.0", {"brings.py": ""}, "there-dist")
        index.files["winonly-227-cp311-cp311-win_amd64.whl"] = ("winonly", b"for Windows")
        index.add_wheel("conda_sip", "4.19.8", None)
        yield index


def test_all_that_an_open_list_lacks_of_the_imports_is_added_as_of_the_day_and_said(
    case: Case, index: PackageIndex
) -> None:
    needed = imports("first", "second", "there")
    plan = case.plan("brings==1.0\n", as_of=DAY, imports=needed, adds_imports=True)
    made = case.provision(plan, index)
    packages = {"brings": "1.0", "first-dist": "1.0", "second-dist": "1.0", "there-dist": "1.0"}
    assert {name: made.packages[name] for name in packages} == packages
    (said,) = [note for note in made.notes if "inferred from imports" in note]
    assert said.endswith("as of 2024-01-01: first-dist (import in train.py), second-dist (import in train.py)")
    again = case.provision(plan, index)
    assert (again.cached, again.notes) == (True, made.notes)
    # What a function imports the author need not have had: nothing is added, though the list is the same.
    perhaps = imports("first", at_once=False)
    other = case.provision(case.plan("brings==1.0\n", as_of=DAY, imports=perhaps, adds_imports=True), index)
    assert "first-dist" not in other.packages


def test_what_a_lock_lacks_of_the_imports_stops_before_the_training_with_all_in_one_remedy(
    case: Case, index: PackageIndex
) -> None:
    locked = {"exact": True, "imports": imports("first", "second", "there")}
    for _ in range(2):  # and what was installed to see it is not taken for ready
        error = refused(case, case.plan("brings==1.0\n", **locked), index)
        assert isinstance(error, MissingFact)
        assert "first (import in train.py), second (import in train.py)" in error.cause
        assert error.remedy.startswith("runner reproduce RUN --with first-dist --with second-dist  ")
    # A function that imports it may never be called.
    later = case.plan("brings==1.0\n", exact=True, imports=imports("first", at_once=False))
    assert "first-dist" not in case.provision(later, index).packages


CONDA = {
    "kind": "conda",
    "main": "environment.yml",
    "files": {"environment.yml": ""},
    "lines": ("one==1.0", "conda-sip==4.19.13", "winonly==227", "no-such-of-conda==1.0"),
    "from_conda": ("conda-sip", "no-such-of-conda", "one", "winonly"),
    "as_of": DAY,
}


def test_what_conda_alone_has_and_another_system_alone_is_left_out_by_name_unless_it_is_imported(
    case: Case, index: PackageIndex
) -> None:
    made = case.provision(case.plan(**CONDA), index)
    assert made.packages["one"] == "1.0"
    assert not {"conda-sip", "winonly", "no-such-of-conda"} & set(made.packages)
    said = "\n".join(made.notes)
    assert "environment.yml pins what is not on the package index in that version, and nothing imports it: " in said
    assert all(name in said for name in ("conda-sip 4.19.13", "winonly 227", "no-such-of-conda 1.0"))
    needs = ImportedModule(name="conda_sip", path="train.py", at_once=True)
    error = refused(case, case.plan(**CONDA, imports=(needs,)), index)
    assert "conda-sip==4.19.13, which train.py imports, is not on the package index in that version" in error.cause
    assert error.remedy == "runner reproduce RUN --with conda-sip==4.19.8"
    # A list of pip's has no versions of its own: what never was is a mistake, and named.
    of_pip = refused(case, case.plan("one==1.0\nwinonly==227\nconda-sip==4.19.13\n", as_of=DAY), index)
    assert "conda-sip==4.19.13 is not on the package index" in of_pip.cause
    assert case.provision(case.plan("one==1.0\nwinonly==227\n", as_of=DAY), index).packages["one"] == "1.0"


def test_a_place_where_conda_built_a_package_is_the_package_as_of_the_day(case: Case, index: PackageIndex) -> None:
    line = "first-dist @ file:///C:/b/abs_ac29jvt43w/croot/first_1665076682579/work/first\none==1.0\n"
    made = case.provision(case.plan(line, as_of=DAY), index)
    assert made.packages["first-dist"] == "1.0"
    assert any("where conda built packages" in note for note in made.notes)


def test_a_round_goes_on_from_what_the_one_before_chose_and_ends_at_the_same_lock(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    forgets: list[str] = []
    call = host_side.call

    def heard(*arguments: Any, payload: dict[str, Any], **options: Any) -> Any:
        asked.append(payload)
        told = {name: value for name, value in payload.items() if name not in forgets}
        return call(*arguments, payload=told, **options)

    monkeypatch.setattr(host_side, "call", heard)
    with PackageIndex() as index:
        for number in range(6):
            index.add_wheel(f"w{number}", "1.0", None, *([f"w{number + 1}>=1"] if number < 5 else []))
        for name in ("built_a", "built_b"):
            index.add_source(name, "1.0", "def module(): return ''\n")
        listed = "w0\nbuilt-a\nbuilt-b==1.0\n"
        remembered = case.provision(case.plan(listed, as_of=DAY, commit=own_commit()), index)
        assert len(asked) == 2
        assert asked[1]["chosen"]["versions"]["w5"] == "1.0"
        assert {"built-a", "built-b"} <= set(asked[1]["chosen"]["with_sources"])
        forgets.append("chosen")
        forgotten = case.provision(case.plan(listed, as_of=DAY, commit=own_commit()), index)
    assert remembered.packages == forgotten.packages
    assert remembered.packages["built-b"] == "1.0"
    assert remembered.key != forgotten.key  # each commit builds for itself


def test_what_no_import_needs_neither_decides_the_python_nor_stops_the_rerun_where_python_is_a_guess(
    case: Case,
) -> None:
    with PackageIndex() as index:
        index.add_wheel("one", "1.0")
        index.add_wheel("brings", "1.0", {"brings.py": ""}, "old")
        index.add_source("old", "1.0", FAILS)
        index.files["old-1.0-cp39-cp39-manylinux2014_x86_64.whl"] = ("old", b"for another Python")
        guess = {"as_of": DAY, "adds_imports": True}
        one = ImportedModule(name="one", path="train.py", distributions=("one",), at_once=True)
        brings = ImportedModule(name="brings", path="train.py", distributions=("brings",), at_once=True)
        options: dict[str, Any] = {"volume": case.volume, "progress": NoProgress(), "offline": False}
        options["network"] = NetworkSettings(index_url=index.address)
        spared = case.plan("one==1.0\nbrings==1.0\n", imports=(one,), **guess)
        needed = case.plan("one==1.0\nbrings==1.0\n", imports=(one, brings), **guess)
        assert lacks_wheels(case.engine, spared, **options) is None
        assert lacks_wheels(case.engine, needed, **options) == "old 1.0 has no wheel for it"
        made = case.provision(spared, index)
        assert (made.packages["brings"], "old" in made.packages) == ("1.0", False)
        assert any("old 1.0" in note and note.endswith("needs it: left out") for note in made.notes)
        error = refused(case, needed, index)
    assert "it says: only versions >=3.7,<3.10 are supported" in error.cause
    assert error.remedy.startswith("runner reproduce RUN --python 3.9")
