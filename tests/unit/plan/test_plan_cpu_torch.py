"""What `--allow cpu-torch` puts in the place of which builds, and what it leaves out."""

from __future__ import annotations

import pytest

from runner.lineage.resolve import commit_facts
from runner.plan.cpu_torch import CPU_INDEX
from runner.plan.environment import specify_environment
from runner.rerun.provision import ready_keys
from runner.schema.plan import EnvironmentSpec
from runner.schema.run_record import TextFile
from tests.support.facts import run, settings, snapshot
from tests.support.values import changed, make_plan

PINNED = """\
--extra-index-url https://download.pytorch.org/whl/cu118
numpy==1.26.4
torch==2.1.0+cu118
torchvision==0.16.0+cu118
nvidia-cublas-cu11==11.11.3.6
nvidia-nccl-cu11==2.18.1
triton==2.1.0
"""


def specified(
    text: str, *, allow: str = "cpu-torch", recorded: str = "", machine: str = "x86_64", given: tuple[str, ...] = ()
) -> EnvironmentSpec:
    chosen = settings(allow=(allow,), with_packages=given)
    repository = snapshot({"requirements.txt": text})
    record = run(environment_files=(TextFile(path="model/requirements.txt", text=recorded),))
    facts = commit_facts(repository, chosen)
    return specify_environment(record, repository, chosen, facts, "train.py", machine=machine)[0]


def test_pinned_builds_are_those_without_cuda_and_what_cuda_alone_needs_is_left_out_and_said() -> None:
    spec = specified(PINNED)
    assert spec.substitutions == ("torch==2.1.0+cpu", "torchvision==0.16.0+cpu")
    assert spec.left_out == ("nvidia-cublas-cu11", "nvidia-nccl-cu11", "triton")
    assert spec.indexes == (CPU_INDEX,)
    assert spec.notes[-1] == (
        "--allow cpu-torch: torch 2.1.0+cpu for 2.1.0+cu118, torchvision 0.16.0+cpu for 0.16.0+cu118; without "
        "nvidia-cublas-cu11, nvidia-nccl-cu11, triton"
    )
    assert spec.overrides == (), "those are the auditor's"


def test_without_the_allowance_nothing_is_substituted() -> None:
    spec = specified(PINNED, allow="network")
    assert (spec.substitutions, spec.left_out, spec.indexes) == ((), (), ())


@pytest.mark.parametrize(
    ("text", "substitutions"),
    [
        ("torch==2.1.0\nnvidia-cublas-cu12==12.1.3.1\n", ("torch==2.1.0+cpu",)),  # PyPI's own is for CUDA too
        ("torch==2.1.0+cpu\n", ()),
        ("torch>=2\n", ()),  # nothing says which
        ("numpy==1.26.4\n", ()),
    ],
)
def test_only_a_build_that_is_pinned_can_be_substituted(text: str, substitutions: tuple[str, ...]) -> None:
    spec = specified(text)
    assert spec.substitutions == substitutions
    assert bool(spec.left_out) is ("nvidia" in text)


def test_a_recorded_version_is_substituted_like_a_pinned_one() -> None:
    assert specified("torch\n", recorded="torch==2.1.0+cu118\n").substitutions == ("torch==2.1.0+cpu",)


def test_what_the_auditor_replaced_stays() -> None:
    assert specified(PINNED, given=("torch==2.0.0",)).substitutions == ("torchvision==0.16.0+cpu",)


def test_on_a_machine_whose_plain_builds_have_no_cuda_they_are_taken_from_the_usual_index() -> None:
    spec = specified(PINNED, machine="aarch64")
    assert (spec.substitutions[0], spec.indexes) == ("torch==2.1.0", ())


def test_an_environment_with_substitutions_is_another_one_and_another_plan() -> None:
    plain, other = (
        make_plan(environment=specified(PINNED, allow=allow)).sealed() for allow in ("network", "cpu-torch")
    )
    assert plain.digest != other.digest
    assert ready_keys(plain) != ready_keys(other)
    fewer = changed(other, environment=changed(other.environment, left_out=())).sealed()
    assert fewer.digest != other.digest
    assert ready_keys(fewer) != ready_keys(other)


def test_a_recorded_version_in_the_place_of_the_lists_is_substituted_too() -> None:
    spec = specified("torch==2.0.1\nnumpy==1.25.0\n", recorded="torch==2.1.0\nnumpy==1.26.4\n")
    assert spec.substitutions == ("torch==2.1.0+cpu",)
    assert spec.recorded_overrides == ("numpy==1.26.4",)
