"""A snapshot tells what lineage needs, from any commit, over all of history."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from runner.errors import MissingFact
from runner.repository.history import LONGEST_TEXT, read_snapshot
from runner.repository.mirror import open_mirror
from runner.schema.snapshot import HistoricPointer, RepositorySnapshot
from tests.support.repositories import (
    FIRST_DATE,
    Repository,
    Store,
    dvc_config,
    lock_text,
    md5,
    pointer_text,
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "project")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def snapshot_of(repository: Repository, commit: str, *paths: str) -> RepositorySnapshot:
    mirror = open_mirror(str(repository.path), repository.path.parent / "cache", commit=commit)
    return read_snapshot(mirror, commit, wanted_paths=paths, wanted_texts=paths)


def entry(snapshot: RepositorySnapshot, content: bytes, path: str) -> HistoricPointer:
    (found,) = [item for item in snapshot.history if item.digest == md5(content) and item.path == path]
    return found


def test_the_tree_tells_files_links_and_submodules_with_their_sizes(repository: Repository) -> None:
    repository.commit({"a b/ü.py": "12345", "run.sh": "x"})
    (repository.path / "run.sh").chmod(0o755)
    (repository.path / "link").symlink_to("run.sh")
    head = repository.head
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{head},module")
    snapshot = snapshot_of(repository, repository.commit({}))
    assert {e.path: (e.kind, e.size_bytes, e.executable) for e in snapshot.tree}["module"] == ("submodule", None, False)
    repository.git("add", "-A")
    snapshot = snapshot_of(repository, repository.commit({}))
    found = {e.path: (e.kind, e.size_bytes, e.executable) for e in snapshot.tree}
    assert found["a b/ü.py"] == ("file", 5, False)
    assert found["run.sh"] == ("file", 1, True)
    assert found["link"] == ("symlink", 6, False)
    assert snapshot.has("run.sh")
    assert snapshot.commit_time == datetime.fromtimestamp(FIRST_DATE + 2 * 3600, timezone.utc)


def test_texts_are_those_that_plan_reads_and_those_asked_for(repository: Repository) -> None:
    commit = repository.commit(
        {
            "requirements-dev.txt": "numpy\n",
            "sub/pyproject.toml": "[project]\n",
            "Dockerfile": "FROM x\n",
            "sub/Dockerfile": "FROM y\n",
            ".github/workflows/test.yml": "on: push\n",
            ".github/CODEOWNERS": "x",
            "src/train.py": "print('é')\n".encode("latin-1"),
            "src/other.py": "x",
            "requirements.txt": "numpy==1\n".encode("utf-16"),
            "setup.cfg": "\ufeff[metadata]\n",
            "big.in": b"x" * (LONGEST_TEXT + 1),
        }
    )
    snapshot = snapshot_of(repository, commit, "./src/train.py", "no/such.py")
    assert snapshot.texts == {
        "requirements-dev.txt": "numpy\n",
        "sub/pyproject.toml": "[project]\n",
        "Dockerfile": "FROM x\n",
        "sub/Dockerfile": "FROM y\n",
        ".github/workflows/test.yml": "on: push\n",
        "src/train.py": "print('é')\n",
        "requirements.txt": "numpy==1\n",
        "setup.cfg": "[metadata]\n",
    }


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_lists_are_read_in_the_encodings_that_windows_writes(repository: Repository, codec: str) -> None:
    """With a byte order mark and without one, which git and much else take for no text at all."""
    content = "numpy==1.26.4\r\n# für später\r\nmlflow==2.22.0\r\n"
    commit = repository.commit({"requirements.txt": content.encode(codec)})
    assert snapshot_of(repository, commit).texts["requirements.txt"] == content


def test_a_file_with_zeros_in_it_is_not_taken_for_utf_16(repository: Repository) -> None:
    commit = repository.commit({"src/a.py": b"a\0\0b" * 9, "src/b.py": b"abc\0" * 9})
    texts = snapshot_of(repository, commit, "src/a.py", "src/b.py").texts
    assert texts == {"src/a.py": "a\0\0b" * 9, "src/b.py": "abc\0" * 9}


def test_a_long_lock_is_read_as_large_projects_have_them(repository: Repository) -> None:
    lock = "# a lock\n" * 200_000
    assert len(lock) > LONGEST_TEXT
    names = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml")
    commit = repository.commit(dict.fromkeys(names, lock))
    assert set(snapshot_of(repository, commit).texts) == set(names)


def test_pointers_and_locks_at_the_commit_are_read(repository: Repository, store: Store) -> None:
    data, images = store.put(b"data"), store.put_directory({"a.png": b"a", "sub/b.png": b"b"})
    commit = repository.commit(
        {
            "data/all.dvc": pointer_text("all", data, images),
            "code/dvc.lock": lock_text({"train": {"model": data}}),
            "code/dvc.yaml": "stages:\n  train:\n    wdir: ..\n    cmd: x\n",
        }
    )
    model, first, second = snapshot_of(repository, commit).pointers
    assert (model.path, model.stage, model.digest) == ("model", "train", md5(b"data"))
    assert (first.path, first.size_bytes) == ("data/all", 4)
    assert (second.path, second.index, second.file_count) == ("data/all.1", 1, 2)
    assert second.digest is not None
    assert second.digest.directory


def test_what_cannot_be_read_is_a_problem_with_its_reason_and_hides_nothing_else(
    repository: Repository, store: Store
) -> None:
    commit = repository.commit(
        {
            "good.dvc": pointer_text("good", store.put(b"x")),
            "bad.dvc": "outs:\n- md5: [\n",
            "away.dvc": pointer_text("../../secrets", store.put(b"x")),
            "binary.dvc": b"\xff\xfe\x00",
            "huge.dvc": b"#" * (LONGEST_TEXT + 1),
        }
    )
    snapshot = snapshot_of(repository, commit)
    assert [out.path for out in snapshot.pointers] == ["good"]
    problems = {problem.pointer: problem.problem for problem in snapshot.problems}
    assert set(problems) == {"bad.dvc", "away.dvc", "binary.dvc", "huge.dvc"}
    assert problems["bad.dvc"].startswith("line 3: is not YAML")
    assert "outside the repository" in problems["away.dvc"]


def test_a_pointer_with_line_endings_of_windows_keeps_them_in_its_text(repository: Repository, store: Store) -> None:
    text = pointer_text("x", store.put(b"x")).replace("\n", "\r\n")
    snapshot = snapshot_of(repository, repository.commit({"x.dvc": text}))
    assert snapshot.texts["x.dvc"] == text
    assert snapshot.pointers[0].digest == md5(b"x")


def test_history_knows_a_digest_that_was_named_only_after_the_commit(repository: Repository, store: Store) -> None:
    old = repository.commit({"m.dvc": pointer_text("m", store.put(b"old"))})
    run = repository.commit({"train.py": "x"})
    new = repository.commit({"m.dvc": pointer_text("m", store.put(b"new"))})
    snapshot = snapshot_of(repository, run)
    assert (entry(snapshot, b"new", "m").commit, entry(snapshot, b"new", "m").ancestor) == (new, False)
    assert (entry(snapshot, b"old", "m").commit, entry(snapshot, b"old", "m").ancestor) == (old, True)
    assert [item.commit for item in snapshot.history] == [new, old]


def test_a_digest_that_an_ancestor_named_counts_as_such_though_a_later_commit_names_it_again(
    repository: Repository, store: Store
) -> None:
    first = repository.commit({"m.dvc": pointer_text("m", store.put(b"a"))})
    again = repository.commit({"m.dvc": pointer_text("m", store.put(b"a")) + "# again\n"})
    run = repository.commit({"m.dvc": pointer_text("m", store.put(b"b"))})
    later = repository.commit({"m.dvc": pointer_text("m", store.put(b"a"))})
    found = entry(snapshot_of(repository, run), b"a", "m")
    assert (found.commit, found.ancestor) == (again, True)
    assert found.commit not in (first, later)


def test_history_holds_side_branches_merges_deletions_renames_and_locks(repository: Repository, store: Store) -> None:
    repository.commit(
        {"a.dvc": pointer_text("a", store.put(b"0")), "dvc.lock": lock_text({"s": {"o": store.put(b"L0")}})}
    )
    repository.git("checkout", "-q", "-b", "side")
    side = repository.commit({"a.dvc": pointer_text("a", store.put(b"side"))})
    repository.git("checkout", "-q", "main")
    repository.commit(
        {"a.dvc": pointer_text("a", store.put(b"1")), "dvc.lock": lock_text({"s": {"o": store.put(b"L1")}})}
    )
    repository.git("merge", "-q", "-s", "ours", "--no-commit", "side")
    merge = repository.commit({"a.dvc": pointer_text("a", store.put(b"merged"))})
    repository.commit({"a.dvc": None, "dvc.lock": None, "new/b.dvc": pointer_text("b", store.put(b"1"))})
    snapshot = snapshot_of(repository, repository.head)
    assert entry(snapshot, b"side", "a").commit == side
    assert entry(snapshot, b"merged", "a").commit == merge
    assert entry(snapshot, b"L0", "o").pointer == "dvc.lock"
    assert entry(snapshot, b"L1", "o").ancestor
    assert {item.path for item in snapshot.history if item.digest == md5(b"1")} == {"a", "new/b"}
    assert [out.path for out in snapshot.pointers] == ["new/b"]


def test_paths_in_locks_of_history_start_at_the_working_directory_of_then(repository: Repository, store: Store) -> None:
    yaml = "stages:\n  s:\n    wdir: sub\n    cmd: x\n"
    repository.commit({"dvc.lock": lock_text({"s": {"o": store.put(b"x")}}), "dvc.yaml": yaml})
    head = repository.commit({"dvc.lock": None, "dvc.yaml": None})
    assert [item.path for item in snapshot_of(repository, head).history] == ["sub/o"]


def test_broken_versions_links_and_large_files_in_history_are_passed_over(repository: Repository, store: Store) -> None:
    repository.commit({"m.dvc": "outs: ["})
    repository.commit({"m.dvc": b"#" * (LONGEST_TEXT + 1)})
    (repository.path / "l.dvc").symlink_to("m.dvc")
    repository.git("add", "-A")
    repository.commit({})
    # a part that cannot be read alone, since its anchor is in another
    anchored = lock_text({"a": {"o": store.put(b"x")}, "b": {"p": store.put(b"y")}})
    anchored = anchored.replace("python a.py", "&c python a.py").replace("python b.py", "*c")
    repository.commit({"sub/dvc.lock": anchored})
    head = repository.commit({"m.dvc": pointer_text("m", store.put(b"good"))})
    assert {item.path for item in snapshot_of(repository, head).history} == {"m", "sub/o", "sub/p"}


def test_a_commit_on_no_branch_has_its_own_pointers_in_history(repository: Repository, store: Store) -> None:
    repository.commit({"x": "x"})
    lost = repository.commit({"m.dvc": pointer_text("m", store.put(b"lost"))})
    repository.git("reset", "-q", "--hard", "HEAD~1")
    assert entry(snapshot_of(repository, lost), b"lost", "m").ancestor


def test_the_commit_that_first_has_a_path_is_named(repository: Repository) -> None:
    run = repository.commit({"x": "x"})
    added = repository.commit({"src/train.py": "1", "[odd]*.py": "1"})
    repository.commit({"src/train.py": None})
    repository.commit({"src/train.py": "2"})
    snapshot = snapshot_of(
        repository, run, "src/train.py", "x", "[odd]*.py", "src", "never.py", "/abs/x", "../y", "", "a\0b", "."
    )
    assert snapshot.first_commit_with == {"src/train.py": added, "[odd]*.py": added, "src": added}


def test_a_path_of_another_working_directory_is_found_beneath_the_folders_of_history(repository: Repository) -> None:
    run = repository.commit({"x": "x", "here/train.py": "1"})
    added = repository.commit({"src/train.py": "1", "odd/[a]*.py": "1", "odd/a_.py": "1", "train.py.txt": "1"})
    assert snapshot_of(repository, run, "train.py").first_commit_with == {"src/train.py": added}
    assert snapshot_of(repository, run, "[a]*.py").first_commit_with == {"odd/[a]*.py": added}
    both = {"src/train.py": added}  # what a commit has as it was named is not looked for elsewhere
    assert snapshot_of(repository, run, "src/train.py", "train.py").first_commit_with == both


def test_each_dvc_folder_is_a_root_with_remotes_of_its_own(repository: Repository) -> None:
    commit = repository.commit(
        {
            ".dvc/config": dvc_config("s3://bucket/x", "main", password="hunter2"),
            "sub/.dvc/config": dvc_config("../../store", "near"),
        }
    )
    snapshot = snapshot_of(repository, commit)
    assert snapshot.dvc_roots == (".", "sub")
    assert [(remote.name, remote.url, remote.root) for remote in snapshot.remotes] == [
        ("main", "s3://bucket/x", "."),
        ("near", "../../store", "sub"),
    ]
    assert snapshot.remotes == snapshot.remotes_today
    assert snapshot.remotes[0].refused == ("password",)


def test_a_snapshot_survives_json(repository: Repository, store: Store) -> None:
    commit = repository.commit(
        {"m.dvc": pointer_text("m", store.put(b"x")), b"\xff.py".decode(errors="surrogateescape"): "x"}
    )
    snapshot = snapshot_of(repository, commit)
    assert RepositorySnapshot.model_validate_json(snapshot.to_json()) == snapshot


def test_a_commit_with_an_impossible_date_is_read(repository: Repository) -> None:
    tree = repository.git("mktree", stdin=b"")
    raw = f"tree {tree}\nauthor A <a@b> 99999999999999 +0000\ncommitter A <a@b> 99999999999999 +0000\n\nx\n"
    commit = repository.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=raw.encode())
    repository.git("update-ref", "refs/heads/main", commit)
    assert snapshot_of(repository, commit).commit_time.year >= 1970


def test_a_commit_that_the_mirror_lacks_is_a_missing_fact(repository: Repository) -> None:
    repository.commit({"x": "x"})
    with pytest.raises(MissingFact):
        snapshot_of(repository, "0" * 40)


def test_what_was_changed_in_a_time_by_commits_that_come_after_is_told_oldest_first(repository: Repository) -> None:
    start = FIRST_DATE + 7200
    repository.commit({"before.py": "1"}, date=start + 1)
    run = repository.commit({"train.py": "1"}, date=start + 2)
    repository.git("checkout", "-q", "-b", "side")
    side = repository.commit({"lib/a.py": "1", "b.py": "1"}, date=start + 60)
    repository.git("checkout", "-q", "main")
    soon = repository.commit({"train.py": "2"}, date=start + 13)
    repository.commit({"train.py": "3"}, date=start + 3601)
    mirror = open_mirror(str(repository.path), repository.path.parent / "cache", commit=run)
    window = tuple(datetime.fromtimestamp(start + later, timezone.utc) for later in (0, 3600))
    snapshot = read_snapshot(mirror, run, changes_in=window)
    assert [(change.commit, change.path) for change in snapshot.later_changes] == [
        (soon, "train.py"),
        (side, "b.py"),
        (side, "lib/a.py"),
    ]
    assert snapshot.later_changes[0].time == datetime.fromtimestamp(start + 13, timezone.utc)
    assert RepositorySnapshot.model_validate_json(snapshot.to_json()) == snapshot
    assert read_snapshot(mirror, run).later_changes == ()
