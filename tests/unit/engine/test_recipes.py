"""What images are made from, and what may be installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from runner.engine import images
from runner.engine.apt import debian_mirror
from runner.engine.base_image import SUITES, bootstrap_command
from runner.engine.faults import api_fault, engine_faults
from runner.engine.find import EngineAddress
from runner.engine.install import check_allowed, start_engine
from runner.engine.tunnel import Tunnel
from runner.errors import DiskFull, EngineUnavailable, UsageError
from runner.inside import layout
from runner.progress import NoProgress


def test_the_last_stage_stands_alone() -> None:
    part = images.last_stage(images.dockerfile())
    assert part.count("FROM ") == 1
    assert part.startswith("ARG BASE_IMAGE")
    assert "FROM ${ENVIRONMENT_IMAGE} AS tools" in part
    assert "settings" not in part, "what the host's settings touch is in other stages"


def test_the_recipe_keeps_to_the_layout() -> None:
    recipe = images.dockerfile()
    root = "/opt/reproducibility-runner"
    assert f"{root}/venv/bin/python" == layout.TOOLS_PYTHON
    for path in (layout.TOOLS_PYTHON, layout.TOOLS_PATH, layout.LIBRARY, layout.CAPTURE_PACKAGE):
        assert path in recipe, path
    assert f"trainer:x:{layout.TRAINER_UID}:{layout.TRAINER_GID}:" in recipe


def test_no_file_for_the_image_names_an_index_or_a_host() -> None:
    for name in ("requirements.txt", "constraints.txt"):
        text = Path(images.__file__).with_name(name).read_text()
        assert "://" not in text
        assert "index" not in text.replace("--no-emit-index-url", "")


def test_constraints_pin_exactly_all_that_is_required() -> None:
    folder = Path(images.__file__).parent
    lines = (folder / "constraints.txt").read_text().split("\n")
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][^ ;]*( ;.*)?", pin) for pin in pins)
    names = {pin.partition("==")[0] for pin in pins}
    required = [line for line in (folder / "requirements.txt").read_text().split("\n") if line and line[0] != "#"]
    assert {re.split(r"[>=<[]", line)[0].replace(".", "-") for line in required} <= {n.replace(".", "-") for n in names}


@pytest.mark.parametrize("minor", SUITES)
def test_every_python_that_can_be_made_gets_one_exact_version_of_each_package(minor: str) -> None:
    """So that the DVC that restores is one that was tried, whatever Python a run was made with."""
    lines = (Path(images.__file__).parent / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    here = {"python_version": minor, "python_full_version": f"{minor}.2", "sys_platform": "linux"}
    names = [each.name for each in requirements if each.marker is None or each.marker.evaluate(here)]
    assert len(names) == len(set(names))
    assert {"dvc", "dvc-s3", "uv"} <= set(names)


def test_the_tag_follows_all_that_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, other_end = "FROM a\n\nFROM b\n", "FROM a\n\nFROM c\n"
    one = images.environment_reference(recipe, "sha256:1")
    assert images.environment_reference(other_end, "sha256:1") == one
    others = [
        images.environment_reference("FROM x\n\nFROM b\n", "sha256:1"),
        images.environment_reference(recipe, "sha256:2"),
    ]
    assert len({one, *others}) == 3
    tools = images.tools_reference(recipe, one)
    assert images.tools_reference(other_end, one) != tools
    monkeypatch.setattr(images, "library_files", lambda: [("lib/runner/__init__.py", b"changed")])
    assert images.tools_reference(recipe, one) != tools


def test_the_library_holds_what_runs_inside_and_nothing_of_the_host() -> None:
    paths = [path for path, _ in images.library_files()]
    assert "lib/runner/__init__.py" in paths
    assert "lib/runner/inside/layout.py" in paths
    assert "lib/reproducibility_runner/__init__.py" in paths
    assert not [path for path in paths if path.startswith("lib/runner/") and path.count("/") == 2][1:]


def test_each_suite_is_bootstrapped_with_python_and_git() -> None:
    assert SUITES == {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
    command = bootstrap_command("trixie", None)
    assert command[-2:] == ["trixie", "-"]
    assert "--include=python3,python3-venv,git,ca-certificates" in command
    assert bootstrap_command("trixie", "http://mirror/debian")[-1] == "http://mirror/debian"
    assert debian_mirror({"REPRO_DEBIAN_MIRROR": "http://mirror/debian"}) == "http://mirror/debian"


@pytest.mark.parametrize(
    ("os_release", "user", "cause"),
    [
        ("ID=fedora\n", 0, "Debian and Ubuntu only"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', 1000, "needs root"),
        (None, 0, "Debian and Ubuntu only"),
    ],
)
def test_the_engine_is_installed_by_root_on_debian_only(
    tmp_path: Path, os_release: str | None, user: int, cause: str
) -> None:
    path = tmp_path / "os-release"
    if os_release is not None:
        path.write_text(os_release)
    with pytest.raises(UsageError, match=cause):
        check_allowed(path, user)


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_an_engine_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "dockerd", "echo failed to start daemon: no iptables; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    log = tmp_path / "log"
    with pytest.raises(EngineUnavailable, match="no iptables") as caught:
        start_engine(NoProgress(), systemd=False, socket=str(tmp_path / "none.sock"), log=log)
    assert caught.value.remedy == f"tail {log}"


def test_an_ssh_that_fails_says_why_and_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "ssh", "echo Host key verification failed. >&2; exit 255")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"ssh://far.*Host key verification failed"):
        Tunnel(EngineAddress(url="ssh://far", origin="DOCKER_HOST"))
    assert [path.name for path in tmp_path.iterdir()] == ["ssh"]


def test_root_on_debian_may_install(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=debian\n")
    check_allowed(tmp_path / "os-release", 0)


def test_a_full_disk_is_told_from_a_refusal_and_secrets_are_hidden() -> None:
    assert isinstance(api_fault("x", "write /var/lib: no space left on device"), DiskFull)
    fault = api_fault("pulling", "https://me:hunter2@registry/x: denied")
    assert isinstance(fault, EngineUnavailable)
    assert "hunter2" not in fault.cause


def test_errors_that_are_not_the_engines_pass_unchanged() -> None:
    with pytest.raises(KeyboardInterrupt), engine_faults("x"):
        raise KeyboardInterrupt
    with pytest.raises(EngineUnavailable, match="broke off while x: gone"), engine_faults("x"):
        raise ConnectionResetError(104, "gone")
