"""Provisions plans on a real engine, from indexes of the tests' own, and looks at what is there then."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.errors import RunnerError
from runner.inside import layout
from runner.network import NetworkSettings, read_network_settings
from runner.progress import NoProgress
from runner.rerun.provision import provision
from runner.schema.plan import Allowance, EnvironmentSpec, Images, Plan, Policy
from runner.schema.rerun import ResolvedEnvironment
from tests.support.engines import run
from tests.support.package_index import PackageIndex
from tests.support.values import changed, make_plan


class Case:
    """Provisions plans in one volume, and looks at what is there."""

    def __init__(self, engine: DockerEngine, images: Images, volume: str) -> None:
        self.engine, self.images, self.volume = engine, images, volume

    def plan(
        self, text: str = "", *, commit: str | None = None, allow: tuple[Allowance, ...] = (), **fields: Any
    ) -> Plan:
        """A plan with requirements; `commit` gives it a repository and commit of its own."""
        values: dict[str, Any] = {
            "kind": "requirements",
            "source": "requirements.txt at the commit",
            "main": "requirements.txt",
            "files": {"requirements.txt": text},
            "exact": False,
            "as_of": None,
            "python": "3.11",
            "python_source": "default",
        }
        plan = make_plan(environment=EnvironmentSpec(**(values | fields)), images=self.images)
        plan = changed(plan, policy=Policy(allow=allow))
        if commit is not None:
            plan = changed(plan, lineage=changed(plan.lineage, commit=commit))
        return plan

    def provision(
        self, plan: Plan, index: PackageIndex | str | None = None, *, engine: DockerEngine | None = None, **options: Any
    ) -> ResolvedEnvironment:
        """Provision from one of our indexes, from `network`, or from this host's own settings."""
        network = options.pop("network", None) or read_network_settings()
        if index is not None:
            network = NetworkSettings(index_url=index if isinstance(index, str) else index.address)
        # Nothing here is compiled: the image with compilers has tests of its own.
        mine = {"rerun": "none", "offline": False, "progress": NoProgress(), "build_image": lambda: self.images.tools}
        options = {**mine, **options}
        return provision(engine or self.engine, plan, volume=self.volume, network=network, **options)

    def shell(self, script: str, **options: Any) -> str:
        """Run a script that sees the whole volume, and return what it prints."""
        done = run(
            self.engine,
            ContainerRequest(
                image=self.images.tools,
                argv=("sh", "-ec", script),
                purpose="test",
                mounts=(VolumeMount(volume=self.volume, target=layout.CACHE),),
                **options,
            ),
        )
        assert done.outcome.exit_code == 0, done.err
        return done.out

    def python(self, environment: ResolvedEnvironment, script: str) -> str:
        """Run a script as the training will: its environment alone, read-only, as another user."""
        folder = f"{layout.ENVIRONMENTS}/{environment.key}"
        done = run(
            self.engine,
            ContainerRequest(
                image=self.images.tools,
                argv=(f"{folder}/bin/python", "-c", script),
                purpose="test",
                mounts=(
                    VolumeMount(
                        volume=self.volume,
                        subpath=layout.environment_subpath(environment.key),
                        target=folder,
                        read_only=True,
                    ),
                ),
                user=f"{layout.TRAINER_UID}:{layout.TRAINER_GID}",
                hardened=True,
            ),
        )
        assert done.outcome.exit_code == 0, done.err
        return done.out


def own_commit() -> str:
    """A commit that no other test has."""
    return uuid.uuid4().hex + "0" * 8


def refused(case: Case, plan: Plan, index: PackageIndex | str | None = None, **options: Any) -> RunnerError:
    """The error that provisioning ends with."""
    with pytest.raises(RunnerError) as caught:
        case.provision(plan, index, **options)
    return caught.value
