"""What restore is asked for: which network it has, how remotes are described to it, what the host answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.engine.interface import VolumeMount
from runner.inside import layout
from runner.network import NetworkSettings
from runner.progress import NoProgress
from runner.rerun.restore import Restored, restore
from runner.schema.plan import PointerEdit, Policy, Remote
from tests.support.fake_engine import FakeEngine, note, result
from tests.support.values import DATA, MODEL, data_file, make_plan, model_file, restored

RESULT = {
    "files": [restored(opened=None, unchanged=None).model_dump(mode="json")],
    "remotes_asked": ["/srv/store (runner.yaml)"],
    "stages": [],
    "doubts": [],
    "removed": [MODEL],
}


def run(
    tmp_path: Path,
    *remotes: Remote,
    engine: FakeEngine | None = None,
    network: NetworkSettings | None = None,
    environments: list[Any] | None = None,
    **fields: Any,
) -> tuple[FakeEngine, Restored]:
    engine = engine or FakeEngine({"restore": [note("environment", None), note("other", 1), result(RESULT)]})
    bundle = tmp_path / "repository.bundle"
    bundle.write_bytes(b"# v2 git bundle\n")
    done = restore(
        engine,
        make_plan(remotes=remotes, **fields),
        rerun="r1",
        bundle=bundle,
        dvc_roots=(".", "sub"),
        outs=(DATA, MODEL),
        volume="cache",
        environment_keys={"specification": "s", "repository": "r"},
        on_environment=(environments if environments is not None else []).append,
        network=network or NetworkSettings(),
        progress=NoProgress(),
    )
    return engine, done


def remote(url: str, name: str = "main", **fields: Any) -> Remote:
    return Remote(name=name, url=url, source=".dvc/config at the commit", **fields)


def test_what_was_restored_comes_back_as_values(tmp_path: Path) -> None:
    _, done = run(tmp_path)
    assert done.files == (restored(opened=None, unchanged=None),)
    assert done.remotes_asked == ("/srv/store (runner.yaml)",)
    assert done.removed == (MODEL,)


@pytest.mark.parametrize("record", [None, {"key": "k"}])
def test_whether_the_environment_is_ready_is_told_before_the_end(tmp_path: Path, record: Any) -> None:
    environments: list[Any] = []
    engine = FakeEngine({"restore": [note("environment", record), result(RESULT)]})
    run(tmp_path, engine=engine, environments=environments)
    assert environments == [record]


def test_what_the_training_is_to_write_is_kept_aside_though_nobody_calls_it_an_output(tmp_path: Path) -> None:
    """rule 16: an out of the stage that a command names, of a run that names no script."""
    files = (data_file(role="unknown"), model_file(role="unknown"))
    engine, _ = run(tmp_path, files=files, expected_outputs=(MODEL,))
    assert [file["role"] for file in engine.payload("restore")["files"]] == ["unknown", "output"]


def test_the_bundle_is_no_file_in_memory_and_the_cache_is_all_of_the_volume(tmp_path: Path) -> None:
    engine, _ = run(tmp_path)
    asked = engine.request("restore")
    assert asked.files == ()
    assert asked.mounts == (VolumeMount(volume="cache", target=layout.CACHE),)


def test_files_are_named_with_their_role_and_only_a_warm_start_is_put_in_its_place(tmp_path: Path) -> None:
    engine, _ = run(tmp_path)
    payload = engine.payload("restore")
    others = {"use": "training", "origin": None, "warm_start": False}
    assert payload["files"] == [
        {"path": file.path, "digest": str(file.digest), "role": file.role, "size_bytes": file.size_bytes, **others}
        for file in (data_file(), model_file())
    ]
    assert payload["expected_outputs"] == [MODEL]
    engine, _ = run(tmp_path, policy=Policy(warm_start=(MODEL,)))
    payload = engine.payload("restore")
    assert [file["warm_start"] for file in payload["files"]] == [False, True]
    assert payload["expected_outputs"] == [], "what the training starts from is not removed"


def test_pointers_go_as_the_plan_has_them(tmp_path: Path) -> None:
    engine, _ = run(tmp_path, pointer_edits=(PointerEdit(path="a.dvc", text="outs: []\n", created=True),))
    payload = engine.payload("restore")
    assert payload["pointer_edits"] == [{"path": "a.dvc", "text": "outs: []\n", "created": True}]
    assert (payload["dvc_roots"], payload["outs"]) == ([".", "sub"], [DATA, MODEL])


def test_the_cache_alone_counts_only_where_the_auditor_allowed_it(tmp_path: Path) -> None:
    assert run(tmp_path)[0].payload("restore")["allow_cached"] is False
    assert run(tmp_path, policy=Policy(allow=("cached",)))[0].payload("restore")["allow_cached"] is True


@pytest.mark.parametrize(
    ("urls", "network"),
    [
        ([], "none"),
        (["/srv/store"], "none"),
        (["file:///srv/store", "D:\\store"], "none"),
        (["s3://bucket/path"], "bridge"),
        (["/srv/store", "https://host.example/srv/store"], "bridge"),
        (["ssh://git@host.example/srv/store"], "none"),  # nobody confirmed it
        (["http://localhost:9000/store"], "host"),
        (["https://127.0.0.1/store"], "host"),
        (["http://[::1]:9000/store"], "host"),
        (["https://far.example/store", "http://localhost/store"], "host"),
        (["https://localhost.example/store"], "bridge"),
    ],
)
def test_restore_has_no_more_network_than_its_remotes_need(tmp_path: Path, urls: list[str], network: str) -> None:
    engine, _ = run(tmp_path, *(remote(url, name=str(number)) for number, url in enumerate(urls)))
    assert engine.request("restore").network == network


def test_an_endpoint_on_this_host_is_reached_from_this_host(tmp_path: Path) -> None:
    engine, _ = run(tmp_path, remote("s3://bucket", options={"endpointurl": "http://localhost:9000"}))
    assert engine.request("restore").network == "host"


def test_proxies_go_by_standard_input_and_only_where_there_is_a_network(tmp_path: Path) -> None:
    network = NetworkSettings(proxies={"https_proxy": "http://user:hunter2@proxy.example:3128"})
    engine, _ = run(tmp_path, remote("s3://bucket"), network=network)
    assert engine.payload("restore")["proxies"] == network.proxies
    asked = engine.request("restore")
    assert "hunter2" not in repr((asked.argv, asked.environment, asked.files))
    engine, _ = run(tmp_path, remote("/srv/store"), network=network)
    assert engine.payload("restore")["proxies"] == {}


def test_a_folder_is_described_as_one_and_no_container_sees_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    engine, _ = run(
        tmp_path,
        remote(f"{tmp_path}/store"),
        remote(f"file://{tmp_path}/gone"),
        remote("s3://bucket", options={"user": "u"}),
    )
    described = engine.payload("restore")["remotes"]
    assert [(each["folder"], each["url"]) for each in described] == [
        (True, f"{tmp_path}/store"),
        (True, f"file://{tmp_path}/gone"),
        (False, "s3://bucket"),
    ]
    assert described[2]["options"] == {"user": "u"}
    assert [mount.volume for mount in engine.request("restore").mounts] == ["cache"]


def test_each_remote_has_a_name_of_its_own_that_is_safe_in_dvcs_configuration(tmp_path: Path) -> None:
    given = ["main", "Main", "main-2", "main", "a b]\n[core", "", "é", "x'\"y"]
    engine, _ = run(tmp_path, *(remote(f"s3://bucket{number}", name=name) for number, name in enumerate(given)))
    names = [each["name"] for each in engine.payload("restore")["remotes"]]
    assert names[0] == "main"
    assert len({name.lower() for name in names}) == len(given), "DVC folds the case of names"
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") and name for name in names)
