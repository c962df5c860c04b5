"""Defaults of another version of a library are no other experiment, where nothing shows that it is the run's."""

from __future__ import annotations

import pytest

from runner.schema.reproduction import Verdict
from runner.schema.run_record import TextFile
from tests.support.values import START, changed, judge, make_plan, make_record, make_rerun, make_run

TAGS = {"mlflow.autologging": "sklearn"}


def judged(recorded, logged, *, tags=TAGS, files=(), exact=False, command="python train.py"):
    """The decision on a run whose autologged params differ, under a command that was inferred."""
    record = make_record(params=recorded, environment_files=files)
    record = changed(record, tags={**record.tags, **tags})
    run = make_run(params=logged, tags=tags)
    environment = changed(make_plan().environment, exact=exact, as_of=START)
    plan = make_plan(command_inferred=True, command=command, environment=environment)
    return judge(record, plan, make_rerun(run))


def test_other_defaults_are_laid_to_the_library_whose_version_nobody_recorded():
    decision = judged(
        {"l1_ratio": "None", "multi_class": "deprecated", "penalty": "l2"}, {"l1_ratio": "0.0", "penalty": "deprecated"}
    )
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.missing is not None
    assert decision.missing.fact == "environment"
    assert decision.missing.cause.startswith(
        "scikit-learn 1.4.2 has other defaults than were recorded (l1_ratio=None, "
    )
    assert decision.missing.cause.endswith("nothing tells which version the run had")
    assert "--with scikit-learn==VERSION" in decision.missing.remedy


def test_a_version_that_was_recorded_is_the_remedy():
    files = (TextFile(path="model/requirements.txt", text="scikit-learn==1.7.2\n"),)
    decision = judged({"l1_ratio": "None"}, {"l1_ratio": "0.0"}, files=files, exact=True)
    assert decision.missing is not None
    assert "--with scikit-learn==1.7.2" in decision.missing.remedy


@pytest.mark.parametrize(
    "fields",
    [
        {"recorded": {"C": "0.5"}, "logged": {"C": "1.0"}},
        {"recorded": {"l1_ratio": "None", "C": "0.5"}, "logged": {"l1_ratio": "0.0"}},
        {"recorded": {"penalty": "None"}, "logged": {"penalty": "l2"}, "command": "python train.py --penalty l2"},
        {"recorded": {"l1_ratio": "None"}, "logged": {"l1_ratio": "0.0"}, "tags": {}},
        {"recorded": {"l1_ratio": "None"}, "logged": {"l1_ratio": "0.0"}, "exact": True},
        {
            "recorded": {"l1_ratio": "None"},
            "logged": {"l1_ratio": "0.0"},
            "files": (TextFile(path="model/requirements.txt", text="scikit-learn==1.4.2\n"),),
        },
    ],
)
def test_what_somebody_set_and_what_the_runs_own_version_logs_otherwise_is_another_experiment(fields):
    decision = judged(**fields)
    assert decision.verdict is Verdict.UNVERIFIABLE
    assert decision.missing is not None
    assert decision.missing.fact == "command"
    assert "another experiment" in decision.missing.cause
