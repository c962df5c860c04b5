"""Phase 1 on the real engine: recorded bytes, verified, linked and not copied; the original is only read."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.engine.interface import ContainerRequest, VolumeMount
from runner.errors import DiskFull, MissingFact
from runner.inside import layout
from runner.network import NetworkSettings
from runner.pointers.read import read_pointer
from runner.pointers.rewrite import create_pointer, rewrite_out
from runner.prepare import Prepared, images_of
from runner.progress import NoProgress
from runner.rerun.carry_out import Place, discard_workspace
from runner.rerun.restore import Restored, restore
from runner.schema.digest import DigestValue
from runner.schema.lineage import LineageFile
from runner.schema.plan import Plan, PointerEdit, Policy, Remote
from tests.support.engines import run
from tests.support.repositories import Repository, Store, dvc_config, fingerprint, md5, pointer_text
from tests.support.values import make_plan


class Project:
    """A repository whose pointer names the old data, and a remote that holds old and new."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "remote")
        # Of this test alone: the cache is shared, and what it has verified is not read from a remote again.
        self.text = f"new data {uuid.uuid4()}"
        self.old, self.new = self.store.put(b"old data\n"), self.store.put(f"{self.text}\n".encode())
        self.folder_data = self.store.put_directory({"a.csv": b"1\n", "deep/b.csv": f"{self.text}2\n".encode()})
        self.repository = Repository(folder / "project")
        self.pointer = f"# kept\n{pointer_text('train.csv', self.old)}"
        self.commit = self.repository.commit(
            {
                "train.py": "print('x')\n",
                "data/train.csv.dvc": self.pointer,
                "data/.gitignore": "/train.csv\n/images\n",
                "data/images.dvc": pointer_text("images", self.folder_data),
                "runs/model.bin": "a model that the commit holds\n",
                ".dvc/config": dvc_config("../remote"),
            }
        )
        self.bundle = folder / "project.bundle"
        self.repository.git("branch", "reproduction")
        self.repository.git("bundle", "create", "-q", str(self.bundle), "reproduction")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def file(path: str, digest: DigestValue, role: Any = "input") -> LineageFile:
    return LineageFile(
        path=path, digest=digest, role=role, source="tag", pointer=f"{path}.dvc", pointer_state="rewritten"
    )


class Restoring:
    """Restores into workspaces of one session, looks into them, and takes them away."""

    def __init__(self, engine: DockerEngine, images: Prepared, volume: str, project: Project) -> None:
        self.engine, self.images, self.volume, self.project = engine, images, volume, project
        self.rerun = engine.session_id

    def plan(self, *files: LineageFile, **fields: Any) -> Plan:
        plan = make_plan(files=files, images=images_of(self.images), expected_outputs=(), **fields)
        lineage = plan.lineage.model_copy(update={"commit": self.project.commit, "repository": "https://x.example/p"})
        remote = Remote(name="storage", url=str(self.project.store.path), source="remote at the commit")
        return plan.model_copy(update={"lineage": lineage, "remotes": fields.get("remotes", (remote,))})

    def restore(self, plan: Plan, volume: str | None = None) -> Restored:
        return restore(
            self.engine,
            plan,
            rerun=self.rerun,
            bundle=self.project.bundle,
            dvc_roots=(".",),
            outs=(),
            volume=volume or self.volume,
            environment_keys={"specification": "0" * 64, "repository": ""},
            on_environment=lambda _: None,
            network=NetworkSettings(),
            progress=NoProgress(),
        )

    def again(self, plan: Plan) -> Restored:
        """Restore once more, in the place of what was there."""
        place = Place(
            engine=self.engine,
            volume=self.volume,
            rerun=self.rerun,
            network=NetworkSettings(),
            build_image=lambda: "build",
        )
        discard_workspace(plan, place, NoProgress())
        return self.restore(plan)

    def look(self, script: str, *, trainer: bool = False) -> str:
        """Run a shell script beside the workspace: as root with the whole cache, or as the training sees it."""
        sandbox = VolumeMount(
            volume=self.volume, subpath=layout.work_subpath(self.rerun, layout.SANDBOX), target=layout.SANDBOX_TARGET
        )
        whole = VolumeMount(volume=self.volume, target=layout.CACHE)
        user = f"{layout.TRAINER_UID}:{layout.TRAINER_GID}" if trainer else "0"
        request = ContainerRequest(
            image=self.images.tools,
            argv=("bash", "-c", script),
            purpose="look",
            mounts=(sandbox,) if trainer else (sandbox, whole),
            working_directory=layout.WORKSPACE_TARGET,
            user=user,
            hardened=trainer,
        )
        ran = run(self.engine, request)
        return (ran.out + ran.err).strip()


@pytest.fixture
def restoring(engine: DockerEngine, shared_images: Prepared, cache_volume: str, project: Project) -> Any:
    restoring = Restoring(engine, shared_images, cache_volume, project)
    yield restoring
    place = Place(
        engine=engine,
        volume=cache_volume,
        rerun=restoring.rerun,
        network=NetworkSettings(),
        build_image=lambda: "build",
    )
    discard_workspace(restoring.plan(), place, NoProgress())


def edit(project: Project) -> tuple[PointerEdit, ...]:
    out = read_pointer("data/train.csv.dvc", project.pointer)[0]
    return (
        PointerEdit(path=out.pointer, text=rewrite_out(project.pointer, out, project.new.digest), created=False),
        PointerEdit(path="runs/new.bin.dvc", text=create_pointer("new.bin", md5(b"m")), created=True),
    )


def test_the_recorded_bytes_are_linked_read_only_and_the_tree_stays_clean(
    restoring: Restoring, project: Project
) -> None:
    before = fingerprint(project.store.path)
    plan = restoring.plan(
        file("data/train.csv", project.new.digest),
        file("data/images", project.folder_data.digest),
        pointer_edits=edit(project),
    )
    restored = restoring.restore(plan)
    assert [(found.path, str(found.digest), found.place, found.held_by) for found in restored.files] == [
        ("data/train.csv", str(project.new.digest), "workspace", "storage"),
        ("data/images", str(project.folder_data.digest), "workspace", "storage"),
    ]
    seen = restoring.look(
        "cat data/train.csv data/images/deep/b.csv; git status --porcelain; git log --format=%H;"
        "git remote get-url origin; head -1 data/train.csv.dvc; stat -c '%u %a %h' data/train.csv;"
        "echo x >> data/train.csv; chmod u+w data/train.csv",
        trainer=True,
    ).splitlines()
    assert seen.pop(2) == "?? runs/new.bin.dvc"  # a created pointer: DVC refuses to write one that git ignores
    assert seen[:7] == [
        project.text,
        f"{project.text}2",
        project.commit,
        "https://x.example/p",
        "# kept",
        "0 444 2",
        seen[6],
    ]
    assert "Permission denied" in seen[6]
    assert "Operation not permitted" in seen[7]
    assert fingerprint(project.store.path) == before


def test_a_large_file_costs_no_second_copy(restoring: Restoring, project: Project) -> None:
    stored = project.store.put(os.urandom(1 << 20) * 64)
    restoring.restore(restoring.plan(file("data/train.csv", stored.digest)))
    inodes = restoring.look(
        f"stat -c %i data/train.csv {layout.OBJECTS}/files/md5/{stored.digest.dvc[:2]}/{stored.digest.dvc[2:]}"
    ).split()
    assert inodes[0] == inodes[1]


def test_other_bytes_under_a_digest_are_unverifiable_and_the_remote_keeps_them(
    restoring: Restoring, project: Project
) -> None:
    """Rule 20: DVC trusts what a remote holds, and deletes from a writable one what it finds corrupt."""
    path = project.store.object_path(project.new.digest)
    path.write_bytes(b"not that\n")
    before = fingerprint(project.store.path)
    with pytest.raises(MissingFact, match="other bytes") as caught:
        restoring.restore(restoring.plan(file("data/train.csv", project.new.digest)))
    assert caught.value.fact == "data"
    assert fingerprint(project.store.path) == before


def test_whether_a_remote_holds_the_bytes_is_not_told_by_our_cache(restoring: Restoring, project: Project) -> None:
    """A remote that has bytes of another size under the digest is never named as the one that holds it."""
    plan = restoring.plan(file("data/train.csv", project.new.digest))
    assert restoring.restore(plan).files[0].held_by == "storage"
    project.store.object_path(project.new.digest).write_bytes(b"not that\n")
    with pytest.raises(MissingFact, match="holds other bytes under a recorded digest") as caught:
        restoring.again(plan)
    assert "--allow cached" in caught.value.remedy


def test_corrupt_bytes_of_mode_0444_are_not_trusted(restoring: Restoring, project: Project) -> None:
    """Rule 20: DVC takes an object of mode 0444 for protected and does not hash it."""
    path = project.store.object_path(project.new.digest)
    path.write_bytes(b"not that\n")
    path.chmod(0o444)
    with pytest.raises(MissingFact, match="other bytes"):
        restoring.restore(restoring.plan(file("data/train.csv", project.new.digest)))


def test_an_input_that_the_remote_lacks_is_unverifiable_though_our_cache_has_it(
    restoring: Restoring, project: Project
) -> None:
    """Rule 28: the cache is not a store."""
    wanted = file("data/train.csv", project.store.put(b"only cached\n").digest)
    restoring.restore(restoring.plan(wanted))
    discard_workspace(
        restoring.plan(),
        Place(
            engine=restoring.engine,
            volume=restoring.volume,
            rerun=restoring.rerun,
            network=NetworkSettings(),
            build_image=lambda: "build",
        ),
        NoProgress(),
    )
    project.store.remove(wanted.digest)
    with pytest.raises(MissingFact, match="is in no remote") as caught:
        restoring.restore(restoring.plan(wanted))
    assert "--allow cached" in caught.value.remedy
    discard_workspace(
        restoring.plan(),
        Place(
            engine=restoring.engine,
            volume=restoring.volume,
            rerun=restoring.rerun,
            network=NetworkSettings(),
            build_image=lambda: "build",
        ),
        NoProgress(),
    )
    allowed = restoring.restore(restoring.plan(wanted, policy=Policy(allow=("cached",))))
    assert allowed.files[0].held_by == "cache"


def test_a_directory_of_which_a_file_is_gone_is_unverifiable(restoring: Restoring, project: Project) -> None:
    project.store.remove(md5(f"{project.text}2\n".encode()))
    with pytest.raises(MissingFact, match=r"1 files such as deep/b\.csv"):
        restoring.restore(restoring.plan(file("data/images", project.folder_data.digest)))


def test_a_recorded_model_goes_aside_and_is_absent_where_the_training_writes_it(
    restoring: Restoring, project: Project
) -> None:
    """Rules 16 and 17: also where the commit itself holds a file at that path."""
    model = project.store.put(b"the recorded model\n")
    plan = restoring.plan(file("runs/model.bin", model.digest, "output")).model_copy(
        update={"expected_outputs": ("runs/model.bin", "results/other.bin")}
    )
    restored = restoring.restore(plan)
    assert restored.files[0].place == "reference"
    assert restored.removed == ("runs/model.bin",)
    assert restoring.look("ls runs results; git status --porcelain", trainer=True) == "results:\n\nruns:"
    assert (
        restoring.look(f"cat {layout.work(restoring.rerun, layout.REFERENCE)}/runs/model.bin") == "the recorded model"
    )


def test_a_recorded_model_that_no_store_holds_does_not_stop_the_rerun(restoring: Restoring, project: Project) -> None:
    """Rule 20: only inputs make unverifiable."""
    restored = restoring.restore(restoring.plan(file("runs/model.bin", md5(b"gone"), "output")))
    assert (restored.files[0].place, restored.files[0].digest) == ("missing", None)


def test_a_path_that_a_link_of_the_commit_leads_out_is_refused(restoring: Restoring, project: Project) -> None:
    (project.repository.path / "out").symlink_to("/")
    project.repository.git("add", "-A")
    project.commit = project.repository.commit({"x.txt": "x"})
    project.repository.git("branch", "-f", "reproduction")
    project.repository.git("bundle", "create", "-q", str(project.bundle), "reproduction")
    with pytest.raises(MissingFact, match="leads out of the repository"):
        restoring.restore(restoring.plan(file("out/tmp/train.csv", project.new.digest)))


def test_a_full_volume_is_infrastructure_and_says_so(
    restoring: Restoring, project: Project, engine: DockerEngine
) -> None:
    stored = project.store.put(os.urandom(1 << 20) * 24)
    small = f"{restoring.volume}-small"
    subprocess.run(
        [
            "docker",
            "volume",
            "create",
            "-d",
            "local",
            "-o",
            "type=tmpfs",
            "-o",
            "device=tmpfs",
            "-o",
            "o=size=16m",
            small,
        ],
        check=True,
        capture_output=True,
    )
    try:
        with pytest.raises(DiskFull):
            restoring.restore(restoring.plan(file("data/train.csv", stored.digest)), volume=small)
    finally:
        subprocess.run(["docker", "volume", "rm", small], check=True, capture_output=True)


def test_a_folder_of_the_commit_itself_is_a_remote_and_its_files_stay_as_they_are(
    restoring: Restoring, project: Project
) -> None:
    """Also where one of its objects holds other bytes, which DVC would delete from the clone."""
    committed = Store(project.repository.path / "dvcstore")
    good, bad = committed.put(f"good {uuid.uuid4()}".encode()), committed.put(f"bad {uuid.uuid4()}".encode())
    committed.object_path(bad.digest).write_bytes(b"not that")
    project.repository.git("add", "-A")
    project.commit = project.repository.commit({})
    project.repository.git("branch", "-f", "reproduction")
    project.repository.git("bundle", "create", "-q", str(project.bundle), "reproduction")
    remote = Remote(name="inside", url="../dvcstore", source="a folder of the commit itself", in_commit="dvcstore")
    restored = restoring.restore(restoring.plan(file("data/train.csv", good.digest), remotes=(remote,)))
    assert restored.files[0].held_by == "inside"
    stored = f"dvcstore/files/md5/{good.digest.dvc[:2]}/{good.digest.dvc[2:]}"
    seen = restoring.look(
        f"stat -c '%u %h' {stored}; git status --porcelain; stat -c '%u %h' data/train.csv", trainer=True
    )
    assert seen.splitlines() == [f"{layout.TRAINER_UID} 1", "0 2"], "a copy: the training may write to its clone"
    with pytest.raises(MissingFact, match="other bytes"):
        restoring.again(restoring.plan(file("data/train.csv", bad.digest), remotes=(remote,)))
    assert restoring.look(f"cat dvcstore/files/md5/{bad.digest.dvc[:2]}/{bad.digest.dvc[2:]}") == "not that"


def test_a_link_in_the_place_of_a_committed_remote_is_not_followed(restoring: Restoring, project: Project) -> None:
    (project.repository.path / "dvcstore").symlink_to("/remotes")
    project.repository.git("add", "-A")
    project.commit = project.repository.commit({})
    project.repository.git("branch", "-f", "reproduction")
    project.repository.git("bundle", "create", "-q", str(project.bundle), "reproduction")
    remote = Remote(name="inside", url="../dvcstore", source="a folder of the commit itself", in_commit="dvcstore")
    with pytest.raises(MissingFact, match="leads out of the repository"):
        restoring.restore(restoring.plan(file("data/train.csv", project.new.digest), remotes=(remote,)))
