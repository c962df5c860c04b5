"""`--allow cpu-torch`: PyTorch's builds without CUDA in the place of those that are recorded, where no GPU is."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

from runner.lineage.packages import normalise
from runner.plan.lists.pinned import pinned_versions
from runner.schema.plan import EnvironmentSpec

ALLOWANCE = "cpu-torch"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch keeps them: package indexes that allow no local versions, as PyPI, have none."""

_FAMILY = ("torch", "torchaudio", "torchvision")
_CUDA = re.compile(r"nvidia-.*|cuda-.*|triton|pytorch-triton")
_WITH_LOCAL = frozenset({"x86_64"})  # on others the plain version is the one without CUDA
_TOLD = 3


def without_cuda(specification: EnvironmentSpec, machine: str) -> EnvironmentSpec:
    """Return the specification with `torch==2.1.0+cpu` for each pinned build, and without what CUDA alone needs.

    What no list pins and no record has stays as it is, and what the auditor replaced: there is nothing to substitute.
    """
    pinned = {name: set(versions) for name, versions in pinned_versions(specification).items()}
    for line in specification.constraints:
        name, _, version = line.partition("==")
        pinned.setdefault(name, set()).add(version)
    for line in specification.recorded_overrides:
        pinned[_name(line)] = {line.partition("==")[2]}
    given = {_name(text) for text in specification.overrides}
    substitutions, words = [], []
    for name in _FAMILY:
        recorded = _newest(pinned.get(name, ()))
        if recorded is None or name in given:
            continue
        other = recorded.public + ("+cpu" if machine in _WITH_LOCAL else "")
        if str(recorded) != other:
            substitutions.append(f"{name}=={other}")
            words.append(f"{name} {other} for {recorded}")
    if not substitutions:
        return specification
    ours = {_name(text) for text in substitutions}
    left_out = tuple(sorted(name for name in pinned if _CUDA.fullmatch(name) and name not in given))
    more = f" and {len(left_out) - _TOLD} more" if len(left_out) > _TOLD else ""
    without = f"; without {', '.join(left_out[:_TOLD])}{more}" if left_out else ""
    note = f"--allow {ALLOWANCE}: {', '.join(words)}{without}"
    return specification.model_copy(
        update={
            "substitutions": tuple(substitutions),
            "recorded_overrides": tuple(line for line in specification.recorded_overrides if _name(line) not in ours),
            "left_out": left_out,
            "indexes": (CPU_INDEX,) if machine in _WITH_LOCAL else (),
            "notes": (*specification.notes, note),
        }
    )


def _name(requirement: str) -> str:
    return normalise(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def _newest(versions: Iterable[str]) -> Version | None:
    """Return the newest, and of builds of one version the one with a label: the plain one is for another platform."""
    read = []
    for text in versions:
        try:
            read.append(Version(text))
        except InvalidVersion:
            continue
    return max(read, default=None)
