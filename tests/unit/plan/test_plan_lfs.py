"""Data in Git LFS that the run's code names stops before training; what the code writes, or DVC restores, does not."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.plan.command import Command
from runner.plan.lfs import check_lfs
from runner.schema.snapshot import LfsPointer
from tests.support.facts import lineage, run, settings, snapshot
from tests.support.values import DATA, data_file

OID = "9f04adae" * 8


def stops(
    code: str, path: str = "data/names.csv", *, line: str = "python train.py", restored: bool = False
) -> str | None:
    repository = snapshot({"train.py": code}, lfs=(LfsPointer(path=path, oid=OID, size_bytes=860388),))
    record = run(environment_files=())
    facts = lineage(record, snapshot({"train.py": code}))
    facts = facts.model_copy(update={"files": (data_file(),) if restored else ()})
    command = Command(line=line, source="--command", inferred=False, script="train.py")
    try:
        check_lfs(record, repository, facts, settings(), command)
    except MissingFact as error:
        stopped = error
    else:
        return None
    assert stopped.fact == "data"
    assert f"--pointer md5:DIGEST={path}" in stopped.remedy
    return stopped.cause


def test_data_that_the_script_or_the_command_names_is_missing_with_its_digest_and_size() -> None:
    said = f"data/names.csv is in Git LFS (sha256 {OID}, 860388 bytes) and not fetched"
    assert stops("frame = pandas.read_csv('data/names.csv')\n") == said
    assert stops("DATA = FOLDER / 'names.csv'\n") == said
    assert stops("", line="python train.py --data data/names.csv") == said


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
    assert stops(code, path) is None


def test_what_a_pointer_of_dvc_restores_is_there() -> None:
    assert stops(f"pandas.read_csv('{DATA}')\n", DATA) is not None
    assert stops(f"pandas.read_csv('{DATA}')\n", DATA, restored=True) is None
