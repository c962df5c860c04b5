"""Whole reproductions of runs that real W&B recorded offline: a folder of its own is all that is known of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.schema.comparison import Outcome
from runner.schema.reproduction import Reproduction, Verdict
from tests.support.capture_environments import Environment, Specification
from tests.support.judging import judging, why
from tests.support.projects import RecordedProject
from tests.support.wandb_authors import EACH_WANDB, WANDB_0_31, WandbProject, digest_of, script

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


@pytest.mark.full
def test_another_number_of_the_record_shows_as_a_divergence_of_that_metric(
    author: WandbProject, reproduced: Callable[..., Reproduction]
) -> None:
    """The recorded run has a value that the committed script does not log: the summary's alone."""
    author.commit_training(script())
    (author.repository.path / "train.py").write_text(script(inside='run.summary["total"] += 1'))
    run = author.record()
    result = reproduced(run)
    assert result.verdict is Verdict.DIVERGED, why(result)
    assert result.comparison is not None
    outside = [metric.name for metric in result.comparison.metrics if metric.outcome is Outcome.OUTSIDE]
    assert outside == ["total (summary)"]


@pytest.mark.full
def test_a_config_that_the_command_does_not_give_is_another_experiment(
    author: WandbProject, reproduced: Callable[..., Reproduction]
) -> None:
    author.commit_training(script())
    result = reproduced(author.record("--scale", "2"))
    assert result.verdict is Verdict.DIVERGED, why(result)
    assert "scale" in result.reason


def test_a_run_of_a_dirty_tree_is_rerun_with_its_whole_patch(
    author: WandbProject, reproduced: Callable[..., Reproduction]
) -> None:
    author.commit_training(script())
    (author.repository.path / "train.py").write_text(script().replace("2 ** step", "3 ** step"))
    run = author.record(WANDB_SAVE_CODE="true")
    assert (run / "files" / "diff.patch").is_file()
    result = reproduced(run)
    assert result.verdict is Verdict.IDENTICAL, why(result)
    assert any(line.startswith("patch applied: diff.patch of the run (train.py) on ") for line in result.not_verified)
    assert result.lineage.commit == author.commit


def test_a_patch_that_applies_only_in_part_makes_the_run_unverifiable(
    author: WandbProject, reproduced: Callable[..., Reproduction]
) -> None:
    author.commit_training(script())
    (author.repository.path / "train.py").write_text(script().replace("2 ** step", "3 ** step"))
    run = author.record(WANDB_SAVE_CODE="true")
    with (run / "files" / "diff.patch").open("a") as file:
        file.write("diff --git a/gone.py b/gone.py\n--- a/gone.py\n+++ b/gone.py\n@@ -1 +1 @@\n-one\n+two\n")
    result = reproduced(run)
    assert result.verdict is Verdict.UNVERIFIABLE
    assert result.missing is not None
    assert result.missing.fact == "diff"
    assert "does not apply whole" in result.reason
    assert result.rerun is None


SKLEARN = '''\
"""A small forest, as wandb's quickstart has it."""
import wandb
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

run = wandb.init(project="iris", config={"n_estimators": 20, "max_depth": 3, "seed": 7})
config = wandb.config
train_x, test_x, train_y, test_y = train_test_split(*load_iris(return_X_y=True), random_state=config.seed)
for trees in range(5, config.n_estimators + 1, 5):
    model = RandomForestClassifier(trees, max_depth=config.max_depth, random_state=config.seed).fit(train_x, train_y)
    probabilities = model.predict_proba(test_x)
    wandb.log({"accuracy": accuracy_score(test_y, model.predict(test_x)), "loss": log_loss(test_y, probabilities)})
'''


@pytest.mark.full
@pytest.mark.parametrize("version", EACH_WANDB, ids=lambda version: version.name)
def test_a_forest_of_scikit_learn_that_any_version_tracked_comes_out_identical(
    version: Specification,
    author: WandbProject,
    environment_of: Callable[[Specification], Environment],
    reproduced: Callable[..., Reproduction],
) -> None:
    packages = (*version.packages, "scikit-learn==1.5.2")
    author.environment = environment_of(Specification(f"{version.name}-sklearn", None, packages))
    author.packages = packages
    author.commit_training(SKLEARN)
    result = reproduced(author.record())
    assert result.verdict is Verdict.IDENTICAL, why(result)
    assert result.comparison is not None
    assert {"accuracy", "loss", "loss (summary)"} <= {metric.name for metric in result.comparison.metrics}
