"""Data in Git LFS, on the real engine and a real server of Git LFS: fetched, hashed, trained on; or missing by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import RepositoryUnavailable
from runner.schema.reproduction import Verdict
from tests.support.judging import Judge, why
from tests.support.lfs_server import LfsService, make_python, pointer, serving_lfs
from tests.support.projects import RecordedProject
from tests.support.repositories import fingerprint

ATTRIBUTES = "*.csv filter=lfs diff=lfs merge=lfs -text\n"
NO_DVC = {"data/train.csv.dvc": None, "data/.gitignore": None, ".dvc/config": None, "runs/.gitkeep": ""}
DIGESTS = {"dvc_data_md5": None, "dvc_model_md5": None}


@pytest.fixture(scope="module")
def giftless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("giftless") / "venv")


@pytest.fixture
def lfs(giftless: Path, tmp_path: Path) -> Iterator[LfsService]:
    with serving_lfs(giftless, tmp_path / "lfs") as server:
        yield server


def record(project: RecordedProject, **more: str) -> None:
    """Commit the training beside the pointer of its data, as a clone without git-lfs has it, and record the run."""
    files = {**NO_DVC, ".gitattributes": ATTRIBUTES, "data/train.csv": pointer(project.data), **more}
    project.commit_training(files=files)
    project.record(tags=DIGESTS, pointers=False)


def test_data_of_the_server_is_fetched_once_and_trained_on(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    record(project)
    lfs.put(project.data)
    address = lfs.serve(project.repository)
    reproduction = judge(repo=address)
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.plan is not None
    (supplied,) = reproduction.plan.supplied
    assert (supplied.path, supplied.kind, supplied.size_bytes) == ("data/train.csv", "lfs", len(project.data))
    assert any("data/train.csv" in line for line in reproduction.verified), reproduction.verified
    fetched = [line for line in lfs.requests if line.startswith("GET") and "/objects/storage/" in line]
    assert len(fetched) == 1
    assert judge(repo=address).verdict is Verdict.IDENTICAL
    assert fetched == [line for line in lfs.requests if line.startswith("GET") and "/objects/storage/" in line]


def test_the_store_of_a_clone_on_this_machine_is_as_good_and_is_only_read(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    record(project)
    oid = lfs.put(project.data)
    store = project.repository.path / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4]
    store.mkdir(parents=True)
    lfs.stored(oid).rename(store / oid)
    before = fingerprint(project.repository.path / ".git" / "lfs")
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert fingerprint(project.repository.path / ".git" / "lfs") == before
    (store / oid).write_bytes(b"9" * len(project.data))
    spoilt = judge()
    assert spoilt.verdict is Verdict.UNVERIFIABLE, why(spoilt)


@pytest.mark.parametrize("how", ["never pushed", pytest.param("other bytes", marks=pytest.mark.full)])
def test_data_that_the_server_does_not_have_is_missing_by_file_and_digest(
    project: RecordedProject, judge: Judge, lfs: LfsService, how: str
) -> None:
    record(project)
    if how == "other bytes":
        lfs.stored(lfs.put(project.data)).write_bytes(b"9" * len(project.data))
    reproduction = judge(repo=lfs.serve(project.repository))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "data/train.csv is in Git LFS (sha256 " in reproduction.reason
    assert ("does not hold it" if how == "never pushed" else "other bytes") in reproduction.reason
    assert reproduction.missing is not None
    assert "git lfs fetch --all" in reproduction.missing.remedy


def test_an_object_over_the_limit_is_unverifiable_with_its_size_and_the_flag(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    record(project)
    lfs.put(project.data)
    address = lfs.serve(project.repository)
    reproduction = judge(repo=address, lfs_limit="8")
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert f"{len(project.data)} bytes that the run's code names, more than the limit of 8 bytes" in reproduction.reason
    assert reproduction.missing is not None
    assert "--lfs-limit 1m" in reproduction.missing.remedy


@pytest.mark.full
def test_a_login_of_the_address_reads_a_private_server_and_is_told_to_nobody(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    record(project)
    lfs.put(project.data)
    address = lfs.serve(project.repository)
    lfs.ask_who("ann:hunter2")
    done = judge.with_evidence(repo=address.replace("//", "//ann:hunter2@"))
    assert done.reproduction.verdict is Verdict.IDENTICAL, why(done.reproduction)
    told = [path for path in done.evidence.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert told == []
    lfs.ask_who("ann:changed")
    with pytest.raises(RepositoryUnavailable) as refused:
        judge(repo=address.replace("//", "//ann:hunter3@"), commit=project.commit[:12])
    assert "hunter" not in refused.value.cause + refused.value.remedy


@pytest.mark.full
def test_the_commits_own_lfs_url_is_asked_on_no_other_host(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    record(project, **{".lfsconfig": "[lfs]\n\turl = https://127.0.0.2/elsewhere\n\tcustomtransfer.x.path = touch\n"})
    lfs.put(project.data)
    reproduction = judge(repo=lfs.serve(project.repository))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)


def test_a_result_in_git_lfs_that_the_training_reads_is_pre_existing(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    """rule 18: what git holds of it is a pointer, what the training reads are the recorded numbers."""
    from tests.support.projects import script

    total = repr(sum(project.values) * 1.000000123)
    content = f"{total}\n".encode()
    text = script(before='import pathlib; extra = float(pathlib.Path("data/extra.csv").read_text())').replace(
        'mlflow.log_metric("total", arguments.scale * sum(values))', 'mlflow.log_metric("total", extra)'
    )
    files = {**NO_DVC, ".gitattributes": ATTRIBUTES, "data/train.csv": pointer(project.data)}
    project.commit_training(text, files={**files, "data/extra.csv": pointer(content)})
    loss = [sum(project.values) / 2**step for step in range(4)]
    project.record(tags=DIGESTS, pointers=False, metrics={"loss": loss, "total": [float(total)]})
    lfs.put(project.data)
    lfs.put(content)
    reproduction = judge(repo=lfs.serve(project.repository))
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert "pre-existing result: the training used data/extra.csv" in reproduction.reason


@pytest.mark.full
def test_what_the_real_client_commits_and_pushes_is_restored(
    project: RecordedProject, judge: Judge, lfs: LfsService
) -> None:
    """Needs git-lfs (`apt-get install git-lfs`): pointers, attributes and objects are its own."""
    git = project.repository.git
    git("lfs", "install", "--local")
    git("lfs", "track", "*.csv")
    project.commit_training(files={**NO_DVC, ".gitattributes": "*.csv filter=lfs diff=lfs merge=lfs -text\n"})
    project.commit = project.repository.commit({"data/train.csv": project.data})
    assert git("cat-file", "-p", "HEAD:data/train.csv") == pointer(project.data).rstrip("\n")
    project.record(tags=DIGESTS, pointers=False)
    git("remote", "add", "origin", lfs.address)
    git("config", "lfs.locksverify", "false")
    git("lfs", "push", "--all", "origin")
    reproduction = judge(repo=lfs.serve(project.repository))
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
