"""What was found so far is said in phrases, without what is missing; caches lie where people look for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.planning import Found, cache_folder, find_run
from runner.settings import Flags, load_settings
from tests.support.values import make_plan


def test_nothing_found_is_nothing_said() -> None:
    assert Found().facts(except_for="data") == ()


def test_what_was_found_is_said_without_what_is_missing() -> None:
    plan = make_plan()
    found = Found(lineage=plan.lineage, plan=plan)
    assert found.facts(except_for="") == (
        "2 recorded digests",
        'command (stage "train" of dvc.yaml)',
        "Python 3.9",
        "uv.lock at the commit",
    )
    assert found.facts(except_for="data")[0].startswith("command")
    assert "Python 3.9" not in found.facts(except_for="python")


def test_caches_lie_where_we_are_told_or_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("REPRO_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "reproducibility-runner"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "reproducibility-runner"


def test_without_a_tracker_there_is_a_usage_error_that_names_the_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        find_run("ab12", load_settings(Flags()), Found())
    assert "--tracker" in caught.value.remedy
    assert list(tmp_path.iterdir()) == [], "and no store is made"
