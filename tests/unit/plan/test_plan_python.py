"""Which Python a run had: what was recorded or declared, and what is guessed where nothing was."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from runner.lineage.resolve import commit_facts
from runner.plan.python import PythonChoice, choose_python
from runner.plan.python_records import PythonRecord, admitted, declared_pythons
from runner.schema.run_record import RunRecord, TextFile
from runner.settings import Settings
from tests.support.facts import run, settings, snapshot


def chosen(
    texts: dict[str, str] | None = None,
    given: Settings | None = None,
    *,
    record: RunRecord | None = None,
    folders: tuple[str, ...] = (".", "src"),
    passed_over: dict[str, str] | None = None,
) -> PythonChoice:
    repository, given = snapshot(texts or {}), given or settings()
    record = record or run(environment_files=())
    facts = commit_facts(repository, given)
    return choose_python(record, repository, given, facts, folders, passed_over=passed_over)


def started(year: int, month: int, day: int = 1, **fields: object) -> RunRecord:
    moment = datetime(year, month, day, tzinfo=timezone.utc)
    return run(environment_files=(), start_time=moment, **fields)  # type: ignore[arg-type]  # fields of a record


def declared(path: str, text: str) -> list[tuple[str, str]]:
    return [(hit.text, hit.source) for hit in declared_pythons(snapshot({path: text}), (".",))]


def test_sources_come_in_order() -> None:
    texts = {
        "runner.yaml": "python: 3.8",
        ".python-version": "3.9.18\n",
        "uv.lock": 'requires-python = "==3.12.*"',
        "pyproject.toml": '[project]\nrequires-python = ">=3.13,<3.14"',
    }
    files = (TextFile(path="model/python_env.yaml", text="python: 3.10.4\n"),)
    record = run(environment_files=files, tags={"python_version": "3.7.1"})
    order = [
        chosen(texts, settings(python="3.6", yaml="python: 3.14"), record=record),
        chosen(texts, settings(yaml="python: 3.14"), record=record),
        chosen(texts, record=record),
        chosen(texts, record=run(environment_files=(), tags={"python_version": "3.7.1"})),
    ]
    for name in ("runner.yaml", ".python-version", "uv.lock", "pyproject.toml"):
        order.append(chosen(texts))
        del texts[name]
    assert [(item.minor, item.source, item.recorded) for item in order] == [
        ("3.6", "--python", "3.10.4"),
        ("3.14", "python in runner.yaml", "3.10.4"),
        ("3.10", "model/python_env.yaml of the run (3.10.4)", "3.10.4"),
        ("3.7", "tag python_version (3.7.1)", "3.7.1"),
        ("3.8", "python in runner.yaml at the commit", "3.8"),
        ("3.9", ".python-version at the commit (3.9.18)", "3.9.18"),
        ("3.12", "requires-python of uv.lock at the commit (==3.12.*)", "3.12"),
        ("3.13", "requires-python of pyproject.toml at the commit (>=3.13,<3.14)", "3.13"),
    ]
    assert ("requires-python of uv.lock at the commit (==3.12.*)", "3.12") in [
        (item.source, item.value) for item in order[0].considered
    ]
    assert all(item.alternatives == () for item in order)


@pytest.mark.parametrize(
    ("path", "text", "version"),
    [
        (".python-version", "# ours\ncpython-3.12\n", "3.12"),
        (".tool-versions", "nodejs 18.1.0\npython 3.9.7\n", "3.9.7"),
        ("runtime.txt", "python-3.7.12\n", "3.7.12"),
        ("environment.yml", "dependencies:\n- pip\n- python=3.8.13=h12debd9_0\n", "3.8.13"),
        ("environment.yml", "dependencies:\n- conda-forge::python==3.8.*\n", "3.8"),
        ("conda_env.yaml", "dependencies:\n- python 3.9\n", "3.9"),
        ("python_env.yaml", 'python: "3.10"\n', "3.10"),
        ("Pipfile", '[requires]\npython_version = "3.8"\n', "3.8"),
        ("Pipfile.lock", json.dumps({"_meta": {"requires": {"python_full_version": "3.8.5"}}}), "3.8.5"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "~3.9.1"\n', "3.9"),
        ("poetry.lock", '[metadata]\npython-versions = ">=3.10,<3.11"\n', "3.10"),
        ("pdm.lock", '[metadata]\n[[metadata.targets]]\nrequires_python = "==3.11.*"\n', "3.11"),
        ("pylock.toml", 'requires-python = "==3.12.*"\n', "3.12"),
        ("setup.cfg", "[options]\npython_requires = ~=3.9.0\n", "3.9"),
        ("setup.py", "from setuptools import setup\nsetup(name='x', python_requires='==3.9.*')\n", "3.9"),
        ("Dockerfile", "FROM python:3.9.18-slim\nRUN pip install .\n", "3.9.18"),
        ("Dockerfile", "ARG V=3.8\nFROM node:20 AS web\nFROM --platform=linux/amd64 library/python:${V}-slim\n", "3.8"),
        ("Dockerfile", "FROM python:${V:-3.10}\n", "3.10"),
        ("Dockerfile", "FROM ghcr.io/astral-sh/uv:python3.12-bookworm-slim\n", "3.12"),
    ],
)
def test_a_file_at_the_commit_names_the_python(path: str, text: str, version: str) -> None:
    assert [found for found, _ in declared(path, text)] == [version]
    found = chosen({path: text})
    assert found.minor == ".".join(version.split(".")[:2])
    assert path in found.source
    assert (found.recorded, found.note) == (version, None)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".python-version", "pypy3.9\n"),
        (".python-version", "my-environment\n"),
        ("runtime.txt", "nodejs-3.9\n"),
        ("environment.yml", "dependencies:\n- python\n- python-dateutil=3.9\n"),
        ("environment.yml", "- not: a mapping"),
        ("Pipfile.lock", "[]"),
        ("Pipfile.lock", "{broken"),
        ("setup.py", "def broken(:\n"),
        ("setup.py", "setup(python_requires=VERSION)\n"),
        ("setup.cfg", "no section\n"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "*"\n'),
        ("Dockerfile", "FROM python:3\n"),
        ("Dockerfile", "FROM nvidia/cuda:11.3.1-base\nRUN apt-get install python3.9\n"),
        ("Dockerfile", "FROM python:$VERSION\n"),
    ],
)
def test_what_names_no_python_says_nothing(path: str, text: str) -> None:
    assert declared(path, text) == []


@pytest.mark.parametrize(
    ("bound", "oldest", "newest"),
    [
        ("^3.9", "3.9", "3.14"),
        ("~3.9", "3.9", "3.9"),
        ("3.9.*", "3.9", "3.9"),
        (">=3.8,<3.10", "3.8", "3.9"),
        (">=3.8 <3.10", "3.8", "3.9"),
        ("^3.8 || ^3.11", "3.8", "3.14"),
        (">=3.9.1", "3.9", "3.14"),
    ],
)
def test_bounds_are_read_in_each_notation(bound: str, oldest: str, newest: str) -> None:
    found = admitted(bound)
    assert (found[0], found[-1]) == (oldest, newest)


def test_a_bound_that_only_later_pythons_would_also_meet_names_none() -> None:
    assert not PythonRecord(">=3.14", "x", "bound").names_one
    assert chosen({"pyproject.toml": '[project]\nrequires-python = ">=3.13"\n'}, record=started(2025, 1)).note


@pytest.mark.parametrize(
    ("record", "minor", "alternatives"),
    [
        (started(2021, 3), "3.9", ("3.8", "3.7", "3.6")),
        (started(2020, 10, 5), "3.8", ("3.7", "3.6")),
        (started(2023, 6), "3.11", ("3.10", "3.9", "3.8", "3.7", "3.6")),
    ],
)
def test_without_a_record_it_is_the_newest_that_was_released_when_the_run_started(
    record: RunRecord, minor: str, alternatives: tuple[str, ...]
) -> None:
    found = chosen(record=record)
    assert (found.minor, found.alternatives, found.recorded) == (minor, alternatives, None)
    assert found.note is not None
    assert found.note.startswith(f"Python {minor}: no record names the run's; the newest of {record.start_time:%Y-%m}")


def test_a_run_without_a_start_may_have_had_any_python() -> None:
    found = chosen(record=run(environment_files=(), start_time=None))
    assert (found.minor, found.alternatives[-1]) == ("3.14", "3.6")


def test_all_bounds_hold_at_once_and_are_named() -> None:
    texts = {
        "pyproject.toml": '[project]\nrequires-python = ">=3.9"\n',
        "setup.cfg": "[options]\npython_requires = <3.11\n",
    }
    found = chosen(texts, record=started(2024, 1))
    assert (found.minor, found.alternatives) == ("3.10", ("3.9",))
    assert found.note is not None
    assert ">=3.9 of requires-python of pyproject.toml at the commit and <3.11" in found.note


def test_a_bound_above_all_that_was_released_is_met_by_what_came_next() -> None:
    found = chosen({"pyproject.toml": '[project]\nrequires-python = ">=3.10"\n'}, record=started(2021, 3))
    assert found.minor == "3.10"


@pytest.mark.parametrize("bound", ["nonsense", ">=9", ""])
def test_a_bound_that_admits_nothing_is_passed_over(bound: str) -> None:
    texts = {"pyproject.toml": f'[project]\nname="x"\nrequires-python = "{bound}"'}
    assert chosen(texts, record=started(2024, 1)).minor == "3.12"


def test_what_a_guess_cannot_be_is_passed_over_and_said() -> None:
    why = {"3.12": "no image has it", "3.11": "numpy 1.21.0 has no wheel for it"}
    found = chosen(record=started(2024, 1), passed_over=why)
    assert (found.minor, found.alternatives[:1]) == ("3.10", ("3.9",))
    assert [(item.value, item.reason) for item in found.considered] == list(why.items())
    assert found.note is not None
    assert "not 3.12 (no image has it), 3.11 (numpy 1.21.0 has no wheel for it)" in found.note


def test_where_no_python_fits_the_likeliest_stays() -> None:
    everything = dict.fromkeys(("3.9", "3.8", "3.7", "3.6"), "no wheels")
    assert chosen(record=started(2021, 3), passed_over=everything).minor == "3.9"


WORKFLOW = ".github/workflows/test.yml"


def test_what_tests_run_on_is_a_hint_alone_weaker_than_any_declaration() -> None:
    texts = {WORKFLOW: "steps:\n- uses: actions/setup-python@v4\n  with:\n    python-version: '3.8'\n"}
    found = chosen(texts, record=started(2023, 6))
    assert (found.minor, found.source, found.recorded) == ("3.8", f"{WORKFLOW} at the commit", None)
    assert found.alternatives[0] == "3.11"
    assert found.note is not None
    assert "tests with it" in found.note
    texts["Dockerfile"] = "FROM python:3.10\n"
    assert chosen(texts, record=started(2023, 6)).minor == "3.10"
    assert chosen(texts).considered[-1].reason == "what tests run on, not a record; it does not have 3.10"


@pytest.mark.parametrize("versions", ["['3.8', '3.9']", "3.x", "${{ matrix.python }}", "'3.14'"])
def test_tests_on_several_pythons_or_on_one_that_was_not_there_hint_at_none(versions: str) -> None:
    assert chosen({WORKFLOW: f"python-version: {versions}\n"}, record=started(2023, 6)).minor == "3.11"


def test_files_beside_the_script_count_after_those_of_the_root() -> None:
    texts = {"src/.python-version": "3.10\n"}
    assert chosen(texts).source == "src/.python-version at the commit"
    assert chosen({**texts, ".python-version": "3.11\n"}).minor == "3.11"
    assert chosen({"other/.python-version": "3.10\n"}).recorded is None


def test_conda_files_and_flavors_of_a_logged_model_are_records_of_the_run() -> None:
    files = (TextFile(path="model/conda.yaml", text="dependencies:\n- python=3.8.13\n- pip\n"),)
    assert chosen({".python-version": "3.11"}, record=run(environment_files=files)).recorded == "3.8.13"
    history = json.dumps([{"artifact_path": "model", "flavors": {"python_function": {"python_version": "3.9.7"}}}])
    record = run(environment_files=(), tags={"mlflow.log-model.history": history})
    assert chosen({".python-version": "3.11"}, record=record).recorded == "3.9.7"


def test_of_several_models_the_last_logged_decides() -> None:
    files = tuple(TextFile(path=f"{name}/python_env.yaml", text=f"python: 3.{minor}.1\n") for name, minor in
                  (("a", 8), ("b", 9)))  # fmt: skip
    history = json.dumps([{"artifact_path": "a"}, {"artifact_path": "b"}])
    record = run(environment_files=files, tags={"mlflow.log-model.history": history})
    found = chosen(record=record)
    assert (found.minor, found.source) == ("3.9", "b/python_env.yaml of the run (3.9.1)")
    assert (
        found.note
        == "Python 3.9: by b/python_env.yaml of the run, which comes first; 3.8 by a/python_env.yaml of the run"
    )


def test_declarations_that_disagree_are_reported_and_a_record_of_the_run_settles_it() -> None:
    texts = {".python-version": "3.11\n", "Dockerfile": "FROM python:3.9\n"}
    found = chosen(texts)
    assert (found.minor, found.note) == (
        "3.11",
        "Python 3.11: by .python-version at the commit, which comes first; 3.9 by FROM python:3.9 of Dockerfile at the "
        "commit",
    )
    assert chosen(texts, record=run(environment_files=(), tags={"python_version": "3.9.2"})).note is None


def test_a_recorded_python_comes_before_a_bound_which_is_considered() -> None:
    texts = {"pyproject.toml": '[project]\nrequires-python = ">=3.11"\n'}
    python = chosen(texts, record=run(environment_files=(), tags={"python_version": "3.10.2"}))
    assert (python.minor, python.considered[0].reason) == ("3.10", "a bound, not a record; it does not have 3.10")


def test_the_pythons_in_the_place_of_the_runs_are_what_bounds_admit_the_nearest_of_its_time_first() -> None:
    recorded = started(2025, 3, tags={"python_version": "3.12.3"})
    assert chosen(record=recorded).others[:3] == ("3.11", "3.10", "3.13"), "3.13 was too new for wheels, 3.9 too old"
    lock = {"poetry.lock": '[metadata]\npython-versions = "^3.12"\ncontent-hash = ""\n'}
    assert chosen(lock, record=recorded).others == ("3.13", "3.14")
    late = started(2025, 6, tags={"python_version": "3.12.3"})
    assert chosen(record=late).others[:2] == ("3.11", "3.13")
    assert chosen({"pyproject.toml": '[project]\nrequires-python = "<3.11"'}, record=late).others[0] == "3.10"
    assert "3.12" not in chosen(record=late).others


def test_a_guess_names_others_too() -> None:
    guess = chosen(record=started(2023, 1), passed_over={"3.11": "no image has it"})
    assert (guess.minor, guess.others[0]) == ("3.10", "3.9")
