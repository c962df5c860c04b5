"""Of what a training used of the commit, results are told from sources and data (VERDICTS rule 18)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from runner.rerun.preexisting import RecordedResults, find_results, recorded_results, why_by_name
from tests.support.values import MODEL, history, make_plan, make_record, md5

AUC, LOSS = 0.9128741309, 0.30000000000000004
RECORDED = RecordedResults(
    digests=frozenset({md5("the model").hexdigest}), numbers=frozenset({AUC, LOSS}), last_numbers=(AUC, LOSS)
)


def found(
    used: Iterable[str],
    *,
    opened: Iterable[str] = (),
    allowed: Iterable[str] = (),
    held: Mapping[str, bytes] | None = None,
    command: str = "python train.py",
) -> list[str]:
    def contents(paths: Iterable[str], longest: int) -> Mapping[str, bytes]:
        there = {path: content for path, content in (held or {}).items() if path in set(paths)}
        return {path: content for path, content in there.items() if len(content) <= longest}

    arguments: dict[str, Any] = {"command": command, "recorded": RECORDED, "allowed": allowed}
    return [each.path for each in find_results(used, opened=opened, contents=contents, **arguments)]


@pytest.mark.parametrize(
    "path",
    [
        "models/model.joblib", "model.PKL", "checkpoints/last.ckpt", "runs/1/weights.h5", "a/b.safetensors", "net.onnx",
        "metrics.json", "results/2024.csv", "eval_scores.txt", "out/best_params.yaml", "cache/features.parquet",
        "predictions.npy", "training_history.csv", "data/cache.db", "outputs/run-1.tsv", "results.npz", "results.jsonl",
        "mlruns/1/abc/metrics/loss", "app/mlruns/0/meta.yaml", "wandb/run-1/files/wandb-summary.json", "mlflow.db",
        "lightning_logs/version_0/hparams.yaml", "logs/events.out.tfevents.123.host", "mlartifacts/1/abc/artifacts/x",
    ],
)  # fmt: skip
def test_results_are_known_by_their_name(path: str) -> None:
    assert found([path]) == [path]


@pytest.mark.parametrize(
    "path",
    [
        "train.py", "src/metrics.py", "results.py", "data/train.csv", "params.yaml", "requirements.txt", "README.md",
        "config/model.yaml", "data/scoreboard.csv", "resultset/data.csv", "bestiary.json", "dvc.lock", "outputs.md",
        "wandb/sweep.py", "wandb/settings", "mlruns.py", "train.ipynb",
    ],
)  # fmt: skip
def test_the_names_of_sources_and_data_say_nothing(path: str) -> None:
    assert why_by_name(path) is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("README.md", b"| auc |\n| --- |\n| 0.9128741309 |\n"),
        ("docs/paper.tex", b"AUC $=9.128741309e-1$"),
        ("params.yaml", b"expected: 0.30000000000000004\n"),
        ("report.ipynb", b'{"outputs": ["auc: 0.9128741309\\n"]}'),
        ("table.dat", b"\0\0head" + struct.pack("<d", AUC)),
        ("store", b"SQLite format 3\0" + struct.pack(">d", LOSS)),
        ("storage/ab/cdef", b"the model"),
    ],
)
def test_results_are_known_by_what_they_hold_whatever_they_are_called(path: str, content: bytes) -> None:
    assert found([path], held={path: content}) == [path]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("README.md", b"| auc |\n| --- |\n| 0.9128 |\n"),
        ("train.py", b"AUC = 0.9128741309\n"),
        ("data.csv", b"0.91287413099,10.9128741309\n"),
        ("empty", b""),
    ],
)
def test_fewer_digits_other_numbers_and_sources_are_no_results(path: str, content: bytes) -> None:
    assert found([path], held={path: content}) == []


def test_a_notebook_that_the_command_runs_is_its_source() -> None:
    held = {"train.ipynb": b'{"outputs": ["auc: 0.9128741309"]}'}
    assert found(["train.ipynb"], held=held, command="jupyter execute ./train.ipynb") == []
    assert found(["train.ipynb"], held=held, command="python train.py") == ["train.ipynb"]


def test_the_extreme_of_a_column_is_no_result_and_a_long_table_of_all_results_is_one() -> None:
    column = b"\n".join(b"%d.5" % row for row in range(2000))
    three = RecordedResults(numbers=frozenset({AUC, LOSS, 1.23456789}), last_numbers=(AUC, LOSS, 1.23456789))
    for number, content in ((0, column + b"\n0.9128741309\n"), (1, column + b"\n0.9128741309 0.30000000000000004\n")):
        results = find_results(
            ["t.csv"], opened=(), command="", recorded=three, contents=lambda *_, c=content: {"t.csv": c}, allowed=()
        )
        assert len(results) == number


def test_what_was_opened_late_counts_only_where_an_output_may_be_its_copy() -> None:
    held = {"old/final.dat": b"the model", "README.md": b"auc: 0.9128741309"}
    assert found([], opened=["old/final.dat", "README.md", "metrics.json"], held=held) == ["old/final.dat"]


def test_numbers_and_digests_are_those_of_the_record() -> None:
    record = make_record(metrics=(history("auc", [0.5, AUC]), history("system/cpu", [1.23456789012])))
    recorded = recorded_results(record, make_plan())
    assert recorded.numbers == frozenset({AUC})
    assert recorded.last_numbers == (AUC,)
    assert recorded.digests == {file.digest.hexdigest for file in make_plan().lineage.files if file.path == MODEL}


def test_their_order_is_kept() -> None:
    assert found(iter(["z.pkl", "train.py", "a.pkl"])) == ["z.pkl", "a.pkl"]


@pytest.mark.parametrize("allowed", ["models/base.pt", "models", "models/"])
def test_the_auditor_may_allow_a_file_or_a_folder(allowed: str) -> None:
    assert found(["models/base.pt"], allowed=[allowed]) == []


@pytest.mark.parametrize("allowed", ["models/base", "model", "", "base.pt", "models/base.pt2", "/"])
def test_what_is_allowed_is_never_a_prefix_of_a_name(allowed: str) -> None:
    assert found(["models/base.pt"], allowed=[allowed]) == ["models/base.pt"]


def test_what_is_allowed_may_be_given_once_for_many() -> None:
    assert found(["a.pkl", "b/c.pkl", "d.pkl"], allowed=iter(["a.pkl", "b"])) == ["d.pkl"]
