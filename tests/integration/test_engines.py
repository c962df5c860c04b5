"""`reproduce` by every way to an engine, typed as a user types it, with a remote that is a folder of this host.

The other engines run the whole integration suite in `-m full`; docs/explanation/engines.md says what differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import docker.errors
import pytest

from runner.engine import labels
from runner.engine.archive import pack
from runner.engine.docker import DockerEngine, connect, import_image
from runner.engine.find import find_engine
from runner.errors import EngineUnavailable
from runner.prepare import Prepared
from tests.support.command import CommandLine, left_in_engine
from tests.support.more_engines import Engines
from tests.support.projects import RUN_ID, RecordedProject, script
from tests.support.repositories import fingerprint

# No engine may make the training the owner of the folder that its own folders lie in: podman would.
MOVES_NOTHING = """
import os
for part in ("workspace", "capture", "home", "tmp"):
    try:
        os.rename("/sandbox/" + part, "/sandbox/away")
    except PermissionError:
        continue
    raise SystemExit("could move " + part)
"""
SUITE = ("engine", "restore", "provision", "reproduce", "limits", "isolation", "capture", "demo", "signals", "doctor")


def variables(engines: Engines, name: str) -> dict[str, str]:
    """The variables of this process, with those that name the engine."""
    return {**{key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}, **engines.environment(name)}


def connected(engines: Engines, name: str) -> DockerEngine:
    return connect(find_engine(variables(engines, name)))


@pytest.fixture(scope="module")
def volume() -> str:
    """A cache of the same name on each engine, so that ways to one engine share it; it goes with the engine's root."""
    return f"reproducibility-runner-test-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("name", ["elsewhere", pytest.param("tls", marks=pytest.mark.full), "context", "podman"])
def test_a_run_is_identical_wherever_the_engine_is(name: str, engines: Engines, volume: str, tmp_path: Path) -> None:
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    project.commit_training(script(before=MOVES_NOTHING))
    project.record()
    before = fingerprint(project.folder)
    typed = CommandLine(
        tmp_path / "here", tracker=project.tracker, REPRO_CACHE_VOLUME=volume, **engines.environment(name)
    )
    if "DOCKER_HOST" not in engines.environment(name):
        typed.variables.pop("DOCKER_HOST", None)
    started = typed.start("reproduce", RUN_ID, "--json")
    said = started.end()
    assert said.code == 0, said.err
    assert said.document["verdict"] == "identical"
    assert said.document["lineage"]["files"][0]["path"] == "data/train.csv"
    assert ("podman" if name == "podman" else "docker") in said.document["plan"]["images"]["engine"]
    assert fingerprint(project.folder) == before
    engine = connected(engines, name)
    assert left_in_engine(engine, started.pid) == []
    engine.close()


def test_the_engine_elsewhere_sees_none_of_our_folders(engines: Engines, tmp_path: Path) -> None:
    """Else what it shows of folders would be no proof."""
    engine = connected(engines, "elsewhere")
    mount = docker.types.Mount("/x", str(tmp_path), type="bind")
    options = engine.client.create_host_config(mounts=[mount])
    with pytest.raises(docker.errors.APIError, match="does not exist"):
        engine.client.create_container("reproducibility-runner/base:py3.11", "true", host_config=options)
    engine.close()


def test_data_that_we_have_not_is_in_no_store(engines: Engines, volume: str, tmp_path: Path) -> None:
    """The same question, asked of this host; that data which we alone have is found is what the others show."""
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author", values=(9.5, 0.25))
    project.commit_training()
    project.record()
    project.store.remove(project.stored_data.digest)
    typed = CommandLine(
        tmp_path / "here", tracker=project.tracker, REPRO_CACHE_VOLUME=volume, **engines.environment("elsewhere")
    )
    said = typed.run("reproduce", RUN_ID, "--json")
    assert (said.code, said.document["missing"]["fact"]) == (3, "data")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (("cert.pem", "key.pem"), "certificate required|bad certificate|alert"),
        (("ca.pem",), "certificate verify failed"),
    ],
    ids=["no-client-certificate", "another-ca"],
)
def test_a_certificate_that_will_not_do_is_said_and_no_other_engine_is_taken(
    spoil: tuple[str, ...], words: str, engines: Engines, tmp_path: Path
) -> None:
    good = engines.environment("tls")
    for path in Path(good["DOCKER_CERT_PATH"]).iterdir():
        if path.name not in spoil and path.name in {"ca.pem", "cert.pem", "key.pem"}:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    if "ca.pem" in spoil:
        make = f"req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout {tmp_path}/k -out {tmp_path}/ca.pem"
        subprocess.run(["openssl", *make.split()], check=True, capture_output=True)
    with pytest.raises(EngineUnavailable, match=words) as caught:
        find_engine({**os.environ, **good, "DOCKER_CERT_PATH": str(tmp_path)})
    assert good["DOCKER_HOST"] in caught.value.cause
    assert caught.value.exit_code == 5


def test_outdated_images_are_known_and_pruned_on_podman_too(
    engines: Engines, volume: str, shared_images: Prepared, tmp_path: Path
) -> None:
    """It calls them `localhost/...`."""
    engine = connected(engines, "podman")
    outdated = "reproducibility-runner/tools:0123456789abcdef"
    import_image(engine, outdated, pack([("outdated", b"1")]), [f"LABEL {labels.LABEL}={labels.TOOLS}"])
    typed = CommandLine(tmp_path / "here", REPRO_CACHE_VOLUME=volume, **engines.environment("podman"))
    said = typed.run("setup", "--prune")
    assert said.code == 0, said.err
    assert engine.image_digest(outdated) is None
    assert engine.image_digest(shared_images.tools) == shared_images.tools_digest
    engine.close()


@pytest.mark.full
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("name", ["elsewhere", "podman"])
def test_the_integration_suite_passes_on(name: str, engines: Engines) -> None:
    """With the engine as the one of this machine: the tests know no difference."""
    files = [f"tests/integration/test_{part}.py" for part in SUITE]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-k",
            # Podman cannot make the volume of a size that one test fills.
            "not (elsewhere or tls or context or podman)" + (" and not full_volume" if name == "podman" else ""),
            *files,
        ],
        cwd=Path(__file__).parents[2],
        env=variables(engines, name),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
