"""Which environments are ready: those with a whole record and a Python, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.inside import layout
from runner.inside.packages import environment
from runner.inside.packages.environment import Environment, Lock, find_ready


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(layout, "ENVIRONMENTS", str(tmp_path / "environments"))
    return tmp_path


def make(cache: Path, key: str = "abc") -> Path:
    folder = cache / "environments" / key
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    record = Environment(key=key, python="3.11.2", lock="six==1\n", packages={"six": "1"}, built_from_source=())
    environment.write_ready(record)
    return folder


def lock(key: str = "abc", *, built: tuple[str, ...] = ()) -> Lock:
    return Lock(environment=key, text="six==1\n", built=built)


def test_a_lock_and_a_ready_environment_are_found(cache: Path) -> None:
    make(cache)
    environment.write_lock("spec", "repo", lock())
    found = find_ready("spec", "repo")
    assert found is not None
    assert (found["key"], found["packages"]) == ("abc", {"six": "1"})
    assert find_ready("spec") is not None
    assert find_ready("other", "repo") is None


def test_what_was_built_is_found_by_its_own_repository_only(cache: Path) -> None:
    make(cache)
    environment.write_lock("spec", "repo", lock(built=("docopt.whl",)))
    assert find_ready("spec", "repo") is not None
    assert find_ready("spec", "other") is None
    assert find_ready("spec") is None


def test_an_environment_without_its_record_or_its_python_is_not_ready(cache: Path) -> None:
    folder = make(cache)
    environment.write_lock("spec", "", lock())
    (folder / "bin" / "python").unlink()
    assert find_ready("spec") is None
    (folder / "bin" / "python").touch()
    (folder / ".ready").unlink()
    assert find_ready("spec") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1, "packages": []}'])
def test_a_corrupt_record_is_none(cache: Path, text: str) -> None:
    folder = make(cache)
    environment.write_lock("spec", "", lock())
    (folder / ".ready").write_text(text)
    assert find_ready("spec") is None
    make_again = json.loads((cache / "locks" / "spec.json").read_text())
    assert make_again["environment"] == "abc"
    (cache / "locks" / "spec.json").write_text(text)
    assert find_ready("spec") is None


@pytest.mark.parametrize("key", ["..", "a/b", "", "/etc"])
def test_a_key_never_leads_out_of_its_folder(cache: Path, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        find_ready(key)


def test_every_part_of_an_environment_is_in_its_key() -> None:
    parts = {"lock": "a", "python": "3.11.2", "image": "i", "repository": "", "trees": ()}
    keys = {
        environment.environment_key(**{**parts, name: ("other",) if name == "trees" else "other"}) for name in parts
    }  # type: ignore[arg-type]
    assert len(keys | {environment.environment_key(**parts)}) == len(parts) + 1  # type: ignore[arg-type]


def test_packages_are_read_from_their_folders(tmp_path: Path) -> None:
    for name in ("PyYAML-6.0.dist-info", "ruamel.yaml-0.18.dist-info", "google_auth-2.0.1.dist-info", "six.py", "x-1"):
        (tmp_path / name).mkdir()
    assert environment.freeze(tmp_path) == {"google-auth": "2.0.1", "pyyaml": "6.0", "ruamel-yaml": "0.18"}
