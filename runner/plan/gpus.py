"""Whether a run used a GPU, as far as its record shows for certain, and which the rerun gets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.schema.plan import Plan
from runner.schema.run_record import RunRecord

NO_GPUS = "none"
"""What `--gpus` says to go without."""
ALL_GPUS = "all"

_UTILISED = re.compile(r"system/gpu_\d+_utilization_percentage")
_PARAMS = {
    "device": re.compile(r"(?:cuda|gpu)(?::\d+)?"),
    "accelerator": re.compile(r"cuda|gpu"),
    "device_type": re.compile(r"cuda|gpu"),
    "task_type": re.compile(r"gpu"),
    "tree_method": re.compile(r"gpu_hist"),
}
"""Params that name the device that trained; what merely allows one (`use_cuda=True`, `gpus=1`) shows nothing."""


def recorded_gpu(record: RunRecord) -> str | None:
    """Return by which sign the run is known to have used a GPU, None where none is certain.

    MLflow logs a GPU's metrics wherever one is built in: it was used where it was ever busy.
    """
    for history in record.metrics:
        if _UTILISED.fullmatch(history.name) and any(point.value > 0 for point in history.points):
            return f"metric {history.name}"
    for word, values in (("param", record.params), ("tag", record.tags)):
        for name in sorted(values):
            test = _PARAMS.get(re.split(r"__|[./]", name)[-1].lower())
            if test is not None and test.fullmatch(values[name].strip().lower()):
                return f"{word} {name}={values[name].strip()}"
    return None


def with_gpus(plan: Plan) -> Plan:
    """Return the plan, once its engine is known, with the GPUs of the training, and what that leaves unverified.

    GPUs that the auditor asks for, or none; else all where the run used one and the engine has any.
    """
    limits = plan.limits
    if limits.gpus is None and plan.gpu_recorded is not None and plan.images.gpus:
        limits = limits.model_copy(update={"gpus": ALL_GPUS, "gpus_source": plan.gpu_recorded})
    changed = plan.model_copy(update={"limits": limits})
    return changed.model_copy(update={"not_verified": (*plan.not_verified, *_unverified(changed))})


def _unverified(plan: Plan) -> Iterator[str]:
    limits, recorded = plan.limits, plan.gpu_recorded
    if recorded is None:
        if gives_gpus(limits.gpus):
            yield f"GPU: {limits.gpus} by {limits.gpus_source}; the run does not record that it used one"
        return
    if limits.gpus == NO_GPUS:
        yield f"GPU: the run used one ({recorded}), none here by {limits.gpus_source}: equality cannot be expected"
    elif limits.gpus is not None:
        yield f"GPU: the run used one ({recorded}); that it is the same model here is not known"
    elif plan.images.gpus is None:
        yield f"GPU: the run used one ({recorded}): equality cannot be expected unless the engine has one too"
    else:
        yield f"GPU: the run used one ({recorded}), the engine has none: equality cannot be expected"


def gives_gpus(gpus: str | None) -> bool:
    """Tell whether a training gets any GPU."""
    return gpus not in (None, NO_GPUS)
