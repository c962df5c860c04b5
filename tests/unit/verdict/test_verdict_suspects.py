"""What most likely moved the numbers, and what is said to be ruled out."""

from __future__ import annotations

import pytest

from runner.compare.build import compare
from runner.report.text import render_text
from runner.schema.run_record import TextFile
from runner.verdict.suspects import changed_packages, suspects, unseeded_params
from tests.support.values import captured, changed, make_plan, make_record, make_reproduction, make_rerun, make_run

OTHER = "mlflow==2.21.0\nattrs==1\nscikit-learn==1.4.1\nnumpy==1.26.0\ncolorama==1 ; sys_platform == 'win32'\n"
WORSE = make_rerun(make_run(metrics=captured("auc", [0.5])))
RAN = changed(WORSE, environment=changed(WORSE.environment, packages={**WORSE.environment.packages, "attrs": "2"}))


def recorded(text=OTHER, **fields):
    """A record whose model lists these packages."""
    return make_record(environment_files=(TextFile(path="m/requirements.txt", text=text),), **fields)


def found(record, plan=None, rerun=RAN):
    """The suspects of a divergence."""
    plan = plan or make_plan()
    return suspects(plan, record, rerun, compare(record, plan, rerun))


def screen(record=None, plan=None):
    """The screen of a divergence, in one line."""
    text = render_text(make_reproduction(record or recorded(), plan, RAN), width=200, color=False)
    return " ".join(text.split())


def test_packages_that_compute_come_first_and_those_that_record_last():
    comparison = compare(recorded(), make_plan(), RAN)
    assert [package.name for package in changed_packages(comparison)] == ["numpy", "scikit-learn", "attrs", "mlflow"]
    (environment,) = found(recorded())
    assert environment.startswith("environment: numpy 1.26.0 recorded, 1.26.4 ran, scikit-learn")


def test_the_likeliest_package_is_the_one_to_try():
    assert "--with numpy==1.26.0" in screen()
    assert "colorama" not in screen()


@pytest.mark.parametrize(
    ("name", "value", "unseeded"),
    [
        ("random_state", "None", True),
        ("seed", "null", True),
        ("model__random_state", "none", True),
        ("train.seed", "", True),
        ("np_seed", "None", True),
        ("random_state", "42", False),
        ("seed", "0", False),
        ("seeds_of", "None", False),
        ("max_depth", "None", False),
    ],
)
def test_params_that_say_themselves_that_nothing_seeds_the_run_are_suspects(name, value, unseeded):
    record = recorded("", params={name: value})
    assert unseeded_params(record) == ((f"{name}={value}",) if unseeded else ())
    assert [text for text in found(record) if text.startswith("random numbers")] == (
        [f"random numbers: recorded as unseeded ({name}={value})"] if unseeded else []
    )


def test_another_platform_and_another_python_are_suspects():
    record = make_record(environment_files=(), tags={"mlflow.source.name": "/Users/ann/train.py"})
    plan = make_plan(environment=changed(make_plan().environment, python_recorded="3.9.2"))
    assert found(record, plan, WORSE) == (
        "platform: recorded on macOS, rerun on Linux-6.1-x86_64",
        "Python: 3.9.2 recorded, 3.9.18 ran",
    )


def test_a_patch_of_python_and_packages_that_move_no_numbers_are_never_the_likeliest():
    plan = make_plan(environment=changed(make_plan().environment, python_recorded="3.9.2"))
    beside = "mlflow==2.22.0\nscikit-learn==1.4.2\nnumpy==1.26.4\npsutil==7.0.0\n"
    assert found(recorded(beside, params={"random_state": "42"}), plan, WORSE) == (
        "unknown: nothing that moves numbers by itself is recorded otherwise than it was here",
        "environment: psutil 7.0.0 recorded, none ran",
        "Python: 3.9.2 recorded, 3.9.18 ran",
    )
    assert found(recorded(beside, params={}), plan, WORSE)[0].startswith(
        "random numbers: nothing that is recorded says"
    )
    told = " ".join(render_text(make_reproduction(recorded(beside), plan, WORSE), width=200, color=False).split())
    assert "psutil 7.0.0 recorded, none ran" in told
    assert "--with psutil" not in told
    inexact = make_plan(environment=changed(make_plan().environment, exact=False))
    assert found(recorded(beside), inexact, WORSE)[0].startswith("environment: nothing tells which versions")
    minor = make_plan(environment=changed(make_plan().environment, python_recorded="3.8.2"))
    assert found(recorded(beside), minor, WORSE)[0] == "Python: 3.8.2 recorded, 3.9.18 ran"


def test_a_commit_that_is_not_the_runs_is_the_first_suspect():
    lineage = make_plan().lineage
    plan = make_plan(lineage=changed(lineage, recorded_commit="4" * 40))
    assert (
        found(recorded(params={"seed": "None"}), plan)[0]
        == "code: commit 9f3c2e1d0b4a, and the run recorded 444444444444"
    )
    plan = make_plan(lineage=changed(lineage, commit_known=False))
    assert found(recorded(), plan)[0] == "code: commit 9f3c2e1d0b4a, since the run records none"


def test_an_experiment_that_the_commits_script_does_not_set_is_a_suspect_of_the_code_before_the_platform():
    worse = make_rerun(make_run(metrics=captured("auc", [0.5]), experiment="Default"))
    record = make_record(environment_files=(), tags={"mlflow.source.name": "/Users/ann/train.py"})
    first, second = found(record, rerun=worse)
    assert first.startswith('code: experiment "fraud" recorded, "Default" logged: the script was another than that of')
    assert second.startswith("platform: recorded on macOS")


def test_a_gpu_that_is_not_here_is_the_likeliest():
    plan = make_plan(gpu_recorded="param device=cuda")
    first, second = found(recorded(), plan)
    assert first == "platform: recorded on a GPU (param device=cuda), rerun without"
    assert second.startswith("environment: numpy")


def test_code_is_ruled_out_only_where_the_record_proves_a_clean_work_tree_of_the_commit_that_ran():
    clean = changed(make_plan().lineage, clean=True)
    assert "code (commit 9f3c2e1, recorded as clean)" in screen(plan=make_plan(lineage=clean))
    assert "code (" not in screen()
    assert "code (" not in screen(plan=make_plan(lineage=changed(clean, recorded_commit="0" * 40)))
