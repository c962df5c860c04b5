"""What is offered where no image with the run's Python can be had."""

from __future__ import annotations

from typing import cast

import pytest

from runner.engine import base_image
from runner.engine.base_image import check_obtainable, check_python, obtainable
from runner.engine.docker import DockerEngine
from runner.errors import MissingFact

ENGINE = cast(DockerEngine, None)  # asked for nothing


@pytest.fixture(autouse=True)
def only_3_10_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_image, "existing_base_image", lambda _engine, python: python if python == "3.10" else None)


def remedy(python: str, others: tuple[str, ...]) -> str:
    with pytest.raises(MissingFact) as caught:
        check_obtainable(ENGINE, python, others=others, offline=True)
    assert caught.value.fact == "python"
    return caught.value.remedy


def test_pythons_can_be_had_where_an_image_is_there_or_debian_has_one() -> None:
    assert obtainable(ENGINE, ("3.12", "3.13", "3.10", "3.8")) == ("3.13", "3.10")


def test_the_first_python_that_fits_and_can_be_had_is_the_remedy_and_an_image_of_the_auditors_comes_second() -> None:
    assert remedy("3.12", ("3.8", "3.13", "3.11")) == (
        "runner reproduce RUN --python 3.13    another than the run's, which lowers what is verified "
        "(3.11 may do too); or runner reproduce RUN --base-image REF    an image with Python 3.12"
    )


def test_no_python_is_offered_that_the_run_cannot_have_had() -> None:
    assert remedy("3.12", ()) == "runner reproduce RUN --base-image REF    an image with Python 3.12"


def test_a_python_that_is_too_old_for_any_image_is_replaced_too() -> None:
    assert remedy("3.7", ("3.8", "3.9")).startswith("runner reproduce RUN --python 3.9    another")


def test_an_image_with_another_python_is_taken_with_its_own() -> None:
    with pytest.raises(MissingFact) as caught:
        check_python("acme/base", "3.11", "3.9")
    assert caught.value.remedy.startswith("runner reproduce RUN --python 3.11    another than the run's")
