"""Sweeping beside another process that sweeps: what it is removing already is left to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker.errors
import pytest

from runner.engine import docker as engine_docker
from runner.engine import labels
from runner.engine.sweep import Swept, sweep
from runner.errors import EngineUnavailable


def engine_that_answers(status: int) -> Any:
    """An engine with one dead container, whose removal it refuses."""
    tags = {labels.LABEL: "s1", labels.OWNER: f"{labels.host_id()}:999999999:1"}

    def refuse(*_: Any, **__: Any) -> None:
        raise docker.errors.APIError("refused", response=SimpleNamespace(status_code=status, reason="", url=""))

    client = SimpleNamespace(
        containers=lambda **_: [{"Id": "c1", "Labels": tags}], volumes=lambda **_: {}, remove_container=refuse
    )
    return SimpleNamespace(client=client)


@pytest.fixture(autouse=True)
def without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_docker, "_GRACE_S", 0.0)


def test_what_another_process_is_removing_is_left_to_it() -> None:
    assert sweep(engine_that_answers(409)) == Swept()


def test_another_refusal_is_told() -> None:
    with pytest.raises(EngineUnavailable):
        sweep(engine_that_answers(500))
