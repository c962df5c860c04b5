"""Whether a run used a GPU, and which the rerun gets. No machine with one was at hand: decided from values alone."""

from __future__ import annotations

from typing import Any

import pytest

from runner.engine.docker import device_request
from runner.engine.faults import api_fault
from runner.plan.gpus import recorded_gpu, with_gpus
from runner.plan.limits import set_limits
from runner.rerun.train import train_request
from runner.schema.notation import parse_gpus
from runner.schema.plan import Limits, Plan
from tests.support.facts import run, settings
from tests.support.values import changed, history, judge, make_plan, make_record, make_rerun

BUSY = history("system/gpu_0_utilization_percentage", [0.0, 71.0])
SIGN = "metric system/gpu_0_utilization_percentage"


@pytest.mark.parametrize(
    ("fields", "sign"),
    [
        ({"metrics": (BUSY,)}, SIGN),
        ({"metrics": (history("system/gpu_0_utilization_percentage", [0.0, 0.0]),)}, None),  # built in, never used
        ({"metrics": (history("system/gpu_0_memory_usage_megabytes", [400.0]),)}, None),  # a desktop's
        ({"metrics": (history("gpu_0_utilization_percentage", [71.0]),)}, None),  # the script's own
        ({"params": {"device": "cuda:0"}}, "param device=cuda:0"),
        ({"params": {"model__device": "GPU"}}, "param model__device=GPU"),
        ({"params": {"tree_method": "gpu_hist"}}, "param tree_method=gpu_hist"),
        ({"params": {"task_type": "GPU"}}, "param task_type=GPU"),
        ({"params": {"accelerator": "gpu"}}, "param accelerator=gpu"),
        ({"tags": {"device": "cuda"}}, "tag device=cuda"),
        ({"params": {"device": "cpu", "accelerator": "auto", "use_cuda": "True", "gpus": "1", "cuda": "11.8"}}, None),
        ({"params": {"description": "device=cuda", "data_device": "cuda of mine"}}, None),
    ],
)
def test_only_a_sure_sign_tells_that_a_gpu_was_used(fields: dict[str, Any], sign: str | None) -> None:
    assert recorded_gpu(run(**fields)) == sign


def planned(recorded: str | None, there: bool | None, *, asked: str | None = None) -> Plan:
    plan = make_plan(not_verified=(), gpu_recorded=recorded)
    limits = set_limits(make_record(), settings(gpus=asked))
    return with_gpus(changed(plan, limits=limits, images=changed(plan.images, gpus=there)))


@pytest.mark.parametrize(
    ("recorded", "there", "asked", "gpus", "said"),
    [
        (None, True, None, None, None),
        (None, False, None, None, None),
        (SIGN, True, None, "all", f"GPU: the run used one ({SIGN}); that it is the same model here is not known"),
        (SIGN, False, None, None, f"GPU: the run used one ({SIGN}), the engine has none: equality cannot be expected"),
        (SIGN, None, None, None, f"GPU: the run used one ({SIGN}): equality cannot be expected unless the engine has"),
        (
            SIGN,
            True,
            "none",
            "none",
            f"GPU: the run used one ({SIGN}), none here by --gpus: equality cannot be expected",
        ),
        (SIGN, True, "device=1", "device=1", "that it is the same model here is not known"),
        (None, False, "2", "2", "GPU: 2 by --gpus; the run does not record that it used one"),
        (None, True, "none", "none", None),
    ],
)
def test_gpus_are_given_where_they_are_asked_for_or_the_run_used_one_and_there_are_any(
    recorded: str | None, there: bool | None, asked: str | None, gpus: str | None, said: str | None
) -> None:
    plan = planned(recorded, there, asked=asked)
    assert plan.limits.gpus == gpus
    assert len(plan.not_verified) == (said is not None)
    assert said is None or said in plan.not_verified[0]


def requested(plan: Plan) -> str | None:
    return train_request(plan, rerun="r", environment_key="e", volume="v").gpus


def test_the_training_alone_gets_them() -> None:
    assert requested(planned(SIGN, True)) == "all"
    assert requested(planned(SIGN, True, asked="none")) is None
    assert requested(planned(None, True)) is None


def test_how_gpus_are_given_is_how_a_rerun_is_made_and_not_what_is_rerun() -> None:
    one, other = planned(None, True, asked="1").sealed(), planned(None, True).sealed()
    assert one.digest == other.digest
    assert one.execution_digest != other.execution_digest


@pytest.mark.parametrize(
    ("gpus", "count", "devices"),
    [("all", -1, []), ("2", 2, []), ("device=0,GPU-1a", 0, ["0", "GPU-1a"])],
)
def test_the_engine_is_asked_as_its_own_command_line_asks(gpus: str, count: int, devices: list[str]) -> None:
    request = device_request(gpus)
    assert (request["Count"], request["DeviceIDs"], request["Capabilities"]) == (count, devices, [["gpu"]])
    assert request["Driver"] == ""


@pytest.mark.parametrize("text", ["", "-1", "some", "device=", "all,1", "device=0;rm", "1.5"])
def test_what_is_no_gpus_in_dockers_notation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither all, none, a number"):
        parse_gpus(text)


def test_an_engine_without_gpus_is_an_error_of_usage_that_names_what_to_type() -> None:
    said = 'could not select device driver "" with capabilities: [[gpu]]'
    error = api_fault("running the train container", said)
    assert (error.exit_code, error.remedy.split(",")[0]) == (2, "--gpus none")


def test_a_rerun_without_the_gpu_that_was_recorded_says_so_in_its_reason() -> None:
    """rule 25"""
    plan = changed(planned(SIGN, False), limits=Limits(timeout_s=1.0, timeout_source="x"))
    assert judge(plan=plan).reason.endswith(f"recorded on a GPU ({SIGN}), rerun without")
    seen = make_rerun(capture={"gpus": ("Tesla T4",)})
    decision = judge(plan=planned(SIGN, True), rerun=seen)
    assert "GPU" not in decision.reason
    assert "GPU: the run does not record which, rerun on Tesla T4" in decision.not_verified


def test_a_gpu_that_was_asked_for_and_seen_by_no_process_is_not_verified() -> None:
    lines = judge(plan=planned(None, True, asked="all")).not_verified
    assert "GPU: all by --gpus, and no process of the training was seen to use one" in lines
