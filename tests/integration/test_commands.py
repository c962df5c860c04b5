"""Runs that authors started in the ways in which people start trainings, reproduced with no flag but where they are.

Each author trains for real, in a container of its own; what was inferred, and from where, is part of what must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import indent

import pytest

from runner.engine.docker import DockerEngine
from runner.progress import NoProgress
from runner.reproduce import reproduce
from runner.schema.plan import Plan
from runner.schema.reproduction import Reproduction, Verdict
from runner.settings import Flags, load_settings
from tests.support.authors import Author, AuthoredRun, author_run
from tests.support.judging import Judge, why
from tests.support.projects import REQUIREMENTS, RecordedProject, script
from tests.support.repositories import pointer_text

Files = Mapping[str, str | bytes | None]
Rerun = Callable[[Author, Files], tuple[AuthoredRun, Reproduction]]

TRAIN = """\
import argparse, os
from pathlib import Path
import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, default=1.0)
parser.add_argument("--note", default="")
arguments = parser.parse_args()
values = [float(line) for line in Path("data/values.txt").read_text().split()]
with mlflow.start_run():
    mlflow.log_metric("total", arguments.scale * sum(values) + len(arguments.note))
"""
VALUES = "1.5\n2.25\n4.0\n"
OVERWRITES = """\
import mlflow
from mlflow.entities import LoggedModelOutput

with mlflow.start_run() as run:
    mlflow.set_tag("mlflow.source.name", "nightly job")
    model = mlflow.initialize_logged_model(name="net")
    mlflow.finalize_logged_model(model.model_id, "READY")
    mlflow.MlflowClient().log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    mlflow.log_metric("total", 7.75)
"""
ROUNDS = """\
import mlflow, os

rounds = int(os.environ.get("ROUNDS", "1"))
with mlflow.start_run():
    mlflow.set_tag("env.ROUNDS", rounds)
    mlflow.log_metric("total", rounds / 3)
"""
PYTHON: dict[str, str | bytes | None] = {".python-version": "3.11\n"}


def author(command: str, packages: str = REQUIREMENTS) -> Author:
    return Author(python="3.11", day="2026-06-15", packages=packages, command=command)


@pytest.fixture
def rerun(shared_engine: DockerEngine, tmp_path: Path) -> Rerun:
    """Returns an author's run with its reproduction, by somebody who knows where its tracker lies and nothing else."""

    def reproduced(who: Author, files: Files) -> tuple[AuthoredRun, Reproduction]:
        made = author_run(shared_engine, who, {**PYTHON, **files}, tmp_path / "authored")
        folder = tmp_path / "auditor"
        folder.mkdir()
        settings = load_settings(Flags(tracker=str(made.tracker)), {}, folder)
        return made, reproduce(made.run_id, settings, progress=NoProgress(), engine=shared_engine).reproduction

    return reproduced


def plan_of(reproduction: Reproduction) -> Plan:
    """The plan of a reproduction that came out bit for bit."""
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.plan is not None
    return reproduction.plan


def test_an_mlflow_project_in_a_folder_runs_its_entry_point_there(rerun: Rerun) -> None:
    """The params and the experiment are those that `mlflow run` set, and not the script."""
    files: Files = {
        "wine/MLproject": (
            "name: wine\npython_env: python_env.yaml\nentry_points:\n  fit:\n    parameters:\n"
            "      scale: {type: float, default: 1.0}\n      note: string\n"
            "    command: 'python train.py --scale {scale} --note {note}'\n"
        ),
        "wine/python_env.yaml": f"python: '3.11'\ndependencies:\n  - {REQUIREMENTS}",
        "wine/train.py": TRAIN,
        "wine/data/values.txt": VALUES,
        # Of another training: the environment is the project's.
        "requirements.txt": "no-such-package==1\n",
    }
    who = author("mlflow run wine -e fit -P note='two words' -P scale=2.5 --env-manager local --experiment-name reds")
    _, reproduction = rerun(who, files)
    plan = plan_of(reproduction)
    assert (plan.command, plan.working_directory) == ("python train.py --scale 2.5 --note 'two words'", "wine")
    assert plan.command_source == "tag mlflow.project.entryPoint, entry point fit of wine/MLproject"
    assert not plan.command_inferred
    assert plan.environment.source == "wine/python_env.yaml at the commit"
    assert plan.params_given == {"scale": "2.5", "note": "'two words'"}
    assert not any("experiment" in line for line in reproduction.not_verified)


@pytest.mark.full
def test_a_script_as_the_entry_point_gets_what_was_given_beyond_its_own_defaults(rerun: Rerun) -> None:
    files: Files = {"requirements.txt": REQUIREMENTS, "train.py": TRAIN, "data/values.txt": VALUES}
    _, reproduction = rerun(author("mlflow run . -e train.py -P scale=0.5 --env-manager local"), files)
    plan = plan_of(reproduction)
    assert (plan.command, plan.command_inferred) == ("python train.py --scale 0.5", True)
    assert plan.options_uncovered == ()


@pytest.mark.full
def test_a_console_script_runs_with_the_options_of_its_function(rerun: Rerun) -> None:
    files: Files = {
        "pyproject.toml": (
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
            f'[project]\nname = "sums"\nversion = "1"\ndependencies = ["{REQUIREMENTS.strip()}"]\n'
            'requires-python = "==3.11.*"\n[project.scripts]\ntrain-sums = "sums.train:main"\n'
            '[tool.setuptools]\npackages = ["sums"]\npackage-dir = {"" = "src"}\n'
        ),
        "src/sums/__init__.py": "",
        "src/sums/train.py": "def main():\n"
        + indent(TRAIN + "    mlflow.log_param('scale', arguments.scale)\n", "    "),
        "data/values.txt": VALUES,
    }
    # In the project's folder, where people have it: of a program elsewhere MLflow finds no repository.
    started = "mkdir -p .venv/bin && cp /tmp/venv/bin/train-sums .venv/bin && .venv/bin/train-sums --scale 3"
    _, reproduction = rerun(author(f"bash -c '{started}'", f"{REQUIREMENTS}/author/project\n"), files)
    plan = plan_of(reproduction)
    assert plan.command == "train-sums --scale 3.0"
    assert plan.command_source.startswith(
        "inferred: tag mlflow.source.name, entry point train-sums of pyproject.toml and 1 recorded value"
    )
    assert plan.environment.install_project


@pytest.mark.full
def test_an_absolute_name_is_started_where_its_paths_and_its_own_package_are(rerun: Rerun) -> None:
    """As an editor does; the folder is none that the record names, and the package is beside it."""
    files: Files = {
        "requirements.txt": REQUIREMENTS,
        "work/jobs/train.py": (
            "import mlflow\nfrom shared.numbers import read\n"
            "mlflow.set_tracking_uri('file:../mlruns')\n"
            "with mlflow.start_run():\n    mlflow.log_metric('total', sum(read('data/values.txt')))\n"
        ),
        "work/shared/numbers.py": "def read(path):\n    return [float(line) for line in open(path)]\n",
        "work/data/values.txt": VALUES,
    }
    who = author("bash -c 'cd work && PYTHONPATH=. python /author/project/work/jobs/train.py'")
    _, reproduction = rerun(who, files)
    plan = plan_of(reproduction)
    assert (plan.command, plan.working_directory) == ("python -m jobs.train", "work")
    place = next(fact for fact in plan.provenance if fact.fact == "working directory")
    assert place.source == "inferred: data/values.txt is there"
    assert [item.value for item in place.considered] == [".", "work/jobs"]


@pytest.mark.full
def test_variables_that_the_run_tagged_are_set_and_a_makefiles_are_not(rerun: Rerun) -> None:
    files: Files = {
        "requirements.txt": REQUIREMENTS,
        "Makefile": "export ROUNDS = 9\ntrain:\n\tpython train.py\n",
        "train.py": ROUNDS,
    }
    _, reproduction = rerun(author("env ROUNDS=4 python train.py"), files)
    plan = plan_of(reproduction)
    assert (plan.command, plan.variables["ROUNDS"]) == ("python train.py", "4")
    assert any((fact.fact, fact.source) == ("variable ROUNDS", "tag env.ROUNDS") for fact in plan.provenance)


@pytest.mark.full
def test_a_source_that_the_script_overwrote_is_found_by_the_model_that_it_logged(rerun: Rerun) -> None:
    needs = "mlflow-skinny==3.4.0\n"
    _, reproduction = rerun(author("python fit.py", needs), {"requirements.txt": needs, "fit.py": OVERWRITES})
    plan = plan_of(reproduction)
    assert plan.command == "python fit.py"
    assert plan.command_source.startswith("inferred: tag mlflow.source.name of a model that the run logged")


RECORDED: dict[str, dict[str, str | None]] = {
    "wrapped": {"runner.command": "cd /home/ann/project && source .venv/bin/activate && uv run train.py --scale 1.0"},
    "windows": {"runner.command": r"C:\Users\ann\project\.venv\Scripts\python.exe C:\Users\ann\project\train.py"},
    "shell script": {"runner.command": "bash run.sh"},
    "wandb": {"wandb.program": "/home/ann/project/train.py", "wandb.args": '["--scale", "1.0"]'},
}


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.full if how in ("wrapped", "windows") else ()) for how in RECORDED]
)
def test_a_recorded_command_runs_without_what_its_machine_had_around_it(
    project: RecordedProject, judge: Judge, how: str
) -> None:
    project.commit_training(files={"run.sh": "#!/bin/bash\nset -e\npoetry run python train.py --scale 1.0\n"})
    project.record(tags={"mlflow.source.name": None, **RECORDED[how]})
    plan = plan_of(judge())
    assert plan.command.endswith("python train.py" if how == "windows" else "python train.py --scale 1.0")
    assert (plan.command_inferred, plan.options_uncovered) == (False, ())


def test_a_console_script_of_a_project_that_is_not_installed_is_called(project: RecordedProject, judge: Judge) -> None:
    listed = '[project]\nname = "sums"\nversion = "1"\n[project.scripts]\nsums = "sums.fit:main"\n'
    module = "def main():\n" + indent(script(), "    ")
    project.commit_training(None, {"train.py": None, "sums/fit.py": module, "pyproject.toml": listed})
    project.record(tags={"mlflow.source.name": r"C:\Users\ann\project\.venv\Scripts\sums.exe"})
    plan = plan_of(judge())
    assert plan.command.startswith("PYTHONPATH=. python -c 'import sys; from sums.fit import main as run")
    assert plan.command.endswith(" --scale 1.0")
    assert plan.command_source.endswith("called as a function, since the environment has no sums")


def test_two_scripts_that_may_be_meant_stop_and_either_command_can_be_pasted(
    project: RecordedProject, judge: Judge
) -> None:
    project.commit_training(None, {"train.py": None, "a/fit.py": script(), "b/fit.py": script()})
    project.record(tags={"mlflow.source.name": "fit.py"})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE
    assert reproduction.missing is not None
    assert reproduction.missing.cause == "fit.py may be any of a/fit.py, b/fit.py"
    assert reproduction.missing.nearest == ("--command 'cd a && python fit.py'", "--command 'cd b && python fit.py'")
    assert judge(command="python b/fit.py").verdict is Verdict.IDENTICAL


def test_a_recorded_param_that_no_option_takes_is_compared_all_the_same(project: RecordedProject, judge: Judge) -> None:
    """Nothing hands it on, so that the rerun logs what the commit's own code makes of it."""
    logs = script(inside="mlflow.log_param('hidden', 3)")
    project.commit_training(logs)
    project.record(params={"hidden": "4"})
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert reproduction.missing is not None
    assert reproduction.missing.cause.startswith(
        "the inferred command is another experiment: param hidden=4 recorded, 3"
    )


def test_a_commit_of_a_deleted_branch_is_had_by_its_id(project: RecordedProject, judge: Judge) -> None:
    git = project.repository.git
    project.repository.commit({"README.md": "sums\n"}, "Begin")
    git("checkout", "-q", "-b", "experiment")
    data = pointer_text("train.csv", project.stored_data)
    project.commit_training(files={"data/train.csv.dvc": data, "runs/.gitkeep": ""})
    project.record(pointers=False, tags={"dvc_model_md5": None})
    git("checkout", "-q", "main")
    git("branch", "-q", "-D", "experiment")
    reproduction = judge()
    assert reproduction.verdict is Verdict.IDENTICAL, why(reproduction)
    assert reproduction.lineage is not None
    assert reproduction.lineage.commit == project.commit


def test_a_commit_that_a_rewritten_history_lost_is_missing_with_where_it_was_looked_for(
    project: RecordedProject, judge: Judge
) -> None:
    git = project.repository.git
    project.commit_training()
    project.record(pointers=False)
    git("commit", "-q", "--amend", "-m", "Train, in other words")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    reproduction = judge()
    assert reproduction.verdict is Verdict.UNVERIFIABLE, why(reproduction)
    assert reproduction.missing is not None
    assert reproduction.missing.fact == "commit"
    assert reproduction.missing.cause.startswith(f"the commit {project.commit} is not in ")
    assert "commits on no ref, by id" in reproduction.missing.looked_in
    assert "--repo URL_OR_PATH" in reproduction.missing.remedy
