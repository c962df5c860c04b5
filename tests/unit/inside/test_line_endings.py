"""A text whose line endings git changed is found by the digest that it has with the others, wherever its pieces end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.inside.data import line_endings, objects
from runner.inside.data.line_endings import write_mended
from runner.inside.data.objects import ObjectId
from runner.inside.hashing import hash_file
from tests.support.inside import Cache
from tests.support.repositories import md5

LF = b"a,b\n1,2\n"
CRLF = b"a,b\r\n1,2\r\n"


@pytest.mark.parametrize(("held", "recorded"), [(LF, CRLF), (CRLF, LF)])
def test_the_recorded_bytes_come_of_the_other_ending(cache: Cache, held: bytes, recorded: bytes) -> None:
    object_id = ObjectId.parse(str(md5(recorded)))
    path = Path(object_id.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(held)
    assert objects.verify(object_id) is None
    assert not path.exists(), "other bytes never bear the name"
    assert objects.is_mendable(object_id)
    assert objects.take_mended(object_id) == ("LF made CRLF" if recorded == CRLF else "CRLF made LF")
    assert path.read_bytes() == recorded
    assert objects.verified(object_id) is not None
    assert not objects.is_mendable(object_id)


@pytest.mark.parametrize("held", [b"a,b\n1,3\n", b"\x00\r\n", b""])
def test_bytes_that_differ_in_more_than_endings_are_not_mended(cache: Cache, held: bytes) -> None:
    object_id = ObjectId.parse(str(md5(CRLF)))
    path = Path(object_id.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(held)
    assert objects.verify(object_id) is None
    assert not objects.is_mendable(object_id)
    assert objects.take_mended(object_id) is None


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"bc"]), max_size=40).map(b"".join), st.integers(1, 7))
def test_pieces_may_end_anywhere(tmp_path_factory: pytest.TempPathFactory, text: bytes, size: int) -> None:
    folder = tmp_path_factory.mktemp("endings")
    held = folder / "held"
    held.write_bytes(text)
    lf = text.replace(b"\r\n", b"\n")
    for wanted in (lf, lf.replace(b"\n", b"\r\n")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(line_endings, "CHUNK", size)
            digest = hashlib.md5(wanted).hexdigest()
            assert write_mended(str(held), str(folder / "mended"), "md5", digest)
        assert (folder / "mended").read_bytes() == wanted
    assert hash_file(str(held)).size_bytes == len(text)
