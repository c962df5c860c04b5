"""The command as it may be recorded: no secret and no place of this machine."""

from __future__ import annotations

import shlex
import sys

import pytest

from reproducibility_runner.recording import command_line
from reproducibility_runner.recording.command_line import recordable


def recorded(line: str) -> tuple[str, bool]:
    return recordable(shlex.split(line), "/home/ann/project", "/home/ann/project/src")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/home/ann/venv/bin/python3.11 train.py --depth 8", "python train.py --depth 8"),
        ("python3 -m pkg.train", "python -m pkg.train"),
        ("python /home/ann/project/src/train.py", "python train.py"),
        ("python train.py --data=/home/ann/project/data/x.csv", "python train.py --data=../data/x.csv"),
        ("python train.py --data /elsewhere/x.csv", "python train.py --data /elsewhere/x.csv"),
        ("python train.py --max-tokens 512 --tokenizer bpe", "python train.py --max-tokens 512 --tokenizer bpe"),
        ("python train.py --keyword a --compass b", "python train.py --keyword a --compass b"),
        ("uv run train.py 'a b'", "uv run train.py 'a b'"),
        ("./train.sh", "./train.sh"),
    ],
)
def test_a_command_is_recorded_as_another_machine_can_run_it(line: str, expected: str) -> None:
    assert recorded(line) == (expected, False)


@pytest.mark.parametrize(
    "line",
    [
        "python t.py --api-key S3CRET",
        "python t.py --api_key=S3CRET",
        "python t.py --db-password S3CRET",
        "python t.py -password S3CRET",
        "python t.py --token S3CRET",
        "env WANDB_API_KEY=S3CRET python t.py",
        "python t.py api_key=S3CRET",
        "python t.py --uri postgresql://ann:S3CRET@host/db",
        "python t.py --uri postgresql://ann:p@S3CRET@host/db",
        "python t.py --uri=https://ann:p/S3CRET@host/db",
        "python t.py --header 'Authorization: S3CRET'",
        "python t.py --header 'x: Bearer S3CRET'",
        "python t.py --secret --S3CRET",
        "python t.py hf_S3CRETS3CRETS3CRETS3CRET",
        "python t.py --aws-secret-access-key -S3CRET",
    ],
)
def test_no_secret_of_a_command_is_recorded(line: str) -> None:
    text, hidden = recorded(line)
    assert "S3CRET" not in text.replace("--S3CRET", "")
    assert hidden or "--S3CRET" in line


def test_a_command_that_would_be_cut_is_none() -> None:
    assert command_line.shown("x" * 4001) == {}
    assert command_line.shown("x") == {"runner.command": "x"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "train.py"], ["python", "train.py"]),
        (["python", "-m", "pkg"], ["python", "-m", "pkg"]),
        (["python", "-c", "import x"], None),
        (["python", "-m", "ipykernel_launcher", "-f", "k.json"], None),
        (["python"], None),
    ],
)
def test_only_a_trainings_own_words_are_its_command(
    words: list[str], expected: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", words)
    assert command_line.words_of_process() == expected


@pytest.mark.parametrize(("name", "value"), [("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")])
def test_one_process_of_many_does_not_tell_the_command(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py"])
    monkeypatch.setenv(name, value)
    assert command_line.words_of_process() is None
