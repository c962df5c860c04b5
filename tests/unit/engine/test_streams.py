"""Streams of frames and archives, whatever pieces they come in."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.archive import ByteStream, folder_files, pack
from runner.engine.stream import STDERR, STDOUT, Frames


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=40))), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    wire = b"".join(struct.pack(">BxxxL", stream, len(content)) + content for stream, content in frames)
    reader, got = Frames(), {STDOUT: b"", STDERR: b""}
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        for stream, piece in reader.feed(wire[:cut]):
            got[stream] += piece
        wire = wire[cut:]
    for stream in (STDOUT, STDERR):
        assert got[stream] == b"".join(content for where, content in frames if where == stream)


def test_a_frame_is_handed_on_before_it_is_whole() -> None:
    reader = Frames()
    assert list(reader.feed(struct.pack(">BxxxL", STDERR, 1 << 30) + b"start")) == [(STDERR, b"start")]


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True), st.binary(max_size=2000)))
def test_a_packed_archive_is_one_that_tarfile_reads(files: dict[str, bytes]) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(files.items())))) as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert read == files


def test_scripts_are_executable_and_nothing_else_is() -> None:
    archive = b"".join(pack([("run", b"#!/bin/sh\n"), ("data", b"x")]))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert {member.name: member.mode for member in opened} == {"run": 0o755, "data": 0o644}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x"])
def test_a_path_outside_the_target_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="below the target"):
        list(pack([(path, b"")]))


def test_bytes_stream_reads_across_pieces() -> None:
    assert io.BufferedReader(ByteStream([b"ab", b"", b"cde"])).read(4) == b"abcd"


def test_a_folder_is_taken_sorted_and_without_bytecode(tmp_path: Path) -> None:
    for path in ("b.py", "a/x.py", "a/__pycache__/x.cpython-311.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    assert [path for path, _ in folder_files(tmp_path, "lib")] == ["lib/a/x.py", "lib/b.py"]
