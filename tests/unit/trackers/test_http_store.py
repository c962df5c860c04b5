"""A server that answers as servers of other versions do, or badly: what a real one of today cannot be made to say.

Real servers are in the integration tests.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runner.errors import NotAStore, RunNotFound, TrackerUnavailable
from runner.trackers import http_requests
from runner.trackers.http_store import HttpTracker
from runner.trackers.reference import parse_reference
from tests.support.mlflow_stores import run_id

Answer = tuple[int, Any]
Respond = Callable[[str, dict[str, Any]], Answer]
ID = run_id("a")
ABSENT: Answer = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such thing"})


class Fake:
    """A server whose answers are those of a function; it remembers what it was asked."""

    def __init__(self) -> None:
        self.respond: Respond = lambda endpoint, asked: (404, "nothing here")
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                self._answer("GET", parts.path, {key: values[0] for key, values in parse_qs(parts.query).items()})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer("POST", self.path, json.loads(body))

            def _answer(self, method: str, path: str, asked: dict[str, Any]) -> None:
                endpoint = path.removeprefix("/api/2.0/mlflow/")
                fake.asked.append((method, endpoint, asked))
                fake.headers.append(dict(self.headers))
                status, answer = fake.respond(endpoint, asked)
                body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", answer)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(http_requests, "_BACKOFF", 0.0)
    monkeypatch.setattr(http_requests, "_JITTER", 0.0)
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    fake = Fake()
    yield fake
    fake.close()


def run(**data: Any) -> dict[str, Any]:
    info = {
        "run_id": ID,
        "experiment_id": "1",
        "status": "FINISHED",
        "start_time": "1700000000000",
        "end_time": 1700000060000,
        "artifact_uri": "s3://secret-bucket/1",
    }
    return {"info": info, "data": {"tags": [{"key": "mlflow.runName", "value": "base"}], **data}}


def server_with(found: dict[str, Any], **endpoints: Respond) -> Respond:
    def respond(endpoint: str, asked: dict[str, Any]) -> Answer:
        own = endpoints.get(endpoint.replace("/", "_").replace("-", "_"))
        if own is not None:
            return own(endpoint, asked)
        if endpoint == "runs/get":
            return (200, {"run": found}) if asked["run_id"] == ID else ABSENT
        if endpoint == "experiments/get":
            return 200, {"experiment": {"experiment_id": "1", "name": "alpha", "lifecycle_stage": "active"}}
        if endpoint == "artifacts/list":
            return 200, {}
        return 404, "<html>"

    return respond


def test_numbers_as_text_are_numbers(server: Fake) -> None:
    points = [
        {"key": "m", "value": "NaN", "timestamp": "1000", "step": "1"},
        {"key": "m", "value": "-Infinity", "timestamp": 1001},
    ]
    server.respond = server_with(
        run(metrics=points[-1:]), metrics_get_history=lambda endpoint, asked: (200, {"metrics": points})
    )
    record = HttpTracker(server.address).read_run(ID)
    (metric,) = record.metrics
    assert [(p.timestamp_ms, p.step, str(p.value)) for p in metric.points] == [(1000, 1, "nan"), (1001, 0, "-inf")]
    assert record.start_time is not None
    assert record.name == "base"


def test_the_sign_of_zero_is_kept(server: Fake) -> None:
    points = [{"key": "m", "value": -0.0, "timestamp": 1000}, {"key": "m", "timestamp": 1001}]
    server.respond = server_with(
        run(metrics=points[:1]), metrics_get_history=lambda endpoint, asked: (200, {"metrics": points})
    )
    (metric,) = HttpTracker(server.address).read_run(ID).metrics
    assert [repr(point.value) for point in metric.points] == ["-0.0", "0.0"]


def test_a_server_without_pages_gives_the_whole_history_at_once(server: Fake) -> None:
    points = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(1, 40_000)]
    server.respond = server_with(
        run(metrics=points[-1:]), metrics_get_history=lambda endpoint, asked: (200, {"metrics": points})
    )
    (metric,) = HttpTracker(server.address).read_run(ID).metrics
    assert (len(metric.points), metric.complete) == (39_999, True)


def test_a_history_is_read_to_its_last_page(server: Fake) -> None:
    def page(endpoint: str, asked: dict[str, Any]) -> Answer:
        number = int(asked.get("page_token", 0))
        points = [{"key": "m", "value": number, "timestamp": number, "step": number}]
        return 200, {"metrics": points, "next_page_token": str(number + 1) if number < 7 else ""}

    last = {"key": "m", "value": 7, "timestamp": 7, "step": 7}
    server.respond = server_with(run(metrics=[last]), metrics_get_history=page)
    (metric,) = HttpTracker(server.address).read_run(ID).metrics
    assert ([point.step for point in metric.points], metric.complete) == (list(range(8)), True)


def test_a_server_that_repeats_a_page_does_not_hold_us_and_is_not_complete(server: Fake) -> None:
    point = {"key": "m", "value": 1, "timestamp": 1, "step": 1}
    server.respond = server_with(
        run(metrics=[point]),
        metrics_get_history=lambda endpoint, asked: (200, {"metrics": [point], "next_page_token": "same"}),
    )
    record = HttpTracker(server.address).read_run(ID)
    assert not record.metrics[0].complete
    assert "repeats" in record.notes[0]


def test_a_history_that_lacks_the_last_value_is_not_complete(server: Fake) -> None:
    points = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in (1, 2)]
    server.respond = server_with(
        run(metrics=points[1:]), metrics_get_history=lambda endpoint, asked: (200, {"metrics": points[:1]})
    )
    assert not HttpTracker(server.address).read_run(ID).metrics[0].complete


def test_an_unknown_run_is_not_found(server: Fake) -> None:
    server.respond = server_with(run())
    with pytest.raises(RunNotFound):
        HttpTracker(server.address).read_run(run_id("b"))


def test_a_server_of_before_experiment_searches_and_id_filters_is_searched_page_by_page(server: Fake) -> None:
    def runs(endpoint: str, asked: dict[str, Any]) -> Answer:
        if "run_id" in asked["filter"]:
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "unknown attribute"}
        if "page_token" not in asked:
            return 200, {"runs": [run()], "next_page_token": "2"}
        other = run()
        other["info"] = {**other["info"], "run_id": run_id("b")}
        return 200, {"runs": [other]}

    experiments = {"experiments": [{"experiment_id": "1", "name": "alpha"}]}
    server.respond = server_with(run(), experiments_list=lambda endpoint, asked: (200, experiments), runs_search=runs)
    assert HttpTracker(server.address).find_run(parse_reference("bbbb")) == run_id("b")
    assert all(asked.get("run_view_type") == "ALL" for _, endpoint, asked in server.asked if endpoint == "runs/search")


def test_artifacts_that_the_server_cannot_list_are_a_note_and_no_failure(server: Fake) -> None:
    server.respond = server_with(
        run(), artifacts_list=lambda endpoint, asked: (500, {"error_code": "INTERNAL_ERROR", "message": "no bucket"})
    )
    record = HttpTracker(server.address).read_run(ID)
    assert record.artifacts == ()
    assert "artifacts" in record.notes[0]


def test_artifacts_that_cannot_be_listed_for_the_moment_are_tried_again_later(server: Fake) -> None:
    server.respond = server_with(run(), artifacts_list=lambda endpoint, asked: (503, "later"))
    with pytest.raises(TrackerUnavailable):
        HttpTracker(server.address).read_run(ID)


def test_a_search_that_fails_inside_the_server_is_not_taken_for_no_such_run(server: Fake) -> None:
    server.respond = server_with(
        run(),
        experiments_search=lambda endpoint, asked: (200, {"experiments": [{"experiment_id": "1", "name": "alpha"}]}),
        runs_search=lambda endpoint, asked: (500, {"error_code": "INTERNAL_ERROR"}),
    )
    for text in ("alpha/base", "bbbb"):
        with pytest.raises(TrackerUnavailable):
            HttpTracker(server.address).find_run(parse_reference(text))


def test_only_reading_endpoints_are_asked(server: Fake) -> None:
    server.respond = server_with(run())
    HttpTracker(server.address).read_run(ID)
    assert {(method, endpoint) for method, endpoint, _ in server.asked} == {
        ("GET", "runs/get"),
        ("GET", "experiments/get"),
        ("GET", "artifacts/list"),
    }


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_how_to_give_credentials(server: Fake, status: int) -> None:
    server.respond = lambda endpoint, asked: (status, "who are you?")
    with pytest.raises(TrackerUnavailable) as refused:
        HttpTracker(server.address).read_run(ID)
    assert "MLFLOW_TRACKING_USERNAME" in refused.value.remedy
    assert refused.value.exit_code == 5


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_unavailable(server: Fake, status: int) -> None:
    server.respond = lambda endpoint, asked: (status, "later")
    with pytest.raises(TrackerUnavailable, match=str(status)):
        HttpTracker(server.address).check()


@pytest.mark.parametrize("answer", [(200, "<html>Welcome to nginx!"), (404, "not found"), (200, "[1]")])
def test_something_else_that_answers_is_no_store(server: Fake, answer: Answer) -> None:
    server.respond = lambda endpoint, asked: answer
    with pytest.raises(NotAStore):
        HttpTracker(server.address).check()


def test_a_redirect_to_another_host_is_not_followed(server: Fake) -> None:
    elsewhere = Fake()
    try:
        server.respond = lambda endpoint, asked: (302, f"{elsewhere.address}/login")
        with pytest.raises(TrackerUnavailable, match="sends us on"):
            HttpTracker(server.address).read_run(ID)
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


def test_a_redirect_to_https_is_told_as_the_address_to_use(server: Fake) -> None:
    server.respond = lambda endpoint, asked: (301, server.address.replace("http:", "https:") + "/x")
    with pytest.raises(TrackerUnavailable) as refused:
        HttpTracker(server.address).check()
    assert refused.value.remedy == f"--tracker {server.address.replace('http:', 'https:')}"


def test_credentials_are_sent_as_mlflow_does_and_told_nowhere(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    server.respond = lambda endpoint, asked: (401, "hunter2 is wrong")
    with pytest.raises(TrackerUnavailable) as refused:
        HttpTracker(server.address).check()
    assert server.headers[0]["Authorization"] == "Basic bWU6aHVudGVyMg=="
    assert "hunter2" not in str(refused.value) + refused.value.remedy


def test_an_artifact_is_read_through_the_server_up_to_the_limit(server: Fake) -> None:
    server.respond = server_with(run(), _get_artifact=lambda endpoint, asked: (200, asked["path"]))
    tracker = HttpTracker(server.address)
    assert tracker.read_artifact(ID, "deep/a.txt", 10) == b"deep/a.txt"
    assert tracker.read_artifact(ID, "deep/a.txt", 9) is None


def test_an_artifact_that_is_not_there_is_none(server: Fake) -> None:
    server.respond = server_with(run(), _get_artifact=lambda endpoint, asked: (500, "no such file"))
    assert HttpTracker(server.address).read_artifact(ID, "a", 9) is None


def test_a_port_where_nobody_listens_is_unavailable_and_the_environment_is_as_before() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = dict(os.environ)
    with pytest.raises(TrackerUnavailable, match="refused"):
        HttpTracker(f"http://me:hunter2@127.0.0.1:{port}").check()
    assert dict(os.environ) == before


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(TrackerUnavailable, match="no host has the name"):
        HttpTracker("http://tracker.invalid").check()


def test_a_server_that_does_not_answer_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "_TIMEOUT_S", (1, 0.05))
    monkeypatch.setattr(http_requests, "_RETRIES", 0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TrackerUnavailable, match="in time"):
            HttpTracker(f"http://127.0.0.1:{silent.getsockname()[1]}").check()
