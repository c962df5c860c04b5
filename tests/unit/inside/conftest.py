"""A volume for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.inside import Cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The cache volume."""
    (tmp_path / "cache").mkdir()
    return Cache(tmp_path / "cache", monkeypatch)
