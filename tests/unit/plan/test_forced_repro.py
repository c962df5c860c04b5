"""The training command, where it was given."""

from __future__ import annotations

import pytest

from runner.plan.commands.repro import forced_repro


@pytest.mark.parametrize(
    ("line", "forced"),
    [
        ("dvc repro train", "dvc repro --single-item --force --no-run-cache train"),
        ("dvc repro -f train && ls", "dvc repro --single-item --no-run-cache -f train && ls"),
        ("uv run dvc repro", "uv run dvc repro --force --no-run-cache"),
        ("dvc -v repro train", "dvc -v repro --single-item --force --no-run-cache train"),
        ("dvc exp run -S lr=0.1 -n first", "dvc exp run --force -S lr=0.1 -n first"),
        ("dvc exp run train", "dvc exp run --single-item --force train"),
        ("python train.py --note 'dvc reproduction'", "python train.py --note 'dvc reproduction'"),
    ],
)
def test_dvc_repro_can_not_skip_the_training(line: str, forced: str) -> None:
    """The training is run whatever DVC thinks of it: rule 19."""
    assert forced_repro(line) == forced
