"""Whole reproductions of runs that real W&B recorded offline: a folder of its own is all that is known of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.schema.reproduction import Reproduction, Verdict
from tests.support.capture_environments import Environment, Specification
from tests.support.judging import judging, why
from tests.support.projects import RecordedProject
from tests.support.wandb_authors import WANDB_0_31, WandbProject, digest_of, script

COMMAND = "python train.py"


@pytest.fixture
def author(tmp_path: Path, environment_of: Callable[[Specification], Environment]) -> WandbProject:
    folder = tmp_path / "wandb-author"
    folder.mkdir()
    return WandbProject(folder, environment_of(WANDB_0_31), WANDB_0_31.packages)


@pytest.fixture
def reproduced(
    author: WandbProject,
    project: RecordedProject,
    shared_engine: DockerEngine,
    shared_images: Prepared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Reproduction]]:
    """Reproduces a run by its path, and sees that nothing of the original changed."""
    with judging(project, shared_engine, tmp_path, monkeypatch) as judge:

        def reproduce(run: Path, **flags: object) -> Reproduction:
            before = _everything(author.folder)
            options = {"tracker": None, "repo": str(author.repository.path), "command": COMMAND, **flags}
            result = judge(str(run), **options)
            assert _everything(author.folder) == before
            return result

        yield reproduce


def _everything(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and "/.git/" not in str(path)
    }


def test_an_offline_run_whose_script_asks_for_online_comes_out_identical(
    author: WandbProject, reproduced: Callable[..., Reproduction]
) -> None:
    author.commit_training(script(config=f', "dvc_data_md5": "{digest_of(author)}"'))
    result = reproduced(author.record())
    assert result.verdict is Verdict.IDENTICAL, why(result)
    assert result.comparison is not None
    assert {metric.name for metric in result.comparison.metrics} == {
        "loss",
        "loss (summary)",
        "parts.half",
        "parts.half (summary)",
        "total (summary)",
    }
    (file,) = result.lineage.files
    assert (file.path, file.role) == ("data/train.csv", "input")
    assert file.source.startswith("param dvc_data_md5")
    assert any(line.startswith("params: ") for line in result.verified)
    assert result.rerun is not None
    assert result.rerun.capture.hosts_tried == ()
