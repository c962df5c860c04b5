"""`runner check` says of many runs which can be audited, with git and folders as they are, and without an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner.schema.export import schema_text
from tests.support.command import CommandLine, Said
from tests.support.projects import EXPERIMENT, RUN_ID, START_MS, RecordedProject
from tests.support.repositories import fingerprint

OTHER = "a" * 32
THIRD = "b" * 32
DAY_MS = 86_400_000


@pytest.fixture
def typed(project: RecordedProject, tmp_path: Path) -> CommandLine:
    """A prompt on a machine without an engine."""
    return CommandLine(tmp_path / "user", tracker=project.tracker, DOCKER_HOST="unix:///nowhere.sock")


def rows(said: Said) -> dict[str, Any]:
    jsonschema.validate(said.document, json.loads(schema_text("check")))
    return {row["run"]["id"]: row for row in said.document["runs"]}


def test_each_run_has_its_facts_or_what_it_lacks_and_the_remote_is_asked(
    project: RecordedProject, typed: CommandLine
) -> None:
    project.commit_training()
    project.record()
    project.record(run_id=OTHER, name="gone", tags={"dvc_data_md5": "0" * 32}, start_ms=START_MS + DAY_MS)
    project.record(run_id=THIRD, name="lost", tags={"git_commit": "c" * 40}, start_ms=START_MS + 2 * DAY_MS)
    before = fingerprint(project.folder)
    said = typed.run("check", "--experiment", EXPERIMENT, "--repo", str(project.repository.path), "--json")
    found = rows(said)
    assert (said.code, list(found)) == (3, [RUN_ID, OTHER, THIRD])
    assert [found[run]["outcome"] for run in found] == ["auditable", "lacking", "lacking"]
    good = found[RUN_ID]
    assert {"repository", "commit", "command", "environment", "python"} <= {fact["fact"] for fact in good["facts"]}
    assert [(file["path"], file["held"]) for file in good["files"]] == [("data/train.csv", "held")]
    assert [each["fact"] for each in found[THIRD]["missing"]] == ["commit"]
    assert found[OTHER]["missing"][0]["fact"] in ("data", "pointer")
    assert said.document["missing_facts"] == {"commit": 1, found[OTHER]["missing"][0]["fact"]: 1}
    assert said.document["saved_by_record"] == 2
    assert fingerprint(project.folder) == before


def test_bytes_that_no_remote_holds_are_missing_and_the_remedy_names_another_remote(
    project: RecordedProject, typed: CommandLine
) -> None:
    project.commit_training()
    project.record()
    project.store.remove(project.stored_data.digest)
    said = typed.run("check", RUN_ID, "--repo", str(project.repository.path))
    assert said.code == 3
    assert "0 of 1 held" in said.out
    assert "no: data" in said.out
    assert f"runner reproduce {RUN_ID} --remote URL_OR_PATH" in said.out


def test_a_run_that_lacks_several_facts_is_told_all_of_them_at_once(
    project: RecordedProject, typed: CommandLine
) -> None:
    project.commit_training(files={"requirements.txt": "mlflow==\n", ".dvc/config": "[core]\n"})
    project.record(tags={"mlflow.source.name": "elsewhere.py"})
    said = typed.run("check", RUN_ID, "--repo", str(project.repository.path), "--json")
    missing = [each["fact"] for each in rows(said)[RUN_ID]["missing"]]
    assert said.code == 3
    assert {"script", "remote"} <= set(missing)
    assert len(missing) == len(set(missing))


def test_all_that_can_be_audited_is_exit_0_and_the_table_says_of_what(
    project: RecordedProject, typed: CommandLine
) -> None:
    project.commit_training()
    project.record()
    said = typed.run("check", RUN_ID[:8], "--repo", str(project.repository.path))
    assert (said.code, said.err.count("error")) == (0, 0)
    row = next(line for line in said.out.splitlines() if RUN_ID[:8] in line)
    for cell in (project.commit[:7], "1 held", "inferred", "requirements.txt", "yes"):
        assert cell in row


def test_a_repository_that_does_not_answer_is_not_known_and_the_other_runs_are_still_looked_at(
    project: RecordedProject, tmp_path: Path
) -> None:
    project.commit_training()
    project.record()
    project.record(run_id=OTHER, tags={"git_commit": None}, start_ms=START_MS + DAY_MS)
    elsewhere = project.tracker.rename(tmp_path / "mlruns")  # else the clone that holds it has the commit
    typed = CommandLine(tmp_path / "user", tracker=elsewhere, DOCKER_HOST="unix:///nowhere.sock")
    said = typed.run("check", RUN_ID, OTHER, "--repo", "https://127.0.0.1:9/nothing.git", "--json")
    found = rows(said)
    assert said.code == 5
    assert (found[RUN_ID]["outcome"], found[RUN_ID]["unreachable"]["kind"]) == ("unknown", "repository-unavailable")
    assert (found[OTHER]["outcome"], found[OTHER]["missing"][0]["fact"]) == ("lacking", "commit")


@pytest.mark.parametrize(
    ("arguments", "said_of_it"),
    [
        ((), "no run is named"),
        (("--experiment", "sum"), "there is no experiment 'sum'"),
        (("--since", "soon"), "--since 'soon' is no time"),
        (("--filter", "metrics.x >"), "--filter"),
        (("--since", "2099-01-01"), "matches none"),
        (("ffff0000",), "ffff0000"),
    ],
)
def test_what_means_no_run_is_exit_2_and_never_a_good_answer(
    project: RecordedProject, typed: CommandLine, arguments: tuple[str, ...], said_of_it: str
) -> None:
    project.commit_training()
    project.record()
    said = typed.run("check", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said_of_it in said.err
