"""What is recorded of the code: real repositories in each state that a training may meet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reproducibility_runner.recording.git_state import NoState, read_git_state, without_credentials
from tests.support.repositories import Repository


@pytest.fixture(autouse=True)
def nobodys_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "project")
    repository.commit({"train.py": "1\n", "src/deep.py": "1\n", ".gitignore": "out/\n"}, "Train")
    return repository


def test_no_repository_no_commit_and_no_git_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoState, match="in no git repository"):
        read_git_state(str(tmp_path))
    empty = Repository(tmp_path / "empty")
    with pytest.raises(NoState, match="no commit yet"):
        read_git_state(str(empty.path))
    with pytest.raises(NoState, match="in a work tree"):
        read_git_state(str(empty.path / ".git"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoState, match="git is not installed"):
        read_git_state(str(tmp_path))


def test_a_clean_tree_without_a_remote(repository: Repository) -> None:
    state = read_git_state(str(repository.path / "src"))
    assert (state.root, state.commit) == (str(repository.path), repository.head)
    assert state.tags == {"git_commit": repository.head, "git_dirty": "false"}
    assert state.pushed is None


@pytest.mark.parametrize("staged", [False, True])
def test_a_change_is_dirty_staged_or_not_and_so_is_a_rename(repository: Repository, staged: bool) -> None:
    (repository.path / "src" / "deep.py").rename(repository.path / "src" / "a b.py")
    if staged:
        repository.git("add", "-A")
    assert read_git_state(str(repository.path)).tags["git_dirty"] == "true"
    assert "src/deep.py" in read_git_state(str(repository.path)).changed


def test_sources_that_no_commit_holds_make_the_tree_neither_dirty_nor_clean(repository: Repository) -> None:
    (repository.path / "scratch.py").write_text("")
    (repository.path / "notes.txt").write_text("")
    (repository.path / "helper").mkdir()
    (repository.path / "helper" / "x.py").write_text("")
    (repository.path / "venv").mkdir()
    (repository.path / "venv" / "pyvenv.cfg").write_text("")
    (repository.path / "venv" / "x.py").write_text("")
    state = read_git_state(str(repository.path))
    assert state.untracked == ["helper/", "scratch.py"]
    assert "git_dirty" not in state.tags
    assert state.tags["git_untracked"] == "helper/, scratch.py"


def test_pointers_alone_do_not_make_code_dirty_and_new_ones_are_found(repository: Repository) -> None:
    repository.commit({"a.dvc": "outs: []\n", "sub/dvc.lock": "{}\n"}, "Data")
    (repository.path / "a.dvc").write_text("outs: [ ]\n")
    (repository.path / "b.dvc").write_text("outs: []\n")
    state = read_git_state(str(repository.path))
    assert state.tags["git_dirty"] == "false"
    assert state.pointers_changed == ["a.dvc", "b.dvc"]
    assert state.pointers == ["a.dvc", "b.dvc", "sub/dvc.lock"]


def test_a_commit_is_unpushed_until_a_remote_has_it_also_with_a_detached_head(
    repository: Repository, tmp_path: Path
) -> None:
    origin = Repository(tmp_path / "origin.git", bare=True)
    repository.git("remote", "add", "origin", f"file://{origin.path}")
    assert read_git_state(str(repository.path)).tags["git_unpushed"] == "true"
    repository.git("push", "-q", "origin", "main")
    repository.git("checkout", "-q", "--detach")
    state = read_git_state(str(repository.path))
    assert state.tags["git_unpushed"] == "false"
    assert state.url == f"file://{origin.path}"
    repository.commit({"train.py": "2\n"}, "More")
    assert read_git_state(str(repository.path)).tags["git_unpushed"] == "true"


def test_a_shallow_clone_of_a_pushed_commit_is_pushed(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"train.py": "2\n"}, "More")
    clone = repository.clone(tmp_path / "clone", "--depth", "1")
    assert read_git_state(str(clone.path)).tags["git_unpushed"] == "false"


def test_the_upstreams_remote_is_recorded_before_origin(repository: Repository, tmp_path: Path) -> None:
    fork = Repository(tmp_path / "fork.git", bare=True)
    repository.git("remote", "add", "origin", "https://host.example/theirs.git")
    repository.git("remote", "add", "mine", str(fork.path))
    assert read_git_state(str(repository.path)).url == "https://host.example/theirs.git"
    repository.git("push", "-q", "-u", "mine", "main")
    assert read_git_state(str(repository.path)).url == str(fork.path)


def test_nothing_of_the_repository_is_written_not_even_the_index(repository: Repository) -> None:
    os.utime(repository.path / "train.py", (1_000_000_000, 1_000_000_000))  # git would refresh its index
    before = (repository.path / ".git" / "index").read_bytes()
    read_git_state(str(repository.path))
    assert (repository.path / ".git" / "index").read_bytes() == before


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        ("https://ann:t0ken@host.example/p.git", "https://host.example/p.git"),
        ("https://t0ken@host.example/p.git", "https://host.example/p.git"),
        ("https://host.example/p.git?private_token=t0ken", "https://host.example/p.git"),
        ("https://ann:p@ss/w@host.example/p.git", "https://host.example/p.git"),
        ("ssh://git@host.example/p.git", "ssh://git@host.example/p.git"),
        ("ssh://ann:t0ken@host.example/p.git", "ssh://host.example/p.git"),
        ("git@host.example:p.git", "git@host.example:p.git"),
    ],
)
def test_no_credentials_of_an_address_are_recorded(url: str, recorded: str) -> None:
    assert without_credentials(url) == recorded
