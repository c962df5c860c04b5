"""Which of several lists of packages counts, and what is said of the others."""

from __future__ import annotations

import pytest

from runner.errors import MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.environment import specify_environment
from runner.plan.lists.conda import find_conda, read_conda
from runner.plan.python import PythonChoice
from runner.plan.wanted import unread_modules, unread_texts
from runner.schema.lineage import Considered
from runner.schema.plan import OF_IMAGE, EnvironmentSpec
from runner.schema.run_record import RunRecord, TextFile
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings
from tests.support.facts import run, settings, snapshot
from tests.support.values import START

CONDA = """
name: fraud
channels: [conda-forge, defaults]
dependencies:
  - python=3.9
  - numpy=1.26.4=py39h474f0d3_0
  - pytorch=2.1
  - cudatoolkit=11.3
  - r-base=4.1
  - pip
  - pip:
      - mlflow==2.9.2
      - -r extra.txt
"""
EXPORTED = """
name: fraud
dependencies:
  - _libgcc_mutex=0.1=main
  - python=3.9.18=h955ad1f_0
  - numpy=1.26.4=py39h474f0d3_0
  - pip=23.3=py39h06a4308_0
  - pip:
      - mlflow==2.9.2
prefix: /home/ann/miniconda3/envs/fraud
"""
SETUP = "from setuptools import setup, find_packages\nsetup(install_requires=['mlflow', 'numpy'], packages=['x'])\n"
PROJECT = '[project]\nname = "x"\ndependencies = ["mlflow", "numpy"]\n'
RECORDED = (TextFile(path="model/requirements.txt", text="mlflow==2.9.2\nnumpy==1.26.4\n"),)


def chosen(
    texts: dict[str, str],
    given: Settings | None = None,
    *,
    record: RunRecord | None = None,
    repository: RepositorySnapshot | None = None,
    script: str = "train.py",
) -> tuple[EnvironmentSpec, PythonChoice, tuple[Considered, ...]]:
    given = given or settings()
    repository = repository or snapshot(texts)
    record = record or run(environment_files=())
    return specify_environment(record, repository, given, commit_facts(repository, given), script)


def test_the_part_of_condas_environment_that_the_index_has_is_asked_for_and_the_rest_named() -> None:
    spec, python, _ = chosen({"environment.yml": CONDA, "extra.txt": "tqdm\n"})
    assert (spec.kind, spec.main, spec.exact, spec.as_of) == ("conda", "environment.yml", False, START)
    assert spec.lines == ("numpy==1.26.4", "torch==2.1.*", "mlflow==2.9.2", "-r extra.txt")
    assert set(spec.files) == {"environment.yml", "extra.txt"}
    assert spec.source == "environment.yml at the commit (not pinned)"
    assert (python.minor, python.source) == ("3.9", "environment.yml at the commit")
    said = "\n".join(spec.notes)
    assert "other builds" in said
    assert "lists what no index of Python packages has: r-base" in said
    assert "those that the packages bring along: cudatoolkit" in said


def test_an_exported_environment_is_exact_and_what_it_does_not_list_is_as_of_the_start() -> None:
    spec, python, _ = chosen({"environment.yml": EXPORTED, "requirements.txt": "mlflow\nnumpy\n"})
    assert (spec.kind, spec.exact, spec.as_of, python.minor) == ("conda", True, START, "3.9")
    assert any("packages that environment.yml does not list" in note for note in spec.notes)
    assert any("bring along: _libgcc_mutex" in note for note in spec.notes)


def test_an_mlflow_project_names_its_environment() -> None:
    texts = {
        "MLproject": "name: x\nconda_env: envs/train.yaml\n",
        "envs/train.yaml": "dependencies:\n- mlflow=2.9.2\n",
        "environment.yml": "dependencies:\n- numpy\n",
    }
    assert chosen(texts)[0].main == "envs/train.yaml"
    unread = snapshot(
        {key: text for key, text in texts.items() if key != "envs/train.yaml"}, files=("envs/train.yaml",)
    )
    assert "envs/train.yaml" in unread_texts(run(), unread, settings())
    texts = {"MLproject": "python_env: python_env.yaml\n", "requirements.txt": "mlflow==2.9.2\n"}
    texts["python_env.yaml"] = "python: '3.9.18'\nbuild_dependencies: [pip]\ndependencies:\n  - -r requirements.txt\n"
    spec, python, _ = chosen({**texts, "requirements.txt": "mlflow\n"})
    assert (spec.main, python.minor) == ("requirements.txt", "3.9")


@pytest.mark.parametrize(
    ("tags", "main"), [({}, "requirements.txt"), ({"mlflow.project.entryPoint": "main"}, "src/python_env.yaml")]
)
def test_a_projects_environment_counts_before_other_lists_for_runs_that_the_project_made_and_after_them_for_others(
    tags: dict[str, str], main: str
) -> None:
    texts = {
        "src/MLproject": "python_env: python_env.yaml\n",
        "src/python_env.yaml": "python: '3.9'\ndependencies:\n  - scikit-learn==1.2.0\n  - mlflow==2.9.2\n",
        "requirements.txt": "mlflow\nscikit-learn\n",
    }
    record = run(environment_files=(), tags={**run().tags, **tags})
    assert chosen(texts, record=record, script="src/train.py")[0].main == main


def test_of_several_environments_of_other_names_none_is_taken() -> None:
    one = {"environment-linux.yml": "dependencies:\n- numpy\n"}
    assert [found.main for found in find_conda(snapshot(one), ".")] == ["environment-linux.yml"]
    assert find_conda(snapshot({**one, "environment-mac.yml": "dependencies:\n- numpy\n"}), ".") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- numpy\n",
        "dependencies: numpy\n",
        "dependencies:\n- [a]\n- {pip: x}\n- '{{ x }}'\n",
        "a: b: c",
        "[" * 5000,
    ],
)
def test_what_is_no_environment_lists_nothing(text: str) -> None:
    assert read_conda(snapshot({"environment.yml": text}), "environment.yml") == []


def test_bounds_that_only_conda_has_are_said_and_make_nothing_exact() -> None:
    (found,) = read_conda(snapshot({"conda.yaml": "dependencies:\n- numpy=1.2|1.3\n- mlflow==2.9.2\n"}), "conda.yaml")
    assert (found.lines, found.exact) == (("numpy", "mlflow==2.9.2"), False)
    assert any("numpy=1.2|1.3" in note for note in found.notes)


def test_the_most_exact_list_wins_and_where_others_disagree_is_said() -> None:
    texts = {"requirements.txt": "mlflow\nnumpy<1.20\n", "environment.yml": EXPORTED, "setup.py": SETUP}
    spec, _, considered = chosen(texts)
    assert spec.main == "environment.yml"
    said = [note for note in spec.notes if "disagree" in note]
    assert said == [
        "environment: environment.yml and requirements.txt disagree, environment.yml is followed: "
        "numpy 1.26.4, not <1.20"
    ]
    reasons = {item.value: item.reason for item in considered}
    assert reasons["requirements.txt"] == said[0].removeprefix("environment: ")
    assert reasons["setup.py"] == "environment.yml at the commit comes first"


@pytest.mark.parametrize("lacking", ["numpy==1.26.4\nflask==3.0.0\n", "flask\n"])
def test_a_list_without_the_tracker_comes_after_one_with_it(lacking: str) -> None:
    """What recorded the run was in its environment: a list that lacks it is of something else, however exact."""
    spec, _, considered = chosen({"requirements.txt": lacking, "environment.yml": "dependencies:\n- mlflow\n- numpy\n"})
    assert spec.main == "environment.yml"
    assert [item.value for item in considered] == ["requirements.txt"]
    assert chosen({"requirements.txt": lacking, "environment.yml": "dependencies:\n- numpy\n"})[0].main == (
        "requirements.txt"
    )


def test_lists_that_leave_versions_open_come_in_the_order_in_which_people_use_them() -> None:
    texts = {
        "requirements.txt": "mlflow\n",
        "environment.yml": "dependencies:\n- mlflow\n",
        "pyproject.toml": PROJECT,
        "setup.py": SETUP,
    }
    order = []
    while texts:
        spec, _, considered = chosen(texts)
        order.append(spec.main)
        # A folder's setup.py is its project's other file, and counts where pyproject.toml lists nothing.
        assert {item.value for item in considered} == texts.keys() - {spec.main} - (
            {"setup.py"} if "pyproject.toml" in texts else set()
        )
        del texts[spec.main or ""]
    assert order == ["requirements.txt", "environment.yml", "pyproject.toml", "setup.py"]


def test_what_the_tracker_recorded_holds_where_a_list_leaves_it_open() -> None:
    record = run(environment_files=RECORDED)
    for texts in ({"setup.py": SETUP}, {"environment.yml": "dependencies:\n- mlflow\n"}, {"pyproject.toml": PROJECT}):
        spec, _, _ = chosen(texts, record=record)
        assert spec.constraints == ("mlflow==2.9.2", "numpy==1.26.4")
        assert spec.constraints_source == "model/requirements.txt of the run"


def test_what_is_imported_beyond_the_recorded_packages_is_added_and_said_to_be() -> None:
    """The list of a model is often that of the model alone, and its training draws pictures too."""
    record = run(environment_files=RECORDED)
    spec, _, _ = chosen({"train.py": "import mlflow, numpy, seaborn\n"}, record=record)
    assert spec.source == "model/requirements.txt of the run and imports of train.py (inferred)"
    assert (spec.lines, spec.exact) == (("mlflow==2.9.2", "numpy==1.26.4", "seaborn"), False)
    assert any("what was recorded lacks them: seaborn" in note for note in spec.notes)
    spec, _, _ = chosen({"train.py": "import mlflow, numpy\n"}, record=record)
    assert (spec.source, spec.lines, spec.exact) == ("model/requirements.txt of the run", (), True)


def test_of_distributions_with_the_same_modules_one_is_enough() -> None:
    text = "mlflow-skinny==2.9.2\nopencv-python==4.8.0.76\n"
    record = run(environment_files=(TextFile(path="model/requirements.txt", text=text),))
    spec, _, _ = chosen({"train.py": "import mlflow, cv2\n"}, record=record)
    assert spec.source == "model/requirements.txt of the run"


def test_without_any_list_the_imports_stand_in_and_say_so() -> None:
    spec, _, _ = chosen({"train.py": "import mlflow, sklearn\n"})
    assert (spec.kind, spec.lines, spec.exact, spec.as_of) == ("imports", ("mlflow", "scikit-learn"), False, START)
    assert "inferred" in spec.source
    assert any("inferred from imports" in note for note in spec.notes)


def test_imports_without_a_start_have_no_date_and_are_no_list() -> None:
    record = run(environment_files=(), start_time=None)
    with pytest.raises(MissingFact, match="records no start"):
        chosen({"train.py": "import mlflow\n"}, record=record)


def test_packages_given_beside_imports_are_added_to_them() -> None:
    spec, _, _ = chosen({"train.py": "import mlflow\n"}, settings(with_packages=("lightgbm==4.0",)))
    assert (spec.kind, spec.lines, spec.overrides) == ("imports", ("mlflow",), ("lightgbm==4.0",))


def test_dynamic_dependencies_are_read_where_setuptools_takes_them_from_a_file() -> None:
    text = '[project]\nname = "x"\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\n'
    text += 'dependencies = { file = ["reqs/base.txt"] }\n'
    spec, _, _ = chosen({"pyproject.toml": text, "reqs/base.txt": "mlflow==2.9.2\n"})
    assert (spec.kind, spec.lines, spec.exact) == ("pyproject", ("-r reqs/base.txt",), True)
    assert set(spec.files) == {"pyproject.toml", "reqs/base.txt"}
    repository = snapshot({"pyproject.toml": text}, files=("reqs/base.txt",))
    assert "reqs/base.txt" in unread_texts(run(), repository, settings())


def test_a_projects_python_is_honoured() -> None:
    poetry = '[tool.poetry.dependencies]\npython = "~3.9"\nmlflow = "*"\n'
    assert chosen({"pyproject.toml": poetry})[1].minor == "3.9"
    cfg = "[options]\npython_requires = ==3.9.*\ninstall_requires = mlflow\n"
    spec, python, _ = chosen({"setup.cfg": cfg})
    assert (spec.main, python.minor, python.source) == (
        "setup.cfg",
        "3.9",
        "python_requires of setup.cfg at the commit (==3.9.*)",
    )


@pytest.mark.parametrize("name", ["envs/gpu.yml", "a/setup.py", "a/pyproject.toml"])
def test_configuration_may_name_any_of_them(name: str) -> None:
    texts = {"envs/gpu.yml": CONDA, "a/setup.py": SETUP, "a/pyproject.toml": PROJECT, "requirements.txt": "numpy==1\n"}
    assert chosen(texts, settings(yaml=f"environment: {name}"))[0].main == name


def test_own_modules_are_asked_for_whatever_lists_the_packages_until_their_text_is_there() -> None:
    texts = {"train.py": "import mlflow\nimport helper\n"}
    repository = snapshot(texts, files=("helper.py",))
    assert unread_modules(run(environment_files=()), repository, settings()) == ("helper.py",)
    assert unread_modules(run(environment_files=RECORDED), repository, settings()) == ("helper.py",)
    listed = snapshot({**texts, "requirements.txt": "mlflow\n"}, files=("helper.py",))
    assert unread_modules(run(environment_files=()), listed, settings()) == ("helper.py",)
    assert unread_modules(run(environment_files=()), repository.with_texts({"helper.py": ""}), settings()) == ()


IMAGE = {"mlflow.docker.image.uri": "acme/train:9f3c2e1", "mlflow.docker.image.id": "sha256:" + "5" * 64}


def test_a_run_in_an_image_has_the_images_python_and_packages_whatever_the_commit_lists() -> None:
    record = run(environment_files=(), tags=IMAGE)
    spec, python, considered = chosen({"requirements.txt": "mlflow==2.9.2\n"}, record=record)
    assert (spec.kind, spec.exact, spec.as_of, spec.files, spec.lines) == ("image", True, None, {}, ())
    assert spec.source == "tag mlflow.docker.image.uri (acme/train:9f3c2e1)"
    assert (spec.python, python.source, spec.tools_python) == (OF_IMAGE, "the image's own", "3.11")
    assert [item.value for item in considered] == ["requirements.txt"]
    by_name = run(environment_files=(), tags={"mlflow.docker.image.uri": "acme/train:9f3c2e1"})
    spec, _, _ = chosen({}, record=by_name)
    assert not spec.exact
    assert any("by its name, not by digest" in note for note in spec.notes)


def test_a_recorded_python_must_be_the_images() -> None:
    record = run(environment_files=(TextFile(path="m/python_env.yaml", text="python: 3.8.10\n"),), tags=IMAGE)
    spec, _, _ = chosen({}, record=record)
    assert (spec.python, spec.tools_python) == ("3.8", "3.11")


@pytest.mark.parametrize(
    "given",
    [
        settings(base_image="python:3.9-slim"),
        settings(yaml="environment: requirements.txt"),
    ],
)
def test_the_auditor_may_have_packages_installed_in_the_images_place(given: Settings) -> None:
    record = run(environment_files=(), tags=IMAGE)
    spec, _, considered = chosen({"requirements.txt": "mlflow==2.9.2\n"}, given, record=record)
    assert (spec.kind, spec.image) == ("requirements", None)
    assert any("acme/train:9f3c2e1" in note and "is not used" in note for note in spec.notes)
    assert considered[0].value == "acme/train:9f3c2e1"


@pytest.mark.parametrize(
    ("given", "option"),
    [(settings(with_packages=("numpy==1",)), "--with"), (settings(system_packages=("libgomp1",)), "--system-packages")],
)
def test_in_an_image_no_package_can_be_replaced_or_added(given: Settings, option: str) -> None:
    record = run(environment_files=(), tags=IMAGE)
    with pytest.raises(MissingFact, match=f"{option} changes nothing") as caught:
        chosen({}, given, record=record)
    assert "--base-image" in caught.value.remedy


def test_the_commits_list_and_the_auditors_image_have_the_last_word_over_the_record() -> None:
    record = run(environment_files=(), tags=IMAGE)
    texts = {"requirements.txt": "mlflow==2.9.2\n", "runner.yaml": "environment: requirements.txt"}
    assert chosen(texts, record=record)[0].kind == "requirements"
    spec, _, _ = chosen(texts, settings(yaml="image: acme/mine:1"), record=record)
    assert spec.source == "image in runner.yaml (acme/mine:1)"
