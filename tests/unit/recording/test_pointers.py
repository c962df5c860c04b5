"""Which data pointers name, and whether the bytes that lie there are those."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reproducibility_runner.recording.pointers import Out, compare, digest_of, fingerprint, read_pointers
from tests.support.repositories import Stored, directory_object, md5, pointer_text


def stored(content: bytes) -> Stored:
    return Stored(md5(content), len(content))


def write(root: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return sorted(files)


def test_paths_are_from_the_root_and_results_are_not_taken_for_data(tmp_path: Path) -> None:
    names = write(
        tmp_path,
        {
            "data/train.csv.dvc": pointer_text("train.csv", stored(b"1")),
            "runs/a/out.csv.dvc": pointer_text("out.csv", stored(b"2")),
            "net.joblib.dvc": pointer_text("net.joblib", stored(b"3")),
            "sub/x.dvc": "wdir: ..\n" + pointer_text("x.csv", stored(b"4")),
        },
    )
    found = read_pointers(str(tmp_path), names)
    assert {out.path: out.certain for out in found.outs} == {
        "data/train.csv": True,
        "runs/a/out.csv": False,
        "net.joblib": False,
        "x.csv": True,
    }
    assert found.problems == []


def test_of_a_lock_what_another_stage_depends_on_is_data(tmp_path: Path) -> None:
    lock = (
        "schema: '2.0'\nstages:\n"
        f"  prepare:\n    cmd: p\n    deps:\n    - path: p.py\n      md5: {'a' * 32}\n"
        f"    outs:\n    - path: features\n      md5: {'b' * 32}.dir\n      hash: md5\n"
        f"  train:\n    cmd: t\n    deps:\n    - path: features\n      md5: {'b' * 32}.dir\n"
        f"    outs:\n    - path: final\n      md5: {'c' * 32}\n      hash: md5\n"
    )
    write(tmp_path, {"dvc.lock": lock, "dvc.yaml": "stages: {prepare: {cmd: p}, train: {cmd: t}}\n"})
    found = read_pointers(str(tmp_path), ["dvc.lock"])
    assert {out.path: out.certain for out in found.outs} == {"features": True, "final": False}


@pytest.mark.parametrize(
    "text", ["outs: [", "- a", "outs: [{md5: 0}]", "outs:\n- md5: " + "a" * 32 + "\n  path: ../../x\n"]
)
def test_a_pointer_that_cannot_be_read_is_a_problem_and_no_crash(text: str, tmp_path: Path) -> None:
    write(tmp_path, {"a.dvc": text})
    found = read_pointers(str(tmp_path), ["a.dvc"])
    assert found.outs == []
    assert len(found.problems) == 1


def test_a_folders_digest_is_dvcs(tmp_path: Path) -> None:
    files = {"b/x.txt": b"1", "a.txt": b"2", "b-c/y.txt": b"3"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert digest_of(str(tmp_path)) == directory_object(files)[0].dvc


def out_of(content: bytes, **entry: object) -> Out:
    return Out("data.csv", "data.csv.dvc", {"md5": md5(content).dvc, "size": len(content), "hash": "md5", **entry})


def test_bytes_are_compared_with_the_pointer(tmp_path: Path) -> None:
    assert compare(str(tmp_path), out_of(b"abc"), [100]).kind == "absent"
    (tmp_path / "data.csv").write_bytes(b"abc")
    assert compare(str(tmp_path), out_of(b"abc"), [100]).kind == "same"
    (tmp_path / "data.csv").write_bytes(b"abd")
    differing = compare(str(tmp_path), out_of(b"abc"), [100])
    assert (differing.kind, differing.digest) == ("other", md5(b"abd").dvc)


def test_beyond_the_allowance_sizes_are_compared_and_only_a_difference_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"abd")
    assert compare(str(tmp_path), out_of(b"abc"), [2]).kind == "unknown"
    (tmp_path / "data.csv").write_bytes(b"abdd")
    differing = compare(str(tmp_path), out_of(b"abc"), [2])
    assert (differing.kind, differing.digest) == ("other", md5(b"abdd").dvc)


def test_the_digest_that_dvc_2_gave_a_text_of_windows_is_known(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"a\r\nb\r\n")
    old = Out("data.csv", "data.csv.dvc", {"md5": md5(b"a\nb\n").dvc, "size": 6})
    assert compare(str(tmp_path), old, [100]).kind == "same"


def test_a_file_that_was_written_again_with_the_same_size_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text("a")
    before = fingerprint(str(path))
    assert fingerprint(str(path)) == before
    path.write_text("b")
    os.utime(path, ns=(1, 1))
    assert fingerprint(str(path)) != before
    assert fingerprint(str(tmp_path / "absent")) is None
