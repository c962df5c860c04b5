"""`runner record` in a real training: what it says, what the runs then carry, and what an audit makes of that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Verdict
from runner.settings import Flags, load_settings
from tests.support.capture_environments import (
    DVC,
    MLFLOW_1_30,
    MLFLOW_2_2,
    MLFLOW_2_22,
    MLFLOW_TODAY,
    Specification,
    kept_python,
)
from tests.support.judging import why
from tests.support.recording import Author
from tests.support.repositories import md5


@pytest.fixture
def author(tmp_path: Path) -> Author:
    """A project that is committed and pushed, its data on the remote."""
    return Author(tmp_path / "author")


@pytest.fixture(scope="session")
def dvc_path() -> str:
    """The search path of somebody who has DVC."""
    return f"{kept_python(DVC).parent}:{os.environ['PATH']}"


def pinned(specification: Specification) -> str:
    """Return what an environment has, as a list of requirements."""
    frozen = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "freeze", "--python", str(kept_python(specification))],
        capture_output=True,
        text=True,
        check=True,
    )
    return frozen.stdout


@pytest.mark.parametrize(
    "specification",
    [
        MLFLOW_2_22,
        MLFLOW_TODAY,
        pytest.param(MLFLOW_2_2, marks=pytest.mark.full),
        pytest.param(MLFLOW_1_30, marks=pytest.mark.full),
    ],
    ids=lambda item: item.name,
)
def test_what_was_recorded_reproduces_with_no_flag_but_where_tracker_and_repository_lie(
    specification: Specification,
    tmp_path: Path,
    dvc_path: str,
    shared_engine: DockerEngine,
    shared_images: Prepared,
) -> None:
    """The author's Python has none of our packages; the project owns `runner.py`, `runner/` and `runner.yaml`."""
    author = Author(tmp_path / "author", files={"requirements.txt": pinned(specification)})
    command = (str(kept_python(specification)), "train.py", "--scale", "2")
    said = author.record("--strict", "--model", "model.bin", "--", *command, PATH=dvc_path)
    assert said.code == 0, said.err
    run, tags = author.run()
    assert tags["git_commit"] == author.commit
    model = (author.folder / "src" / "model.bin").read_bytes()
    assert tags["dvc_model_md5"] == md5(model).dvc
    author.store.put(model)  # as `dvc push` does
    author.repository.commit(
        {"src/.gitignore": (author.folder / "src" / ".gitignore").read_text()}, "Version the model"
    )
    author.push()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flags = Flags(tracker=str(author.tracker), repo=str(author.origin.path))
    reproduction = reproduce(
        run, load_settings(flags, {}, elsewhere), progress=NoProgress(), engine=shared_engine
    ).reproduction
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    sources = {fact.fact: (fact.value, fact.source) for fact in reproduction.plan.provenance}
    assert sources["command"] == ("python train.py --scale 2", "tag runner.command")
    assert sources["working directory"] == ("src", "tag runner.working_directory")
    assert sources["python"][1].startswith("tag runner.python")
    facts = {fact.fact: fact for fact in reproduction.lineage.provenance}
    assert facts["commit"].source == "tag git_commit"
    data, model_file = sorted(reproduction.lineage.files, key=lambda file: file.path)
    assert (data.path, data.role) == ("data/train.csv", "input")
    assert data.source.startswith("tag dvc_data_md5")
    assert (model_file.path, model_file.role) == ("src/model.bin", "output")
    assert reproduction.comparison is not None
    assert reproduction.comparison.environment.whole is not None
    assert any("tag runner.environment" in line for line in reproduction.verified), reproduction.verified
