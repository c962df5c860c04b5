"""Where the code of a run is."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.lineage.repository import repository_location
from tests.support.facts import URL, run, settings

MLFLOW = "mlflow.source.git.repoURL"


def test_sources_come_in_the_order_flag_configuration_mlflow_tag_plain_tag_current_directory() -> None:
    record = run(tags={MLFLOW: "https://git.example/mlflow.git"})
    nearby = [("/home/ann/fraud", "the current directory")]
    order = []
    flags, configuration = settings(repo="/flag"), settings(yaml="repo: /configured")
    order.append(repository_location(record, flags, nearby).value)
    order.append(repository_location(record, configuration, nearby).value)
    order.append(repository_location(record, settings(), nearby).value)
    order.append(repository_location(run(), settings(), nearby).value)
    found = repository_location(run(tags={"git_repo_url": ""}), settings(), nearby)
    assert [*order, found.value] == ["/flag", "/configured", "https://git.example/mlflow.git", URL, "/home/ann/fraud"]
    assert found.source == "the current directory"


def test_the_source_is_named_and_what_came_after_is_considered() -> None:
    found = repository_location(run(), settings(repo="/mine"), [("/near", "the current directory")])
    assert found.source == "--repo"
    assert [(item.source, item.value) for item in found.considered] == [
        ("tag git_repo_url", URL),
        ("the current directory", "/near"),
    ]


def test_configuration_is_named_as_the_source() -> None:
    assert repository_location(run(), settings(yaml="repo: /x")).source == "repo in runner.yaml"


@pytest.mark.parametrize(
    "location",
    ["ext::sh -c 'touch /tmp/x'", "--upload-pack=evil", r"C:\Users\ann\fraud", "file:///C:/Users/ann", r"\\nas\fraud"],
)
def test_a_recorded_location_that_could_run_a_command_or_is_a_foreign_drive_is_passed_over(location: str) -> None:
    record = run(tags={MLFLOW: location, "git_repo_url": ""})
    with pytest.raises(MissingFact) as caught:
        repository_location(record, settings())
    assert caught.value.nearest
    assert repository_location(record, settings(), [("/near", "the current directory")]).value == "/near"


def test_without_any_source_the_remedy_is_the_flag() -> None:
    with pytest.raises(MissingFact) as caught:
        repository_location(run(tags={"git_repo_url": ""}), settings(tracker="http://t.example"))
    assert caught.value.fact == "repository"
    assert "--repo" in caught.value.remedy
    assert "--tracker" in caught.value.remedy


def test_credentials_of_considered_locations_are_hidden() -> None:
    record = run(tags={MLFLOW: "https://ann:hunter2@git.example/x.git"})
    found = repository_location(record, settings(repo="/mine"))
    assert "hunter2" not in found.model_dump_json()
