"""What stands around a command on its author's machine is taken off, and nothing else."""

from __future__ import annotations

import pytest

from runner.plan.commands.shell import started_by
from runner.plan.commands.started import shell_script_inlined, started_scripts
from runner.plan.commands.wrappers import without_wrappers
from tests.support.facts import snapshot

PROJECT = "[tool.pdm.scripts]\nfit = 'python train.py --deep'\nall = {cmd = ['python', 'all.py']}\n"
PIPFILE = '[scripts]\nwork = "python3 train.py"\n'


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("uv run train.py --depth 8", "python train.py --depth 8"),
        ("uv --quiet run --with numpy --python 3.11 -- python train.py", "python train.py"),
        ("uv run -m pkg.train --depth 8", "python -m pkg.train --depth 8"),
        ("uv run --directory src python train.py", "cd src && python train.py"),
        ("poetry run python3.9 -u train.py", "python -u train.py"),
        ("poetry run train --depth 8", "train --depth 8"),
        ("pipenv run work --x", "python3 train.py --x"),
        ("pdm run fit", "python train.py --deep"),
        ("pdm run all", "python all.py"),
        ("hatch run dev:train", "train"),
        ("conda run -n env --no-capture-output python train.py", "python train.py"),
        ("sudo -E -u ann env A=B nohup python train.py > log 2>&1 &", "A=B python train.py > log 2>&1"),
        ("time -p nice -n 5 python train.py", "python train.py"),
        ("source .venv/bin/activate && pip install -r r.txt && python train.py", "python train.py"),
        ("conda activate ml; python train.py | tee log", "python train.py | tee log"),
        ("A=B PYTHONPATH=. /home/ann/.venv/bin/python3.10 'my train.py'", "A=B PYTHONPATH=. python 'my train.py'"),
        ("py -3.9 train.py", "python train.py"),
        ("dvc pull && python train.py", "python train.py"),
    ],
)
def test_wrappers_are_taken_off(line: str, plain: str) -> None:
    found = without_wrappers(line, snapshot({"pyproject.toml": PROJECT, "Pipfile": PIPFILE}))
    assert found.line == plain
    assert found.removed


@pytest.mark.parametrize(
    "line",
    [
        "python train.py",
        "python3 train.py",
        "A=1 python train.py 2>&1 | tee log",
        "accelerate launch --num 2 train.py",
        "uv add numpy",
        "poetry run",
        "for i in 1 2; do uv run train.py; done",
        "echo $(date) && uv run train.py",
        "python 'open",
        "dvc repro train",
        "make train",
    ],
)
def test_what_is_no_wrapper_or_cannot_be_taken_apart_stays_as_it_is(line: str) -> None:
    found = without_wrappers(line, snapshot())
    assert (found.line, found.removed) == (line, ())


def test_files_of_variables_that_a_wrapper_loads_are_told() -> None:
    assert without_wrappers("uv run --env-file conf/.env train.py", snapshot()).env_files == ("conf/.env",)
    assert without_wrappers("pipenv run python train.py", snapshot()).env_files == (".env",)


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("cd src && python train.py --depth 8", [("file", "train.py", ("--depth", "8"), "src")]),
        ("python -m pkg.train", [("module", "pkg.train", (), ".")]),
        ("torchrun --nproc_per_node 2 src/train.py", [("file", "src/train.py", (), ".")]),
        ("python -W ignore train.py --config other.py", [("file", "train.py", ("--config", "other.py"), ".")]),
        ("python -c 'import x'", []),
        ("bash scripts/run.sh", [("file", "scripts/run.sh", (), ".")]),
        ("./run.sh", [("file", "./run.sh", (), ".")]),
        ("train --depth 8", [("program", "train", ("--depth", "8"), ".")]),
    ],
)
def test_what_a_line_starts_is_told_with_its_arguments_and_folder(line: str, started: list[object]) -> None:
    assert [(item.kind, item.name, item.arguments, item.folder) for item in started_by(line, ".")] == started


def test_a_shell_script_starts_what_its_lines_start() -> None:
    texts = {"run.sh": "#!/bin/bash\nset -e\n# uv run other.py\ncd src\nuv run \\\n  train.py\n"}
    repository = snapshot(texts, files=("src/train.py", "other.py", "train.py"))
    assert started_scripts("bash run.sh", ".", repository) == ["train.py"]


def test_a_shell_script_with_wrappers_is_run_by_its_lines() -> None:
    texts = {"run.sh": "#!/bin/sh\nset -e\nexport A=1\nsource .venv/bin/activate\nuv run train.py --depth 8\n"}
    found = shell_script_inlined("bash run.sh", ".", snapshot(texts, files=("train.py",)))
    assert found is not None
    assert found.line == "set -e\nexport A=1\npython train.py --depth 8"


@pytest.mark.parametrize("body", ["python train.py", "uv run train.py $1", "for i in 1; do uv run train.py; done"])
def test_a_shell_script_that_works_as_it_is_or_has_more_to_it_stays(body: str) -> None:
    assert shell_script_inlined("bash run.sh", ".", snapshot({"run.sh": body}, files=("train.py",))) is None
