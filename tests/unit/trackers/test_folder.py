"""A stranger's folder is read from the inside only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.trackers.folder import Folder, readable


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a").write_text("inside")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "fine").symlink_to("sub/a")
    return Folder(root)


@pytest.mark.parametrize("path", ["link", "up/secret", "../secret", "sub/../../secret", "/etc/hostname", "a\0b"])
def test_nothing_outside_is_read_by_whatever_path(folder: Folder, path: str) -> None:
    assert folder.read(path, 100) is None


def test_a_link_that_stays_inside_is_followed(folder: Folder) -> None:
    assert folder.read("fine", 100) == b"inside"


def test_listing_leaves_out_what_leads_outside(folder: Folder) -> None:
    assert list(folder.files("")) == [("fine", 6), ("sub/a", 6)]
    assert folder.folders("") == ["sub"]


def test_a_file_over_the_limit_is_not_read(folder: Folder) -> None:
    assert folder.read("sub/a", 5) is None
    assert folder.read("sub/a", 6) == b"inside"


def test_a_pipe_does_not_make_us_wait(folder: Folder) -> None:
    os.mkfifo(folder.root / "pipe")
    assert folder.read("pipe", 10) is None
    assert "pipe" not in dict(folder.files(""))


def test_a_folder_and_an_absent_file_are_no_files(folder: Folder) -> None:
    assert folder.read("sub", 10) is None
    assert folder.read("nothing", 10) is None
    assert folder.folders("nothing") == []


def test_a_name_that_is_no_utf8_can_be_told() -> None:
    assert readable(os.fsdecode(b"caf\xe9")) == "caf\ufffd"
