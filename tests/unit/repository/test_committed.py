"""A recorded digest is found among the files of the commit, as git holds them or with other line endings."""

from __future__ import annotations

import hashlib
from pathlib import Path

from runner.repository.committed import find_committed
from runner.repository.history import read_snapshot
from runner.repository.mirror import open_mirror
from runner.schema.snapshot import CommittedFile
from tests.support.repositories import Repository

LF = b"a,b\n1,2\n"
CRLF = b"a,b\r\n1,2\r\n"


def found(tmp_path: Path, files: dict[str, str | bytes | None], recorded: bytes) -> list[tuple[str, str | None]]:
    repository = Repository(tmp_path / "project")
    commit = repository.commit(files)
    mirror = open_mirror(str(repository.path), tmp_path / "cache", commit=commit)
    tree = read_snapshot(mirror, commit).tree
    answers: list[tuple[CommittedFile, ...]] = []
    for digest in (hashlib.md5(recorded).hexdigest(), hashlib.sha256(recorded).hexdigest()):
        answers.append(find_committed(mirror, commit, tree, {digest: "tag t"}))
    one, other = ([(file.path, file.mended) for file in answer] for answer in answers)
    assert one == other
    return one


def test_a_file_that_git_holds_so_is_found(tmp_path: Path) -> None:
    assert found(tmp_path, {"x/a.csv": LF, "b.csv": b"1\n"}, LF) == [("x/a.csv", None)]


def test_a_file_is_found_by_the_other_endings(tmp_path: Path) -> None:
    assert found(tmp_path, {"a.csv": LF}, CRLF) == [("a.csv", "LF made CRLF")]


def test_windows_files_in_git_are_found_by_what_another_machine_had(tmp_path: Path) -> None:
    assert found(tmp_path, {"a.csv": CRLF}, LF) == [("a.csv", "CRLF made LF")]


def test_where_a_file_has_the_digest_as_it_is_no_other_is_mended_for_it(tmp_path: Path) -> None:
    assert found(tmp_path, {"a.csv": LF, "windows.csv": CRLF}, CRLF) == [("windows.csv", None)]


def test_of_two_equal_candidates_none_is_guessed(tmp_path: Path) -> None:
    assert found(tmp_path, {"a.csv": LF, "b.csv": LF}, CRLF) == []


def test_bytes_that_are_no_text_have_no_endings(tmp_path: Path) -> None:
    assert found(tmp_path, {"a.bin": b"\0" + LF}, b"\0" + CRLF) == []
