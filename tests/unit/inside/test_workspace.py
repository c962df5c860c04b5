"""The workspace: nothing leads out of it, git calls it clean, and the training owns what it must and no data."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from runner.inside import layout, workspace
from runner.inside.protocol import MISSING, PhaseError
from tests.support.inside import Cache
from tests.support.repositories import Repository


@pytest.fixture
def original(tmp_path: Path) -> Repository:
    """A repository with a pointer, code, a tracked file where data goes, and a link."""
    repository = Repository(tmp_path / "original")
    repository.commit(
        {
            "train.py": "print(1)\n",
            "data/train.csv.dvc": "outs:\n- md5: old\n",
            "data/.gitignore": "/train.csv\n",
            "models/best.pkl": "tracked by git",
            ".dvc/config": "[core]\n",
        },
        "first",
    )
    return repository


@pytest.fixture
def root(original: Repository, tmp_path: Path, cache: Cache) -> str:
    """The clone at the newest commit."""
    return clone(original, tmp_path)


def clone(original: Repository, tmp_path: Path, commit: str | None = None, branch: str | None = "main") -> str:
    bundle, target = tmp_path / "repository.bundle", tmp_path / "workspace"
    original.git("bundle", "create", "-q", str(bundle), "--all")
    workspace.clone(
        str(bundle),
        str(target),
        commit=commit or original.head,
        branch=branch,
        url="https://git.example/acme/fraud.git",
    )
    return str(target)


def git(root: str, *arguments: str) -> str:
    return workspace._git(root, *arguments).strip()


def status(root: str) -> str:
    return git(root, "status", "--porcelain", "--untracked-files=all")


class TestClone:
    def test_the_clone_is_at_the_commit_with_the_origin_that_its_author_has(
        self, original: Repository, tmp_path: Path
    ) -> None:
        first = original.head
        original.commit({"train.py": "print(2)\n"}, "second")
        root = clone(original, tmp_path, commit=first)
        assert git(root, "rev-parse", "HEAD") == first
        assert git(root, "symbolic-ref", "--short", "HEAD") == "main", "scripts that ask for the branch get it"
        assert git(root, "remote", "get-url", "origin") == "https://git.example/acme/fraud.git"
        assert Path(root, "train.py").read_text() == "print(1)\n"
        assert status(root) == ""

    def test_without_a_branch_the_head_is_detached(self, original: Repository, tmp_path: Path) -> None:
        root = clone(original, tmp_path, branch=None)
        with pytest.raises(PhaseError):
            git(root, "symbolic-ref", "HEAD")
        assert git(root, "rev-parse", "HEAD") == original.head

    def test_no_hook_and_no_filter_of_the_repository_or_of_this_machine_runs(
        self, original: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "home"
        (home / "hooks").mkdir(parents=True)
        ran = tmp_path / "ran"
        (home / "hooks" / "post-checkout").write_text(f"#!/bin/sh\ntouch {ran}\n")
        (home / "hooks" / "post-checkout").chmod(0o755)
        (home / ".gitconfig").write_text(
            f'[core]\n\thooksPath = {home}/hooks\n[filter "evil"]\n\tsmudge = touch {ran}; cat\n\trequired\n'
        )
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
        original.commit({".gitattributes": "*.py filter=evil\n"}, "attributes")
        root = clone(original, tmp_path)
        assert not ran.exists()
        assert Path(root, "train.py").read_text() == "print(1)\n"

    def test_a_commit_that_is_not_there_is_an_error(self, original: Repository, tmp_path: Path) -> None:
        with pytest.raises(PhaseError, match="checkout failed"):
            clone(original, tmp_path, commit="0" * 40)

    def test_all_of_the_clone_belongs_to_the_training(self, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
        os.symlink("/etc/passwd", f"{root}/link")
        os.symlink("/etc", f"{root}/folder")
        owned: set[str] = set()
        monkeypatch.setattr(os, "chown", lambda path, *_: owned.add(path))
        monkeypatch.setattr(os, "lchown", lambda path, *_: owned.add(path))
        workspace.own(root)
        everything = {str(path) for path in Path(root).rglob("*")}
        assert owned == {root, *everything}, "links by themselves, and nothing that they lead to"


class TestInside:
    @pytest.mark.parametrize("path", ["a", "a/b", "data/new/x.csv", ".dvc/config", "a b", "..a/b..", "sub/.git-keep"])
    def test_a_path_of_the_repository_is_inside(self, tmp_path: Path, path: str) -> None:
        assert workspace.inside(str(tmp_path), path) == f"{tmp_path}/{path}"

    @pytest.mark.parametrize(
        "path",
        [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "/",
            ".git",
            ".git/hooks/x",
            "//a",
        ],
    )
    def test_a_path_that_leaves_it_is_refused(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(PhaseError) as caught:
            workspace.inside(str(tmp_path), path)
        assert (caught.value.event["kind"], caught.value.event["fact"]) == (MISSING, "data")
        assert caught.value.event["remedy"]

    @pytest.mark.parametrize("target", ["/etc", "..", ".", "nowhere", "real"])
    def test_a_path_by_way_of_a_link_is_refused_wherever_it_leads(self, tmp_path: Path, target: str) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(target)
        (tmp_path / "real" / "deep").symlink_to("/etc")
        for path in ("link/x", "link/x/y", "real/deep/x"):
            with pytest.raises(PhaseError, match="leads out"):
                workspace.inside(str(tmp_path), path)

    def test_a_link_at_its_end_is_not_followed_but_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("keep")
        (tmp_path / "link").symlink_to("precious")
        assert workspace.remove(workspace.inside(str(tmp_path), "link"))
        assert (tmp_path / "precious").read_text() == "keep"


class TestFolders:
    def test_the_parents_of_an_output_are_made_and_are_the_trainings(
        self, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").mkdir()
        owned: list[tuple[object, ...]] = []
        monkeypatch.setattr(os, "chown", lambda *arguments: owned.append(arguments))
        workspace.make_parents(str(tmp_path), "a/b/c/model.pkl")
        assert (tmp_path / "a/b/c").is_dir()
        assert not (tmp_path / "a/b/c/model.pkl").exists()
        ids = (layout.TRAINER_UID, layout.TRAINER_GID)
        assert owned == [(f"{tmp_path}/a/b", *ids), (f"{tmp_path}/a/b/c", *ids)], "what was there is left as it was"

    def test_room_is_made_only_where_it_can_be(self, cache: Cache, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        (tmp_path / "link").symlink_to("/etc")
        for path in ("file/model.pkl", "link/model.pkl", "../model.pkl", ".git/model.pkl"):
            workspace.make_room(str(tmp_path), path)
        workspace.make_room(str(tmp_path), "new/model.pkl")
        assert sorted(os.listdir(tmp_path)) == ["cache", "file", "link", "new"]

    def test_removing_says_whether_there_was_anything(self, tmp_path: Path) -> None:
        (tmp_path / "folder" / "deep").mkdir(parents=True)
        (tmp_path / "file").write_text("x")
        (tmp_path / "dangling").symlink_to("nowhere")
        assert [workspace.remove(str(tmp_path / name)) for name in ("folder", "file", "dangling", "absent")] == [
            True,
            True,
            True,
            False,
        ]
        assert os.listdir(tmp_path) == []

    def test_a_link_to_a_folder_is_removed_and_its_folder_stays(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "x").write_text("x")
        (tmp_path / "link").symlink_to("folder")
        assert workspace.remove(str(tmp_path / "link"))
        assert (tmp_path / "folder" / "x").exists()


def edit(path: str, text: str, *, created: bool = False) -> dict[str, Any]:
    return {"path": path, "text": text, "created": created}


class TestPointers:
    def test_pointers_are_as_the_plan_has_them_and_git_calls_no_tracked_file_changed(self, root: str) -> None:
        text = "outs:\r\n- md5: new # ü\r\n"
        workspace.edit_pointers(root, [edit("data/train.csv.dvc", text), edit("m/x/model.dvc", "new\n", created=True)])
        assert Path(root, "data/train.csv.dvc").read_bytes() == text.encode(), "line endings stay"
        assert Path(root, "m/x/model.dvc").read_text() == "new\n"
        assert status(root) == "?? m/x/model.dvc", "what git ignores DVC refuses to write"
        assert git(root, "diff", "HEAD", "--stat") == ""
        git(
            root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-a", "--allow-empty", "-m", "training's"
        )

    def test_a_pointer_that_is_a_link_is_replaced_and_what_it_led_to_is_left(
        self, original: Repository, tmp_path: Path, cache: Cache
    ) -> None:
        (tmp_path / "precious").write_text("keep")
        os.symlink(tmp_path / "precious", original.path / "evil.dvc")
        original.git("add", "evil.dvc")
        original.commit({}, "a link")
        root = clone(original, tmp_path)
        workspace.edit_pointers(root, [edit("evil.dvc", "new\n")])
        assert (tmp_path / "precious").read_text() == "keep"
        assert Path(root, "evil.dvc").read_text() == "new\n"
        assert status(root) == ""

    @pytest.mark.parametrize("path", ["../x.dvc", "/tmp/x.dvc", ".git/config", "out/x.dvc"])
    def test_no_pointer_is_written_outside(self, root: str, path: str) -> None:
        os.symlink("/tmp", f"{root}/out")
        with pytest.raises(PhaseError, match="leads out"):
            workspace.edit_pointers(root, [edit(path, "x")])

    @pytest.mark.parametrize(
        "name",
        [
            "plain",
            "with space",
            "trailing ",
            " leading",
            "star*",
            "q?",
            "[a]",
            "!not",
            "#hash",
            "back\\slash",
            "ü",
            "*",
        ],
    )
    def test_an_excluded_path_is_itself_and_no_pattern(self, root: str, name: str) -> None:
        Path(root, "x").mkdir()
        Path(root, f"x/{name}").write_text("data")
        Path(root, "x/other").write_text("not data")
        Path(root, f"{name}-other").write_text("not data")
        workspace.exclude(root, [f"x/{name}"])
        listed = workspace._git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
        assert sorted(filter(None, listed)) == sorted([f"{name}-other", "x/other"])

    def test_excluding_nothing_changes_nothing(self, root: str) -> None:
        before = Path(root, ".git/info/exclude").read_text() if Path(root, ".git/info/exclude").exists() else None
        workspace.exclude(root, [])
        workspace.mark_unchanged(root, [])
        after = Path(root, ".git/info/exclude").read_text() if Path(root, ".git/info/exclude").exists() else None
        assert after == before

    def test_tracked_files_are_found_at_and_below_a_path_that_is_no_pattern(
        self, original: Repository, tmp_path: Path
    ) -> None:
        original.commit({"d/[a]/x": "1", "d/a/x": "2", "d/é": "3"}, "names")
        root = clone(original, tmp_path)
        assert workspace.tracked(root, "d/[a]") == ["d/[a]/x"]
        assert sorted(workspace.tracked(root, "d")) == ["d/[a]/x", "d/a/x", "d/é"]
        assert workspace.tracked(root, "nothing") == []

    def test_a_tracked_file_that_was_taken_away_leaves_the_tree_clean(self, root: str) -> None:
        held = workspace.tracked(root, "models")
        assert workspace.remove(f"{root}/models")
        workspace.mark_unchanged(root, held)
        assert status(root) == ""


class TestData:
    def test_data_is_linked_and_not_copied(self, root: str, cache: Cache) -> None:
        data = cache.put(b"a,b\n")
        workspace.lay(root, "data/train.csv", data, None, writable=False)
        assert os.stat(f"{root}/data/train.csv").st_ino == os.stat(data.path).st_ino
        assert stat.S_IMODE(os.stat(f"{root}/data/train.csv").st_mode) == 0o444

    def test_a_folder_is_the_trainings_and_its_files_are_links(self, root: str, cache: Cache) -> None:
        files = {"a.csv": b"a", "sub/b.csv": b"b", "sub/deep/c.csv": b"a"}
        folder = cache.put_directory(files)
        Path(root, "data/set").mkdir()
        Path(root, "data/set/stale").write_text("of the commit")
        from runner.inside.data.objects import listing

        workspace.lay(root, "data/set", folder, listing(folder), writable=False)
        found = {path for path, _ in workspace.files(f"{root}/data/set")}
        assert found == set(files)
        assert all(Path(root, "data/set", name).read_bytes() == content for name, content in files.items())
        assert os.stat(f"{root}/data/set/a.csv").st_nlink == 3, "the cache's, and one for each path"

    def test_what_the_training_may_want_to_overwrite_is_a_copy_of_its_own(self, root: str, cache: Cache) -> None:
        model = cache.put(b"weights")
        workspace.lay(root, "new/model.bin", model, None, writable=True)
        path = Path(root, "new/model.bin")
        path.write_bytes(b"other")
        assert Path(model.path).read_bytes() == b"weights"

    def test_a_file_that_has_no_links_left_is_copied(
        self, root: str, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.EMLINK, "Too many links")

        data = cache.put(b"")
        monkeypatch.setattr(os, "link", full)
        workspace.lay(root, "data/empty", data, None, writable=False)
        assert stat.S_IMODE(os.stat(f"{root}/data/empty").st_mode) == 0o444
        assert os.stat(f"{root}/data/empty").st_ino != os.stat(data.path).st_ino

    def test_a_link_of_the_commit_is_never_followed(self, root: str, cache: Cache, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", f"{root}/out")
        data = cache.put(b"x")
        with pytest.raises(PhaseError, match="leads out"):
            workspace.lay(root, "out/x", data, None, writable=False)
        workspace.lay(root, "out", data, None, writable=False)
        assert Path(root, "out").read_bytes() == b"x"
        assert os.listdir(tmp_path / "elsewhere") == []


class TestPrivateCache:
    def test_each_dvc_project_gets_a_cache_of_its_own_and_the_tree_stays_clean(
        self, original: Repository, tmp_path: Path, cache: Cache
    ) -> None:
        original.commit({"sub/.dvc/config": "[core]\n"}, "a second project")
        root = clone(original, tmp_path)
        workspace.private_cache(root, [".", "sub"])
        for folder in ("", "sub/"):
            assert "dir = cache" in Path(root, f"{folder}.dvc/config.local").read_text()
        assert status(root) == ""

    def test_a_configuration_that_the_commit_brings_is_replaced_and_not_followed(
        self, root: str, tmp_path: Path
    ) -> None:
        (tmp_path / "precious").write_text("keep")
        os.symlink(tmp_path / "precious", f"{root}/.dvc/config.local")
        workspace.private_cache(root, ["."])
        assert (tmp_path / "precious").read_text() == "keep"
        assert not os.path.islink(f"{root}/.dvc/config.local")

    def test_a_folder_of_dvc_that_is_a_link_is_refused(self, root: str, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", f"{root}/sub")
        os.mkdir(f"{root}/other")
        os.symlink(tmp_path / "elsewhere", f"{root}/other/.dvc")
        for each in ("sub", "other"):
            with pytest.raises(PhaseError, match="leads out"):
                workspace.private_cache(root, [each])
        assert os.listdir(tmp_path / "elsewhere") == []


class TestFiles:
    def test_the_projects_files_are_listed_and_none_of_git_dvc_and_python(self, tmp_path: Path) -> None:
        kept = ["train.py", "a/b/c.csv", ".dvc/config", "cache/x", "tmp/y", "models/model.git", "not.dvc/cache/x"]
        kept += ["a/my__pycache__/x", ".gitignore"]
        left = [".git/HEAD", "sub/.git/HEAD", "a/__pycache__/x.pyc", ".dvc/cache/files/md5/x", "sub/.dvc/tmp/lock"]
        for name in (*kept, *left):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        assert sorted(path for path, _ in workspace.files(str(tmp_path))) == sorted(kept)

    def test_only_regular_files_are_listed_and_no_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "x").write_text("x")
        (tmp_path / "link").symlink_to("real")
        (tmp_path / "file-link").symlink_to("real/x")
        (tmp_path / "loop").symlink_to(".")
        os.mkfifo(tmp_path / "pipe")
        assert [path for path, _ in workspace.files(str(tmp_path))] == ["real/x"]

    def test_a_status_is_the_files_own(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("abc")
        ((_, found),) = workspace.files(str(tmp_path))
        assert (found.st_size, found.st_ino) == (3, (tmp_path / "x").stat().st_ino)
