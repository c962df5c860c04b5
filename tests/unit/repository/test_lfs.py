"""Files in Git LFS are told from others by the commit's attributes and by their own text."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.repository.history import read_snapshot
from runner.repository.lfs import find_pointers
from runner.repository.mirror import open_mirror
from runner.schema.snapshot import LfsPointer, TreeEntry
from tests.support.repositories import Repository

OID = "9f04adae" * 8
TEXT = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 860388\n"


def pointers(attributes: dict[str, str], files: dict[str, str]) -> list[str]:
    tree = [TreeEntry(path=path, kind="file", size_bytes=len(text)) for path, text in files.items()]
    found = find_pointers(tree, attributes, lambda paths: {path: files[path].encode() for path in paths})
    return [pointer.path for pointer in found]


def test_a_commits_pointers_are_told_with_the_digest_and_size_of_what_they_stand_for(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "project")
    files = {".gitattributes": "*.csv filter=lfs diff=lfs merge=lfs -text\n", "data/x.csv": TEXT, "data/y.csv": "a,b\n"}
    commit = repository.commit({**files, "notes.txt": TEXT})
    snapshot = read_snapshot(open_mirror(str(repository.path), tmp_path / "cache", commit=commit), commit)
    assert snapshot.lfs == (LfsPointer(path="data/x.csv", oid=OID, size_bytes=860388),)


@pytest.mark.parametrize(
    ("pattern", "covers", "not_covered"),
    [
        ("*.csv", "a/b/x.csv", "x.csv.txt"),
        ("data/*.csv", "data/x.csv", "data/a/x.csv"),
        ("/x.csv", "x.csv", "a/x.csv"),
        ("data/**", "data/a/x.csv", "other/x.csv"),
        ("**/raw/*.csv", "a/raw/x.csv", "a/raw/b/x.csv"),
        ("a/**/x.csv", "a/x.csv", "x.csv"),
        ('"my data/*.csv"', "my data/x.csv", "data/x.csv"),
        ("[xy].csv", "a/y.csv", "z.csv"),
        ("x?.csv", "x1.csv", "x.csv"),
    ],
)
def test_patterns_mean_what_git_means_by_them(pattern: str, covers: str, not_covered: str) -> None:
    attributes = {".gitattributes": f"# big files\n{pattern} filter=lfs -text\n"}
    assert pointers(attributes, {covers: TEXT, not_covered: TEXT}) == [covers]


def test_the_last_rule_and_the_deepest_folder_decide() -> None:
    attributes = {
        ".gitattributes": "*.csv filter=lfs\nsmall.csv -filter\n",
        "plain/.gitattributes": "*.csv !filter\n",
        "a/.gitattributes": "*.bin filter=lfs\n",
    }
    files = dict.fromkeys(("x.csv", "small.csv", "plain/x.csv", "a/x.bin", "x.bin"), TEXT)
    assert pointers(attributes, files) == ["a/x.bin", "x.csv"]


def test_without_the_filter_nothing_is_read() -> None:
    def never(_: list[str]) -> dict[str, bytes]:
        raise AssertionError("read")

    tree = [TreeEntry(path="x.csv", kind="file", size_bytes=130)]
    assert find_pointers(tree, {".gitattributes": "*.csv text\n"}, never) == ()
