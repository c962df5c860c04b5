"""The phases in their order, restore and provision beside each other, and nothing left running when one fails."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.credentials.host import NO_ACCESS, HostAccess, host_access
from runner.engine.interface import ContainerOutcome, ContainerRequest, Sink
from runner.errors import DiskFull, IndexUnavailable, MissingFact
from runner.inside import layout, protocol
from runner.network import NetworkSettings
from runner.progress import NoProgress
from runner.rerun.carry_out import Paper, Place, carry_out, discard_workspace
from runner.rerun.preexisting import RecordedResults
from runner.schema.plan import Plan, Policy, Remote
from runner.schema.rerun import Ending, Rerun
from tests.support.fake_engine import FakeEngine, Said, Told, lines, note, outcome, result
from tests.support.values import DATA, MODEL, make_plan, make_rerun, md5, restored, written

ENVIRONMENT = {
    "key": "k" * 16,
    "python": "3.9.18",
    "lock": "numpy==1.26.4\n",
    "packages": {"numpy": "1.26.4"},
    "built_from_source": [],
    "as_of": None,
    "build_as_of": None,
    "redated": None,
    "notes": [],
}
RESTORED = result(
    {
        "files": [restored(opened=None, unchanged=None).model_dump(mode="json")],
        "remotes_asked": ["main"],
        "stages": [],
        "doubts": [],
        "removed": [MODEL],
    }
)
READY = [note("environment", ENVIRONMENT), RESTORED]
PROVISIONED = [result({"state": "ready", "environment": ENVIRONMENT, "cached": False})]


HELD = {"old/final.dat": b"the model", "README.md": b"# Sums\n"}


def collected(**fields: Any) -> dict[str, Any]:
    rerun = make_rerun().model_dump(mode="json")
    return {
        "capture": rerun["capture"],
        "inputs": [restored().model_dump(mode="json")],
        "outputs": [written().model_dump(mode="json")],
        "used_of_commit": [],
        "opened_of_commit": [],
        "hardware": rerun["hardware"],
        "free_bytes": 1 << 40,
        "cut": [],
        **fields,
    }


def answers(**others: Any) -> dict[str, Any]:
    return {
        "restore": READY,
        "provision": PROVISIONED,
        "train": Said(b"epoch 1\n"),
        "collect": [result(collected())],
        **others,
    }


def run(
    engine: FakeEngine,
    tmp_path: Path,
    plan: Plan | None = None,
    *,
    keep: bool = False,
    offline: bool = False,
    host: HostAccess = NO_ACCESS,
    told: Told | None = None,
    build_image: Callable[[], str] = lambda: "build",
) -> Rerun:
    for name in ("logs", "outputs"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "bundle").write_bytes(b"# v2 git bundle\n")
    paper = Paper(
        bundle=tmp_path / "bundle",
        package_sources=tmp_path / "mirrors",
        dvc_roots=(".",),
        outs=(DATA, MODEL),
        sources={"train.py": "import numpy\n"},
        contents=lambda paths, longest: {path: HELD[path] for path in paths if len(HELD.get(path, "")) <= longest},
        recorded=RecordedResults(digests=frozenset({md5("the model").hexdigest})),
        logs=tmp_path / "logs",
        outputs=tmp_path / "outputs",
    )
    place = Place(
        engine=engine, volume="cache", rerun="r1", network=NetworkSettings(), build_image=build_image, host=host
    )
    return carry_out(plan or make_plan(), place, paper, keep=keep, offline=offline, progress=told or NoProgress())


def purposes(engine: FakeEngine) -> list[str]:
    return [request.purpose for request in engine.requests]


def test_with_an_environment_that_is_ready_nothing_is_provisioned(tmp_path: Path) -> None:
    engine = FakeEngine(answers())
    rerun = run(engine, tmp_path)
    assert purposes(engine) == ["restore", "train", "collect"]
    assert rerun.environment.cached
    assert rerun.environment.key == "k" * 16


def test_the_image_with_compilers_is_asked_for_once_something_must_be_built(tmp_path: Path) -> None:
    job = {
        "path": "/cache/j",
        "subpath": "j",
        "name": "one",
        "version": "1.0",
        "title": "one 1.0",
        "tree": None,
        "in_workspace": False,
        "build_as_of": None,
        "again": False,
    }
    rounds = iter([[result({"state": "build", "jobs": [job]})], PROVISIONED])

    def provision(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        return Said(lines(*next(rounds)))(request, stdout, stderr)

    asked: list[str] = []
    engine = FakeEngine(
        answers(restore=[note("environment", None), RESTORED], provision=provision, build=Said(b"compiled\n"))
    )
    run(engine, tmp_path, build_image=lambda: asked.append("asked") or "with-compilers")
    assert engine.request("build").image == "with-compilers"
    assert {request.image for request in engine.requests} == {"with-compilers", make_plan().images.tools}
    assert asked == ["asked"]
    run(FakeEngine(answers(restore=[note("environment", None), RESTORED])), tmp_path, build_image=lambda: 1 / 0)


def test_what_the_phases_observed_is_in_the_rerun(tmp_path: Path) -> None:
    told = Told()
    rerun = run(FakeEngine(answers()), tmp_path, told=told)
    assert (rerun.ending, rerun.exit_code, rerun.log_tail) == (Ending.FINISHED, 0, ("epoch 1",))
    assert rerun.inputs == (restored(),), "as it was after the training"
    assert rerun.outputs == (written(),)
    assert rerun.remotes_asked == ("main",)
    assert [run.run_id for run in rerun.capture.runs] == [run.run_id for run in make_rerun().capture.runs]
    assert told.phases == ["restore", "provision", "train", "collect"]
    assert (tmp_path / "logs" / "train.log").read_text() == "epoch 1\n"


S3 = Remote(name="storage", url="s3://data/x", source="--remote storage", confirmed_by="--remote")


def test_keys_go_to_restore_on_its_standard_input_and_to_no_other_phase(tmp_path: Path) -> None:
    host = host_access({"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hunter2"}, (), lambda _: "")
    engine = FakeEngine(answers(restore=[note("environment", None), RESTORED]))
    rerun = run(engine, tmp_path, make_plan(remotes=(S3,)), host=host)
    (told,) = engine.payload("restore")["remotes"]
    assert told["credentials"] == {"access_key_id": "AKIA", "secret_access_key": "hunter2"}
    assert len(engine.requests) == 4
    assert not any("hunter2" in repr(request) for request in engine.requests)
    assert not any("hunter2" in repr(engine.payload(purpose)) for purpose in ("provision", "collect"))
    assert "hunter2" not in rerun.to_json()


def test_offline_is_told_to_restore_which_then_has_no_network(tmp_path: Path) -> None:
    engine = FakeEngine(answers())
    run(engine, tmp_path, make_plan(remotes=(S3,)), offline=True)
    assert "--offline" in engine.payload("restore")["remotes"][0]["closed"]
    assert engine.request("restore").network == "none"


def test_each_phase_has_its_time(tmp_path: Path) -> None:
    rerun = run(FakeEngine(answers()), tmp_path)
    assert set(rerun.timings) == {"restore", "provision", "train", "collect"}
    assert all(seconds >= 0 for seconds in rerun.timings.values())


def test_restore_and_provision_run_beside_each_other(tmp_path: Path) -> None:
    provisioning, restoring = threading.Event(), threading.Event()

    def slow_restore(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        stdout(lines(note("environment", None)))
        assert provisioning.wait(5), "provision waited for the end of restore"
        restoring.set()
        time.sleep(0.05)
        return Said(lines(RESTORED))(request, stdout, stderr)

    def slow_provision(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        provisioning.set()
        assert restoring.wait(5)
        time.sleep(0.1)
        return Said(lines(*PROVISIONED))(request, stdout, stderr)

    engine = FakeEngine(answers(restore=slow_restore, provision=slow_provision))
    rerun = run(engine, tmp_path)
    assert sorted(purposes(engine)[:2]) == ["provision", "restore"]
    assert purposes(engine)[2:] == ["train", "collect"]
    assert not rerun.environment.cached
    assert not engine.closed.is_set()
    assert 0.05 <= rerun.timings["restore"] < rerun.timings["provision"], "both count from the start"


def test_the_training_gets_the_environment_that_was_made(tmp_path: Path) -> None:
    other = {**ENVIRONMENT, "key": "f" * 16}
    made = [result({"state": "ready", "environment": other, "cached": False})]
    engine = FakeEngine(answers(restore=[note("environment", None), RESTORED], provision=made))
    assert run(engine, tmp_path).environment.key == "f" * 16
    assert engine.request("train").environment["VIRTUAL_ENV"].endswith("f" * 16)


def test_a_restore_that_fails_ends_the_provision_beside_it(tmp_path: Path) -> None:
    provisioning = threading.Event()

    def failing(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        stdout(lines(note("environment", None)))
        assert provisioning.wait(5)
        missing = protocol.PhaseError(protocol.MISSING, "the data is in no remote", "--remote URL", fact="data")
        return Said(lines(missing.event), outcome=outcome(1))(request, stdout, stderr)

    def until_closed(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        provisioning.set()
        assert engine.closed.wait(5), "nobody ended it"
        return outcome(137)

    engine = FakeEngine(answers(restore=failing, provision=until_closed))
    with pytest.raises(MissingFact, match="in no remote"):
        run(engine, tmp_path)
    assert engine.closed.is_set()
    assert "train" not in purposes(engine)


def test_a_provision_that_fails_is_the_error_and_nothing_is_trained(tmp_path: Path) -> None:
    refused = protocol.PhaseError(protocol.UNAVAILABLE, "no answer", service="index")
    engine = FakeEngine(
        answers(restore=[note("environment", None), RESTORED], provision=Said(lines(refused.event), outcome=outcome(1)))
    )
    with pytest.raises(IndexUnavailable):
        run(engine, tmp_path)
    assert engine.closed.is_set()
    assert "train" not in purposes(engine)


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    run(FakeEngine(answers(restore=[note("environment", None), RESTORED])), tmp_path)
    assert threading.active_count() == before


def test_an_interruption_of_restore_closes_the_engine(tmp_path: Path) -> None:
    def interrupted(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        raise KeyboardInterrupt

    engine = FakeEngine(answers(restore=interrupted))
    with pytest.raises(KeyboardInterrupt):
        run(engine, tmp_path)
    assert engine.closed.is_set()


def test_a_training_that_crashes_is_collected_all_the_same(tmp_path: Path) -> None:
    engine = FakeEngine(answers(train=Said(b"Traceback\n", outcome=outcome(1))))
    rerun = run(engine, tmp_path)
    assert (rerun.ending, rerun.exit_code, rerun.log_tail) == (Ending.CRASHED, 1, ("Traceback",))
    assert purposes(engine)[-1] == "collect"


def test_a_crash_on_a_full_disk_is_no_fault_of_the_author(tmp_path: Path) -> None:
    train = Said(b"OSError: [Errno 28] No space left on device\n", outcome=outcome(1))
    engine = FakeEngine(answers(train=train, collect=[result(collected(free_bytes=0))]))
    with pytest.raises(DiskFull):
        run(engine, tmp_path)


@pytest.mark.parametrize(
    ("said", "code", "free_bytes"),
    [
        (b"No space left on device\n", 1, 1 << 40),
        (b"No space left on device\n", 0, 0),
        (b"ValueError: x\n", 1, 0),
    ],
    ids=["there-is-space", "it-finished", "it-says-otherwise"],
)
def test_only_a_full_disk_is_called_one(tmp_path: Path, said: bytes, code: int, free_bytes: int) -> None:
    train = Said(said, outcome=outcome(code))
    engine = FakeEngine(answers(train=train, collect=[result(collected(free_bytes=free_bytes))]))
    assert run(engine, tmp_path).exit_code == code


@pytest.mark.parametrize("keep", [False, True])
def test_the_workspace_is_removed_unless_it_is_to_be_kept(tmp_path: Path, keep: bool) -> None:
    engine = FakeEngine(answers())
    run(engine, tmp_path, keep=keep)
    assert engine.payload("collect")["remove"] is not keep


def test_collect_has_no_network_and_no_more_than_the_cache(tmp_path: Path) -> None:
    engine = FakeEngine(answers())
    run(engine, tmp_path)
    asked = engine.request("collect")
    assert asked.network == "none"
    assert [mount.target for mount in asked.mounts] == [layout.CACHE]


def test_what_went_over_a_limit_is_said_to_be_unobserved(tmp_path: Path) -> None:
    found = collected(cut=["outputs beyond 1 bytes were not hashed"])
    rerun = run(FakeEngine(answers(collect=[result(found)])), tmp_path)
    assert rerun.capture.unobserved == ("outputs beyond 1 bytes were not hashed",)


def test_results_of_the_commit_that_were_used_are_named_unless_allowed(tmp_path: Path) -> None:
    used = ["base.pt", "metrics.json", "train.py"]
    found = collected(used_of_commit=used, opened_of_commit=[*used, "old/final.dat", "README.md"])

    def pre_existing(plan: Plan | None = None) -> list[str]:
        engine = FakeEngine(answers(collect=[result(found)]))
        return [each.path for each in run(engine, tmp_path, plan).pre_existing]

    assert pre_existing() == ["base.pt", "metrics.json", "old/final.dat"]
    allowing = make_plan(policy=Policy(allow=("existing",), allow_existing=("base.pt", "old")))
    assert pre_existing(allowing) == ["metrics.json"]


def test_inputs_that_were_changed_are_said_to_be(tmp_path: Path) -> None:
    found = collected(inputs=[restored(unchanged=False).model_dump(mode="json")])
    (file,) = run(FakeEngine(answers(collect=[result(found)])), tmp_path).inputs
    assert file.unchanged is False


def output(path: str, data: bytes) -> dict[str, Any]:
    return note("output", {"path": path, "data": base64.b64encode(data).decode(), "last": True})


def test_copies_of_outputs_are_put_together_from_their_pieces(tmp_path: Path) -> None:
    pieces = [output("a/b.bin", b"one "), output("c.txt", b"c"), output("a/b.bin", b"two"), output("empty", b"")]
    run(FakeEngine(answers(collect=[*pieces, note("other", {}), result(collected())])), tmp_path)
    assert (tmp_path / "outputs" / "a" / "b.bin").read_bytes() == b"one two"
    assert (tmp_path / "outputs" / "empty").read_bytes() == b""


@pytest.mark.parametrize("path", ["../evil", "/evil", "a/../../evil", "./../evil", "//evil", "..//evil"])
def test_no_name_of_an_output_leads_out_of_its_folder(tmp_path: Path, path: str) -> None:
    run(FakeEngine(answers(collect=[output(path, b"x"), result(collected())])), tmp_path)
    outside = [each for each in tmp_path.rglob("evil") if not each.is_relative_to(tmp_path / "outputs")]
    assert outside == []
    assert not (tmp_path.parent / "evil").exists()
    assert len(list((tmp_path / "outputs").rglob("evil"))) == 1


def test_a_workspace_that_was_broken_off_is_taken_away_by_its_name(tmp_path: Path) -> None:
    engine = FakeEngine({"discard": [result({"removed": 1})]})
    place = Place(engine=engine, volume="cache", rerun="r1", network=NetworkSettings(), build_image=lambda: "build")
    discard_workspace(make_plan(), place, NoProgress())
    assert engine.payload("discard") == {"reruns": ["r1"]}
    assert engine.request("discard").network == "none"
