"""Restore lays out a workspace from what the remote holds; collect reads back what a training left in it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.inside import collect, layout, protocol, restore, uses
from runner.inside.capture import traces
from runner.inside.data.objects import ObjectId
from runner.inside.packages import environment
from runner.inside.packages.environment import Environment, Lock
from runner.inside.protocol import PhaseError
from runner.rerun.answers import Folders, bundle_answer
from runner.schema.rerun import OutputFile, RestoredFile
from tests.support.inside import Cache, Host
from tests.support.inside import remote as described
from tests.support.repositories import Repository, md5

DATA = b"a,b\n1,2\n"
FOLDER = {"a.csv": b"a", "sub/b.csv": b"b"}


class World:
    """A repository, a remote that is a folder, the cache, and the two phases on them."""

    def __init__(self, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = cache
        self.remote = tmp_path / "remote"
        self.remote.mkdir()
        self.repository = Repository(tmp_path / "original")
        self.repository.commit(
            {
                "train.py": "print(1)\n",
                "data/train.csv.dvc": "outs:\n- md5: stale\n",
                "models/old.pkl": "older model in git",
                "checkpoint.pt": "weights in git",
                ".dvc/config": "[core]\n",
            },
            "first",
        )
        self.bundle = tmp_path / "repository.bundle"
        self.repository.git("bundle", "create", "-q", str(self.bundle), "--all")
        answers = {"bundle": bundle_answer(self.bundle), **Folders({"main": self.remote}).answers()}
        host = Host(answers, monkeypatch)
        self.events = host.events

    def hold(self, *objects: ObjectId) -> None:
        """Have the remote hold objects of the cache."""
        for each in objects:
            target = self.remote / each.relative_path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(each.path).read_bytes())

    def forget(self, *objects: ObjectId) -> None:
        """Have the cache hold objects no more."""
        for each in objects:
            os.unlink(each.path)

    @property
    def pulled(self) -> list[str]:
        """The objects that the host was asked to send."""
        asked = [event for event in self.events if event["event"] == "ask" and event["name"] == "objects"]
        return [name for event in asked for name in event["value"]["objects"]]

    @property
    def root(self) -> Path:
        """The workspace."""
        return Path(layout.work("r1", f"{layout.SANDBOX}/{layout.WORKSPACE}"))

    def restore(self, *files: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Run the phase."""
        request = {
            "rerun": "r1",
            "commit": self.repository.head,
            "head": self.repository.head,
            "branch": "main",
            "url": "https://git.example/acme.git",
            "dvc_roots": ["."],
            "outs": ["plots/x.png"],
            "pointer_edits": [],
            "files": list(files),
            "submodules": [],
            "supplied": [],
            "expected_outputs": [],
            "needs": [],
            "stages": [],
            "remotes": [described("/srv/store", name="main", folder=True, source="runner.yaml")],
            "environment": {"specification": "s", "repository": "r"},
            "base": "base:py3.11",
            "proxies": {},
            "allow_cached": False,
            "allow_line_endings": False,
        }
        return restore.handle({**request, **fields})

    def collect(self, **fields: Any) -> dict[str, Any]:
        """Run the phase."""
        request = {
            "rerun": "r1",
            "expected_outputs": [],
            "output_bytes": 1 << 30,
            "copy_bytes": 1 << 20,
            "remove": True,
        }
        return collect.handle({**request, **fields})

    def copies(self) -> dict[str, bytes]:
        """The outputs that collect sent."""
        sent: dict[str, bytes] = {}
        for event in self.events:
            if event["event"] == "note" and event["name"] == "output":
                path = event["value"]["path"]
                sent[path] = sent.get(path, b"") + base64.b64decode(event["value"]["data"])
        return sent


@pytest.fixture
def world(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> World:
    """Everything that the phases need, with nothing in the remote."""
    return World(tmp_path, cache, monkeypatch)


def file(
    path: str, object_id: ObjectId, role: str = "input", *, warm_start: bool = False, use: str = "training"
) -> dict[str, Any]:
    return {
        "path": path,
        "digest": str(object_id),
        "role": role,
        "warm_start": warm_start,
        "use": use,
        "origin": None,
    }


def test_data_that_the_remote_holds_is_linked_from_the_cache(world: World) -> None:
    data = world.cache.put(DATA)
    world.hold(data)
    result = world.restore(file("data/train.csv", data))
    (found,) = result["files"]
    assert RestoredFile.model_validate(found, strict=False).place == "workspace"
    assert (found["held_by"], found["digest"], found["size_bytes"]) == ("main", str(data), len(DATA))
    assert os.stat(world.root / "data/train.csv").st_ino == os.stat(data.path).st_ino
    assert result["remotes_asked"] == ["/srv/store (runner.yaml)"]
    assert world.pulled == [], "the cache had verified bytes"


def test_data_that_the_cache_lacks_is_pulled_and_verified(world: World) -> None:
    data = world.cache.put(DATA)
    world.hold(data)
    world.forget(data)
    world.restore(file("data/train.csv", data))
    assert world.pulled == [str(data)]
    assert (world.root / "data/train.csv").read_bytes() == DATA


def test_bytes_in_the_cache_that_nobody_verified_are_fetched_anew(world: World) -> None:
    data = world.cache.put(DATA)
    world.hold(data)
    os.chmod(data.path, 0o644)
    Path(data.path).write_bytes(b"WRONG...")
    world.restore(file("data/train.csv", data))
    assert (world.root / "data/train.csv").read_bytes() == DATA


def test_a_remote_with_other_bytes_under_the_digest_stops_the_rerun(world: World) -> None:
    data = world.cache.put(DATA)
    world.hold(data)
    world.forget(data)
    (world.remote / data.relative_path).write_bytes(b"other")
    with pytest.raises(PhaseError, match="other bytes") as caught:
        world.restore(file("data/train.csv", data))
    assert caught.value.event["kind"] == protocol.MISSING
    assert not os.path.exists(data.path), "and they are not kept"
    assert os.listdir(os.path.dirname(data.path)) == []


def second(world: World, monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[dict[str, Any]]:
    """A remote beside the first, that has these bytes under the digest of DATA."""
    other = world.remote.with_name("other")
    data = ObjectId.parse(str(md5(DATA)))
    for folder, held in ((world.remote, b"bytes of another size"), (other, content)):
        (folder / data.relative_path).parent.mkdir(parents=True, exist_ok=True)
        (folder / data.relative_path).write_bytes(held)
    answers = {"bundle": bundle_answer(world.bundle), **Folders({"main": world.remote, "other": other}).answers()}
    world.events = Host(answers, monkeypatch).events
    return [described(f"/srv/{name}", name=name, folder=True, source="runner.yaml") for name in ("main", "other")]


@pytest.mark.parametrize("cached", [True, False])
def test_a_remote_of_other_bytes_holds_nothing_whatever_the_cache_has(
    world: World, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    data = world.cache.put(DATA)
    remotes = second(world, monkeypatch, DATA)
    if not cached:
        world.forget(data)
    result = world.restore(file("data/train.csv", data), remotes=remotes)
    assert result["files"][0]["held_by"] == "other"
    assert f"holds other bytes under a recorded digest: {data}" in result["remotes_asked"][0]
    assert world.pulled == ([] if cached else [str(data), str(data)])


def test_where_only_the_cache_has_the_bytes_that_is_what_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    data = world.cache.put(DATA)
    remotes = second(world, monkeypatch, b"others again")
    with pytest.raises(PhaseError, match="in no remote: main holds other bytes under a recorded digest") as caught:
        world.restore(file("data/train.csv", data), remotes=remotes)
    assert "--allow cached" in caught.value.event["remedy"]


def test_an_input_that_no_remote_holds_stops_the_rerun(world: World) -> None:
    gone = ObjectId.parse("md5:" + "0" * 32)
    with pytest.raises(PhaseError, match=r"data/train\.csv .* is in no remote") as caught:
        world.restore(file("data/train.csv", gone))
    event = caught.value.event
    assert (event["kind"], event["fact"], event["looked_in"]) == ("missing", "data", ["/srv/store (runner.yaml)"])
    assert "--remote" in event["remedy"]


def test_the_cache_alone_is_not_enough_unless_the_auditor_says_so(world: World) -> None:
    data = world.cache.put(DATA)
    with pytest.raises(PhaseError) as caught:
        world.restore(file("data/train.csv", data))
    assert "--allow cached" in caught.value.event["remedy"]


def test_what_came_from_the_cache_alone_is_said_to(world: World) -> None:
    data = world.cache.put(DATA)
    (found,) = world.restore(file("data/train.csv", data), allow_cached=True)["files"]
    assert found["held_by"] == "cache"


def test_a_folder_is_restored_whole_or_not_at_all(world: World) -> None:
    folder = world.cache.put_directory(FOLDER)
    a, b = world.cache.put(FOLDER["a.csv"]), world.cache.put(FOLDER["sub/b.csv"])
    world.hold(folder, a)
    with pytest.raises(PhaseError, match=r"1 files such as sub/b\.csv are absent"):
        world.restore(file("data/set", folder), rerun="r0")
    world.hold(b)
    (found,) = world.restore(file("data/set", folder))["files"]
    assert found["size_bytes"] == 2
    assert found["digest"] == str(folder)
    assert {name: (world.root / "data/set" / name).read_bytes() for name in FOLDER} == FOLDER


def test_a_listing_that_is_hostile_stops_the_rerun(world: World) -> None:
    content = json.dumps([{"md5": "0" * 32, "relpath": "../../evil"}]).encode()
    plain = world.cache.put(content)
    folder = ObjectId("md5", plain.hexdigest, True)
    os.rename(plain.path, folder.path)
    from runner.inside.data.objects import verify

    verify(folder)
    world.hold(folder)
    with pytest.raises(PhaseError, match="not one of DVC's"):
        world.restore(file("data/set", folder))


def test_the_recorded_model_is_kept_where_the_training_cannot_see_it(world: World) -> None:
    model = world.cache.put(b"model")
    world.hold(model)
    result = world.restore(file("models/old.pkl", model, "output"), expected_outputs=["models/old.pkl"])
    assert result["files"][0]["place"] == "reference"
    assert result["removed"] == ["models/old.pkl"]
    assert not (world.root / "models/old.pkl").exists()
    assert Path(layout.work("r1", "reference/models/old.pkl")).read_bytes() == b"model"
    assert "models/old.pkl" not in json.loads(Path(layout.work("r1", "state/restored.json")).read_text())["manifest"]


def test_a_recorded_model_that_no_remote_holds_stops_nothing(world: World) -> None:
    (found,) = world.restore(file("m.pkl", ObjectId.parse("md5:" + "0" * 32), "output"))["files"]
    assert (found["place"], found["digest"], found["held_by"]) == ("missing", None, None)


def test_a_warm_start_is_put_in_its_place_and_may_be_overwritten(world: World) -> None:
    model = world.cache.put(b"model")
    world.hold(model)
    (found,) = world.restore(file("models/old.pkl", model, "output", warm_start=True))["files"]
    assert found["place"] == "workspace"
    path = world.root / "models/old.pkl"
    path.write_bytes(b"trained on")
    assert Path(model.path).read_bytes() == b"model"
    with pytest.raises(PhaseError, match="in no remote"):
        world.restore(file("m", ObjectId.parse("md5:" + "0" * 32), "output", warm_start=True), rerun="r2")


def test_git_calls_no_tracked_file_of_the_workspace_changed(world: World) -> None:
    data, model = world.cache.put(DATA), world.cache.put(b"model")
    world.hold(data, model)
    world.restore(
        file("data/train.csv", data),
        file("models/old.pkl", model, "unknown"),
        expected_outputs=["checkpoint.pt"],
        pointer_edits=[{"path": "data/train.csv.dvc", "text": "new\n", "created": False}],
    )
    from runner.inside.workspace import _git

    assert _git(str(world.root), "status", "--porcelain") == ""
    assert (world.root / "plots").is_dir(), "folders of all that DVC ever versioned are there"


def restored(world: World, *expected: str, **fields: Any) -> ObjectId:
    data = world.cache.put(DATA)
    world.hold(data)
    world.restore(file("data/train.csv", data), expected_outputs=list(expected), **fields)
    capture = Path(layout.work("r1", f"{layout.SANDBOX}/{layout.CAPTURE}"))
    assert capture.is_dir()
    world.events.clear()
    return data


def by_path(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    for output in result["outputs"]:
        OutputFile.model_validate(output, strict=False)
    return {output["path"]: output for output in result["outputs"]}


def test_what_the_training_wrote_is_told_from_what_was_there(world: World) -> None:
    restored(world, "models/model.pkl")
    (world.root / "models/model.pkl").write_bytes(b"new")
    (world.root / "checkpoint.pt").write_bytes(b"again")
    outputs = by_path(world.collect(expected_outputs=["models/model.pkl", "train.py", "never.pkl"]))
    assert {path: output["written"] for path, output in outputs.items()} == {
        "models/model.pkl": True,
        "checkpoint.pt": True,
        "train.py": False,
    }
    assert world.copies() == {"models/model.pkl": b"new", "checkpoint.pt": b"again"}


def test_the_same_bytes_written_again_are_written(world: World) -> None:
    restored(world)
    content = (world.root / "checkpoint.pt").read_bytes()
    before = os.stat(world.root / "checkpoint.pt")
    (world.root / "checkpoint.pt").write_bytes(content)
    os.utime(world.root / "checkpoint.pt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert by_path(world.collect())["checkpoint.pt"]["written"], "copies keep mtime; ctime they cannot"


def test_a_folder_that_is_expected_has_dvcs_digest_and_its_files_are_copied(world: World) -> None:
    folder = world.cache.put_directory({"a-b": b"1", "a/c": b"2"})
    restored(world, "out")
    (world.root / "out" / "a").mkdir(parents=True)
    (world.root / "out" / "a-b").write_bytes(b"1")
    (world.root / "out" / "a" / "c").write_bytes(b"2")
    outputs = by_path(world.collect(expected_outputs=["out"]))
    assert outputs["out"]["digest"] == str(folder)
    assert outputs["out"]["written"]
    assert outputs["out"]["size_bytes"] == 2
    assert world.copies() == {"out/a-b": b"1", "out/a/c": b"2"}


def change_in_place(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"other")


def remove(path: Path) -> None:
    path.unlink()


def link_the_parent(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to("moved")


def link_elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("spoil", [change_in_place, remove, link_the_parent, link_elsewhere])
def test_an_input_that_the_training_spoilt_is_said_to_be(world: World, spoil: Callable[[Path], None]) -> None:
    restored(world)
    spoil(world.root / "data/train.csv")
    assert world.collect()["inputs"][0]["unchanged"] is False


def test_an_input_that_was_left_alone_is_unchanged_and_no_output(world: World) -> None:
    restored(world)
    result = world.collect()
    assert result["inputs"][0]["unchanged"] is True
    assert "data/train.csv" not in by_path(result)


def test_names_that_are_no_text_are_told_as_text(world: World) -> None:
    restored(world)
    Path(os.fsdecode(os.fsencode(world.root) + b"/caf\xe9.bin")).write_bytes(b"x")
    assert "caf\\xe9.bin" in by_path(world.collect())
    assert world.copies() == {"caf\\xe9.bin": b"x"}


def test_links_and_pipes_are_no_outputs(world: World) -> None:
    restored(world, "link", "pipe", "folder")
    (world.root / "link").symlink_to("/etc/hostname")
    (world.root / "folder").symlink_to("/etc")
    os.mkfifo(world.root / "pipe")
    assert by_path(world.collect(expected_outputs=["link", "pipe", "folder"])) == {}
    assert world.copies() == {}


def test_a_link_to_what_the_training_wrote_is_what_it_wrote(world: World) -> None:
    """A training that keeps versions, and links the newest to where it is looked for, has written it: rule 17"""
    folder = world.cache.put_directory({"a": b"1"})
    restored(world, "latest.pkl", "home.pkl", "old.pkl", "latest")
    (world.root / "v1.pkl").write_bytes(b"new")
    (world.root / "latest.pkl").symlink_to("v1.pkl")
    home = world.root.parent / layout.HOME / "model.pkl"
    home.write_bytes(b"at home")
    (world.root / "home.pkl").symlink_to(f"{layout.HOME_TARGET}/model.pkl")
    (world.root / "old.pkl").symlink_to("models/../checkpoint.pt")
    (world.root / "versions/1").mkdir(parents=True)
    (world.root / "versions/1/a").write_bytes(b"1")
    (world.root / "latest").symlink_to(f"{layout.WORKSPACE_TARGET}/versions/1")
    outputs = by_path(world.collect(expected_outputs=["latest.pkl", "home.pkl", "old.pkl", "latest"]))
    assert {path: outputs[path]["written"] for path in ("latest.pkl", "home.pkl", "old.pkl", "latest")} == {
        "latest.pkl": True,
        "home.pkl": True,
        "old.pkl": False,
        "latest": True,
    }
    assert outputs["latest"]["digest"] == str(folder)


@pytest.mark.parametrize(
    "target", ["/etc/hostname", "../../state/restored.json", "../../../../../../etc/hostname", "a", "../../reference/x"]
)
def test_a_link_that_leaves_the_sandbox_or_turns_in_a_circle_is_not_followed(world: World, target: str) -> None:
    restored(world, "a")
    (world.root / "a").symlink_to(target)
    assert by_path(world.collect(expected_outputs=["a"])) == {}


def test_a_folder_of_which_only_a_c_library_read_a_file_was_opened(world: World) -> None:
    """What C reads Python's hook does not see, its access time tells: rule 21"""
    folder = world.cache.put_directory(FOLDER)
    world.hold(folder, *(world.cache.put(content) for content in FOLDER.values()))
    world.restore(file("data/set", folder))
    assert world.collect(remove=False)["inputs"][0]["opened"] is False
    subprocess.run(["cat", str(world.root / "data/set/sub/b.csv")], check=True, capture_output=True)
    assert world.collect()["inputs"][0]["opened"] is True


def rename(root: Path) -> None:
    (root / "models/old.pkl").rename(root / "new.pkl")


def hard_link(root: Path) -> None:
    os.link(root / "models/old.pkl", root / "new.pkl")


def copy_by_another_program(root: Path) -> None:
    subprocess.run(["cp", "-p", str(root / "models/old.pkl"), str(root / "new.pkl")], check=True)


@pytest.mark.parametrize("take", [rename, hard_link, copy_by_another_program])
def test_what_no_python_opened_of_the_commit_may_be_an_output_all_the_same(
    world: World, take: Callable[[Path], None]
) -> None:
    """rules 17 and 18"""
    restored(world, "new.pkl")
    take(world.root)
    assert world.collect(expected_outputs=["new.pkl"])["opened_of_commit"] == ["models/old.pkl"]


def rename_and_read(root: Path) -> None:
    rename(root)
    subprocess.run(["cat", str(root / "new.pkl")], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("take", "used"),
    [(rename, []), (rename_and_read, ["models/old.pkl"]), (copy_by_another_program, ["models/old.pkl"])],
)
def test_what_was_moved_aside_is_not_used_and_what_was_read_is(
    world: World, take: Callable[[Path], None], used: list[str]
) -> None:
    """Old results are moved aside before new ones are written, which feeds none of them: rule 18"""
    restored(world)
    take(world.root)
    assert world.collect()["used_of_commit"] == used


def test_git_that_is_asked_for_the_state_of_the_tree_reads_none_of_it(world: World) -> None:
    """Many trainings ask whether the tree is clean: that uses no result which the commit holds."""
    restored(world)
    # Git counts times in seconds: what changes a moment after it looked must be no change to it either.
    before = os.stat(world.root / "models/old.pkl")
    time.sleep(1.1)
    os.utime(world.root / "models/old.pkl", ns=(before.st_atime_ns, before.st_mtime_ns))
    done = subprocess.run(["git", "-C", str(world.root), "status", "--porcelain"], check=True, capture_output=True)
    assert done.stdout == b""
    assert os.stat(world.root / "models/old.pkl").st_atime_ns == before.st_atime_ns
    assert world.collect()["used_of_commit"] == []


def test_a_file_that_the_training_wrote_first_is_not_used_of_the_commit(world: World) -> None:
    restored(world)
    (world.root / "checkpoint.pt").write_bytes(b"better weights")
    subprocess.run(["cat", str(world.root / "checkpoint.pt")], check=True, capture_output=True)
    assert world.collect()["used_of_commit"] == []


def test_a_disk_without_access_times_is_said_to_hide_who_reads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "are_kept", lambda folder: False)
    restored(world)
    assert [sentence for sentence in world.collect()["cut"] if "access times" in sentence]


STORES = {
    "mlruns/417/abc/meta.yaml": (b"artifact_uri: x\nrun_uuid: abc\n", "mlruns"),
    "logs/0/meta.yaml": (b"artifact_location: x\nexperiment_id: '0'\n", "logs"),
    "mlflow.db": (b"SQLite format 3\0 CREATE TABLE runs (", "mlflow.db"),
}


@pytest.mark.parametrize("path", STORES)
def test_a_store_that_the_training_wrote_itself_is_a_problem(world: World, path: str) -> None:
    """What is logged there the capture has not seen, and would be missing: rule 24"""
    content, store = STORES[path]
    restored(world)
    assert not any("past the capture" in problem for problem in world.collect(remove=False)["capture"]["problems"])
    (world.root / path).parent.mkdir(parents=True, exist_ok=True)
    (world.root / path).write_bytes(content)
    problems = world.collect()["capture"]["problems"]
    assert f"a process of the training logged past the capture, to {store}" in problems


def test_small_outputs_are_copied_and_large_ones_only_hashed(world: World) -> None:
    restored(world)
    for name, size in {"a": 600, "b": 600, "c": 300, "empty": 0}.items():
        (world.root / name).write_bytes(b"x" * size)
    outputs = by_path(world.collect(copy_bytes=1000))
    assert set(outputs) == {"a", "b", "c", "empty"}
    assert {path: len(data) for path, data in world.copies().items()} == {"a": 600, "c": 300, "empty": 0}


def test_a_copy_comes_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_CHUNK", 7)
    restored(world)
    (world.root / "a").write_bytes(bytes(range(50)))
    world.collect()
    assert world.copies() == {"a": bytes(range(50))}
    last = [event["value"]["last"] for event in world.events if event.get("name") == "output"]
    assert last == [False] * 7 + [True]


def test_beyond_a_limit_outputs_are_not_hashed_and_it_is_said_but_the_expected_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "_HASHED_FILES", 2)
    restored(world, "z.pkl")
    for name in ("a", "b", "c", "z.pkl"):
        (world.root / name).write_bytes(b"x")
    result = world.collect(expected_outputs=["z.pkl"])
    assert set(by_path(result)) == {"a", "z.pkl"}
    assert [sentence.endswith("from b on") for sentence in result["cut"]] == [True]


def test_outputs_beyond_the_limit_of_bytes_are_not_hashed(world: World) -> None:
    restored(world)
    (world.root / "a").write_bytes(b"x" * 100)
    result = world.collect(output_bytes=50)
    assert by_path(result) == {}
    assert len(result["cut"]) == 1


@pytest.mark.parametrize("there", [True, False])
def test_the_workspace_is_removed_unless_it_is_to_be_kept(world: World, there: bool) -> None:
    restored(world)
    world.collect(remove=not there)
    assert os.path.exists(layout.work("r1")) is there


def test_restore_names_the_ready_environment_and_the_base_image_as_in_use(world: World) -> None:
    folder = Path(layout.ENVIRONMENTS) / "key"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    environment.write_lock("s", "", Lock(environment="key", text=""))
    environment.write_ready(Environment(key="key", python="3.11.2", lock="", packages={}, built_from_source=()))
    world.restore()
    assert uses.marked() == {"key"}
    assert set(uses.images()) == {"base:py3.11"}
    assert [event["value"]["key"] for event in world.events if event.get("name") == "environment"] == ["key"]


def test_restore_names_no_environment_where_none_is_ready(world: World) -> None:
    world.restore()
    assert uses.marked() == frozenset()
