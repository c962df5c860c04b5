"""Phase 1 alone, on the real engine: an auditor's host, a commit whose `.dvc/config` a test writes, and restores."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runner.credentials.host import HostAccess, read_host_access
from runner.engine.docker import DockerEngine
from runner.errors import RunnerError
from runner.network import NetworkSettings
from runner.plan.remotes import choose_remotes
from runner.pointers.remotes import read_remotes
from runner.prepare import Prepared, ensure_image_for_remotes, images_of
from runner.progress import NoProgress
from runner.rerun.carry_out import Place, discard_workspace
from runner.rerun.restore import Restored, restore
from runner.schema.lineage import LineageFile
from runner.schema.plan import Plan, Policy
from tests.support import facts
from tests.support.buckets import BucketStore
from tests.support.repositories import Repository, Store, Stored
from tests.support.values import make_plan

PATH = "data/train.csv"


class Restoring:
    """Makes plans for a commit and restores in workspaces that are then removed; `store` is what a server shows.

    `canaries` are secrets of the test: no error, and nothing that restore gives back, may hold one.
    """

    def __init__(
        self,
        folder: Path,
        engine: DockerEngine,
        images: Prepared,
        volume: str,
        store: Store | BucketStore | None = None,
    ) -> None:
        self.folder, self.engine, self.images, self.volume = folder, engine, images, volume
        self.home = folder / "home"
        self.home.mkdir()
        self.store: Store | BucketStore = store or Store(folder / "store")
        # Of this test alone: the cache is shared, and what it has verified is not read from a remote again.
        self.data = self.store.put(f"data {uuid.uuid4()}\n".encode())
        self.directory = self.store.put_directory({"a.csv": b"1\n", "deep/b.csv": f"{uuid.uuid4()}\n".encode()})
        repository = Repository(folder / "project")
        self.commit = repository.commit({"train.py": "print('x')\n"})
        self.bundle = folder / "project.bundle"
        repository.git("branch", "reproduction")
        repository.git("bundle", "create", "-q", str(self.bundle), "reproduction")
        self.notes: tuple[str, ...] = ()
        self.canaries: list[str] = []
        self.network = NetworkSettings()

    def host(self, **variables: str) -> HostAccess:
        """What a host says on which nothing but these variables is set."""
        return read_host_access({"HOME": str(self.home), **variables})

    def configure(self, text: str) -> None:
        """Write the user's DVC configuration."""
        own = self.home / ".config" / "dvc"
        own.mkdir(parents=True, exist_ok=True)
        (own / "config").write_text(text)

    def plan(self, config: str, host: HostAccess, *wanted: Stored, policy: Policy | None = None, **flags: Any) -> Plan:
        """The plan for a commit with this `.dvc/config`."""
        files = tuple(
            LineageFile(
                path=f"{PATH}{n or ''}",
                digest=each.digest,
                role="input",
                source="tag",
                pointer=f"{PATH}{n or ''}.dvc",
                pointer_state="rewritten",
                size_bytes=each.size_bytes,
            )
            for n, each in enumerate(wanted or (self.data,))
        )
        plan = make_plan(files=files, images=images_of(self.images), expected_outputs=(), policy=policy or Policy())
        snapshot = facts.snapshot(remotes=read_remotes(config))
        remotes, self.notes = choose_remotes(facts.run(), snapshot, plan.lineage, facts.settings(**flags), host)
        lineage = plan.lineage.model_copy(update={"commit": self.commit})
        return plan.model_copy(update={"lineage": lineage, "remotes": remotes})

    def restore(
        self, config: str, host: HostAccess, *wanted: Stored, offline: bool = False, **options: Any
    ) -> Restored:
        """Restore in a workspace of its own, which is then removed."""
        plan = self.plan(config, host, *wanted, **options)
        place = Place(
            engine=self.engine,
            volume=self.volume,
            rerun=self.engine.session_id,
            network=NetworkSettings(),
            build_image=lambda: "build",
        )
        try:
            done = restore(
                self.engine,
                plan,
                rerun=self.engine.session_id,
                bundle=self.bundle,
                dvc_roots=(),
                outs=(),
                volume=self.volume,
                environment_keys={"specification": "0" * 64, "repository": ""},
                on_environment=lambda _: None,
                network=self.network,
                progress=NoProgress(),
                host=host,
                offline=offline,
                image_for=partial(ensure_image_for_remotes, self.engine, plan, progress=NoProgress(), offline=offline),
            )
        finally:
            discard_workspace(plan, place, NoProgress())
        self.shows_no_secret(done, plan)
        return done

    def refusal(self, kind: type[RunnerError], config: str, host: HostAccess, *wanted: Stored, **options: Any) -> Any:
        """The error of a restore, which shows no secret."""
        with pytest.raises(kind) as caught:
            self.restore(config, host, *wanted, **options)
        error = caught.value
        self.shows_no_secret(error.cause, error.remedy, vars(error))
        return error

    def shows_no_secret(self, *shown: object) -> None:
        """Fail where a canary is in what is shown."""
        text = repr(shown)
        assert not [each for each in self.canaries if each in text]
