"""What is typed of registered models means the same to `plan` and `reproduce`, and mistakes end in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mlflow_stores import StoredRun, run_id, write_file_store
from tests.support.registries import StoredVersion, write_sqlite_registry
from tests.unit.cli.conftest import Types

FIRST, SECOND = run_id("a"), run_id("b")


@pytest.fixture
def typed(tmp_path: Path) -> list[str]:
    """A tracker, and a registry of its own whose first version is of a run and whose second is of one that is gone."""
    runs = [StoredRun(FIRST, "alpha", "first"), StoredRun(SECOND, "alpha", "second")]
    store = write_file_store(tmp_path / "mlruns", runs)
    versions = [StoredVersion("fraud", 1, FIRST), StoredVersion("fraud", 2, run_id("f"))]
    registry = write_sqlite_registry(tmp_path / "registry" / "r.db", versions, {("fraud", "champion"): 1})
    return ["--tracker", str(store), "--registry-uri", f"sqlite:///{registry}", "--json"]


@pytest.mark.parametrize("command", ["plan", "reproduce"])
@pytest.mark.parametrize(
    ("words", "code", "cause", "remedy"),
    [
        (["models:/fraud/3"], 2, "has no version 3", "runner plan models:/fraud/2 --registry-uri sqlite:///"),
        (["models:/fraud@champ"], 2, "has no alias 'champ'", "models:/fraud@champion"),
        (["models:/fraud/2"], 2, "which file:///", "--run RUN"),
        (["models:/fraud/1", "--run", "alpha/second"], 2, f"--run names {SECOND}", "models:/fraud/1 --run aaaaaaaa"),
        (["models:/fraud/2", "--run", "models:/fraud/1"], 2, "--run takes a run", "a run id"),
        (["alpha/first", "--run", "alpha/first"], 2, "RUN is a run", "runner reproduce alpha/first"),
        (["models:/fraud"], 2, "names no version", "models:/NAME/VERSION"),
        (["http://127.0.0.1:1/#/models/fraud/versions/9"], 2, "has no version 9", "models:/fraud/2"),
    ],
)
def test_what_cannot_be_meant_ends_in_a_cause_and_a_remedy(
    types: Types, typed: list[str], command: str, words: list[str], code: int, cause: str, remedy: str
) -> None:
    said = types(command, *words, *typed)
    assert (said.code, said.error["code"]) == (code, code)
    assert cause in said.error["cause"]
    assert remedy in said.error["remedy"]


def test_a_version_whose_files_cannot_be_had_is_unverifiable_and_can_be_typed_again(
    types: Types, typed: list[str], tmp_path: Path
) -> None:
    said = types("plan", "models:/fraud/2", "--run", "alpha/first", *typed)
    assert (said.code, said.error["kind"]) == (3, "missing-fact")
    assert "does not say where they are" in said.error["cause"]
    for word in ("models:/fraud/2", "--registry-uri", "--tracker", "--run alpha/first"):
        assert word in said.error["remedy"]
    assert not (tmp_path / "reproductions").exists()
