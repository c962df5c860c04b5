"""What `runner setup` makes, and that it makes it once."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from runner.cache.prune import prune
from runner.cli.setup import setup
from runner.engine import images, labels
from runner.engine.archive import pack
from runner.engine.base_image import BaseImage, ensure_base_image
from runner.engine.docker import DockerEngine, connect
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.engine.packages import layer_reference
from runner.engine.prune import holdings
from runner.errors import ImageUnavailable, InvalidConfiguration, MissingFact
from runner.inside import layout
from runner.network import NetworkSettings, read_network_settings
from runner.prepare import Prepared, prepare
from tests.support.engines import run

MARK = "mark-of-a-secret-index"


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def prepared(engine: DockerEngine) -> Prepared:
    return prepare(engine)


def shell(image: str, script: str, **options: object) -> ContainerRequest:
    return ContainerRequest(image=image, argv=("sh", "-c", script), purpose="test", **options)  # type: ignore[arg-type]


def test_the_second_time_nothing_is_made_and_it_is_quick(engine: DockerEngine, prepared: Prepared) -> None:
    began = time.monotonic()
    again = prepare(engine)
    assert again.made == ()
    assert (again.tools, again.tools_digest, again.base.digest) == (
        prepared.tools,
        prepared.tools_digest,
        prepared.base.digest,
    )
    assert time.monotonic() - began < 20, "making either takes longer"


def test_what_was_made_says_where_it_comes_from(engine: DockerEngine, prepared: Prepared) -> None:
    assert prepared.base.python == "3.11"
    assert prepared.base.origin in {"registry", "mmdebstrap bookworm"}
    assert prepared.base.digest.startswith("sha256:")
    assert engine.image_digest(prepared.tools) == prepared.tools_digest
    volume = engine.client.inspect_volume(prepared.cache_volume)
    assert volume["Labels"] == {labels.LABEL: labels.CACHE}


def test_the_tools_image_runs_our_code_and_dvc_as_the_trainer(engine: DockerEngine, prepared: Prepared) -> None:
    script = f"""
        set -e
        {layout.TOOLS_PYTHON} -I -c 'import sys; sys.path.insert(0, "{layout.LIBRARY}"); import runner.inside.protocol'
        ls {layout.CAPTURE_PACKAGE}/reproducibility_runner/__init__.py
        {layout.TOOLS_PYTHON} -I -c 'import dvc.repo, ruamel.yaml'
        {layout.TOOLS_PYTHON} -I -m uv --version >/dev/null
        git --version >/dev/null
        ls {layout.TOOLS_PATH}; id -u trainer
        cd /tmp; echo 'raise SystemExit("shadowed")' > dvc.py
        PATH={layout.TOOLS_PATH}:$PATH PYTHONPATH=/tmp dvc --version
        find {layout.LIBRARY} -name '*.pyc' | grep -q protocol
    """
    ran = run(engine, shell(prepared.tools, script, user="10001:10001", hardened=True, tmpfs={"/tmp": "mode=1777"}))
    assert ran.outcome.exit_code == 0, ran.err
    assert ran.out.split("\n")[1:3] == ["dvc", "10001"]


def test_settings_of_the_host_reach_the_build_and_never_the_image(
    engine: DockerEngine, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = images._packaged
    small = {"requirements.txt": "ruamel.yaml>=0.18\n"}
    monkeypatch.setattr(images, "_packaged", lambda name: small.get(name) or real(name))
    monkeypatch.setattr(images, "dockerfile", recipe_that_tells)
    network = read_network_settings()
    network = NetworkSettings(**{**vars(network), "trusted_hosts": (MARK,)})
    said = Lines()
    before = {image["Id"] for image in engine.client.images(all=True)}
    tools, _ = images.ensure_tools_image(engine, prepared.base, network=network, progress=said)
    made = {image["Id"] for image in engine.client.images(all=True)} - before
    try:
        assert any(f"told {MARK}" in text for text in said.updates), "the build saw the settings"
        for image in made:
            history = engine.client.history(image)
            assert MARK not in str(history)
            assert MARK not in str(engine.client.inspect_image(image))
        found = run(engine, shell(tools, f"grep -rIl {MARK} /opt /etc /home /root; ls /settings"))
        assert found.out == ""
        owned = engine.client.images(filters={"label": f"{labels.LABEL}=build"}, all=True)
        assert not [image for image in owned if image["Labels"].get(labels.OWNER) == labels.owner()]
    finally:
        base_id = engine.image_digest(prepared.base.reference)
        assert base_id is not None
        for name in (tools, images.environment_reference(images.dockerfile(), base_id)):
            engine.client.remove_image(name)


def recipe_that_tells() -> str:
    for_real = "RUN set -e; . /settings/environment; cd /settings;"
    recipe = RECIPE
    assert for_real in recipe
    return recipe.replace(for_real, for_real + " echo told $PIP_TRUSTED_HOST;")


RECIPE = images.dockerfile()


class Lines:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.updates: list[str] = []

    def phase(self, name: str) -> AbstractContextManager[None]:
        raise AssertionError

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        self.updates.append(text)

    def line(self, text: str) -> None:
        self.updates.append(text)

    def log(self, text: bytes) -> None:
        raise AssertionError


def test_a_base_image_of_the_users_is_checked_and_used_as_it_is(engine: DockerEngine, prepared: Prepared) -> None:
    name = f"user-base-{uuid.uuid4().hex[:6]}"
    engine.client.tag(prepared.base.reference, name, "1")
    try:
        base = ensure_base_image(engine, python=None, base_image=f"{name}:1")
        assert (base.reference, base.origin, base.python, base.made) == (f"{name}:1", "--base-image", "3.11", False)
        with pytest.raises(MissingFact, match=r"has Python 3\.11, but 3\.12 is needed") as caught:
            ensure_base_image(engine, python="3.12", base_image=f"{name}:1")
        assert caught.value.fact == "python"
    finally:
        engine.client.remove_image(f"{name}:1")


def test_a_base_image_without_python_or_from_nowhere_is_refused(engine: DockerEngine) -> None:
    name = f"user-base-{uuid.uuid4().hex[:6]}"
    engine.client.import_image_from_stream(pack([("f", b"x")]), repository=name, tag="1")
    try:
        with pytest.raises(InvalidConfiguration, match="no python3"):
            ensure_base_image(engine, base_image=f"{name}:1")
    finally:
        engine.client.remove_image(f"{name}:1")
    with pytest.raises(ImageUnavailable, match="cannot be pulled"):
        ensure_base_image(engine, base_image="localhost:9/no/such:image")


def test_a_python_that_nobody_has_is_a_missing_fact(engine: DockerEngine) -> None:
    with pytest.raises(MissingFact) as caught:
        ensure_base_image(engine, python="3.99")
    assert caught.value.fact == "python"
    assert "--base-image" in caught.value.remedy


def test_tools_need_their_base(engine: DockerEngine) -> None:
    base = BaseImage(reference="no/such:base", digest="sha256:0", origin="--base-image", python="3.11")
    with pytest.raises(ImageUnavailable, match="no/such:base"):
        images.ensure_tools_image(engine, base)
    assert images.tools_image_for(engine, base) is None


def test_pruning_removes_what_is_outdated_and_only_ours(engine: DockerEngine, prepared: Prepared) -> None:
    unique = uuid.uuid4().hex[:8]
    old, theirs, cache = (
        f"{images.TOOLS_REPOSITORY}:old{unique}",
        f"theirs-{unique}:1",
        f"reproducibility-test-{unique}",
    )
    stale = [f"LABEL {labels.LABEL}=tools"]
    for reference in (old, theirs):
        name, _, tag = reference.partition(":")
        engine.client.import_image_from_stream(pack([("f", tag.encode())]), repository=name, tag=tag, changes=stale)
    engine.ensure_volume(cache)
    names = {holding.name: holding for holding in holdings(engine, current=[prepared.tools])}
    assert names[old].size_bytes is not None
    assert names[prepared.tools].current
    assert theirs not in names, "an image that the user named is the user's, whatever it was built on"
    assert names[prepared.cache_volume].kind == "cache"
    try:
        # As `prune` does, but for what this test made alone: others use this engine too.
        from runner.engine import prune as flow

        others = [name for name in names if name not in {old, cache}]
        removed, kept = flow.prune(engine, current=others)
        assert {old, cache} <= {holding.name for holding in removed}
        assert {holding.name for holding in kept} == set(others)
        assert engine.image_digest(theirs) is not None
    finally:
        engine.client.remove_image(theirs)


def test_pruning_keeps_what_the_next_rerun_needs(engine: DockerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.engine import prune as flow

    kept: list[str] = []

    def only_list(
        engine: DockerEngine, *, everything: bool, current: set[str], dry_run: bool
    ) -> tuple[tuple[()], tuple[()]]:
        kept.extend(current)
        return (), ()

    monkeypatch.setattr(flow, "prune", only_list)
    now = prepare(engine, system_packages=("libgomp1",))
    assert now.train is not None
    prune(engine)
    assert {now.tools, now.base.reference, now.train.reference} <= set(kept)
    environments = [family.environment for family in images.families_in_use(engine)]
    layers = {layer_reference(environment, ("libgomp1",)) for environment in environments}
    assert layers & set(kept), "the layer that it stands on"


def test_setup_lists_what_it_made_with_versions(engine: DockerEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert setup(system_packages=["libgomp1"], quiet=True) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert re.search(r"^reproducibility-runner/tools:\w+ +libgomp1 \d", rows["train"])
    assert rows["build"].startswith(("made when", "reproducibility-runner/tools:"))
    with pytest.raises(InvalidConfiguration, match="no name of a Debian package"):
        setup(system_packages=["-oX=y"], quiet=True)


def test_the_cache_is_shared_by_sessions(engine: DockerEngine, prepared: Prepared) -> None:
    other = connect()
    mount = VolumeMount(volume=prepared.cache_volume, target="/cache")
    other.ensure_volume(prepared.cache_volume)
    assert run(other, shell(prepared.tools, "test -d /cache", mounts=(mount,))).outcome.exit_code == 0
    other.close()
    assert engine.client.inspect_volume(prepared.cache_volume)
