"""What a training missed of its machine: a shared library or a program that its image has not and no record names.

A rerun that lacks it says nothing about the original, which had it: that is a fact to supply, and no failure.
"""

from __future__ import annotations

import re

from runner.plan.debian import Lacked, lacked_by_training, together
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Rerun
from runner.verdict.remedy import again

_OF_GPU = re.compile(r"lib(?:cuda|cudart|cudnn|cublas|cufft|curand|cusolver|cusparse|nccl|nvidia|nvrtc|nvToolsExt)\b")


def lacking_packages(plan: Plan, rerun: Rerun) -> Missing | None:
    """Return what the log's end says is not there, with the packages that have it; None where it says nothing such.

    A package that the image has already is not asked for again.
    """
    given = plan.system_packages.names
    there = {name.partition("=")[0] for name in given} | plan.images.system_packages.keys()
    lacked = [each for each in lacked_by_training(rerun.log_tail) if not each.packages or set(each.packages) - there]
    if not lacked:
        return None
    return Missing(
        fact="environment",
        cause=f"the training's image lacks {_listed(lacked)}, and no record says which system packages the run had",
        remedy=_remedy(plan, lacked),
        looked_in=(f"the base image {plan.images.base}", *(f"--system-packages {name}" for name in given)),
        nearest=tuple(
            f"--system-packages {together(given, offer.names)}    as {offer.source} has it"
            for offer in plan.system_packages.offered
        ),
    )


def _remedy(plan: Plan, lacked: list[Lacked]) -> str:
    given = plan.system_packages.names
    known = [name for each in lacked for name in each.packages]
    if known:
        return again(plan, "--system-packages", together(given, known))
    if _OF_GPU.match(lacked[0].what):
        return again(plan, "--base-image", "REF") + f"    an image that has {lacked[0].what}"
    if plan.system_packages.offered:
        return again(plan, "--system-packages", together(given, plan.system_packages.offered[0].names))
    return again(plan, "--system-packages", together(given, ("NAME",))) + f"    the package that has {lacked[0].what}"


def _listed(lacked: list[Lacked]) -> str:
    return " and ".join(each.what for each in lacked[:3])
