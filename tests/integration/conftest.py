"""What integration tests share: one engine, one set of images, a cache volume of the tests' own, a small project."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine, connect, remove_volume
from runner.prepare import Prepared, prepare
from tests.support.buckets import S3Service
from tests.support.capture_environments import Environment, Specification, make_environment
from tests.support.compose import compose_command
from tests.support.judging import Judge, judging
from tests.support.more_engines import Engines
from tests.support.projects import RecordedProject
from tests.support.services import Services, running_services


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


@pytest.fixture(scope="session")
def engines(shared_images: Prepared) -> Iterator[Engines]:
    """Other engines, each started when it is first asked for."""
    with Engines((shared_images.base.reference, shared_images.tools)) as engines:
        yield engines


@pytest.fixture(scope="session")
def services(
    request: pytest.FixtureRequest, shared_images: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """The servers of compose.yaml: MLflow, and an S3 that checks credentials."""
    compose = compose_command(request.config.cache.mkdir("compose"))
    with running_services(compose, shared_images.base.reference, tmp_path_factory.mktemp("services")) as started:
        yield started


@pytest.fixture
def engine(shared_images: Prepared) -> Iterator[DockerEngine]:
    """A session of the test's own."""
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def environment_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Specification], Environment]:
    """Returns the environment of a specification, made at its first use in this session."""
    session = tmp_path_factory.mktemp("capture-environments")

    @functools.cache
    def environment(specification: Specification) -> Environment:
        return make_environment(specification, session)

    return environment


@pytest.fixture(scope="session")
def s3(services: Services) -> S3Service:
    """A real S3 server that checks every signature."""
    return S3Service(
        endpoint=services.s3_endpoint,
        access_key_id=services.s3_access_key,
        secret_access_key=services.s3_secret_key,
    )


@pytest.fixture(scope="session")
def servers_image(shared_engine: DockerEngine, shared_images: Prepared) -> str:
    """An image with OpenSSH's server and nginx, for containers of the tests' own."""
    from runner.engine.images import ensure_layered_image
    from runner.progress import NoProgress
    from tests.support.file_servers import PACKAGES

    return ensure_layered_image(shared_engine, shared_images.base, (PACKAGES,), progress=NoProgress()).reference


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
