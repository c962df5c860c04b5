"""DVC's packages for kinds of remotes: pinned, beside what the environment has, in a layer of those that are needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import runner.engine
from runner.engine.remote_kinds import KINDS, layer_reference, needed_packages, requirements

ENVIRONMENT = (Path(runner.engine.__file__).parent / "constraints.txt").read_text()


def names(text: str) -> set[str]:
    return {line.partition("==")[0] for line in text.splitlines() if line and not line.startswith("#")}


@pytest.mark.parametrize("package", sorted(set(KINDS.values())))
def test_every_package_is_pinned_and_none_replaces_one_of_the_environment(package: str) -> None:
    text = requirements((package,))
    assert all(re.match(r"[a-z0-9-]+==\S+( ; .+)?$", line) for line in text.splitlines())
    assert f"dvc-{package}" in names(text)
    assert not names(text) & names(ENVIRONMENT)


def test_packages_of_several_kinds_agree_on_versions() -> None:
    lines = requirements(sorted(set(KINDS.values()))).splitlines()
    assert len(lines) == len({re.sub("==[^ ]+", "", line) for line in lines})


def test_only_what_needs_a_package_has_a_layer_and_each_its_own() -> None:
    assert needed_packages(("s3", "https", "file")) == ()
    assert needed_packages(("webdavs", "ssh", "s3", "webdav")) == ("ssh", "webdav")
    assert layer_reference("e", ("ssh",)) == layer_reference("e", ("ssh",))
    assert len({layer_reference(e, p) for e in ("e", "f") for p in (("ssh",), ("azure",), ("azure", "ssh"))}) == 6
