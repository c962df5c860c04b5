"""Pointers and locks as DVC 0 to 3 wrote them, and as people broke them."""

from __future__ import annotations

import pytest

from runner.pointers.document import PointerSyntaxError
from runner.pointers.read import LockContents, lock_parts, read_lock, read_pointer, read_wdirs
from runner.schema.digest import DigestValue
from tests.support.repositories import directory_object

A = "0123456789abcdef0123456789abcdef"
B = "fedcba9876543210fedcba9876543210"


def test_a_pointer_of_dvc_3_gives_path_digest_and_size() -> None:
    text = f"outs:\n- md5: {A}\n  size: 1234\n  hash: md5\n  path: sst.csv\n"
    (out,) = read_pointer("data/sst.csv.dvc", text)
    assert (out.path, out.digest, out.size_bytes, out.file_count) == ("data/sst.csv", DigestValue("md5", A), 1234, None)
    assert (out.pointer, out.index, out.stage, out.imported) == ("data/sst.csv.dvc", 0, None, False)


def test_a_pointer_without_hash_holds_a_digest_of_dvc_before_3() -> None:
    (out,) = read_pointer("sst.csv.dvc", f"md5: {B}\nwdir: .\nouts:\n- md5: {A}\n  path: sst.csv\n  cache: true\n")
    assert out.digest == DigestValue("md5-dos2unix", A)


def test_several_outs_keep_their_places_and_directories_their_counts() -> None:
    text = (
        f"outs:\n- md5: {A}.dir\n  size: 20\n  nfiles: 2\n  hash: md5\n  path: images\n"
        f"- md5: {B}\n  hash: md5\n  path: sub/labels.csv\n- path: never-committed.csv\n"
    )
    first, second, third = read_pointer("data/all.dvc", text)
    assert (first.digest, first.file_count) == (DigestValue("md5", A, directory=True), 2)
    assert (second.index, second.path) == (1, "data/sub/labels.csv")
    assert (third.index, third.digest) == (2, None)


def test_paths_start_at_the_working_directory_of_the_pointer() -> None:
    (out,) = read_pointer("a/b/x.dvc", f"wdir: ../..\nouts:\n- md5: {A}\n  path: data/x\n")
    assert out.path == "data/x"


def test_a_pointer_with_deps_is_imported_and_a_stage_with_a_command_is_not() -> None:
    deps = f"deps:\n- path: x\n  repo:\n    url: https://h/r\n    rev_lock: {A}\nouts:\n- md5: {A}\n  path: x\n"
    assert read_pointer("x.dvc", deps)[0].imported
    assert not read_pointer("x.dvc", "cmd: cp x y\n" + deps)[0].imported


def test_a_digest_of_digits_alone_keeps_its_leading_zeros() -> None:
    digits = "01234567890123456789012345678901"
    (out,) = read_pointer("x.dvc", f"outs:\n- md5: {digits}\n  hash: md5\n  path: x\n")
    assert out.digest == DigestValue("md5", digits)


def test_line_endings_of_windows_and_a_byte_order_mark_are_read() -> None:
    text = "\ufeff" + f"outs:\r\n- md5: {A}\r\n  hash: md5\r\n  path: x\r\n"
    (out,) = read_pointer("x.dvc", text)
    assert (out.path, out.digest) == ("x", DigestValue("md5", A))


def test_a_pointer_without_outs_names_nothing() -> None:
    assert read_pointer("x.dvc", "cmd: echo\nouts:\n") == ()


def test_an_anchor_is_followed() -> None:
    text = f"meta:\n  digest: &d {A}\nouts:\n- md5: *d\n  hash: md5\n  path: x\n"
    assert read_pointer("x.dvc", text)[0].digest == DigestValue("md5", A)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n", "line 1: must be a mapping of keys to values"),
        ("outs: 5\n", "line 1: outs must be a list"),
        ("outs:\n- x\n", "line 2: an entry of outs must be a mapping"),
        (f"outs:\n- md5: {A}\n", "line 2: an entry of outs has no path"),
        ("outs:\n- path: [a]\n", "line 2: path must be text"),
        ("outs:\n- md5: 1c9a\n  path: x\n", "line 2: has a digest that is none"),
        (f"outs:\n- md5: {A}\n  hash: sha1\n  path: x\n", "line 2: has a hash of a kind that is not known: 'sha1'"),
        (f"outs:\n- md5: {A}\n  size: many\n  path: x\n", "line 2: size must be a number"),
        (f"outs:\n- md5: {A}\n  md5: {B}\n  path: x\n", "line 3: has the key 'md5' twice"),
        ("<<<<<<< HEAD\nouts:\n=======\n", "line 2: is not YAML"),
        ("outs: [\n", "line 2: is not YAML"),
        ("outs: []\n---\nouts: []\n", "line 2: holds a second YAML document"),
        ("? [a]\n: b\n", "line 1: has a key that is not plain text"),
        ("outs: *nowhere\n", "line 1: names an anchor that is not there"),
        ("a: &a [*a]\n", "line 1: names an anchor that is not there"),
        (f"a: &a\n  md5: {A}\nouts:\n- <<: *a\n  path: x\n", "line 4: merges a YAML anchor"),
        ("outs: \x00\n", "is not YAML"),
        ("outs: \ud800\n", "is not YAML"),
        ("outs: " + "[" * 100000, "nested more than 64 levels"),
        ("- " * 100000 + "x", "nested more than 64 levels"),
    ],
)
def test_what_is_no_pointer_is_refused_in_a_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(PointerSyntaxError) as caught:
        read_pointer("x.dvc", text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "sub/../../../x",
        "/etc/passwd",
        "s3://bucket/x",
        "remote://name/x",
        "'C:\\data\\x'",
        ".",
        "..",
        '""',
        ".git/hooks/post-checkout",
        "sub/.git",
        ".dvc/config",
        '"a\\nb"',
    ],
)
def test_an_out_outside_of_what_is_restored_is_refused(path: str) -> None:
    with pytest.raises(PointerSyntaxError, match=r"line 2: the out .*(outside the repository|folder of git|control)"):
        read_pointer("data.dvc", f"outs:\n- md5: {A}\n  path: {path}\n")


def test_a_working_directory_outside_is_refused() -> None:
    with pytest.raises(PointerSyntaxError, match="outside the repository"):
        read_pointer("x.dvc", f"wdir: /abs\nouts:\n- md5: {A}\n  path: x\n")


def test_a_secret_in_an_address_is_not_in_the_sentence() -> None:
    with pytest.raises(PointerSyntaxError) as caught:
        read_pointer("x.dvc", f"outs:\n- md5: {A}\n  path: https://me:hunter2@host/x\n")
    assert "hunter2" not in str(caught.value)


LOCK = f"""schema: '2.0'
stages:
  split:
    cmd: python split.py
    deps:
    - path: raw.csv
      hash: md5
      md5: {A}
      size: 3
    params:
      params.yaml:
        split.seed: 3
    outs:
    - path: train
      hash: md5
      md5: {B}.dir
      size: 5
      nfiles: 2
  train@rf:
    cmd: python train.py
    outs:
    - path: s3://bucket/model
      etag: abc
    - path: model.joblib
      md5: {A}
"""


def test_a_lock_of_schema_2_gives_outs_and_deps_of_each_stage() -> None:
    lock = read_lock("sub/dvc.lock", LOCK)
    train, model = lock.outs
    assert (train.path, train.stage, train.digest) == ("sub/train", "split", DigestValue("md5", B, directory=True))
    assert (train.size_bytes, train.file_count) == (5, 2)
    assert (model.path, model.stage, model.index) == ("sub/model.joblib", "train@rf", 1)
    assert model.digest == DigestValue("md5-dos2unix", A)
    assert [dep.path for dep in lock.deps] == ["sub/raw.csv"]


def test_an_out_elsewhere_is_a_problem_of_its_own_and_does_not_hide_the_rest() -> None:
    (problem,) = read_lock("dvc.lock", LOCK).problems
    assert problem.pointer == "dvc.lock"
    assert problem.problem == "stage 'train@rf': line 22: the out 's3://bucket/model' lies outside the repository"


def test_a_dep_elsewhere_is_no_problem() -> None:
    text = f"a:\n  deps:\n  - path: s3://b/x\n    etag: x\n  outs:\n  - path: y\n    md5: {A}\n"
    lock = read_lock("dvc.lock", text)
    assert (len(lock.outs), lock.deps, lock.problems) == (1, (), ())


def test_a_lock_of_schema_1_has_its_stages_at_the_top() -> None:
    (out,) = read_lock("dvc.lock", f"train:\n  cmd: python t.py\n  outs:\n  - path: m\n    md5: {A}\n").outs
    assert (out.stage, out.path) == ("train", "m")


def test_paths_of_a_lock_start_at_the_working_directory_of_the_stage() -> None:
    wdirs = read_wdirs(
        "stages:\n  split:\n    wdir: code\n    cmd: x\n  train:\n    matrix:\n      m: [rf]\n    wdir: ..\n"
        "    cmd: y\n  each:\n    foreach: [1]\n    do:\n      wdir: w\n      cmd: z\n  plain:\n    cmd: q\n"
    )
    assert wdirs == {"split": "code", "train": "..", "each": "w"}
    lock = read_lock("sub/dvc.lock", LOCK, wdirs)
    assert [out.path for out in lock.outs] == ["sub/code/train", "model.joblib"]


@pytest.mark.parametrize("text", ["", "stages: {}\n", "wdir: [\n", "- wdir\n", "wdir: x\n"])
def test_a_dvc_yaml_that_tells_of_no_working_directory_gives_none(text: str) -> None:
    assert read_wdirs(text) == {}


@pytest.mark.parametrize("text", ["", "schema: '2.0'\n", "schema: '2.0'\nstages:\n"])
def test_a_lock_without_stages_names_nothing(text: str) -> None:
    assert read_lock("dvc.lock", text) == LockContents()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("schema: '2.0'\nstages: 5\n", "line 2: stages must be a mapping"),
        ("train: 5\n", "line 1: stage 'train' must be a mapping"),
        ("train:\n  outs:\n  - m\n", "line 3: an entry of outs must be a mapping"),
    ],
)
def test_what_is_no_lock_is_refused_in_a_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(PointerSyntaxError) as caught:
        read_lock("dvc.lock", text)
    assert sentence in str(caught.value)


def test_the_parts_of_a_lock_name_what_the_whole_names() -> None:
    parts = lock_parts(LOCK)
    assert len(parts) == 2
    assert tuple(out for part in parts for out in read_lock("dvc.lock", part).outs) == read_lock("dvc.lock", LOCK).outs


@pytest.mark.parametrize(
    "text",
    [
        f"train:\n  outs:\n  - path: m\n    md5: {A}\n",
        LOCK + "datasets: []\n",
        LOCK + "  split:\n    cmd: again\n",
        LOCK.replace("  split:", "    split:", 1),
        LOCK.replace("\n", "\r\n"),
    ],
)
def test_a_lock_that_is_written_otherwise_is_not_taken_apart(text: str) -> None:
    assert lock_parts(text) == [text]


IMPORTED = """deps:
- path: data/x.csv
  repo: {url: 'https://git.example/a.git', rev: v1, rev_lock: 0123456789abcdef0123456789abcdef01234567}
outs: [{path: x.csv, md5: 0123456789abcdef0123456789abcdef, hash: md5}]
"""


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (IMPORTED, "dvc import of data/x.csv of https://git.example/a.git at 0123456789ab"),
        ("deps: [{path: 's3://b/x.csv', etag: a}]\nouts: [{path: x.csv}]\n", "dvc import-url of s3://b/x.csv"),
        ("deps: [{db: {query: q, connection: pg}}]\nouts: [{path: x.csv}]\n", "dvc import-db of pg"),
        ("outs: [{path: x.csv}]\n", "None"),
    ],
)
def test_where_an_imported_file_came_from_is_read(text: str, source: str) -> None:
    (out,) = read_pointer("x.csv.dvc", text)
    assert str(out.source) == source


def test_a_directory_of_cloud_versions_has_the_digest_that_dvc_would_give_its_listing() -> None:
    text = """outs:
- path: folder
  hash: md5
  files:
  - {relpath: sub/b.csv, md5: 92eb5ffee6ae2fec3ad71c777531578f, cloud: {main: {etag: e, version_id: v2}}}
  - {relpath: a.csv, md5: 0cc175b9c0f1b6a831c399e269772661, size: 1, cloud: {main: {etag: e, version_id: v1}}}
"""
    (out,) = read_pointer("folder.dvc", text)
    assert out.digest == directory_object({"a.csv": b"a", "sub/b.csv": b"b"})[0]
    assert [(each.path, each.remote, each.version_id) for each in out.versions] == [
        ("sub/b.csv", "main", "v2"),
        ("a.csv", "main", "v1"),
    ]
    with pytest.raises(PointerSyntaxError, match="line 4: a file of a directory has no md5"):
        read_pointer("folder.dvc", "outs:\n- path: folder\n  files:\n  - {relpath: a, etag: x}\n")
