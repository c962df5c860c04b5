"""What goes when the cache is pruned: decided on values, and found in a volume that is a folder."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runner.inside import prune, uses
from runner.inside.packages import environment
from runner.inside.packages.environment import Environment, Lock, find_ready
from runner.inside.protocol import PhaseError
from runner.inside.prune import Item, to_remove
from tests.support.inside import Cache

DAY = 86400.0
MIB = 1 << 20


def item(kind: str = "environments", name: str = "a", size: int = 1, days: float = 0, **fields: Any) -> Item:
    return Item(kind=kind, name=name, size_bytes=size, last_used=1000 * DAY - days * DAY, **fields)


def gone(items: list[Item], *, days: float | None = None, keep: int | None = None) -> list[str]:
    since = None if days is None else 1000 * DAY - days * DAY
    return [one.name for one in to_remove(items, unused_since=since, keep_bytes=keep)]


def test_without_a_limit_only_leftovers_go() -> None:
    assert gone([item(days=900), item("leftovers", "half", days=0), item("objects", "o", days=900)]) == ["half"]


def test_age_takes_what_is_older_and_nothing_else() -> None:
    items = [item(name="old", days=31), item(name="at", days=30), item(name="new", days=1)]
    assert gone(items, days=30) == ["old"]


def test_size_takes_the_longest_unused_first_and_stops_when_it_is_met() -> None:
    items = [item(name="new", size=5, days=1), item(name="older", size=5, days=9), item(name="old", size=5, days=5)]
    assert gone(items, keep=15) == []
    assert gone(items, keep=14) == ["older"]
    assert gone(items, keep=5) == ["older", "old"]
    assert gone(items, keep=0) == ["older", "old", "new"]


def test_what_is_in_use_stays_and_counts() -> None:
    items = [item(name="used", size=10, days=90, in_use=True), item(name="free", size=1, days=1)]
    assert gone(items, days=30) == []
    assert gone(items, keep=10) == ["free"]


def test_an_environment_goes_before_the_wheels_that_it_was_made_of() -> None:
    wheel, made = item("wheels", "wheel", size=10, days=9), item("environments", "made", size=1, days=9)
    assert gone([wheel, made], keep=10) == ["made"]
    assert gone([wheel, made], keep=9) == ["made", "wheel"]


def test_leftovers_go_first_and_may_be_enough() -> None:
    assert gone([item(name="old", size=5, days=99), item("leftovers", "half", size=5)], keep=5) == ["half"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    return Cache(tmp_path, monkeypatch)


class Store:
    """Fills the folder as provision and uv fill the volume."""

    def __init__(self, cache: Cache) -> None:
        self.path = cache.path

    def wheel(self, name: str, archive: str, size: int = MIB) -> Path:
        unpacked = self.path / "uv" / "archive-v0" / archive
        unpacked.mkdir(parents=True)
        (unpacked / f"{name}.py").write_bytes(os.urandom(size))
        folder = self.path / "uv" / "wheels-v8" / "pypi" / name
        folder.mkdir(parents=True)
        (folder / "1-py3-none-any").symlink_to(f"../../../archive-v0/{archive}")
        (folder / "1-py3-none-any.http").write_text("where it is")
        (folder / "1-py3-none-any.msgpack").write_text("what it says")
        return unpacked / f"{name}.py"

    def environment(self, key: str, *wheels: Path, days: float = 0, ready: bool = True) -> Path:
        folder = self.path / "environments" / key
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        (folder / "compiled.pyc").write_bytes(os.urandom(MIB))
        for wheel in wheels:
            os.link(wheel, folder / wheel.name)
        if ready:
            record = Environment(key=key, python="3.11.2", lock="", packages={}, built_from_source=())
            environment.write_ready(record)
            environment.write_lock(f"spec-{key}", "", Lock(environment=key, text=""))
            age(folder / ".ready", days)
            age(self.path / "locks" / f"spec-{key}.json", days)
        return folder

    def files(self) -> set[str]:
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*") if not path.is_dir()}


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def store(cache: Cache) -> Store:
    return Store(cache)


def run(**request: Any) -> dict[str, Any]:
    return prune.handle({"older_than_s": None, "keep_bytes": None, "dry_run": False, "wait_s": 5.0, **request})


def kinds(lines: list[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        found[line["kind"]] = found.get(line["kind"], 0) + line["count"]
    return found


def test_an_old_environment_goes_with_its_lock_and_the_wheels_that_nobody_else_uses(store: Store) -> None:
    shared, alone = store.wheel("shared", "S"), store.wheel("alone", "A")
    for wheel in (shared, alone):
        age(wheel.parent, 50)
    store.environment("old", shared, alone, days=40)
    kept = store.environment("new", shared, days=1)
    done = run(older_than_s=30 * DAY)
    assert kinds(done["removed"]) == {"environments": 1, "wheels": 1, "locks": 1}
    assert find_ready("spec-old") is None
    assert find_ready("spec-new") is not None
    assert (kept / "shared.py").stat().st_nlink == 2
    assert not [name for name in store.files() if "alone" in name or "old" in name or "trash" in name]


def test_a_file_counts_once_however_many_environments_have_it(store: Store) -> None:
    wheel = store.wheel("shared", "S", size=8 * MIB)
    for key in ("one", "two", "three"):
        store.environment(key, wheel)
    sizes = {line["kind"]: line["size_bytes"] for line in run(dry_run=True)["kept"]}
    assert 8 * MIB <= sizes["wheels"] < 9 * MIB
    assert MIB <= sizes["environments"] < 2 * MIB


def test_what_a_rerun_names_stays_whatever_its_age_and_so_do_its_wheels(store: Store) -> None:
    wheel = store.wheel("torch", "T")
    age(wheel.parent, 90)
    store.environment("used", wheel, days=90)
    (store.path / "work" / "rerun" / "state").mkdir(parents=True)
    uses.mark("rerun", "used")
    done = run(older_than_s=DAY, keep_bytes=0)
    assert kinds(done["removed"]) == {}
    assert {line["kind"] for line in done["kept"] if line["in_use"]} == {
        "environments",
        "wheels",
        "locks",
        "workspaces",
    }


def test_a_rerun_without_a_workspace_marks_nothing(store: Store) -> None:
    uses.mark("none", "key")
    assert uses.marked() == frozenset()


def test_using_a_thing_makes_it_young_again(store: Store) -> None:
    store.environment("used", days=40)
    assert find_ready("spec-used") is not None
    assert kinds(run(older_than_s=30 * DAY)["removed"]) == {}


def test_a_use_within_the_hour_is_not_written_again(store: Store) -> None:
    ready = store.environment("used", days=0.01) / ".ready"
    before = ready.stat().st_mtime
    assert find_ready("spec-used") is not None
    assert ready.stat().st_mtime == before


def test_half_made_things_go_without_any_limit(store: Store, cache: Cache) -> None:
    store.environment("half", ready=False)
    store.environment("whole")
    kept = cache.put(b"verified")
    cache.put(b"not verified", verified=False)
    for place in ("trash/x", "incoming/y", "uv/archive-v0/.tmpABC"):
        (store.path / place).mkdir(parents=True)
        (store.path / place / "file").write_bytes(b"x" * MIB)
    (store.path / "environments" / "half.lock").touch()
    (store.path / "locks" / "spec.json.7.tmp").touch()
    done = run()
    assert kinds(done["removed"]) == {"leftovers": 6}
    assert sum(line["size_bytes"] for line in done["removed"]) >= 3 * MIB
    assert Path(kept.path).exists()
    assert find_ready("spec-whole") is not None
    left = store.files()
    assert not [name for name in left if "half" in name or "trash" in name or "incoming" in name or "tmp" in name]
    assert kinds(run()["removed"]) == {}


def test_an_object_goes_with_its_record(cache: Cache) -> None:
    old, new = cache.put(b"old"), cache.put(b"new")
    age(cache.path / "verified" / "md5" / f"{old.oid}.json", 40)
    assert kinds(run(older_than_s=30 * DAY)["removed"]) == {"objects": 1}
    assert not Path(old.path).exists()
    assert Path(new.path).exists()
    assert len(list((cache.path / "verified").rglob("*.json"))) == 1


def test_what_was_built_is_used_as_long_as_an_environment_of_it_and_never_goes_while_it_is_built(store: Store) -> None:
    for name in ("old", "new", "building"):
        folder = store.path / "built" / name
        (folder / "uv").mkdir(parents=True)
        (folder / "uv" / f"{name}.py").write_bytes(b"x")
        (folder / ("jobs" if name == "building" else "wheels") / "one").mkdir(parents=True)
    store.environment("made", store.path / "built" / "new" / "uv" / "new.py", days=1)
    for folder in (store.path / "built").iterdir():
        age(folder, 40)
    assert kinds(run(older_than_s=30 * DAY)["removed"]) == {"builds": 1}
    assert sorted(os.listdir(store.path / "built")) == ["building", "new"]


def test_a_dry_run_says_the_same_and_removes_nothing(store: Store) -> None:
    store.environment("old", store.wheel("alone", "A"), days=40)
    store.environment("half", ready=False)
    before = store.files()
    said = run(keep_bytes=0, dry_run=True)
    assert store.files() - {".lock"} == before - {".lock"}
    assert kinds(run(keep_bytes=0)["removed"]) == kinds(said["removed"])


def test_pruning_waits_for_others_and_gives_up_without_having_removed_anything(
    store: Store,
) -> None:
    store.environment("old", days=40)
    with uses.with_others(), pytest.raises(PhaseError, match="nothing was removed"):
        run(older_than_s=DAY, wait_s=0.3)
    assert find_ready("spec-old") is not None
    age(store.path / "environments" / "old" / ".ready", 40)
    age(store.path / "locks" / "spec-old.json", 40)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with uses.with_others():
            entered.set()
            leave.wait(5)

    other = threading.Thread(target=hold)
    other.start()
    entered.wait()
    threading.Timer(0.3, leave.set).start()
    assert kinds(run(older_than_s=DAY)["removed"])["environments"] == 1
    other.join()


def test_the_last_use_of_base_images_is_told(cache: Cache) -> None:
    uses.note_image("reproducibility-runner/base:py3.11")
    uses.note_image("other/base:1")
    for path in (cache.path / "images").iterdir():
        age(path, 3)
    uses.note_image("other/base:1")
    unused = run()["images"]
    assert unused["other/base:1"] < 60
    assert 2.9 * DAY < unused["reproducibility-runner/base:py3.11"] < 3.1 * DAY


def test_an_empty_cache_is_no_error(cache: Cache) -> None:
    done = run(older_than_s=1.0, keep_bytes=0)
    assert (done["removed"], done["kept"]) == ([], [])


def test_environments_are_listed_by_what_they_are(store: Store) -> None:
    store.environment("a" * 40)
    (line,) = [line for line in run(dry_run=True)["kept"] if line["kind"] == "environments"]
    assert line["name"] == "aaaaaaaaaaaa Python 3.11.2, 0 packages"
    assert json.dumps(line)
