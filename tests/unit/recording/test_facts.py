"""All that is recorded before a training starts, and what an audit would miss."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from reproducibility_runner.recording import environment, facts
from runner.lineage.digests import recorded_digests
from tests.support.facts import run, settings
from tests.support.recording import DATA, Author
from tests.support.repositories import md5, pointer_text


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Author:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return Author(tmp_path / "author")


def gather(author: Author, **options: object) -> facts.Facts:
    return facts.gather(str(author.folder / "src"), ["python", "train.py"], **options)  # type: ignore[arg-type]


def test_a_project_in_order_has_no_problem_and_each_tag(author: Author) -> None:
    found = gather(author, image="registry.example/train@sha256:" + "a" * 64)
    facts.check_data_is_kept(found, os.environ)
    assert [problem.text for problem in found.problems] == []
    assert found.tags == {
        "git_commit": author.commit,
        "git_repo_url": str(author.origin.path),
        "git_dirty": "false",
        "git_unpushed": "false",
        "dvc_data_md5": author.data.digest.dvc,
        "runner.data_md5": json.dumps({"data/train.csv": author.data.digest.dvc}),
        "runner.command": "python train.py",
        "runner.working_directory": "src",
        "runner.image": "registry.example/train@sha256:" + "a" * 64,
    }


def test_what_is_recorded_of_several_files_is_read_back_with_their_paths(author: Author) -> None:
    more = author.store.put(b"more")
    author.repository.commit({"data/more.csv.dvc": pointer_text("more.csv", more)}, "More")
    (author.folder / "data" / "more.csv").write_bytes(b"more")
    tags = gather(author).tags
    assert "runner.data_md5" not in tags
    read, notes = recorded_digests(run(tags=tags), settings())
    assert {(entry.path, entry.digest.dvc, entry.role) for entry in read} == {
        ("data/train.csv", author.data.digest.dvc, "input"),
        ("data/more.csv", more.digest.dvc, "input"),
    }
    assert notes == ()


def test_a_single_digest_is_read_back_with_the_path_beside_it(author: Author) -> None:
    read, _ = recorded_digests(run(tags=gather(author).tags), settings())
    assert {(entry.path, entry.digest.dvc) for entry in read} == {("data/train.csv", md5(DATA).dvc)}


def test_bytes_that_are_not_the_pointers_are_a_problem_and_recorded_as_they_are(author: Author) -> None:
    (author.folder / "data" / "train.csv").write_bytes(b"others")
    found = gather(author)
    assert [problem.text for problem in found.problems] == ["data/train.csv is not what data/train.csv.dvc names"]
    assert found.tags["dvc_data_md5"] == md5(b"others").dvc


def test_data_that_is_absent_keeps_its_pointers_digest_and_a_note(author: Author) -> None:
    (author.folder / "data" / "train.csv").unlink()
    found = gather(author)
    assert [problem.note for problem in found.problems] == [True]
    assert "dvc_data_md5" not in found.tags


def test_a_model_that_will_be_written_is_no_data(author: Author) -> None:
    assert "dvc_data_md5" not in gather(author, models=["../data/train.csv"]).tags


def test_so_many_files_that_a_tag_would_be_cut_are_left_to_the_commit() -> None:
    many = {f"data/{number:04}.csv": "a" * 32 for number in range(200)}
    assert facts.digest_tags(many, facts.DATA_TAG) == {}


def test_without_a_repository_the_command_is_recorded_all_the_same(tmp_path: Path) -> None:
    found = facts.gather(str(tmp_path), ["python", "train.py"])
    assert found.tags == {"runner.command": "python train.py"}
    assert "nothing is recorded of the code" in found.problems[0].text


def test_a_script_of_another_repository_than_the_folders_is_the_code(author: Author, tmp_path: Path) -> None:
    main = str(author.folder / "src" / "train.py")
    found = facts.gather(str(tmp_path), ["python", main], main=main)
    assert found.tags["git_commit"] == author.commit
    assert "runner.working_directory" not in found.tags


def test_the_packages_digest_is_of_names_and_versions_alone(tmp_path: Path) -> None:
    for name in (
        "NumPy-1.26.0.dist-info",
        "scikit_learn-1.4.0.dist-info",
        "pip-24.0.dist-info",
        "old-1.0-py3.9.egg-info",
    ):
        (tmp_path / name).mkdir()
    found = environment.packages_of([str(tmp_path), str(tmp_path / "absent")])
    assert found == {"numpy": "1.26.0", "scikit-learn": "1.4.0", "pip": "24.0", "old": "1.0"}
    site = tmp_path / "lib" / "site-packages"
    for name in ("a-1.dist-info", "setuptools/_vendor/more-2.dist-info"):
        (site / name).mkdir(parents=True)
    assert environment.packages_of([str(site), str(site / "setuptools" / "_vendor")]) == {"a": "1"}
    same = {"scikit-learn": "1.4.0", "Old": "1.0", "numpy": "1.26.0", "reproducibility_runner": "9"}
    assert environment.packages_digest(found) == environment.packages_digest(same)
    assert environment.packages_digest(found) != environment.packages_digest({**same, "numpy": "1.26.1"})


def test_python_and_packages_are_those_that_run() -> None:
    tags = facts.python_tags()
    assert tags["runner.python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert tags["runner.environment"].startswith("sha256:")
