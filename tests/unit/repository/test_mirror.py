"""A mirror has all that the original has, and the original is only read, whatever its configuration says."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import AmbiguousFact, MissingFact, RepositoryUnavailable
from runner.repository.bundle import cached_bundle
from runner.repository.history import read_snapshot
from runner.repository.local import LocalRepository
from runner.repository.mirror import Mirror, open_mirror, work_tree_of
from tests.support.repositories import Repository, Store, dvc_config, fingerprint, pointer_text


@pytest.fixture
def original(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "project")
    repository.commit({"train.py": "print(1)\n"}, "first")
    repository.commit({"sub/more.py": "print(2)\n"}, "second")
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def mirror_of(repository: Repository, cache: Path, commit: str | None = None) -> Mirror:
    return open_mirror(str(repository.path), cache, commit=commit)


def test_a_mirror_holds_the_commits_of_all_refs(original: Repository, cache: Path) -> None:
    original.git("checkout", "-q", "-b", "side", "HEAD~1")
    side = original.commit({"x": "x"})
    original.git("update-ref", "refs/exps/ab/cd", side)
    original.git("tag", "-a", "v1", "-m", "one")
    original.git("checkout", "-q", "main")
    original.git("branch", "-D", "side")
    mirror = mirror_of(original, cache, side)
    assert mirror.contains(side)
    assert mirror.contains(original.head)
    assert mirror.resolve_commit(side[:8].upper()) == side


def test_a_commit_on_no_ref_is_found_by_its_full_and_its_short_id(original: Repository, cache: Path) -> None:
    lost = original.commit({"x": "x"})
    original.git("reset", "-q", "--hard", "HEAD~1")
    assert mirror_of(original, cache, lost).resolve_commit(lost) == lost
    short = original.commit({"y": "y"})
    original.git("reset", "-q", "--hard", "HEAD~1")
    assert mirror_of(original, cache, short[:9]).resolve_commit(short[:9]) == short


def test_rewritten_history_stays_in_a_mirror_that_had_it(original: Repository, cache: Path) -> None:
    store = Store(cache.parent / "store")
    old = original.commit({"data.dvc": pointer_text("data", store.put(b"old"))})
    mirror_of(original, cache)
    original.git("reset", "-q", "--hard", "HEAD~1")
    new = original.commit({"data.dvc": pointer_text("data", store.put(b"new"))})
    original.git("reflog", "expire", "--expire=now", "--all")
    original.git("gc", "-q", "--prune=now")
    mirror = mirror_of(original, cache, new)
    assert mirror.contains(old)
    assert {item.commit for item in read_snapshot(mirror, new).history} == {old, new}


def test_a_branch_that_takes_the_place_of_a_folder_of_branches_is_mirrored(original: Repository, cache: Path) -> None:
    original.git("branch", "exp/a")
    mirror_of(original, cache)
    original.git("branch", "-D", "exp/a")
    original.git("checkout", "-q", "-b", "exp")
    commit = original.commit({"x": "x"})
    assert mirror_of(original, cache, commit).contains(commit)


def test_what_the_original_has_got_since_is_fetched(original: Repository, cache: Path) -> None:
    first = original.head
    mirror_of(original, cache, first)
    later = original.commit({"z": "z"})
    # the commit asked for is there already; a later one may hold the pointer of its model
    assert mirror_of(original, cache, first).contains(later)


def test_a_short_id_of_two_commits_is_ambiguous_and_both_are_listed(tmp_path: Path, cache: Path) -> None:
    repository = Repository(tmp_path / "many")
    stream = "".join(
        f"commit refs/heads/main\ncommitter A <a@b> {1_700_000_000 + i} +0000\ndata 2\nc\n" for i in range(1200)
    )
    repository.git("fast-import", "--quiet", stdin=stream.encode())
    commits = repository.git("rev-list", "main").split()
    by_prefix: dict[str, list[str]] = {}
    for commit in commits:
        by_prefix.setdefault(commit[:4], []).append(commit)
    prefix, (one, other) = next((key, pair) for key, pair in by_prefix.items() if len(pair) == 2)
    mirror = open_mirror(str(repository.path), cache, commit=prefix)
    with pytest.raises(AmbiguousFact) as caught:
        mirror.resolve_commit(prefix)
    assert caught.value.fact == "commit"
    shown = " ".join(caught.value.nearest)
    assert f"--commit {one}" in shown
    assert f"--commit {other}" in shown
    assert mirror.resolve_commit(one[:12]) == one


@pytest.mark.parametrize("text", ["main", "", "HEAD", "abc", "--all", "g" * 40])
def test_what_is_no_commit_id_is_refused(original: Repository, cache: Path, text: str) -> None:
    with pytest.raises(MissingFact, match="is not a commit id"):
        mirror_of(original, cache).resolve_commit(text)


def test_an_unknown_commit_is_a_missing_fact_that_says_where_it_was_looked_for(
    original: Repository, cache: Path
) -> None:
    original.git("tag", "v1")
    mirror = mirror_of(original, cache, "0" * 40)
    with pytest.raises(MissingFact) as caught:
        mirror.resolve_commit("0" * 40)
    assert (caught.value.fact, caught.value.exit_code) == ("commit", 3)
    assert caught.value.looked_in[0].startswith("1 branch, 1 tag of ")
    blob = original.git("rev-parse", "HEAD:train.py")
    with pytest.raises(MissingFact):
        mirror_of(original, cache, blob).resolve_commit(blob)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Mount a folder on itself, read-only, where this process may mount."""
    mounted = False
    if os.geteuid() == 0:
        mounted = subprocess.run(["mount", "--bind", str(path), str(path)], check=False).returncode == 0
        if mounted:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", str(path)], check=True)


def test_the_original_is_not_changed_by_a_byte_and_may_be_read_only(original: Repository, cache: Path) -> None:
    lost = original.commit({"x": "x"})
    original.git("reset", "-q", "--hard", "HEAD~1")
    original.git("pack-refs", "--all")
    before = fingerprint(original.path)
    with read_only(original.path):
        mirror = mirror_of(original, cache, lost)
        read_snapshot(mirror, lost)
        cached_bundle(mirror, lost)
    assert fingerprint(original.path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_owner_is_mirrored(original: Repository, cache: Path) -> None:
    commit = original.head
    for path in [original.path, *original.path.rglob("*")]:
        os.lchown(path, 54321, 54321)
    with pytest.raises(AssertionError, match="dubious ownership"):
        original.git("status")
    assert mirror_of(original, cache, commit).contains(commit)


def test_nothing_that_the_originals_configuration_names_is_run(original: Repository, cache: Path) -> None:
    commit = original.head
    lost = original.commit({"a.txt": "x"})
    original.git("reset", "-q", "--hard", "HEAD~1")
    canary = cache.parent / "canary"
    script = cache.parent / "script"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {canary}\nexit 1\n')
    script.chmod(0o755)
    hooks = original.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "pre-receive", "post-index-change", "fsmonitor-watchman"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    for key in (
        "core.fsmonitor", "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand", "core.pager",
        "uploadpack.packObjectsHook", "filter.x.smudge", "filter.x.clean", "remote.origin.uploadpack",
        "credential.helper", "gpg.program", "diff.external",
    ):  # fmt: skip
        original.git("config", key, str(script))
    original.git("config", "remote.origin.url", f"ext::{script}")
    original.git("config", "remote.origin.promisor", "true")
    original.git("config", "core.hooksPath", str(hooks))
    (original.path / ".git" / "info").mkdir(exist_ok=True)
    (original.path / ".git" / "info" / "attributes").write_text("* filter=x\n")
    with contextlib.suppress(AssertionError):
        original.git("status")
    assert canary.exists(), "the trap is not armed"
    canary.unlink()
    mirror = mirror_of(original, cache, lost)
    read_snapshot(mirror, commit, wanted_paths=["nowhere"])
    cached_bundle(mirror, commit)
    assert not canary.exists(), canary.read_text()


def test_an_incomplete_original_with_a_hostile_origin_runs_nothing(original: Repository, cache: Path) -> None:
    canary = cache.parent / "canary"
    original.git("config", "remote.origin.url", f"ext::touch {canary}")
    (original.path / ".git" / "shallow").write_text(original.head + "\n")
    with pytest.raises(MissingFact) as caught:
        mirror_of(original, cache)
    assert caught.value.fact == "history"
    assert not canary.exists()


def test_a_shallow_clone_is_completed_from_its_origin(original: Repository, tmp_path: Path, cache: Path) -> None:
    first = original.git("rev-parse", "HEAD~1")
    clone = original.clone(tmp_path / "clone", "--depth", "1")
    own = clone.commit({"own": "1"}, "not pushed")
    before = fingerprint(clone.path)
    mirror = mirror_of(clone, cache, own)
    assert mirror.contains(first)
    assert mirror.contains(own)
    assert cached_bundle(mirror, own).is_file()
    assert fingerprint(clone.path) == before


def test_a_partial_clone_is_completed_from_its_origin(original: Repository, tmp_path: Path, cache: Path) -> None:
    original.git("config", "uploadpack.allowFilter", "true")
    clone = original.clone(tmp_path / "clone", "--filter=blob:none", "--no-checkout")
    commit = original.head
    snapshot = read_snapshot(mirror_of(clone, cache, commit), commit, wanted_texts=["train.py"])
    assert snapshot.texts["train.py"] == "print(1)\n"


@pytest.mark.parametrize("origin", ["/nonexistent/place", "", "self"])
def test_a_shallow_clone_that_cannot_be_completed_is_refused(
    original: Repository, tmp_path: Path, cache: Path, origin: str
) -> None:
    clone = original.clone(tmp_path / "clone", "--depth", "1")
    if origin:
        clone.git("config", "remote.origin.url", str(clone.path) if origin == "self" else origin)
    else:
        clone.git("config", "--remove-section", "remote.origin")
    with pytest.raises(MissingFact) as caught:
        mirror_of(clone, cache)
    assert caught.value.fact == "history"


def test_an_original_with_lost_objects_is_a_missing_fact(original: Repository, cache: Path) -> None:
    blob = original.git("rev-parse", "HEAD:train.py")
    (original.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(MissingFact, match="lacks objects"):
        mirror_of(original, cache)


def test_two_processes_can_make_the_same_mirror_at_once(original: Repository, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from runner.repository.mirror import open_mirror\n"
        "from runner.repository.bundle import cached_bundle\n"
        "m = open_mirror(sys.argv[1], Path(sys.argv[2]), commit=sys.argv[3]); print(cached_bundle(m, sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, str(original.path), str(cache), original.head]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(printed) == 1


def test_a_place_within_a_work_tree_means_its_repository(original: Repository, tmp_path: Path, cache: Path) -> None:
    linked = tmp_path / "linked"
    original.git("worktree", "add", "-q", "--detach", str(linked), "HEAD~1")
    assert work_tree_of(original.path / "sub") == original.path
    assert work_tree_of(original.path / "sub" / "more.py") == original.path
    assert work_tree_of(linked) == linked
    assert work_tree_of(Path("/proc")) is None
    inner = open_mirror(str(original.path / "sub"), cache, commit=None)
    assert inner == mirror_of(original, cache)
    assert open_mirror(str(linked), cache, commit=None).contains(original.head)
    assert open_mirror(original.path.as_uri(), cache, commit=None) == inner


def test_a_bare_repository_and_a_bundle_are_repositories(original: Repository, tmp_path: Path, cache: Path) -> None:
    bare = original.clone(tmp_path / "bare.git", "--bare")
    assert mirror_of(bare, cache).default_tip() == original.head
    bundle = tmp_path / "all.bundle"
    original.git("bundle", "create", "-q", str(bundle), "--all")
    assert open_mirror(str(bundle), cache, commit=None).contains(original.head)


def test_an_empty_repository_has_no_commits(tmp_path: Path, cache: Path) -> None:
    mirror = mirror_of(Repository(tmp_path / "empty"), cache)
    assert mirror.default_tip() is None
    with pytest.raises(MissingFact) as caught:
        mirror.resolve_commit("0" * 40)
    assert caught.value.looked_in[0].startswith("no refs at all")


@pytest.mark.parametrize("kind", ["nothing", "folder", "file"])
def test_what_is_no_repository_is_a_missing_fact(tmp_path: Path, cache: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    if kind == "file":
        place.write_text("x")
    with pytest.raises(MissingFact, match="no git repository") as caught:
        open_mirror(str(place), cache, commit=None)
    assert caught.value.fact == "repository"


def test_the_users_own_git_variables_do_not_lead_elsewhere(
    original: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("GIT_ALTERNATE_OBJECT_DIRECTORIES", "/nonexistent")
    monkeypatch.setenv("GIT_NAMESPACE", "x")
    mirror = mirror_of(original, cache)
    tip = mirror.default_tip()
    assert tip is not None
    assert cached_bundle(mirror, tip).is_file()
    assert len(read_snapshot(mirror, tip).tree) == 2


def test_a_replaced_commit_is_shown_as_it_was_recorded(original: Repository, cache: Path) -> None:
    recorded = original.head
    other = original.commit({"train.py": "print('other')\n"})
    original.git("replace", recorded, other)
    snapshot = read_snapshot(mirror_of(original, cache, recorded), recorded, wanted_texts=["train.py"])
    assert snapshot.texts["train.py"] == "print(1)\n"


def test_the_default_branch_is_the_origins_then_main_then_the_newest(
    original: Repository, tmp_path: Path, cache: Path
) -> None:
    pushed = original.head
    clone = original.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "-b", "work")
    own = clone.commit({"w": "w"})
    assert mirror_of(clone, cache, own).default_tip() == pushed
    original.git("checkout", "-q", "-b", "work")
    newest = original.commit({"w": "w"})
    assert mirror_of(original, cache).default_tip() == pushed
    original.git("branch", "-D", "main")
    assert mirror_of(original, cache).default_tip() == newest


def test_paths_that_differ_between_two_commits_are_listed(original: Repository, cache: Path) -> None:
    one = original.head
    other = original.commit({"data.dvc": "x", "train.py": None})
    assert mirror_of(original, cache).changed_paths(one, other) == ("data.dvc", "train.py")


def test_a_repository_of_sha256_names_is_refused_in_words(tmp_path: Path, cache: Path) -> None:
    repository = Repository(tmp_path / "new")
    repository.git("config", "extensions.objectformat", "sha256")
    with pytest.raises(MissingFact, match="SHA-256"):
        mirror_of(repository, cache)


def test_a_reftable_is_looked_up_in_the_double(tmp_path: Path) -> None:
    from runner.repository.local import lay_out_double

    original = tmp_path / "o"
    (original / "reftable").mkdir(parents=True)
    (original / "reftable" / "tables.list").write_text("0x1.ref\n")
    (original / "refs").mkdir()
    (original / "HEAD").write_text("ref: refs/heads/.invalid\n")
    (original / "config").write_text("[extensions]\n\trefStorage = reftable\n")
    lay_out_double(LocalRepository(original, original, None), tmp_path / "d")
    assert (tmp_path / "d" / "reftable" / "tables.list").read_text() == "0x1.ref\n"
    assert "refstorage = reftable" in (tmp_path / "d" / "config").read_text()


def test_a_cut_history_is_refused_without_a_network(original: Repository, tmp_path: Path, cache: Path) -> None:
    clone = original.clone(tmp_path / "clone", "--depth", "1")
    clone.git("config", "remote.origin.url", "https://example.invalid/x")
    with pytest.raises(RepositoryUnavailable, match="--offline"):
        open_mirror(str(clone.path), cache, commit=None, offline=True)


def test_remotes_of_the_configuration_at_the_tip_are_those_of_today(original: Repository, cache: Path) -> None:
    then = original.commit({".dvc/config": dvc_config("/old")})
    original.commit({".dvc/config": dvc_config("/new")})
    snapshot = read_snapshot(mirror_of(original, cache), then)
    assert [remote.url for remote in snapshot.remotes] == ["/old"]
    assert [remote.url for remote in snapshot.remotes_today] == ["/new"]
