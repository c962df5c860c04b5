"""A wheel that foreign code built is what its name says and stays in its place, or it is refused with the reason."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from runner.inside.packages.wheels import BadWheel, check, same_version
from tests.support.package_index import wheel_bytes

NAME = "Some_pkg-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: some.pkg\nVersion: 1.0\n"


def wheel(
    folder: Path, *entries: tuple[str, str], name: str = NAME, metadata: str = METADATA, record: str = ""
) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as pack:
        for entry, text in entries:
            info = zipfile.ZipInfo(entry)
            info.external_attr = (stat.S_IFLNK if text.startswith("->") else stat.S_IFREG) << 16
            pack.writestr(info, text)
        pack.writestr("Some_pkg-1.0.dist-info/METADATA", metadata)
        pack.writestr("Some_pkg-1.0.dist-info/RECORD", record)
    return path


def test_a_wheel_as_backends_make_it_is_taken(tmp_path: Path) -> None:
    assert check(wheel(tmp_path, ("some_pkg/__init__.py", ""), ("Some_pkg-1.0.data/scripts/run", "#!python"))) == (
        "some-pkg",
        "1.0",
    )
    (tmp_path / "a-1-py3-none-any.whl").write_bytes(wheel_bytes("a", "1", {"a.py": "x"}))
    assert check(tmp_path / "a-1-py3-none-any.whl") == ("a", "1")


@pytest.mark.parametrize(
    ("entry", "text", "why"),
    [
        ("../../etc/x", "", "leads out"),
        ("a/../../x", "", "leads out"),
        ("/etc/x", "", "absolute"),
        ("C:/x", "", "absolute"),
        ("a\\..\\x", "", "absolute"),
        ("link", "->/etc", "a link"),
        ("Some_pkg-1.0.data/data/../../../x", "", "leads out"),
        ("Some_pkg-1.0.data/data/bin/python3", "", "own Python"),
        ("Some_pkg-1.0.data/data/pyvenv.cfg", "", "own Python"),
        ("Some_pkg-1.0.data/scripts/python", "", "own Python"),
        ("Some_pkg-1.0.data/elsewhere/x", "", "no place of an installation"),
        ("other-2.0.dist-info/METADATA", "", "2 folders of metadata"),
    ],
)
def test_an_entry_that_leads_elsewhere_is_named(tmp_path: Path, entry: str, text: str, why: str) -> None:
    with pytest.raises(BadWheel, match=why):
        check(wheel(tmp_path, (entry, text)))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"metadata": METADATA.replace("some.pkg", "numpy")}, "says that it is numpy 1.0"),
        ({"metadata": METADATA.replace("1.0", "9.9")}, "says that it is some.pkg 9.9"),
        ({"metadata": ""}, "says that it is nothing"),
        ({"name": "other-1.0-py3-none-any.whl"}, "its metadata is that of Some_pkg-1.0"),
        ({"name": "some.whl"}, "is no name of a wheel"),
        ({"record": "a.py,sha256=AAAA,1\n"}, "'a.py' has other bytes than its record says"),
        ({"record": "a.py,md5=AAAA,1\n"}, "no digest that counts"),
    ],
)
def test_a_wheel_that_contradicts_itself_is_named(tmp_path: Path, fields: dict[str, str], why: str) -> None:
    with pytest.raises(BadWheel, match=why):
        check(wheel(tmp_path, ("a.py", "x"), **fields))


def test_what_is_no_zip_is_no_wheel(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no zip")
    with pytest.raises(BadWheel, match="cannot be read"):
        check(tmp_path / NAME)


def test_an_entry_twice_counts_only_with_equal_bytes(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        check(wheel(tmp_path, ("a.py", "x"), ("a.py", "x")))
    with pytest.warns(UserWarning, match="Duplicate"), pytest.raises(BadWheel, match="twice"):
        check(wheel(tmp_path, ("a.py", "x"), ("a.py", "y")))


def test_a_version_may_be_spelled_in_two_ways() -> None:
    assert same_version("2021.04.01", "2021.4.1")
    assert same_version("1.0+cpu", "1.0_cpu")
    assert not same_version("1.0", "1.1")
    assert not same_version("1.10", "11.0")
