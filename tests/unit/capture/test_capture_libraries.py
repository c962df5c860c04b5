"""What a training had loaded when it ended: which libraries, with how many threads. Real interpreters, no NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reproducibility_runner import events, libraries
from runner.inside.capture import reader as capture_reader
from runner.inside.capture.reader import read_capture
from tests.unit.capture.test_capture_events import run_python

BEGIN = "import reproducibility_runner.session, reproducibility_runner.start as s; s.begin('test')\n"
MAPS = """\
55d0-55d1 r--p 00000000 fe:01 11 /usr/bin/python3.11
7f00-7f01 r-xp 00000000 fe:01 12 /env/numpy.libs/libscipy_openblas64_-1a2b.so
7f01-7f02 r--p 00001000 fe:01 12 /env/numpy.libs/libscipy_openblas64_-1a2b.so
7f03-7f04 r-xp 00000000 fe:01 13 /env/a b/libgomp-a34b.so.1.0.0
7f05-7f06 r-xp 00000000 fe:01 14 /gone/libopenblas.so (deleted)
7f07-7f08 r-xp 00000000 fe:01 15 /usr/lib/libompl.so
7f09-7f0a r-xp 00000000 fe:01 16 /data/libopenblas.txt
7f0b-7f0c rw-p 00000000 00:00 0
7f0d-7f0e r-xp 00000000 fe:01 17 /usr/lib/libcuda.so.1
"""


def test_both_sides_name_the_file_alike() -> None:
    assert capture_reader.LOADED == events.LOADED


def test_libraries_that_compute_are_found_once_each_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "maps").write_text(MAPS)
    assert list(libraries.loaded(str(tmp_path / "maps"))) == [
        "/env/numpy.libs/libscipy_openblas64_-1a2b.so",
        "/env/a b/libgomp-a34b.so.1.0.0",
        "/usr/lib/libcuda.so.1",
    ]


def test_variables_that_can_move_numbers_are_kept_and_others_not() -> None:
    found = libraries.variables({"OMP_NUM_THREADS": "2", "AWS_SECRET_ACCESS_KEY": "s", "TZ": "x" * 1000})
    assert found == {"OMP_NUM_THREADS": "2", "TZ": "x" * 200}
    assert not any("KEY" in name or "TOKEN" in name or "PASS" in name for name in libraries.VARIABLES)


def test_the_models_of_gpus_are_what_the_driver_shows(tmp_path: Path) -> None:
    for number, model in enumerate(("NVIDIA A100-SXM4-40GB", "Tesla T4")):
        (tmp_path / f"0000:0{number}").mkdir()
        (tmp_path / f"0000:0{number}" / "information").write_text(f"Model: \t\t {model}\nIRQ: 16\n")
    assert list(libraries.gpus(str(tmp_path))) == ["NVIDIA A100-SXM4-40GB", "Tesla T4"]
    assert list(libraries.gpus(str(tmp_path / "none"))) == []


def ended(capture: Path, code: str, **more: str) -> list[dict[str, object]]:
    """What the processes left that began a capture and ran code."""
    run_python(BEGIN + code, env={"REPRO_CAPTURE_DIR": str(capture), **more}, cwd=capture.parent)
    assert read_capture(str(capture))["problems"] == []
    path = capture / "loaded.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "capture").mkdir()
    return tmp_path / "capture"


def test_a_process_that_neither_computed_nor_logged_says_nothing(capture: Path) -> None:
    assert ended(capture, "") == []


def test_variables_are_as_they_were_at_the_end_and_forks_say_nothing(capture: Path) -> None:
    code = (
        "import os, sys, types; sys.modules['mlflow'] = types.ModuleType('mlflow')\n"
        "os.environ['OMP_NUM_THREADS'] = '3'\n"
        "child = os.fork()\n"
        "if child: os.waitpid(child, 0)\n"
    )
    (event,) = ended(capture, code, OMP_NUM_THREADS="1")
    assert isinstance(event["variables"], dict)
    assert event["variables"]["OMP_NUM_THREADS"] == "3"


def test_a_library_that_cannot_be_asked_does_not_fail_the_training(capture: Path, tmp_path: Path) -> None:
    code = (
        "import sys, types; sys.modules['mlflow'] = types.ModuleType('mlflow')\n"
        "from reproducibility_runner import libraries; libraries.MAPS = '/nonexistent'\n"
    )
    assert ended(capture, code) == []
