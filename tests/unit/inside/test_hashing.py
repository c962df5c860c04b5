"""Our digests are those of hashlib and of DVC. The constants were computed by DVC 3.67 itself."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.inside import hashing
from runner.inside.hashing import directory_digest, hash_file

MIB = 1 << 20


def write(folder: Path, content: bytes) -> str:
    path = folder / "file"
    path.write_bytes(content)
    return str(path)


def dvc_text_md5(content: bytes, chunk: int) -> str:
    """As dvc.utils.file_md5 of DVC 2 has it: each chunk by itself."""
    digest = hashlib.md5()
    for start in range(0, len(content), chunk):
        digest.update(content[start : start + chunk].replace(b"\r\n", b"\n"))
    return digest.hexdigest()


@given(
    content=st.binary(max_size=200) | st.lists(st.sampled_from([b"a,b", b"\r\n", b"\r", b"\n", b"\xff"])).map(b"".join)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_digests_are_hashlibs_in_whatever_chunks_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(hashing, "CHUNK", 7)
    found = hash_file(write(tmp_path, content))
    assert found.md5 == hashlib.md5(content).hexdigest()
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.size_bytes == len(content)
    assert found.text_md5 in (None, dvc_text_md5(content, 7))


def test_a_file_of_several_chunks_is_hashed_whole(tmp_path: Path) -> None:
    content = os.urandom(2 * MIB + 17)
    found = hash_file(write(tmp_path, content))
    assert (found.md5, found.size_bytes) == (hashlib.md5(content).hexdigest(), len(content))
    assert found.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\r\n1,2\r\n", "e5ebd4c02cefbe7955977c67ada242b7"),
        (b"a\rb\r", "eea524bfa8bb496aaed2fa86a3c54a9e"),
        (b"", "d41d8cd98f00b204e9800998ecf8427e"),
        (b"x" * (MIB - 1) + b"\r\ny\r\n", "e1825541a28894307881fc219afcc49f"),
    ],
    ids=["crlf", "lone-cr", "empty", "crlf-across-dvcs-chunks"],
)
def test_the_digest_of_a_text_is_dvcs(tmp_path: Path, content: bytes, expected: str) -> None:
    found = hash_file(write(tmp_path, content))
    assert found.text_md5 == expected
    assert found.matches("md5-dos2unix", expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00a\r\n", "c2a5b9617479ff7c69c7b78434b5784a"),
        (b"\xff" * 200 + b"\r\n", "fe9b06dad7d1d8ef23f499666a7d0099"),
    ],
    ids=["nul", "unprintable"],
)
def test_binary_files_are_hashed_as_they_are(tmp_path: Path, content: bytes, expected: str) -> None:
    found = hash_file(write(tmp_path, content))
    assert found.text_md5 is None
    assert found.md5 == expected
    assert found.matches("md5-dos2unix", expected)


def test_what_is_a_text_is_decided_by_its_first_bytes(tmp_path: Path) -> None:
    assert hash_file(write(tmp_path, b"a" * 512 + b"\x00\r\n")).text_md5 is not None
    assert hash_file(write(tmp_path, b"a" * 511 + b"\x00\r\n")).text_md5 is None


def test_a_digest_matches_only_by_its_own_algorithm(tmp_path: Path) -> None:
    found = hash_file(write(tmp_path, b"a\r\n"))
    assert found.matches("md5", found.md5)
    assert found.matches("sha256", found.sha256)
    assert found.matches("md5-dos2unix", found.md5), "DVC 3 hashes files of old pointers so"
    assert found.text_md5 is not None
    assert not found.matches("md5", found.text_md5)
    assert not found.matches("sha256", found.md5)
    assert not found.matches("crc32", found.md5)
    assert not found.matches("md5", "")


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    write(tmp_path, b"x")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="symbolic link"):
        hash_file(str(tmp_path / "link"))


def test_a_pipe_does_not_make_us_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert hash_file(str(tmp_path / "pipe")).size_bytes == 0


def test_the_digest_of_a_directory_is_dvcs() -> None:
    paths = ["b.txt", "a/x", "a-b", "a.txt", "a/y/z"]
    entries = [(path, hashlib.md5(path.encode()).hexdigest()) for path in paths]
    assert directory_digest(entries) == "0fbd663c3662aea80606e21372021a5f"
    assert directory_digest([("ünï", hashlib.md5(b"").hexdigest())]) == "b4bdc11b8113ca0bf907970dda8c2d73"


paths = st.lists(st.text("ab-./é_", min_size=1, max_size=6), unique=True, max_size=8)


@given(paths=paths, data=st.data())
def test_the_digest_of_a_directory_is_the_documented_one_in_any_order(paths: list[str], data: st.DataObject) -> None:
    entries = [(path, hashlib.md5(path.encode()).hexdigest()) for path in paths]
    listing = sorted(({"md5": digest, "relpath": path} for path, digest in entries), key=lambda entry: entry["relpath"])
    expected = hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest()
    assert directory_digest(data.draw(st.permutations(entries))) == expected
