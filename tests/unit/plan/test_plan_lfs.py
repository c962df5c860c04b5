"""Files in Git LFS: all within the limit, else those that the code names; what it names and no store has stops."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact, RepositoryUnavailable
from runner.plan.command import Command
from runner.plan.lfs import choose_lfs
from runner.plan.named import Names
from runner.schema.plan import SuppliedFile
from runner.schema.snapshot import LfsPointer
from tests.support.facts import lineage, run, settings, snapshot
from tests.support.values import DATA, data_file

OID = "9f04adae" * 8
GIB = 1 << 30


def pointer(path: str = "data/names.csv", size_bytes: int = 860388, **fields: object) -> LfsPointer:
    return LfsPointer.model_validate({"path": path, "oid": OID, "size_bytes": size_bytes, **fields})


def chosen(
    code: str, *pointers: LfsPointer, line: str = "python train.py", restored: bool = False, limit: str | None = None
) -> tuple[tuple[SuppliedFile, ...], tuple[str, ...]]:
    repository = snapshot({"train.py": code}, lfs=pointers or (pointer(),))
    record = run(environment_files=())
    facts = lineage(record, snapshot({"train.py": code}))
    facts = facts.model_copy(update={"files": (data_file(),) if restored else ()})
    command = Command(line=line, source="--command", inferred=False, script="train.py")
    given = settings(lfs_limit=limit)
    return choose_lfs(record, repository, facts, given, Names(record, repository, command))


def stopped(code: str, *pointers: LfsPointer, **fields: str) -> MissingFact:
    with pytest.raises(MissingFact) as caught:
        chosen(code, *pointers, **fields)  # type: ignore[arg-type]
    assert caught.value.fact == "data"
    return caught.value


def test_all_files_of_the_commit_are_supplied_with_their_digests() -> None:
    files, notes = chosen("pass\n", pointer("a/x.bin"), pointer("b/y.csv"))
    assert [(file.path, str(file.digest), file.kind) for file in files] == [
        ("a/x.bin", f"sha256:{OID}", "lfs"),
        ("b/y.csv", f"sha256:{OID}", "lfs"),
    ]
    assert notes == ()


def test_an_object_of_two_files_counts_once() -> None:
    assert len(chosen("pass\n", pointer("a", 2 * GIB), pointer("b", 2 * GIB))[0]) == 2


def test_over_the_limit_what_the_code_names_is_supplied_and_the_rest_is_said() -> None:
    images = pointer("images.zip", 3 * GIB, oid="a" * 64)
    files, notes = chosen("pandas.read_csv('data/names.csv')\n", pointer(), images)
    assert [file.path for file in files] == ["data/names.csv"]
    assert notes == (
        "data: 1 file in Git LFS stayed pointers, such as images.zip: together more than 2 GiB (--lfs-limit)",
    )
    assert len(chosen("pass\n", pointer(), images, limit="4g")[0]) == 2


def test_what_the_code_names_over_the_limit_stops_with_size_and_flag() -> None:
    error = stopped("open('images.zip')\n", pointer("images.zip", 3 * GIB))
    assert error.cause == "images.zip in Git LFS: 3 GiB that the run's code names, more than the limit of 2 GiB"
    assert "--lfs-limit 3g" in error.remedy
    assert "--lfs-limit 1m" in stopped("open('images.zip')\n", pointer("images.zip", 1025), limit="1k").remedy


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("frame = pandas.read_csv('data/names.csv')\n", "python train.py"),
        ("DATA = FOLDER / 'names.csv'\n", "python train.py"),
        ("", "python train.py --data data/names.csv"),
    ],
)
def test_data_that_is_named_and_in_no_store_is_missing_with_its_digest_and_size(code: str, line: str) -> None:
    error = stopped(code, pointer(refused="h.org does not hold it"), line=line)
    assert error.cause == (
        f"data/names.csv is in Git LFS (sha256 {OID}, 860388 bytes) and cannot be had: h.org does not hold it"
    )
    assert "--repo PATH" in error.remedy


def test_a_store_that_refuses_is_infrastructure_where_the_data_is_needed() -> None:
    refusing = pointer(refused="refuses to be read (status 401)", passing=True)
    with pytest.raises(RepositoryUnavailable):
        chosen("open('data/names.csv')\n", refusing)
    assert chosen("pass\n", refusing)[0] == ()


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("frame.to_csv('data/names.csv')\n", "data/names.csv"),
        ("frame = pandas.read_csv('data/other_names.csv')\n", "data/names.csv"),
        ("joblib.load('model.pkl')\n", "model.pkl"),
        ("pass\n", "docs/names.csv"),
    ],
)
def test_what_the_code_writes_does_not_name_or_may_write_stops_nothing(code: str, path: str) -> None:
    files, notes = chosen(code, pointer(path, refused="gone"))
    assert files == ()
    assert len(notes) == 1


def test_what_a_pointer_of_dvc_restores_is_there() -> None:
    assert chosen("pass\n", pointer(DATA, refused="gone"), restored=True) == ((), ())
