"""The host's side: which plans share an environment, what containers get, and how a failed build is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from runner.engine.interface import ContainerOutcome, ContainerRequest, Sink
from runner.errors import DiskFull, MissingFact, NotByThen, RunnerError
from runner.inside import layout
from runner.network import NetworkSettings
from runner.progress import NoProgress
from runner.rerun import provision
from runner.rerun.build import build, build_request
from runner.rerun.build_failure import explain_build_failure
from runner.rerun.provision import ready_keys
from runner.rerun.train import train_request
from runner.schema.plan import ImportedModule, Plan, Policy, SystemPackages
from tests.support.fake_engine import FakeEngine, Said, lines, outcome, result
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
        {"recorded_overrides": ("six==1",)},
        {"install_project": True},
        {"imports": (ImportedModule(name="six", path="train.py"),)},
        {"adds_imports": True},
        {"from_conda": ("sip",)},
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
    named = changed(plan.images, base_id="sha256:" + "8" * 64)
    carried = changed(named, base_digest=named.base_id)  # what a registry called it is not known there
    assert ready_keys(changed(plan, images=carried)) == ready_keys(changed(plan, images=named)) != keys
    assert ready_keys(changed(plan, images=changed(plan.images, tools_digest="sha256:" + "7" * 64))) == keys


def test_another_commit_shares_what_is_resolved_and_nothing_that_is_built() -> None:
    plan = make_plan()
    other = ready_keys(changed(plan, lineage=changed(plan.lineage, commit="1" * 40)))
    assert other["specification"] == ready_keys(plan)["specification"]
    assert other["repository"] != ready_keys(plan)["repository"]


def test_keys_are_file_names() -> None:
    assert all(len(key) == 40 and key.isalnum() for key in ready_keys(make_plan()).values())


X: dict[str, Any] = {"name": "x", "title": "x 1", "tree": None}
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
    request = build_request(make_plan(), JOB, image="build", volume="v")
    assert (request.network, request.hardened, request.capabilities) == ("none", True, ())
    assert request.user == f"{layout.TRAINER_UID}:{layout.TRAINER_GID}"
    assert [(mount.subpath, mount.target, mount.read_only) for mount in request.mounts] == [
        ("built/r/jobs/j/input", "/cache/built/r/jobs/j/input", True),
        ("built/r/jobs/j/output", "/cache/built/r/jobs/j/output", False),
    ]
    assert request.stdin is None
    assert not request.files
    allowed = changed(make_plan(), policy=Policy(allow=("build-network",)))
    assert build_request(allowed, JOB, image="build", volume="v").network == "bridge"


def test_the_repositorys_own_package_is_built_where_the_training_will_have_it() -> None:
    request = build_request(make_plan(), {**JOB, **OWN, "in_workspace": True}, image="build", volume="v")
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
        ("RuntimeError: Broken toolchain: cannot link a simple C program.", "no compiler"),
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


@pytest.mark.parametrize(
    ("log", "dated", "fixed", "later"),
    [
        ("sh: 1: gcc: not found", True, False, True),  # another version may have a wheel
        ("sh: 1: gcc: not found", True, True, False),  # no day brings a compiler
        ("AttributeError: module 'setuptools' has no x", True, True, True),  # it is built with others
        ("AttributeError: module 'setuptools' has no x", False, False, False),
    ],
)
def test_a_later_day_is_offered_where_it_may_help(log: str, dated: bool, fixed: bool, later: bool) -> None:
    error = explain_build_failure(JOB, log, dated=dated, fixed=fixed)
    assert isinstance(error, NotByThen) is later
    assert error.remedy.startswith("runner reproduce RUN --allow redate") is later
    assert "--with one==VERSION" in error.remedy


def test_a_python_that_has_a_wheel_is_named() -> None:
    error = explain_build_failure({**JOB, "pythons": ["3.9", "3.8"]}, "gcc: not found")
    assert "or --python 3.9, which has one of 1.0" in error.remedy


GUARD = "RuntimeError: Cannot install on Python version 3.11.2; only versions >=3.7,<3.11 are supported."


@pytest.mark.parametrize(
    ("log", "words", "offered"),
    [
        (GUARD, "it says: Cannot install on Python version 3.11.2; only versions >=3.7,<3.11 are supported", "3.10"),
        ("error: this package requires Python '<3.10'", "this package requires Python '<3.10'", "3.9"),
        ("ERROR: Package 'x' requires a different Python: 3.11.2 not in '<3.11,>=3.7'", "not in '<3.11,>=3.7'", "3.10"),
    ],
)
def test_what_a_build_says_itself_of_pythons_is_the_reason_and_one_that_is_for_it_the_remedy(
    log: str, words: str, offered: str
) -> None:
    error = explain_build_failure(JOB, f"gcc: not found\n{log}\n", dated=True, fixed=True, python_here="3.11")
    assert words in error.cause
    assert error.remedy.startswith(f"runner reproduce RUN --python {offered}")
    assert not isinstance(error, NotByThen)
    open_too = explain_build_failure(JOB, log, dated=True, fixed=False, python_here="3.11")
    assert isinstance(open_too, NotByThen)
    assert open_too.remedy.startswith(f"runner reproduce RUN --python {offered}")


def test_bounds_that_admit_the_python_at_hand_are_no_reason() -> None:
    error = explain_build_failure(JOB, "note: wheel requires Python >=3.7\ngcc: not found\n", python_here="3.11")
    assert error.cause.endswith("no compiler (gcc)")


def test_the_python_with_a_wheel_that_the_build_says_it_is_for_comes_first() -> None:
    error = explain_build_failure({**JOB, "pythons": ["3.12", "3.10"]}, GUARD, python_here="3.11")
    assert error.remedy.startswith("runner reproduce RUN --python 3.10, which has one of 1.0")


def built(said: Said) -> RunnerError:
    """The error that a build ends with."""
    job = {**JOB, "build_as_of": "2025-03-02T10:00:00Z"}
    with pytest.raises(RunnerError) as caught:
        build(FakeEngine({"build": said}), make_plan(), job, image="i", volume="v", progress=NoProgress())
    return caught.value


def test_a_build_that_filled_the_disk_is_no_fault_of_the_package() -> None:
    error = built(Said(stderr=b"OSError: [Errno 28] No space left on device\n", outcome=outcome(1)))
    assert isinstance(error, DiskFull)
    assert error.exit_code == 5


@pytest.mark.parametrize("how", [{"out_of_memory": True}, {"timed_out": True}])
def test_what_this_machine_could_not_build_no_later_day_stands_in_for(how: dict[str, bool]) -> None:
    assert not isinstance(built(Said(outcome=outcome(137, **how))), NotByThen)
    assert isinstance(built(Said(outcome=outcome(1))), NotByThen)


BUILT = {
    "key": "k",
    "python": "3.11.2",
    "lock": "",
    "packages": {},
    "built_from_source": [],
    "notes": [],
    "as_of": None,
    "build_as_of": None,
    "redated": None,
}


def provisioned(*rounds: Sequence[str], broken: str) -> tuple[Any, list[str]]:
    """Provision with what each round of resolving asks to build, an empty one being ready; what was built, in order."""
    left, tried = list(rounds), []

    def resolve(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        names = left.pop(0)
        titles = {name: f"{name} 1.0" for name in names}
        jobs = [
            {**JOB, "name": name, "title": title, "path": f"/cache/{name}", "build_as_of": None}
            for name, title in titles.items()
        ]
        ready = {"state": "ready", "cached": False, "environment": BUILT}
        stdout(lines(result({"state": "build", "jobs": jobs} if names else ready)))
        return outcome()

    def build(request: ContainerRequest, stdout: Sink, stderr: Sink) -> ContainerOutcome:
        tried.append(request.argv[-1].rpartition("/")[2])
        return outcome(1 if tried[-1] == broken else 0)

    engine = FakeEngine({"provision": resolve, "build": build})
    try:
        made = provision.provision(
            engine,
            make_plan(),
            rerun="r",
            volume="v",
            network=NetworkSettings(),
            build_image=lambda: "i",
            progress=NoProgress(),
            offline=False,
        )
    except MissingFact as error:
        return error.cause, tried
    return made.key, tried


def test_a_build_that_failed_counts_only_where_it_is_asked_for_once_the_others_are_built() -> None:
    assert provisioned(["a", "b", "c"], [], broken="b") == ("k", ["a", "b", "c"])
    failed = "b 1.0 has no wheel for this Python and building it failed"
    assert provisioned(["a", "b", "c"], ["b"], broken="b") == (failed, ["a", "b", "c"])
    assert provisioned(["b"], broken="b") == (failed, ["b"])


def payload(plan: Plan, day: datetime | None) -> dict[str, Any]:
    return provision._payload(plan, day, NetworkSettings(), offline=False)


def test_what_is_open_and_what_is_built_is_of_the_day_and_what_was_built_is_for_it_alone() -> None:
    plan = with_environment(as_of=START)
    own, later = payload(plan, START), payload(plan, START + timedelta(days=30))
    assert (own["as_of"], own["build_as_of"]) == ("2025-03-02T10:00:00Z", "2025-03-02T10:00:00Z")
    assert (later["as_of"], later["build_as_of"]) == ("2025-04-01T10:00:00Z", "2025-04-01T10:00:00Z")
    assert own["builds"] != later["builds"]
    assert own["specification"] == later["specification"]


def test_where_a_lock_decides_only_what_is_built_is_of_the_day() -> None:
    found = payload(make_plan(), START)
    assert (found["as_of"], found["build_as_of"]) == (None, "2025-03-02T10:00:00Z")
    assert payload(make_plan(), None)["build_as_of"] is None


def test_undated_is_of_no_day() -> None:
    plan = changed(with_environment(as_of=START), policy=Policy(allow=("undated",)))
    assert (payload(plan, START)["as_of"], payload(plan, START)["build_as_of"]) == (None, None)


def test_redating_and_the_upload_times_that_are_brought_are_in_the_key() -> None:
    keys = ready_keys(make_plan())
    assert ready_keys(changed(make_plan(), policy=Policy(allow=("redate",)))) != keys
    assert ready_keys(with_environment(index_dates="sha256:" + "1" * 64)) != keys


@pytest.mark.parametrize(
    ("log", "packages"),
    [
        ("./psycopg/psycopg.h:36:10: fatal error: libpq-fe.h: No such file or directory", "libpq-dev"),
        ("src/lxml/etree.c:96:10: fatal error: libxml/xpath.h: No such file or directory", "libxml2-dev"),
        ("Error: pg_config executable not found.", "libpq-dev"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "cmake"),
        ("/usr/bin/ld: cannot find -llapack: No such file or directory", "libopenblas-dev"),
        ("ERROR: Unknown compiler(s): [['gfortran'], ['flang']]", "gfortran"),
    ],
)
def test_what_a_build_missed_of_the_system_is_offered_beside_what_was_given(log: str, packages: str) -> None:
    assert explain_build_failure(X, log).remedy == f"runner reproduce RUN --system-packages {packages}"
    again = explain_build_failure(X, log, given=("libgl1",))
    assert again.remedy == f"runner reproduce RUN --system-packages libgl1,{packages}"
    # Once it is there, the same remedy would lead nowhere.
    assert "--with x==VERSION" in explain_build_failure(X, log, given=(packages,)).remedy


def test_a_header_of_nobodys_leaves_the_package_open() -> None:
    remedy = explain_build_failure(X, "fatal error: odd.h: No such file or directory").remedy
    assert "--with x==VERSION" in remedy
    assert "--system-packages NAME" in remedy


def test_what_is_built_is_kept_apart_by_system_packages_and_what_came_as_a_wheel_is_not() -> None:
    plan = make_plan()
    other = ready_keys(changed(plan, system_packages=SystemPackages(names=("libpq-dev",), source="--system-packages")))
    assert other["specification"] == ready_keys(plan)["specification"]
    assert other["repository"] != ready_keys(plan)["repository"]


def test_building_runs_on_its_own_image_and_training_on_the_one_with_system_packages() -> None:
    plan = make_plan()
    assert build_request(plan, JOB, image="build", volume="v").image == "build"
    options = {"rerun": "r", "environment_key": "k", "volume": "v"}
    assert train_request(plan, **options).image == plan.images.tools
    assert train_request(changed(plan, images=changed(plan.images, train="with")), **options).image == "with"
