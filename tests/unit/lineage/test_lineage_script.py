"""Which script of the commit a run names."""

from __future__ import annotations

import shlex

import pytest

from runner.errors import AmbiguousFact, MissingFact
from runner.lineage.script import find_script, likely_scripts, locate_script, source_name, wanted_paths
from tests.support.facts import LATER, run, settings, snapshot


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("train.py", "train.py"),
        ("./src/train.py", "./src/train.py"),
        (r"C:\Users\ann\fraud\src\train.py", "/Users/ann/fraud/src/train.py"),
        ("file:///C:/work/train.py", "/work/train.py"),
        ("file:///srv/train.py", "/srv/train.py"),
        ("train.py --depth 3", "train.py"),
        ("", None),
        ("https://git.example/x.git#train.py", None),
        ("/usr/lib/python3/site-packages/ipykernel_launcher.py", None),
        ("/usr/bin/mlflow", None),
    ],
)
def test_the_recorded_name_is_read_as_a_path_of_any_machine(recorded: str, name: str | None) -> None:
    assert source_name(run(script=recorded)) == name


def test_all_ends_of_a_path_are_wanted_the_longest_first() -> None:
    assert wanted_paths(run(script="/home/ann/../src/train.py")) == (
        "home/ann/src/train.py",
        "ann/src/train.py",
        "src/train.py",
        "train.py",
    )
    assert wanted_paths(run(script=None)) == ()


def test_the_longest_end_that_the_tree_holds_is_the_script() -> None:
    repository = snapshot(files=("train.py", "src/train.py", "ann/other.py"))
    found = locate_script(run(script="/home/ann/fraud/src/train.py"), repository, settings())
    assert (found.path, found.working_directory) == ("src/train.py", ".")


def test_a_script_at_the_root_comes_before_its_namesakes_beneath() -> None:
    found = locate_script(run(script="train.py"), snapshot(files=("train.py", "old/train.py")), settings())
    assert found.path == "train.py"
    assert [item.value for item in found.considered] == ["old/train.py"]


def test_a_name_relative_to_another_directory_gives_the_working_directory() -> None:
    found = locate_script(run(script="jobs/train.py"), snapshot(files=("pkg/jobs/train.py",)), settings())
    assert (found.path, found.working_directory) == ("pkg/jobs/train.py", "pkg")


def test_copies_of_a_script_among_the_artifacts_of_runs_are_not_the_script() -> None:
    files = ("mlruns/0/ab/artifacts/train.py", "src/train.py", "src/mlartifacts/0/cd/artifacts/train.py")
    (found,) = find_script(run(script="train.py"), snapshot(files=files))
    assert found.path == "src/train.py"


def test_equally_good_scripts_are_refused_with_a_command_for_each() -> None:
    record = run(script="train.py")
    with pytest.raises(AmbiguousFact) as caught:
        locate_script(record, snapshot(files=("a/train.py", "b/train.py")), settings())
    assert caught.value.nearest == ("--command 'cd a && python train.py'", "--command 'cd b && python train.py'")
    assert caught.value.remedy.endswith(caught.value.nearest[0])


def test_a_script_that_the_commit_lacks_is_missing_and_the_first_commit_that_has_it_is_named() -> None:
    repository = snapshot(files=("train.py",), first_commit_with={"jobs/train.py": LATER})
    with pytest.raises(MissingFact) as caught:
        locate_script(run(script="/home/ann/jobs/train.py"), repository, settings())
    assert caught.value.fact == "script"
    assert LATER[:12] in caught.value.cause
    assert caught.value.remedy.endswith(f"--commit {LATER}")


def test_an_empty_script_is_as_good_as_absent() -> None:
    repository = snapshot({"train.py": "# to be written\n\n"}, first_commit_with={"train.py": LATER})
    with pytest.raises(MissingFact) as caught:
        locate_script(run(), repository, settings())
    assert "train.py is empty in commit" in caught.value.cause
    assert f"--commit {LATER}" in caught.value.remedy
    assert find_script(run(), snapshot({"train.py": "pass\n"}))


def test_a_script_that_only_a_folder_of_another_commit_has_is_named_with_that_commit() -> None:
    others = {"a/b/train.py": "0" * 40, "mlartifacts/0/train.py": "0" * 40}
    repository = snapshot(files=("util.py",), first_commit_with={**others, "src/train.py": LATER})
    with pytest.raises(MissingFact, match=r"the script src/train\.py is not in commit") as caught:
        locate_script(run(script=".\\train.py"), repository, settings())
    assert caught.value.remedy.endswith(f"--commit {LATER}")


def test_a_script_of_no_commit_is_missing_with_candidates_to_paste() -> None:
    with pytest.raises(MissingFact) as caught:
        locate_script(run(script="gone.py"), snapshot(files=("src/train_rf.py", "util.py")), settings())
    assert caught.value.fact == "script"
    assert caught.value.nearest == ("--command 'python src/train_rf.py'",)


@pytest.mark.parametrize("recorded", ["", "/x/ipykernel_launcher.py"])
def test_a_run_without_script_is_missing_its_command(recorded: str) -> None:
    with pytest.raises(MissingFact) as caught:
        locate_script(run(script=recorded), snapshot(files=("train.py",)), settings())
    assert caught.value.fact == "command"
    assert "--command 'python train.py ARGUMENTS'" in caught.value.remedy


def test_likely_scripts_are_few_and_the_nearest_first() -> None:
    files = tuple(f"d{number}/train_{number}.py" for number in range(9))
    assert likely_scripts(snapshot(files=(*files, "train.py", "train.txt")))[0] == "train.py"
    assert len(likely_scripts(snapshot(files=files))) == 5


def test_scripts_of_any_name_can_be_pasted() -> None:
    with pytest.raises(MissingFact) as caught:
        locate_script(run(script="gone.py"), snapshot(files=("it's a train.py",)), settings(repo="/srv/my repo"))
    words = shlex.split(caught.value.remedy)
    assert shlex.split(words[words.index("--command") + 1]) == ["python", "it's a train.py", "ARGUMENTS"]
    assert words[words.index("--repo") + 1] == "/srv/my repo"


def test_a_source_that_the_script_overwrote_shows_in_the_models_that_it_logged() -> None:
    repository = snapshot(files=("src/train.py", "pkg/train.py"))
    found = locate_script(
        run(script="nightly", model_sources=("/home/ann/fraud/src/train.py",)), repository, settings()
    )
    assert (found.path, found.source) == ("src/train.py", "tag mlflow.source.name of a model that the run logged")
    assert found.name == "/home/ann/fraud/src/train.py"


def test_a_run_and_a_model_that_name_two_scripts_of_the_commit_are_refused_with_both() -> None:
    record = run(script="a.py", model_sources=("/home/ann/fraud/b.py",))
    with pytest.raises(AmbiguousFact) as caught:
        locate_script(record, snapshot(files=("a.py", "b.py")), settings())
    assert caught.value.nearest == ("--command 'cd . && python a.py'", "--command 'cd . && python b.py'")
    # A name that no file of the commit has is no second script.
    assert locate_script(record, snapshot(files=("b.py",)), settings()).path == "b.py"


def test_the_main_module_of_a_package_is_found_by_its_package_alone() -> None:
    record = run(script="/home/ann/fraud/pkg/__main__.py")
    (found,) = find_script(record, snapshot(files=("pkg/__main__.py", "tool/__main__.py")))
    assert found.path == "pkg/__main__.py"
    assert find_script(record, snapshot(files=("tool/__main__.py",))) == ()
    assert source_name(run(script="/venv/lib/python3.11/site-packages/papermill/__main__.py")) is None


def test_tests_and_installed_packages_are_no_likely_trainings() -> None:
    files = ("tests/train.py", "src/test_train.py", ".venv/lib/site-packages/x/train.py", "src/model_train_v2.py")
    assert likely_scripts(snapshot(files=files)) == ["src/model_train_v2.py"]


def test_the_folder_of_an_mlflow_project_is_wanted() -> None:
    tags = {"mlflow.project.entryPoint": "main", "mlflow.source.name": r"file://C:\x\mlflow#\wine\red"}
    assert wanted_paths(run(tags=tags)) == ("wine/red",)
    assert wanted_paths(run(script="file:///x#wine")) == ()
