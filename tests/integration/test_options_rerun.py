"""Runs whose command nobody recorded: what their script takes is read, and the recorded values are given to it.

Each author trains for real, with values that are not the script's own; the auditor gives nothing but the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runner.engine.docker import DockerEngine
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.authors import Author, AuthoredRun, author_run

MLFLOW = "mlflow-skinny==2.22.5\n"
DAY = "2026-05-28"
TRAIN = """
import mlflow

def train(rate, depth=3, kind="a", fast=False):
    mlflow.set_tracking_uri("file:mlruns")
    with mlflow.start_run():
        mlflow.log_params({"learning_rate": rate, "depth": depth, "kind": kind, "fast": fast})
        for step in range(3):
            mlflow.log_metric("loss", float(rate) * int(depth) / 2 ** step + len(kind) + bool(fast), step=step)
"""


@dataclass(frozen=True)
class Shape:
    """A project as its author has it, what the author typed, and what the auditor's command must end with."""

    files: Mapping[str, str]
    typed: str
    command: str
    packages: str = MLFLOW
    uncovered: tuple[str, ...] = ()
    not_verified: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


def notebook(*cells: str, tagged: str | None = None) -> str:
    """Return a notebook of these cells, the first of them after a cell of parameters if there is one."""
    sources = [(tagged, ["parameters"])] if tagged else []
    sources += [(cell, []) for cell in cells]
    document = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell{index}",
                "metadata": {"tags": tags},
                "outputs": [],
                "source": source.splitlines(keepends=True),
            }
            for index, (source, tags) in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "of-the-author", "display_name": "Mine", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document)


CELL = """%config IPCompleter.greedy = True
!pip install --quiet no-such-package-anywhere
import mlflow
mlflow.set_tracking_uri("file:mlruns")
mlflow.set_experiment("Default")
"""
# MLflow itself records no commit here: it looks for the repository of the kernel's program.
LOGS = """commit = !git rev-parse HEAD
with mlflow.start_run():
    mlflow.set_tag("git_commit", commit[0])
    mlflow.log_param("learning_rate", rate)
    for step in range(3):
        mlflow.log_metric("loss", rate / 2 ** step, step=step)
"""

HYDRA = """
import hydra, mlflow
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    mlflow.set_tracking_uri("file:mlruns")
    with mlflow.start_run():
        mlflow.log_param("optim.lr", cfg.optim.lr)
        mlflow.log_param("model.name", cfg.model.name)
        mlflow.log_param("model.size", cfg.model.size)
        mlflow.log_param("seed", cfg.seed)
        mlflow.log_metric("loss", cfg.optim.lr * cfg.model.size + cfg.seed)
        {inside}

main()
"""
CONF = {
    "conf/config.yaml": "defaults:\n  - model: small\n  - optim: sgd\n  - _self_\nseed: 1\n",
    "conf/model/small.yaml": "name: small\nsize: 10\n",
    "conf/model/large.yaml": "name: large\nsize: 1000\n",
    "conf/optim/sgd.yaml": "lr: 0.1\n",
}

SHAPES = {
    "argparse in a module of the commit, logged under other names": Shape(
        {
            "train.py": "from work.cli import arguments\nfrom work.fit import train\nimport mlflow\n"
            "args = arguments()\ntrain(args.lr, args.d, args.kind)\n",
            "work/__init__.py": "",
            "work/cli.py": "import argparse\ndef arguments():\n    p = argparse.ArgumentParser()\n"
            "    p.add_argument('--learning_rate', dest='lr', type=float, required=True)\n"
            "    p.add_argument('-d', '--depth', dest='d', type=int, default=3)\n"
            "    p.add_argument('--kind', choices=['a', 'bb'], default='a')\n    return p.parse_args()\n",
            "work/fit.py": TRAIN,
        },
        "python train.py --learning_rate 1e-3 -d 5 --kind bb",
        "--learning_rate 0.001 --depth 5 --kind bb",
    ),
    "the positions of MLflow's own example": Shape(
        {
            "train.py": TRAIN + "import sys\n"
            "rate = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5\n"
            "depth = int(sys.argv[2]) if len(sys.argv) > 2 else 3\n"
            "import mlflow\nmlflow.set_tracking_uri('file:mlruns')\n"
            "with mlflow.start_run():\n    mlflow.log_param('alpha', rate)\n    mlflow.log_param('l1', depth)\n"
            "    mlflow.log_metric('loss', rate / depth)\n",
        },
        "python train.py 0.25 7",
        "train.py 0.25 7",
    ),
    "python-fire": Shape(
        {
            "train.py": TRAIN + "import fire\n"
            "def main(learning_rate, depth=3, fast=False):\n    train(learning_rate, depth, fast=fast)\n"
            "fire.Fire(main)\n",
        },
        "python train.py 0.25 --depth=7 --fast",
        "train.py --learning_rate=0.25 --depth=7 --fast=True",
        packages=f"{MLFLOW}fire\n",
    ),
    "a click group": Shape(
        {
            "train.py": TRAIN + "import click\n@click.group()\ndef cli(): ...\n"
            "@cli.command('fit')\n@click.option('--rate', 'learning_rate', type=float)\n"
            "@click.option('--depth', default=3)\n"
            "@click.option('--fast/--slow', default=True)\n"
            "def fit(learning_rate, depth, fast):\n    train(learning_rate, depth, fast=fast)\n"
            "@cli.command()\n@click.option('--model')\ndef test(model): ...\n"
            "if __name__ == '__main__':\n    cli()\n",
        },
        "python train.py fit --rate 0.25 --slow",
        "train.py fit --rate 0.25 --depth 3 --slow",
        packages=f"{MLFLOW}click\n",
    ),
    "typer": Shape(
        {
            "train.py": TRAIN + "import typer\nfrom typing_extensions import Annotated\napp = typer.Typer()\n"
            "@app.command()\ndef main(learning_rate: float, depth: Annotated[int, typer.Option('--deep')] = 3, "
            "fast: bool = False):\n    train(learning_rate, depth, fast=fast)\napp()\n",
        },
        "python train.py 0.25 --deep 4 --fast",
        "train.py --deep 4 --fast 0.25",
        packages=f"{MLFLOW}typer\ntyping-extensions\n",
    ),
    "sub-parsers with parents": Shape(
        {
            "train.py": TRAIN + "import argparse\nc = argparse.ArgumentParser(add_help=False)\n"
            "c.add_argument('--depth', type=int, default=3)\np = argparse.ArgumentParser()\n"
            "s = p.add_subparsers(dest='job', required=True)\nt = s.add_parser('fit', parents=[c])\n"
            "t.add_argument('--learning-rate', type=float)\nt.add_argument('--fast', action='store_true')\n"
            "e = s.add_parser('test', parents=[c])\ne.add_argument('--model', required=True)\n"
            "a = p.parse_args()\ntrain(a.learning_rate, a.depth, fast=a.fast)\n",
        },
        "python train.py fit --learning-rate 0.25 --fast",
        "train.py fit --depth 3 --learning-rate 0.25 --fast",
    ),
    "values of a file of the commit": Shape(
        {
            "train.py": TRAIN + "import json\nwith open('settings.json') as f:\n    cfg = json.load(f)\n"
            "train(cfg['learning_rate'], cfg['depth'])\n",
            "settings.json": '{"learning_rate": 0.125, "depth": 9}',
        },
        "python train.py",
        "python train.py",
    ),
    "hydra": Shape(
        {"train.py": HYDRA.format(inside="pass"), **CONF},
        "python train.py model=large optim.lr=0.5",
        "train.py model=large optim.lr=0.5",
        packages=f"{MLFLOW}hydra-core==1.3.2\n",
    ),
    "hydra with its own record among the artifacts": Shape(
        {
            "train.py": HYDRA.format(
                inside="mlflow.log_artifact(HydraConfig.get().runtime.output_dir + '/.hydra/overrides.yaml', '.hydra')"
            ),
            **CONF,
            "conf/config.yaml": CONF["conf/config.yaml"] + "unlogged: 0\n",
        },
        "python train.py model=large +unlogged2=3 unlogged=7",
        "train.py model=large +unlogged2=3 unlogged=7",
        packages=f"{MLFLOW}hydra-core==1.3.2\n",
    ),
    "a notebook that a kernel ran, with a cell of parameters": Shape(
        {
            "work/train.ipynb": notebook(CELL, LOGS, tagged="rate = 0.5\nname = 'x'\n"),
            "work/look.ipynb": notebook("import pandas\n"),
        },
        "bash -c 'cd work && python -m papermill -k python3 train.ipynb /tmp/o.ipynb -p rate 0.25 && mv mlruns ..'",
        "train.ipynb /tmp/executed.ipynb -p rate 0.25",
        packages=f"{MLFLOW}papermill\nipykernel\n",
        not_verified="papermill, ipykernel",
    ),
    "a notebook without parameters": Shape(
        {"train.ipynb": notebook(CELL, "rate = 0.125", LOGS)},
        "python -m papermill -k python3 train.ipynb /tmp/o.ipynb",
        "train.ipynb /tmp/executed.ipynb",
        packages=f"{MLFLOW}papermill\nipykernel\n",
        not_verified="papermill, ipykernel",
    ),
}
DEFAULT = (
    "argparse in a module of the commit, logged under other names",
    "hydra",
    "a notebook that a kernel ran, with a cell of parameters",
)


def audited(shape: Shape, engine: DockerEngine, folder: Path) -> tuple[AuthoredRun, Reproduction]:
    """Let the author train, and the auditor reproduce with nothing but the run's id."""
    listed = "".join(f"{line}\n" for line in shape.packages.split() if line not in ("papermill", "ipykernel"))
    files = {"requirements.txt": listed, ".python-version": "3.11\n", **shape.files}
    run = author_run(engine, Author("3.11", DAY, shape.packages, shape.typed), files, folder)
    auditor = folder / "auditor"
    auditor.mkdir()
    settings = load_settings(Flags(tracker=str(run.tracker)), {}, auditor)
    return run, reproduce(run.run_id, settings, progress=NoProgress(), engine=engine).reproduction


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.full) for name in SHAPES]
)
def test_the_recorded_values_reach_the_script_in_its_own_words(
    name: str, shared_engine: DockerEngine, tmp_path: Path
) -> None:
    shape = SHAPES[name]
    _, found = audited(shape, shared_engine, tmp_path)
    tail = found.rerun.log_tail if found.rerun is not None else ()
    assert found.verdict is Verdict.IDENTICAL, "\n".join(
        (found.reason, found.missing.remedy if found.missing else "", *tail)
    )
    assert found.plan is not None
    assert found.plan.command.endswith(shape.command)
    assert found.plan.options_uncovered == shape.uncovered
    assert any(shape.not_verified in line for line in found.not_verified)


@pytest.mark.full
def test_a_notebook_whose_values_were_others_when_it_ran_is_another_experiment(
    shared_engine: DockerEngine, tmp_path: Path
) -> None:
    """Edited in place between the run and the commit: its author is not blamed (rule 10)."""
    shape = SHAPES["a notebook without parameters"]
    run, first = audited(shape, shared_engine, tmp_path)
    assert first.verdict is Verdict.IDENTICAL
    edited = {"train.ipynb": notebook(CELL, "rate = 0.25", LOGS)}
    commit = run.repository.commit(edited, "Another rate")
    settings = load_settings(Flags(tracker=str(run.tracker), commit=commit), {}, tmp_path / "auditor")
    second = reproduce(run.run_id, settings, progress=NoProgress(), engine=shared_engine).reproduction
    assert second.verdict is Verdict.UNVERIFIABLE
    assert "learning_rate" in second.reason
    assert f"train.ipynb has the recorded values in commit {run.commit[:12]}" in second.reason
    assert second.missing is not None
    assert f"--commit {run.commit}" in second.missing.remedy
