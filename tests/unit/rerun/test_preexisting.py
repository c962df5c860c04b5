"""Of what a training read before it wrote, results are told from sources and data (VERDICTS rule 18)."""

from __future__ import annotations

import pytest

from runner.rerun.preexisting import results_among


@pytest.mark.parametrize(
    "path",
    [
        "models/model.joblib", "model.PKL", "checkpoints/last.ckpt", "runs/1/weights.h5", "a/b.safetensors", "net.onnx",
        "metrics.json", "results/2024.csv", "eval_scores.txt", "out/best_params.yaml", "cache/features.parquet",
        "predictions.npy", "training_history.csv", "data/cache.db", "outputs/run-1.tsv",
    ],
)  # fmt: skip
def test_results_are_known_by_their_name(path: str) -> None:
    assert results_among([path], allowed=()) == (path,)


@pytest.mark.parametrize(
    "path",
    [
        "train.py", "src/metrics.py", "results.py", "data/train.csv", "params.yaml", "requirements.txt", "README.md",
        "config/model.yaml", "data/scoreboard.csv", "resultset/data.csv", "bestiary.json", "dvc.lock", "outputs.md",
    ],
)  # fmt: skip
def test_sources_and_data_are_none(path: str) -> None:
    assert results_among([path], allowed=()) == ()


def test_their_order_is_kept() -> None:
    paths = ["z.pkl", "train.py", "a.pkl"]
    assert results_among(iter(paths), allowed=()) == ("z.pkl", "a.pkl")


@pytest.mark.parametrize("allowed", ["models/base.pt", "models", "models/"])
def test_the_auditor_may_allow_a_file_or_a_folder(allowed: str) -> None:
    assert results_among(["models/base.pt"], allowed=[allowed]) == ()


@pytest.mark.parametrize("allowed", ["models/base", "model", "", "base.pt", "models/base.pt2", "/"])
def test_what_is_allowed_is_never_a_prefix_of_a_name(allowed: str) -> None:
    assert results_among(["models/base.pt"], allowed=[allowed]) == ("models/base.pt",)


def test_what_is_allowed_may_be_given_once_for_many() -> None:
    assert results_among(["a.pkl", "b/c.pkl", "d.pkl"], allowed=iter(["a.pkl", "b"])) == ("d.pkl",)
