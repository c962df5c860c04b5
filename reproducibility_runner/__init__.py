"""What enters a user's Python: capture of tracking calls, and tags at training.

Standard library, with MLflow where that is there; never imports `runner`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def record(strict: bool = False, model: str | Sequence[str] | None = None, image: str | None = None) -> None:
    """Make this training one that can be audited. Call it at the top of the script, before a run starts.

    Checks that code is committed and pushed and that the data is on its DVC remote, and has each run of MLflow or W&B
    carry what it was made from. What is missing is said on standard error; with `strict` it raises NotAuditable and
    nothing is trained. `model` is what the training writes: at its end it is versioned (`dvc add`), and its digest
    logged to MLflow. `image` is the container image that it runs in. Does nothing in a rerun.
    """
    from reproducibility_runner.recording import in_python

    in_python.record(strict, model, image)
