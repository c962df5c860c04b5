"""What an environment lacks of what is imported, what nobody can have, and what one round leaves to the next."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from runner.inside.packages.chosen import Chosen
from runner.inside.packages.imported import Imported, lacking, packages_of
from runner.inside.packages.index_pages import IndexFile
from runner.inside.packages.out_of_reach import OutOfReach, fixed_here, judge, sentences
from runner.inside.packages.uv import Unsatisfiable
from runner.inside.packages.wanted import Specification, not_listed

HERE = sys.version_info[1]


def module(name: str, *distributions: str, at_once: bool = True) -> Imported:
    return Imported(name, "train.py", distributions, at_once)


def specification(**fields: object) -> Specification:
    values = {"kind": "conda", "root": ".", "main": "env.yml", "files": {}, "as_of": None, "overrides": ()}
    return Specification(**{**values, "install_project": False, **fields})  # type: ignore[arg-type]


def test_a_module_is_there_as_a_folder_a_file_or_a_library_also_where_a_pth_file_leads(tmp_path: Path) -> None:
    for path in ("folder/__init__.py", "google/cloud/storage/__init__.py", "one.py", "fast.abi3.so", "more/hidden.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "more.pth").write_text("# a comment\nimport sys\nmore\n/etc\n")
    there = [module(name, "x") for name in ("folder", "google.cloud.storage", "one", "fast", "hidden", "json")]
    gone = [module("imblearn", "imbalanced-learn"), module("google.cloud.bigquery", "google-cloud-bigquery")]
    # Of what nobody knows the distribution, nothing can be said.
    assert lacking(tmp_path, [*there, *gone, module("own_thing")]) == gone


def test_imports_are_packages_by_their_distributions_else_by_their_own_names() -> None:
    found = packages_of([module("sklearn", "scikit-learn"), module("dask", "dask[array]"), module("sip")])
    assert found == {"scikit-learn": "train.py", "dask": "train.py", "sip": "train.py"}


def test_what_a_lock_lacks_is_one_error_with_one_remedy_by_names_of_distributions() -> None:
    locked = specification(main="uv.lock", overrides=("six==1.16.0",))
    error = not_listed([module("imblearn", "imbalanced-learn"), module("keras", "keras", "tensorflow")], locked)
    assert error.event["remedy"].startswith(
        "runner reproduce RUN --with six==1.16.0 --with imbalanced-learn --with keras    "
    )
    assert "imblearn (import in train.py), keras (import in train.py)" in error.event["cause"]


def file(version: str, minors: set[int] | None, python: str = "") -> IndexFile:
    return IndexFile(
        version=Version(version),
        python=SpecifierSet(python),
        minors=None if minors is None else frozenset(minors),
        uploaded=None,
        yanked=False,
        for_here=bool(minors and HERE in minors),
    )


@pytest.mark.parametrize("of_conda", [True, False])
def test_what_is_for_another_system_alone_cannot_be_had_from_any_list(of_conda: bool) -> None:
    gone = judge("pywin32", "==305", [file("305", set()), file("306", set())], of_conda=of_conda)
    assert gone == OutOfReach("pywin32", "305", "is for another system alone")


def test_a_version_that_only_conda_has_cannot_be_had_and_in_a_list_of_pips_it_is_a_mistake() -> None:
    files = [file("4.19.8", {HERE}), file("5.0", {HERE})]
    gone = judge("sip", "==4.19.13", files, of_conda=True)
    assert gone == OutOfReach("sip", "4.19.13", "is not on the package index in that version", "sip==4.19.8")
    assert judge("sip", "==4.19.13", files, of_conda=False) is None
    assert judge("conda-thing", "==1", [], of_conda=True) is not None
    assert judge("conda-thing", "==1", [], of_conda=False) is None


def test_a_version_for_other_pythons_and_one_for_another_system_cannot_be_had_of_conda() -> None:
    other = judge("opencv", "==4.0.1.*", [file("4.0.1.24", {HERE - 3}), file("4.5", {HERE})], of_conda=True)
    assert other is not None
    assert "for other Pythons" in other.why
    system = judge("x", "==1.0", [file("1.0", set()), file("2.0", {HERE})], of_conda=True)
    assert system is not None
    assert system.why == "is for another system in that version"


def test_what_is_there_or_can_be_built_is_within_reach() -> None:
    assert judge("x", "==1.0", [file("1.0", {HERE})], of_conda=True) is None
    assert judge("x", "==1.0", [file("1.0", None), file("1.0", set())], of_conda=True) is None


def test_only_what_a_list_fixes_here_is_looked_at() -> None:
    lines = [
        "a==1",
        "b>=1",
        "c==1 ; sys_platform == 'win32'",
        "opencv==4.0.1.*",
        "d",
        "e @ file:///x",
        "F_g==2 --hash=x",
    ]
    assert fixed_here(lines) == {"a": "==1", "opencv": "==4.0.1.*", "f-g": "==2"}


def test_what_was_left_out_is_told_by_reasons_with_what_others_need_of_it_instead() -> None:
    left = {
        "sip": OutOfReach("sip", "4.19.13", "is not on the package index in that version"),
        "pywin32": OutOfReach("pywin32", "227", "is for another system alone"),
    }
    assert sorted(sentences(left, specification(), {"sip": "4.19.8"})) == [
        "env.yml pins what is for another system alone, and nothing imports it: left out: pywin32 227",
        "env.yml pins what is not on the package index in that version, and nothing imports it: left out: "
        "sip 4.19.13 (others need it: 4.19.8)",
    ]


def test_the_packages_that_the_list_itself_requires_are_told_from_uvs_explanation() -> None:
    error = Unsatisfiable(
        "No solution found\n  cause: Because pyqt5==5.9.2 depends on sip>=4.19.4 and you\n    require pyqt5==5.9.2, "
        "your requirements are unsatisfiable."
    )
    assert error.required == {"pyqt5"}


def test_what_a_round_chose_survives_the_way_over_the_host_and_holds_with_more_packages() -> None:
    chosen = Chosen({"six": "1.16.0", "b": "2"}, frozenset({"b"}), frozenset({"six"}))
    assert Chosen.of(chosen.document()) == chosen
    assert chosen.lines == ["b==2", "six==1.16.0"]
    assert chosen.holds_in({"six": "1.16.0", "b": "2", "new": "1"})
    assert not chosen.holds_in({"six": "1.15.0", "b": "2"})
    assert not chosen.holds_in({"six": "1.16.0"})
