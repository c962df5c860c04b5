"""A server that answers as servers of other versions do, or badly. Real servers are in the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runner.errors import NotAStore, RunNotFound, TrackerUnavailable
from runner.registry.http_store import HttpRegistry
from runner.trackers import http_requests
from runner.trackers.artifacts import UnreadableFiles
from runner.trackers.http_store import HttpTracker
from runner.trackers.reference import AliasOf, LatestOf, VersionOf
from tests.support.mlflow_stores import run_id
from tests.unit.trackers.test_http_store import ABSENT, Answer, Fake

RUN = run_id("a")
SEVENTH = {"name": "fraud", "version": "7", "run_id": RUN, "source": "s3://b/7", "current_stage": "Production"}
TENTH = {
    "name": "fraud",
    "version": "10",
    "run_id": RUN,
    "source": "s3://b/10",
    "current_stage": "None",
    "status": "READY",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(http_requests, "_BACKOFF", 0.0)
    monkeypatch.setattr(http_requests, "_JITTER", 0.0)
    fake = Fake()
    yield fake
    fake.close()


@pytest.fixture
def registry(server: Fake) -> HttpRegistry:
    server.respond = respond
    return HttpRegistry(server.address)


def respond(endpoint: str, asked: dict[str, Any]) -> Answer:
    """Answer as a server of MLflow 2.3 or later with two versions, of which a page holds one."""
    model = {"name": "fraud", "aliases": [{"alias": "champion", "version": "7"}]}
    version = {"7": SEVENTH, "10": TENTH}.get(asked.get("version", ""))
    known = asked.get("name") == "fraud"
    answers: dict[str, Answer] = {
        "registered-models/get": (200, {"registered_model": model}) if known else ABSENT,
        "registered-models/search": (200, {"registered_models": [model]}),
        "model-versions/get": (200, {"model_version": version}) if known and version else ABSENT,
        "model-versions/get-download-uri": (200, {"artifact_uri": f"mlflow-artifacts:/models/{asked.get('version')}"}),
        "model-versions/search": (200, {}),
    }
    if asked.get("filter") == "name='fraud'":
        first = {"model_versions": [SEVENTH], "next_page_token": "t"}
        return 200, {"model_versions": [TENTH, {**TENTH, "name": "other"}]} if "page_token" in asked else first
    return answers.get(endpoint, (404, "nothing here"))


def test_versions_aliases_and_the_latest_over_all_pages_are_found(registry: HttpRegistry) -> None:
    seventh = registry.find(VersionOf("fraud", 7))
    assert (seventh.run_id, seventh.source, seventh.location) == (RUN, "s3://b/7", "mlflow-artifacts:/models/7")
    assert registry.find(AliasOf("fraud", "champion")) == seventh
    assert registry.find(LatestOf("fraud")).version == 10
    assert registry.find(LatestOf("fraud", "production")) == seventh


def test_what_is_not_there_is_said_with_what_is_near(registry: HttpRegistry) -> None:
    for reference, near in (
        (VersionOf("fraud", 8), "it has v7, v10"),
        (VersionOf("froud", 7), "nearest: models:/fraud/7"),
        (AliasOf("fraud", "champ"), "@champion"),
        (LatestOf("fraud", "Archived"), "no version in stage Archived"),
    ):
        with pytest.raises(RunNotFound, match=near):
            registry.find(reference)


def test_a_server_before_aliases_says_that_there_is_none(server: Fake, registry: HttpRegistry) -> None:
    server.respond = lambda endpoint, asked: (
        (200, {"registered_model": {"name": "fraud"}})
        if endpoint == "registered-models/get"
        else respond(endpoint, asked)
    )
    with pytest.raises(RunNotFound, match="it has none"):
        registry.find(AliasOf("fraud", "champion"))


@pytest.mark.parametrize("name", ["../../../etc", "a&b=c", "a'b", "a'b\"c", "a\r\nX: y", "%2e%2e/"])
def test_a_hostile_name_is_a_value_and_nothing_else(server: Fake, registry: HttpRegistry, name: str) -> None:
    with pytest.raises(RunNotFound):
        registry.find(VersionOf(name, 1))
    assert {method for method, _, _ in server.asked} == {"GET"}
    assert all(endpoint.startswith(("model-versions/", "registered-models/")) for _, endpoint, _ in server.asked)
    assert server.asked[0] == ("GET", "model-versions/get", {"name": name, "version": "1"})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, {"error_code": "INTERNAL_ERROR"}), TrackerUnavailable),
        ((503, ""), TrackerUnavailable),
        ((404, "?"), NotAStore),
    ],
)
def test_a_server_that_fails_is_not_one_without_the_model(
    server: Fake, registry: HttpRegistry, answer: Answer, error: type[Exception]
) -> None:
    server.respond = lambda endpoint, asked: answer
    with pytest.raises(error):
        registry.find(VersionOf("fraud", 7))


PROXY = "/api/2.0/mlflow-artifacts/artifacts"
PLACE = "mlflow-artifacts:/models/7"


class TestFilesOfTheProxy:
    @pytest.fixture
    def folders(self) -> dict[str, list[tuple[str, int | None]]]:
        """What the server lists, by folder: names with their bytes, None for a folder."""
        return {"models/7": [("MLmodel", 2), ("data", None)], "models/7/data": [("w", 1)]}

    @pytest.fixture
    def bytes_of(self) -> dict[str, Answer]:
        return {f"{PROXY}/models/7/MLmodel": (200, "{}"), f"{PROXY}/models/7/data/w": (200, "w")}

    @pytest.fixture
    def served(
        self, server: Fake, folders: dict[str, list[tuple[str, int | None]]], bytes_of: dict[str, Answer]
    ) -> Fake:
        def respond(endpoint: str, asked: dict[str, Any]) -> Answer:
            if endpoint != PROXY:
                return bytes_of.get(endpoint, ABSENT)
            entries = folders.get(asked["path"], [])
            files = [{"path": name, "is_dir": size is None, "file_size": size or 0} for name, size in entries]
            return 200, {"files": files}

        server.respond = respond
        return server

    def test_they_are_listed_and_hashed_by_way_of_the_server(self, served: Fake) -> None:
        for store in (HttpRegistry(served.address), HttpTracker(served.address)):
            files = store.hash_place(PLACE)
            assert [(file.path, file.size_bytes) for file in files] == [("MLmodel", 2), ("data/w", 1)]

    @pytest.mark.parametrize(
        "uri",
        ["mlflow-artifacts://other.example/models/7", "s3://b/7", "http://other.example/x", "/srv/x", "runs:/a/b"],
    )
    def test_a_place_on_another_server_is_not_asked_for(self, served: Fake, uri: str) -> None:
        with pytest.raises(UnreadableFiles, match="no server that you named"):
            HttpRegistry(served.address).hash_place(uri)
        assert served.asked == []

    @pytest.mark.parametrize(
        ("entries", "why"),
        [
            ([("..", None)], "lies elsewhere"),
            ([("../../x", 1)], "lies elsewhere"),
            ([("MLmodel", 3)], "gave 2 bytes of MLmodel, which has 3"),
            ([("absent", 3)], "does not give absent: 404"),
            ([], "there is none"),
        ],
    )
    def test_a_listing_that_cannot_be_true_is_no_model(
        self, served: Fake, folders: dict[str, list[tuple[str, int | None]]], entries: list[Any], why: str
    ) -> None:
        folders["models/7"] = entries
        with pytest.raises(UnreadableFiles, match=why):
            HttpRegistry(served.address).hash_place(PLACE)
