"""Whole reproductions of runs that record the image in which they trained, on the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.engine.docker import DockerEngine
from runner.prepare import Prepared
from runner.schema.reproduction import Verdict
from tests.support.foreign_images import ForeignImage, foreign_image
from tests.support.judging import Judge, why
from tests.support.projects import RecordedProject, script

IN_THE_IMAGE = """
import os, pathlib, sys
assert sys.prefix == "/usr", sys.prefix
assert pathlib.Path("/srv/marker").read_text() == "acme"
assert os.environ["ACME"] == "in-the-image"
assert os.getuid() != 0
"""
NOTHING_LISTED: dict[str, str | bytes | None] = {"requirements.txt": None}


@pytest.fixture(scope="module")
def image(
    shared_engine: DockerEngine, shared_images: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForeignImage]:
    """An image with MLflow in its system's Python 3.11."""
    folder = tmp_path_factory.mktemp("foreign")
    made = foreign_image(
        shared_engine, shared_images.base.reference, folder, "mlflow-skinny==2.22.5", files={"srv/marker": "acme"}
    )
    with made as image:
        yield image


def test_a_run_trains_again_in_the_image_that_its_project_recorded(
    project: RecordedProject, judge: Judge, image: ForeignImage
) -> None:
    project.commit_training(script(before=IN_THE_IMAGE), {**NOTHING_LISTED, "requirements-dev.txt": "flake8\n"})
    project.record(tags={"mlflow.docker.image.uri": image.reference, "mlflow.docker.image.id": image.identity})
    found = judge(command="python3 train.py")
    assert found.verdict is Verdict.IDENTICAL, why(found)
    assert found.plan is not None
    assert found.rerun is not None
    assert (found.plan.environment.kind, found.plan.environment.exact) == ("image", True)
    assert found.plan.environment.source == f"tag mlflow.docker.image.uri ({image.reference})"
    assert found.rerun.environment.packages["mlflow-skinny"] == "2.22.5"
    assert found.rerun.environment.python.startswith("3.11.")
    assert found.rerun.capture.problems == ()
    assert any("the run's own image" in line for line in found.verified)
    assert not any("by its name" in line for line in found.not_verified)
    considered = next(item for item in found.plan.provenance if item.fact == "environment").considered
    assert [item.value for item in considered] == ["requirements-dev.txt"]


@pytest.mark.full
def test_an_image_that_is_named_by_a_tag_alone_is_said_to_be(
    project: RecordedProject, judge: Judge, image: ForeignImage
) -> None:
    files = {**NOTHING_LISTED, "runner.yaml": f"image: {image.reference}\n"}
    project.commit_training(script(before=IN_THE_IMAGE), files)
    project.record()
    found = judge(command="python3 -I train.py")
    assert found.verdict is Verdict.IDENTICAL, why(found)
    said = f"environment: image {image.reference} by its name, not by digest: it may be another one today"
    assert said in found.not_verified


def test_another_image_under_the_recorded_name_is_refused(
    project: RecordedProject, judge: Judge, image: ForeignImage
) -> None:
    project.commit_training(files=NOTHING_LISTED)
    other = "sha256:" + "5" * 64
    project.record(tags={"mlflow.docker.image.uri": image.reference, "mlflow.docker.image.id": other})
    found = judge()
    assert found.verdict is Verdict.UNVERIFIABLE
    assert found.missing is not None
    assert found.missing.fact == "environment"
    assert image.identity[:19] in found.missing.cause
    assert other in found.missing.cause
    assert "--base-image" in found.missing.remedy


def test_an_image_that_cannot_be_had_is_unverifiable_and_another_environment_may_stand_in(
    project: RecordedProject, judge: Judge, shared_images: Prepared
) -> None:
    project.commit_training()
    project.record(tags={"mlflow.docker.image.uri": "acme/gone-since:9f3c2e1"})
    found = judge()
    assert found.verdict is Verdict.UNVERIFIABLE
    assert found.missing is not None
    assert "acme/gone-since:9f3c2e1" in found.missing.cause
    assert "cannot be had" in found.missing.cause
    there = judge(base_image=shared_images.base.reference)
    assert there.verdict is Verdict.IDENTICAL, why(there)
    assert any("acme/gone-since:9f3c2e1" in line and "is not used" in line for line in there.not_verified)
