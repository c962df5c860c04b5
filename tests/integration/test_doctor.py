"""What the doctor says of the real engine."""

from __future__ import annotations

import os

from runner.doctor import diagnose, exit_code
from runner.engine.docker import connect
from runner.prepare import prepare


def test_after_setup_all_is_well() -> None:
    engine = connect()
    prepare(engine)
    engine.close()
    checks = {check.name: check for check in diagnose()}
    assert list(checks) == [
        "engine",
        "storage",
        "cgroups",
        "rootless",
        "disk",
        "images",
        "git",
        "certificates",
        "network",
    ]
    assert exit_code(checks.values()) == 0, [check for check in checks.values() if not check.ok]
    assert "reproducibility-runner/tools:" in checks["images"].detail


def test_images_that_are_not_there_are_named_with_the_command_that_makes_them() -> None:
    images = next(check for check in diagnose(python="3.6") if check.name == "images")
    assert not images.ok
    assert images.remedy == "runner setup"


def test_an_engine_that_is_down_is_named_with_a_remedy() -> None:
    checks = diagnose(environ={**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"})
    assert exit_code(checks) == 5
    assert "tcp://127.0.0.1:9" in checks[0].detail
    assert checks[0].remedy
