"""The host's side: which plans share an environment, what containers get, and how a failed build is told."""

from __future__ import annotations

import pytest

from runner.inside import layout
from runner.network import NetworkSettings
from runner.rerun import provision
from runner.rerun.provision import build_request, explain_build_failure, ready_keys
from runner.schema.plan import Plan, Policy
from tests.support.values import START, changed, make_plan


def with_environment(**fields: object) -> Plan:
    plan = make_plan()
    return changed(plan, environment=changed(plan.environment, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"files": {"uv.lock": "version = 2\n"}},
        {"kind": "requirements"},
        {"as_of": START},
        {"python": "3.11"},
        {"overrides": ("six==1",)},
        {"constraints": ("six==1",)},
        {"install_project": True},
        {"main": "other"},
        {"root": "app"},
    ],
)
def test_everything_that_is_resolved_is_in_the_specifications_key(fields: dict[str, object]) -> None:
    assert ready_keys(with_environment(**fields))["specification"] != ready_keys(make_plan())["specification"]


def test_how_it_was_found_is_not_in_the_key() -> None:
    other = with_environment(source="--requirements", python_source="--python", notes=("a",))
    assert ready_keys(other) == ready_keys(make_plan())


def test_undated_and_the_image_are_in_the_key_and_our_own_code_is_not() -> None:
    plan = make_plan()
    keys = ready_keys(plan)
    assert ready_keys(changed(plan, policy=Policy(allow=("undated",)))) != keys
    assert ready_keys(changed(plan, images=changed(plan.images, base_digest="sha256:" + "7" * 64))) != keys
    assert ready_keys(changed(plan, images=changed(plan.images, tools_digest="sha256:" + "7" * 64))) == keys


def test_another_commit_shares_what_is_resolved_and_nothing_that_is_built() -> None:
    plan = make_plan()
    other = ready_keys(changed(plan, lineage=changed(plan.lineage, commit="1" * 40)))
    assert other["specification"] == ready_keys(plan)["specification"]
    assert other["repository"] != ready_keys(plan)["repository"]


def test_keys_are_file_names() -> None:
    assert all(len(key) == 40 and key.isalnum() for key in ready_keys(make_plan()).values())


OWN = {"name": None, "title": "the repository's own package", "tree": "k", "known_version": None}
JOB = {
    "path": "/cache/built/r/jobs/j",
    "subpath": "built/r/jobs/j",
    "name": "one",
    "version": "1.0",
    "title": "one 1.0",
    "tree": None,
    "in_workspace": False,
}


def test_building_has_no_network_no_rights_and_sees_its_own_folders_only() -> None:
    request = build_request(make_plan(), JOB, volume="v")
    assert (request.network, request.hardened, request.capabilities) == ("none", True, ())
    assert request.user == f"{layout.TRAINER_UID}:{layout.TRAINER_GID}"
    assert [(mount.subpath, mount.target, mount.read_only) for mount in request.mounts] == [
        ("built/r/jobs/j/input", "/cache/built/r/jobs/j/input", True),
        ("built/r/jobs/j/output", "/cache/built/r/jobs/j/output", False),
    ]
    assert request.stdin is None
    assert not request.files
    allowed = changed(make_plan(), policy=Policy(allow=("build-network",)))
    assert build_request(allowed, JOB, volume="v").network == "bridge"


def test_the_repositorys_own_package_is_built_where_the_training_will_have_it() -> None:
    request = build_request(make_plan(), {**JOB, **OWN, "in_workspace": True}, volume="v")
    assert request.mounts[-1].target == layout.WORKSPACE_TARGET
    assert request.mounts[-1].subpath == "built/r/jobs/j/workspace"


def test_index_credentials_travel_by_standard_input_alone() -> None:
    network = NetworkSettings(
        index_url="https://me:geheim@index.example/simple", proxies={"https_proxy": "http://p:geheim@x"}
    )
    request = provision._resolve_request(make_plan(), volume="v", network=network, offline=False)
    assert "geheim" not in repr(request)
    assert request.network == "bridge"
    assert provision._resolve_request(make_plan(), volume="v", network=network, offline=True).network == "none"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "no compiler"),
        ("unable to execute 'gcc': No such file or directory", "no compiler"),
        ("sh: 1: gcc: not found", "no compiler"),
        ("../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]", "no compiler"),
        ("src/a.c:3:10: fatal error: Python.h: No such file or directory", "the header Python.h is missing"),
        ("error: can't find Rust compiler\ncargo not found", "cargo is missing"),
        ("urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", "the network"),
        ("ModuleNotFoundError: No module named 'numpy'", "imports numpy undeclared"),
        ("something else", "building it failed"),
    ],
)
def test_a_failed_build_says_what_was_missing(log: str, words: str) -> None:
    error = explain_build_failure({**JOB, "name": "ujson", "title": "ujson 1.35"}, f"lots\nof output\n{log}\n")
    assert words in error.cause
    assert "ujson 1.35" in error.cause
    assert error.fact == "environment"
    assert log.splitlines()[-1] in error.nearest
    assert ("--allow build-network" in error.remedy) == ("network" in words)


def test_a_builds_log_reaches_the_terminal_without_controls_and_secrets() -> None:
    error = explain_build_failure(OWN, "\x1b[31mred\x1b[0m\x07 password=hunter2\n")
    assert error.nearest == ("red password=***",)
    assert "the repository's own package" in error.cause
