"""Runs on a server of W&B's: recorded and sent by real W&B, read by the real `wandb.Api`, from a server of ours.

Nothing here was run against the hosted service.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runner.compare.params import why_equal
from runner.engine.docker import DockerEngine
from runner.errors import RunNotFound, TrackerUnavailable, UsageError
from runner.prepare import Prepared
from runner.schema.reproduction import Reproduction, Verdict
from runner.schema.run_record import MetricPoint, RunRecord
from runner.trackers.open import open_tracker
from runner.trackers.reference import RunId, RunIdPrefix, RunName
from runner.trackers.wandb_folder import open_run
from tests.support.capture_environments import Environment, Specification
from tests.support.judging import judging, why
from tests.support.projects import RecordedProject
from tests.support.wandb_authors import WANDB_0_31, WandbProject, digest_of, script
from tests.support.wandb_server import ENTITY, KEY, Answer, StoredRun, WandbServer, wandb_server

ADDRESS = f"wandb:{ENTITY}/sums"
MORE = """
wandb.log({"nan": float("nan"), "far": -float("inf"), "third": 0.1 + 0.2, "tiny": 5e-324, "zero": -0.0, "big": 2**60})
wandb.log({"late": 1}, step=2500)
Path("model.bin").write_bytes(b"model")
wandb.save("model.bin")
"""


@pytest.fixture(scope="module")
def author(
    tmp_path_factory: pytest.TempPathFactory, environment_of: Callable[[Specification], Environment]
) -> WandbProject:
    folder = tmp_path_factory.mktemp("online-author")
    project = WandbProject(folder, environment_of(WANDB_0_31), WANDB_0_31.packages)
    project.commit_training(script(config=f', "dvc_data_md5": "{digest_of(project)}"'))
    return project


@pytest.fixture(scope="module")
def offline(author: WandbProject) -> Path:
    """A run with all kinds of values, a dirty tree, and a step far from the others."""
    path = author.repository.path / "train.py"
    committed = path.read_text()
    options = 'project="sums", name="all", group="g", job_type="jt", notes="of notes", tags=["a", "b"], mode="online"'
    define = 'run.define_metric("parts.*", step_metric="loss")'
    path.write_text(
        script(init=options, inside=MORE).replace("wandb.config.update", f"{define}\nwandb.config.update", 1)
    )
    run = author.record("--scale", "0.5", WANDB_SAVE_CODE="true")
    path.write_text(committed)
    return run


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    with wandb_server() as started:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name, value in started.variables.items():
            monkeypatch.setenv(name, value)
        yield started


@pytest.fixture(scope="module")
def arrived(author: WandbProject, offline: Path) -> StoredRun:
    """The run as real W&B sends it."""
    with wandb_server() as started:
        return send(started, author, offline)


@pytest.fixture
def sent(server: WandbServer, arrived: StoredRun) -> StoredRun:
    """The run on this test's server, for the test to change."""
    run = copy.deepcopy(arrived)
    server.runs[run.project, run.name] = run
    return run


def send(server: WandbServer, author: WandbProject, run: Path) -> StoredRun:
    for marker in run.glob("*.synced"):
        marker.unlink()
    sent = server.sync(run, author.environment.python)
    server.asked.clear()
    return sent


def read(run: StoredRun) -> RunRecord:
    return open_tracker(ADDRESS).read_run(run.name)


def test_the_record_read_from_the_server_equals_that_of_the_offline_file(sent: StoredRun, offline: Path) -> None:
    tracker, run_id = open_run(offline)
    expected, found = tracker.read_run(run_id), read(sent)
    for name in (
        "run_id",
        "experiment_id",
        "name",
        "status",
        "environment_files",
        "patches",
        "notes",
        "lifecycle_stage",
    ):
        assert getattr(found, name) == getattr(expected, name), name
    # W&B's client sends whole floats as integers, and a minus zero as zero: the values are those of its own form.
    assert found.params.keys() == expected.params.keys()
    assert all(why_equal(expected.params[name], found.params[name]) is not None for name in expected.params)
    assert [history.name for history in found.metrics] == [history.name for history in expected.metrics]
    for one, other in zip(found.metrics, expected.metrics, strict=True):
        assert one.complete
        assert other.complete
        assert list(map(as_stored, one.points)) == list(map(as_stored, other.points)), one.name
    # Sent at once by `wandb sync`; the file of an offline run has no entity.
    assert found.tags == {**expected.tags, "wandb.entity": ENTITY}
    # Of what `wandb.save` was given an offline run's folder has links that lead out of it.
    assert not expected.artifacts
    assert [(artifact.path, artifact.size_bytes) for artifact in found.artifacts] == [("model.bin", 5)]
    assert found.start_time is not None
    assert expected.start_time is not None
    assert found.end_time is not None
    assert expected.end_time is not None
    assert abs((found.start_time - expected.start_time).total_seconds()) < 2
    assert abs((found.end_time - expected.end_time).total_seconds()) < 2
    assert "define_metric" in found.patches[0].text


def as_stored(point: MetricPoint) -> tuple[int, int, str]:
    return point.step, point.timestamp_ms, repr(point.value + 0.0)  # without the sign of zero


def test_history_is_read_whole_and_never_sampled(sent: StoredRun, server: WandbServer) -> None:
    sent.history += [{"_step": 3000 + step, "_timestamp": 1.8e9, "long": step} for step in range(4321)]
    (long,) = [history for history in read(sent).metrics if history.name == "long"]
    assert [point.value for point in long.points] == list(map(float, range(4321)))
    assert long.complete
    assert "HistoryPage" in server.asked
    assert not {"RunFullHistory", "RunSampledHistory", "SampledHistoryPage"} & set(server.asked)


def test_a_history_that_may_be_cut_is_not_complete(sent: StoredRun) -> None:
    sent.lines = len(sent.history) + 1
    record = read(sent)
    assert not any(history.complete for history in record.metrics)
    assert any("may be cut" in note for note in record.notes)


def test_a_patch_that_the_server_lists_and_does_not_give_makes_no_clean_commit(
    sent: StoredRun, server: WandbServer
) -> None:
    server.fault = lambda operation, _: Answer(404, {}) if operation.endswith("diff.patch") else None
    record = read(sent)
    assert [(patch.path, patch.text) for patch in record.patches] == [("diff.patch", "")]
    server.fault = lambda operation, _: Answer(200, b"other bytes") if operation.endswith("diff.patch") else None
    assert read(sent).patches[0].text == ""


def test_patches_since_a_pushed_commit_are_read_by_their_names(sent: StoredRun) -> None:
    sent.files[f"diff_{'a' * 40}.patch"] = b"since then\n"
    assert {patch.path for patch in read(sent).patches} == {"diff.patch", f"diff_{'a' * 40}.patch"}
    assert all(patch.text for patch in read(sent).patches)


def test_what_is_no_run_of_wandb_is_an_error(sent: StoredRun, server: WandbServer) -> None:
    body = {"data": {"project": {"run": {**sent.node(), "tags": 5}}}}
    server.fault = lambda operation, _: Answer(200, body) if operation == "Run" else None
    with pytest.raises(TrackerUnavailable, match="is no run of W&B's"):
        read(sent)


def test_rows_that_cannot_be_read_leave_a_history_that_is_not_complete(sent: StoredRun, server: WandbServer) -> None:
    page = {"data": {"project": {"run": {"history": ['{"_step": 1e999, "x": 1, "\\ud800": 1}']}}}}
    server.fault = lambda operation, _: Answer(200, page) if operation == "HistoryPage" else None
    assert not any(history.complete for history in read(sent).metrics)


def test_a_run_without_git_and_without_files_has_a_record(sent: StoredRun) -> None:
    sent.files.clear()
    sent.values["commit"] = None
    record = read(sent)
    assert not record.patches
    assert not record.environment_files
    assert "wandb.git.commit" not in record.tags


def test_files_are_hashed_and_names_that_lead_elsewhere_are_left_out(
    sent: StoredRun, server: WandbServer, tmp_path: Path
) -> None:
    sent.files |= {"../../../evil": b"evil", "/tmp/evil": b"evil", "models/a/MLmodel": b"flavors: {}\n"}
    tracker = open_tracker(ADDRESS)
    record = tracker.read_run(sent.name)
    assert {artifact.path for artifact in record.artifacts} == {"model.bin", "models/a/MLmodel"}
    assert any("names that lead elsewhere" in note for note in record.notes)
    assert [file.path for file in tracker.hash_artifacts(sent.name, "models")] == ["a/MLmodel"]
    assert tracker.read_artifact(sent.name, "model.bin", 10) == b"model"
    assert tracker.read_artifact(sent.name, "model.bin", 4) is None
    assert not any("evil" in asked for asked in server.asked)


def test_runs_are_found_by_id_prefix_and_name(sent: StoredRun) -> None:
    tracker = open_tracker(ADDRESS)
    assert tracker.find_run(RunId(sent.name)) == sent.name
    assert tracker.find_run(RunName("sums", "all")) == sent.name
    sent_prefix = sent.name[:4]
    assert tracker.find_run(RunIdPrefix(sent_prefix)) == sent.name


def test_what_is_not_there_is_named_with_what_resembles_it(sent: StoredRun) -> None:
    with pytest.raises(RunNotFound) as absent:
        open_tracker(ADDRESS).read_run(f"{sent.name[:-1]}_")
    assert f"nearest: {ADDRESS}/{sent.name}" in absent.value.cause
    assert absent.value.remedy == f"runner plan {ADDRESS}/{sent.name}"
    with pytest.raises(RunNotFound, match=r"'acme' has no project 'sum' .*nearest: wandb:acme/sums"):
        open_tracker(f"wandb:{ENTITY}/sum").read_run(sent.name)
    with pytest.raises(RunNotFound, match="no entity 'nobody'"):
        open_tracker("wandb:nobody/sums").read_run(sent.name)


def test_too_many_requests_are_tried_again_and_then_an_error_that_may_pass(
    sent: StoredRun, server: WandbServer
) -> None:
    answers = [Answer(429, {"errors": [{"message": KEY}]})]
    server.fault = lambda operation, _: answers.pop() if operation == "HistoryPage" and answers else None
    assert read(sent).status == "FINISHED"
    server.fault = lambda operation, _: Answer(429, {"errors": [{"message": KEY}]}) if operation == "Run" else None
    server.asked.clear()
    with pytest.raises(TrackerUnavailable, match="429") as busy:
        read(sent)
    assert server.asked.count("Run") > 2
    assert KEY not in busy.value.cause + busy.value.remedy


@pytest.mark.parametrize(
    ("status", "host"),
    [
        (307, "127.0.0.1"),
        *(
            pytest.param(status, host, marks=pytest.mark.full)
            for status, host in ((302, "127.0.0.1"), (302, "localhost"), (307, "localhost"), (308, "localhost"))
        ),
    ],
)
def test_a_redirect_to_another_place_never_carries_the_key(
    sent: StoredRun, server: WandbServer, status: int, host: str
) -> None:
    seen: list[dict[str, str]] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        there = f"http://{host}:{other.server_port}/there"
        moved = Answer(status, {}, {"Location": there})
        server.fault = lambda operation, _: moved if operation.startswith("GET ") else None
        read(sent)
        server.fault = lambda operation, _: moved if operation == "Run" else None
        with pytest.raises(RunNotFound):
            read(sent)
        other.shutdown()
    assert len(seen) > 1
    assert not any("authorization" in name.lower() or KEY in value for each in seen for name, value in each.items())


def test_an_address_of_another_server_does_not_get_the_key(server: WandbServer) -> None:
    with pytest.raises(UsageError, match="another server shall not get it unasked"):
        open_tracker("wandb:http://elsewhere.test/acme/sums")
    with pytest.raises(UsageError, match="another server shall not get it unasked"):
        open_tracker("wandb:https://wandb.ai/acme/sums")
    assert open_tracker(f"wandb:{server.url}/acme/sums").uri == f"wandb:{server.url}/acme/sums"


def test_the_key_of_netrc_is_taken_as_wandb_does(
    sent: StoredRun, server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(TrackerUnavailable, match="needs an API key"):
        read(sent)
    host = server.url.removeprefix("http://")
    (tmp_path / ".netrc").write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert read(sent).run_id == sent.name


def test_a_wrong_key_is_an_error_that_no_output_holds(sent: StoredRun, server: WandbServer, tmp_path: Path) -> None:
    wrong = "canary0123456789canary0123456789canary01"
    server.fault = lambda operation, _: Answer(401, {"errors": [{"message": f"{wrong} is no key of ours"}]})
    for key, options in ((wrong, ["--json"]), (wrong, ["--debug"]), ("canary-short", ["--debug"])):
        done = run_command(["plan", f"{ADDRESS}/{sent.name}", *options], tmp_path, WANDB_API_KEY=key)
        assert done.returncode == 5, done.stdout + done.stderr
        assert "canary" not in done.stdout + done.stderr
        assert "WANDB_API_KEY" in done.stdout + done.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in left if b"canary" in path.read_bytes()]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", pytest.param("http://no-such-host.invalid", marks=pytest.mark.full)]
)
def test_a_server_that_cannot_be_reached_is_an_error_that_may_pass(
    server: WandbServer, url: str, tmp_path: Path
) -> None:
    done = run_command(["plan", f"{ADDRESS}/abcd1234"], tmp_path, WANDB_BASE_URL=url)
    assert done.returncode == 5
    assert "cannot be reached" in done.stderr


def test_without_wandb_a_sentence_says_how_to_install_it(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(UsageError) as missing:
        open_tracker(ADDRESS)
    assert missing.value.remedy.endswith("-m pip install 'reproducibility-runner[wandb]'")


def test_pages_without_an_end_come_to_one(sent: StoredRun, server: WandbServer) -> None:
    page = server.answer("RunFiles", {"project": sent.project, "entity": ENTITY, "name": sent.name})
    server.fault = lambda operation, _: Answer(200, {"data": page}) if operation == "RunFiles" else None
    with pytest.raises(TrackerUnavailable, match="did not come to an end"):
        read(sent)


def run_command(arguments: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "runner", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def reproduced(
    author: WandbProject,
    project: RecordedProject,
    shared_engine: DockerEngine,
    shared_images: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Reproduction]]:
    with judging(project, shared_engine, tmp_path, monkeypatch) as judge:
        yield lambda run, **flags: judge(run, **{"tracker": None, "repo": str(author.repository.path), **flags})


def test_a_run_on_the_server_comes_out_identical(
    author: WandbProject, server: WandbServer, reproduced: Callable[..., Reproduction]
) -> None:
    run = send(server, author, author.record())
    arrived = json.dumps([run.node(), run.history], sort_keys=True)
    result = reproduced(f"{ADDRESS}/{run.name}")
    assert result.verdict is Verdict.IDENTICAL, why(result)
    (file,) = result.lineage.files
    assert (file.path, file.source.partition(" ")[0]) == ("data/train.csv", "param")
    assert json.dumps([run.node(), run.history], sort_keys=True) == arrived
    assert not [asked for asked in server.asked if asked.startswith(("Upsert", "Create", "Delete", "Update"))]
    assert KEY not in result.model_dump_json()
