"""What the doctor says, without an engine."""

from __future__ import annotations

import pytest

from runner.doctor import (
    ENOUGH_DISK_BYTES,
    Check,
    certificate_check,
    cgroups_check,
    diagnose,
    disk_check,
    exit_code,
    proxy_check,
    rootless_check,
    storage_check,
)
from runner.errors import TrackerUnavailable
from runner.network import NetworkSettings, host_network_settings

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "HOME": "/nowhere", "PIP_CONFIG_FILE": "/dev/null"}


def test_one_failed_line_makes_exit_5() -> None:
    good, bad = Check(name="a", ok=True, detail=""), Check(name="b", ok=False, detail="", remedy="do")
    assert exit_code([good]) == 0
    assert exit_code([good, bad]) == 5


def test_without_an_engine_the_other_lines_are_still_there() -> None:
    checks = {check.name: check for check in diagnose(environ=NOWHERE)}
    assert list(checks) == ["engine", "git", "certificates", "network"]
    assert not checks["engine"].ok
    assert checks["engine"].remedy
    assert exit_code(checks.values()) == 5


def test_the_tracker_is_asked_by_the_caller() -> None:
    def down() -> str:
        raise TrackerUnavailable("the tracker at http://t refused", "runner doctor --tracker URI")

    found = {check.name: check for check in diagnose(check_tracker=lambda: "file store, 2 runs", environ=NOWHERE)}
    assert found["tracker"] == Check(name="tracker", ok=True, detail="file store, 2 runs")
    failed = {check.name: check for check in diagnose(check_tracker=down, environ=NOWHERE)}["tracker"]
    assert (failed.ok, failed.remedy) == (False, "runner doctor --tracker URI")


@pytest.mark.parametrize(("free", "ok"), [(ENOUGH_DISK_BYTES, True), (ENOUGH_DISK_BYTES - 1, False)])
def test_little_disk_fails_with_a_remedy(free: int, ok: bool) -> None:
    check = disk_check(free, "/var/lib/docker")
    assert check.ok is ok
    assert (check.remedy is None) is ok


def test_limits_that_the_engine_cannot_hold_fail() -> None:
    assert cgroups_check("2", {"MemoryLimit": True, "PidsLimit": True, "CPUSet": True}).ok
    assert cgroups_check("2", {}).ok, "what an engine does not say is no fault"
    failed = cgroups_check("1", {"MemoryLimit": False, "PidsLimit": True})
    assert not failed.ok
    assert "memory" in failed.detail
    assert failed.remedy


def test_a_slow_driver_and_rootless_will_do() -> None:
    assert storage_check("vfs").ok
    assert storage_check("vfs").remedy
    assert storage_check("overlay2").remedy is None
    assert rootless_check(rootless=True).ok


def test_a_bundle_that_cannot_be_read_fails() -> None:
    refused = certificate_check(host_network_settings({"SSL_CERT_FILE": "/nowhere.pem"}, {}))
    assert not refused.ok
    assert "/nowhere.pem" in refused.detail
    assert certificate_check(NetworkSettings()).ok


def test_proxies_are_shown_without_secrets() -> None:
    check = proxy_check(host_network_settings({"HTTPS_PROXY": "http://me:hunter2@localhost:3128"}, {}))
    assert "hunter2" not in check.detail
    assert "loopback" in check.detail
