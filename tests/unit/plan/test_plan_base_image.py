"""The Python of a base image counts where the record leaves it open, and never against the record."""

from __future__ import annotations

from runner.lineage.resolve import commit_facts
from runner.plan.python import PythonChoice, choose_python
from tests.support.facts import run, settings, snapshot


def chosen(texts: dict[str, str], has: str | None) -> PythonChoice:
    given = settings(base_image="acme/base:1").model_copy(update={"base_python": has})
    repository = snapshot(texts)
    return choose_python(run(environment_files=()), repository, given, commit_facts(repository, given), (".",))


def test_where_nothing_names_a_python_it_is_the_base_images_own() -> None:
    found = chosen({}, "3.12")
    assert (found.minor, found.source) == ("3.12", "the base image acme/base:1")
    assert "since no record names the run's" in (found.note or "")
    assert chosen({}, None).source == "the newest of that day", "an image that nobody has looked into says nothing"


def test_a_recorded_python_stays_and_a_bound_that_admits_the_images_takes_it() -> None:
    assert chosen({".python-version": "3.9\n"}, "3.12").minor == "3.9"
    bound = {"pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.10"\n'}
    assert chosen(bound, "3.12").minor == "3.12"
    assert chosen(bound, "3.9").minor != "3.9"
