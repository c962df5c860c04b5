"""Published lists of metric names (VERDICTS rules 6 and 7). Exact names only: `time_to_event_mae` is no clock."""

from __future__ import annotations

import re

from runner.inside.wandb.values import SUMMARY

IGNORED_PREFIX = "system/"
"""MLflow's own measurements of CPU, memory and network."""

IGNORED_METRICS = frozenset(
    {
        "_runtime", "_timestamp", "duration", "duration_s", "elapsed", "elapsed_s", "elapsed_time", "epoch_duration",
        "epoch_s", "epoch_seconds", "epoch_time", "epoch_time_s", "eval_runtime", "eval_samples_per_second",
        "eval_steps_per_second", "evaluation_time", "fit_time", "fit_time_s", "inference_time", "mean_fit_time",
        "mean_score_time", "predict_time", "prediction_time", "run_time", "runtime", "score_time", "std_fit_time",
        "std_score_time", "time_this_iter_s", "time_total_s", "total_time", "train_runtime",
        "train_samples_per_second", "train_seconds", "train_steps_per_second", "train_time", "train_time_s",
        "training_duration", "training_seconds", "training_time", "training_time_s", "wall_clock", "wall_clock_time",
        "wall_time", "wall_time_s",
    }
)  # fmt: skip
"""Wall-clock time, and nothing else."""

CONSTANT_METRICS = frozenset(
    {
        "batch_size", "epoch", "epochs", "global_step", "iteration", "iterations", "learning_rate", "lr", "n_classes",
        "n_features", "n_params", "n_rows", "n_samples", "n_test", "n_train", "n_val", "num_classes", "num_features",
        "num_params",
        "num_rows", "num_samples", "num_test_samples", "num_train_samples", "num_val_samples", "step", "steps",
        "test_size", "test_samples", "total_params", "train_samples", "train_size", "trainable_params", "val_samples",
        "val_size",
    }
)  # fmt: skip
"""What any run of the same size and settings logs, whatever it learned, also after a `/` of its name.

A metric with the name of a param is one of these too.
"""

RENAMES: tuple[tuple[str, str], ...] = (
    ("acc", "accuracy"),  # Keras 2.3
    ("val_acc", "val_accuracy"),
    ("lr", "learning_rate"),  # Keras 3
    ("training_mse", "training_mean_squared_error"),  # MLflow 2, scikit-learn autologging
    ("training_rmse", "training_root_mean_squared_error"),
    ("training_mae", "training_mean_absolute_error"),
    ("mse", "mean_squared_error"),  # MLflow 1 and 2, evaluate
    ("rmse", "root_mean_squared_error"),
    ("mae", "mean_absolute_error"),
    ("mean_on_label", "mean_on_target"),
)
"""Metrics that a newer library logs under another name, old and new."""


def renamed_to(name: str) -> tuple[str, ...]:
    """Return the names under which another version of a library logs this metric."""
    return tuple(new for old, new in RENAMES if old == name) + tuple(old for old, new in RENAMES if new == name)


_OF_SUMMARY = re.compile(rf"(?P<name>.+?)(?:[.](?:min|max|mean|last|best|first))?{re.escape(SUMMARY)}")


def logged_name(name: str) -> str:
    """Return the name under which a script logged a metric: W&B's summary of it is a metric of its own."""
    match = _OF_SUMMARY.fullmatch(name)
    return name if match is None else match["name"]
