"""What integration tests share: one engine, one set of images, a cache volume of the tests' own, a small project."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine, connect, remove_volume
from runner.prepare import Prepared, prepare
from tests.support.judging import Judge, judging
from tests.support.projects import RecordedProject


@pytest.fixture(scope="session", autouse=True)
def cache_volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The tests' own caches, in the engine and on this host: what they make and break is nobody else's."""
    name = f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE_VOLUME", name)
        patch.setenv("REPRO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield name
    engine = connect()
    remove_volume(engine.client, name)
    engine.close()


@pytest.fixture(scope="session")
def shared_engine(cache_volume: str) -> Iterator[DockerEngine]:
    """An engine session for what the tests themselves run."""
    engine = connect()
    engine.ensure_volume(cache_volume)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def shared_images(shared_engine: DockerEngine) -> Prepared:
    """The base and tools images with Python 3.11."""
    return prepare(shared_engine)


@pytest.fixture
def engine(shared_images: Prepared) -> Iterator[DockerEngine]:
    """A session of the test's own."""
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture
def project(tmp_path: Path) -> RecordedProject:
    """A project without commits yet."""
    folder = tmp_path / "author"
    folder.mkdir()
    return RecordedProject(folder)


@pytest.fixture
def judge(
    project: RecordedProject,
    shared_engine: DockerEngine,
    shared_images: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Judge]:
    """Reproduces the project's run; afterwards nothing of it may be left."""
    with judging(project, shared_engine, tmp_path, monkeypatch) as judge:
        yield judge
