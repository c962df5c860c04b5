"""A rewrite changes one digest and what belongs to it, and nothing else, byte for byte."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from runner.pointers.document import PointerSyntaxError
from runner.pointers.read import read_lock, read_pointer
from runner.pointers.rewrite import create_pointer, rewrite_out
from runner.schema.digest import DigestValue
from runner.schema.snapshot import PointerOut

A = "0123456789abcdef0123456789abcdef"
B = "fedcba9876543210fedcba9876543210"
NEW = DigestValue("md5", B)


def rewritten(text: str, index: int, digest: DigestValue, *, stage: str | None = None) -> str:
    """The text with another digest for the out of this number, of a `.dvc` file or of a stage of `dvc.lock`."""
    return rewrite_out(text, PointerOut(pointer="p", index=index, path="x", digest=None, stage=stage), digest)


def test_comments_order_quotes_and_indentation_stay() -> None:
    text = (
        "# made by hand\nmeta: {owner: 'ann',   since: 2021}   # keep\nouts:\n  - path: \"sst.csv\"   # data\n"
        f"    md5: '{A}'  # v1\n    size: 12\n    # why\n    hash: md5\n    desc: >\n"
        "      long\n      text\n\n\nmd5: 9e3fb1f6c1e9a2d5f1c7a0e0a8d9b7c6\n"
    )
    expected = text.replace(f"'{A}'", f"'{B}'").replace("    size: 12\n", "")
    assert rewritten(text, 0, NEW) == expected


def test_line_endings_of_windows_stay() -> None:
    text = f"outs:\r\n- md5: {A}\r\n  size: 1\r\n  hash: md5\r\n  path: x\r\n"
    assert rewritten(text, 0, NEW) == f"outs:\r\n- md5: {B}\r\n  hash: md5\r\n  path: x\r\n"


def test_only_the_out_asked_for_changes() -> None:
    text = f"outs:\n- md5: {A}\n  size: 1\n  hash: md5\n  path: x\n- md5: {A}\n  size: 1\n  hash: md5\n  path: y\n"
    written = rewritten(text, 1, NEW)
    assert written == text[: text.index("- md5", 9)] + f"- md5: {B}\n  hash: md5\n  path: y\n"


def test_a_digest_by_the_bytes_makes_an_old_pointer_say_so_and_back() -> None:
    old = f"outs:\n- md5: {A}  # old\n  path: x\n"
    new = f"outs:\n- md5: {B}  # old\n  hash: md5\n  path: x\n"
    assert rewritten(old, 0, NEW) == new
    assert rewritten(new, 0, DigestValue("md5-dos2unix", A)) == old


def test_a_pointer_that_holds_the_digest_is_returned_as_it_is() -> None:
    text = f"outs:\n- {{md5: {A}, size: 3, hash: md5, path: x}}\n"
    assert rewritten(text, 0, DigestValue("md5", A)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("outs:\n- path: x\n", f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n"),
        ("outs:\n- size: 1\n  path: x\n", f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n"),
        ("outs:\n- md5:\n  path: x\n", f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n"),
        ("outs:\n- md5: null\n  hash:\n  path: x", f"outs:\n- md5: {B}\n  hash: md5\n  path: x"),
        ("outs:\n- path: x\n  md5: ''", f"outs:\n- path: x\n  md5: '{B}'\n  hash: md5"),
        (f"outs:\n- size: 1\n  nfiles: 2\n  path: x\n  md5: {A}\n", f"outs:\n- path: x\n  md5: {B}\n  hash: md5\n"),
        (
            f"outs:\n- size: 1\n  # c\n  md5: {A}\n  path: x\n",
            f"outs:\n- \n  # c\n  md5: {B}\n  hash: md5\n  path: x\n",
        ),
        (f"outs:\n- md5: {A}\n  path: x\n  size: 1", f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n"),
        (f"outs:\n- etag: |\n    abc\n  md5: {A}\n  path: x\n", f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n"),
        (
            f"outs:\n- md5: {A}\n  files:\n  - relpath: a\n    md5: {A}\n  - relpath: b\n    md5: {A}\n  path: x\n",
            f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n",
        ),
        (f"outs: [{{md5: {A}, path: x}}]\n", f"outs: [{{md5: {B}, hash: md5, path: x}}]\n"),
        (f"outs: [{{md5: {A}, path: x, size: 1, nfiles: 2}}]\n", None),
        (f"outs: [{{size: 1, path: x, md5: {A}}}]\n", f"outs: [{{path: x, md5: {B}, hash: md5}}]\n"),
        ("outs: [{path: x}]\n", f"outs: [{{md5: {B}, hash: md5, path: x}}]\n"),
        (f"outs:\n- md5: {A}\n  hash: md5-dos2unix\n  path: x\n", f"outs:\n- md5: {B}\n  hash: md5\n  path: x\n"),
    ],
)
def test_each_way_to_write_an_out_can_be_rewritten(text: str, written: str | None) -> None:
    result = rewritten(text, 0, NEW)
    assert written is None or result == written
    (out,) = read_pointer("x.dvc", result)
    assert (out.path, out.digest, out.size_bytes, out.file_count) == ("x", NEW, None, None)


def test_a_digest_that_looks_like_a_number_is_quoted_so_that_it_stays_text() -> None:
    text = f"outs:\n- md5: {A}\n  hash: md5\n  path: x\n"
    for hexdigest in ("1" * 32, "1" * 20 + "e" + "1" * 11):
        written = rewritten(text, 0, DigestValue("md5", hexdigest))
        assert f"md5: '{hexdigest}'" in written
        assert yaml.safe_load(written)["outs"][0]["md5"] == hexdigest


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("outs:\n- path: x\n", 1),
        ("outs:\n- path: x\n", -1),
        ("", 0),
        ("cmd: x\n", 0),
        ("outs:\n- x\n", 0),
        (f"outs:\n- &a\n  md5: {A}\n  path: x\n- *a\n", 0),
        (f"outs:\n- md5: &a {A}\n  path: x\n- md5: *a\n  path: y\n", 0),
        (f"outs:\n- md5: |-\n    {A}\n  path: x\n", 0),
        (f"outs:\r- md5: {A}\r  path: x\r  # c\r  size: 1\rfrozen: true\r", 0),
    ],
)
def test_what_cannot_be_rewritten_safely_is_refused(text: str, index: int) -> None:
    with pytest.raises(PointerSyntaxError):
        rewritten(text, index, NEW)


def test_a_digest_that_dvc_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="sha256"):
        rewritten("outs:\n- path: x\n", 0, DigestValue("sha256", "0" * 64))
    with pytest.raises(ValueError, match="sha256"):
        create_pointer("x", DigestValue("sha256", "0" * 64))


LOCK = f"""schema: '2.0'
stages:
  a:
    cmd: x
    outs:
    - path: m
      hash: md5
      md5: {A}
      size: 5
  b:
    cmd: >
      y
    outs:
    - path: n
      md5: {A}
    - path: m
      hash: md5
      md5: {A}.dir
      size: 5
      nfiles: 1
"""


def test_a_lock_is_rewritten_in_one_stage_alone() -> None:
    written = rewritten(LOCK, 1, NEW, stage="b")
    kept = LOCK[: LOCK.index(f"      md5: {A}.dir")]
    assert written == kept + f"      md5: {B}\n"
    assert [out.digest for out in read_lock("dvc.lock", written).outs][2] == NEW


def test_an_out_as_it_was_read_is_enough_to_rewrite_it() -> None:
    out = read_lock("sub/dvc.lock", LOCK).outs[2]
    assert rewrite_out(LOCK, out, NEW) == rewritten(LOCK, 1, NEW, stage="b")
    text = f"outs:\n- md5: {A}\n  hash: md5\n  path: x\n"
    assert rewrite_out(text, read_pointer("x.dvc", text)[0], NEW) == text.replace(A, B)


@pytest.mark.parametrize(("stage", "index"), [("c", 0), ("a", 1)])
def test_a_stage_or_out_that_is_not_in_the_lock_is_refused(stage: str, index: int) -> None:
    with pytest.raises(PointerSyntaxError):
        rewritten(LOCK, index, NEW, stage=stage)


def test_a_new_pointer_is_what_dvc_add_writes() -> None:
    assert create_pointer("runs/model.joblib", NEW) == f"outs:\n- md5: {B}\n  hash: md5\n  path: model.joblib\n"
    assert create_pointer("d", DigestValue("md5-dos2unix", B, directory=True)) == f"outs:\n- md5: {B}.dir\n  path: d\n"


hexdigests = st.text("0123456789abcdef", min_size=32, max_size=32)
digests = st.builds(DigestValue, st.sampled_from(["md5", "md5-dos2unix"]), hexdigests, st.booleans())
names = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="/\ufeff\ufffe\uffff"), min_size=1
)


@given(names, digests)
def test_a_new_pointer_reads_as_what_it_was_made_of(name: str, digest: DigestValue) -> None:
    assume(name not in (".", "..", ".git", ".dvc"))
    (out,) = read_pointer("folder/p.dvc", create_pointer(f"folder/{name}", digest))
    assert (out.path, out.digest) == (f"folder/{name}", digest)


MORE = ["size: 3", "nfiles: 2", "hash: md5", "desc: 'a # b'", "isexec: true", "files: [{a: 1}]"]


@st.composite
def pointer_texts(draw: st.DrawFn) -> tuple[str, int]:
    """A pointer as people may have written it, with the number of its outs."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    indent = draw(st.sampled_from(["", "  ", "    "]))
    comment = st.sampled_from(["", "  # note: md5: size", " #\u00e9"])
    lines = draw(st.lists(st.sampled_from(["# head", "", "wdir: .", "meta: {a: 1}"]), unique=True))
    lines.append("outs:" + draw(comment))
    count = draw(st.integers(1, 3))
    for number in range(count):
        quote = draw(st.sampled_from(["", "'", '"']))
        pairs = [f"md5: '{draw(hexdigests)}'", f"path: {quote}o{number}{quote}"]
        pairs += draw(
            st.lists(
                st.sampled_from(
                    ["size: 3", "nfiles: 2", "hash: md5", "desc: 'a # b'", "isexec: true", "files: [{a: 1}]"]
                ),
                unique=True,
            )
        )
        if draw(st.booleans()):
            pairs = [f"{pair}{draw(comment)}" for pair in draw(st.permutations(pairs))]
            lines.append(f"{indent}- {pairs[0]}")
            for pair in pairs[1:]:
                lines += [f"{indent}  # between"] if draw(st.booleans()) else []
                lines.append(f"{indent}  {pair}")
        else:
            lines.append(f"{indent}- {{{', '.join(draw(st.permutations(pairs)))}}}{draw(comment)}")
    lines += draw(st.sampled_from([[], ["# tail"], ["frozen: false", "", "# tail"]]))
    bom = draw(st.sampled_from(["", "\ufeff"]))
    return bom + newline.join(lines) + draw(st.sampled_from(["", newline])), count


TOUCHED = {"md5", "hash", "size", "nfiles", "files"}


@given(pointer_texts(), st.data(), digests)
def test_rewriting_then_reading_gives_the_digest_and_the_rest_is_unchanged(
    pointer: tuple[str, int], data: st.DataObject, digest: DigestValue
) -> None:
    text, count = pointer
    index = data.draw(st.integers(0, count - 1))
    before = read_pointer("p.dvc", text)
    written = rewritten(text, index, digest)
    after = read_pointer("p.dvc", written)
    assert after[index].digest == digest
    assert after[index].path == before[index].path
    assert [out for out in after if out.index != index] == [out for out in before if out.index != index]
    if before[index].digest == digest:
        return
    old, new = yaml.safe_load(text), yaml.safe_load(written)
    assert isinstance(new["outs"][index]["md5"], str)
    for document in (old, new):
        document["outs"][index] = {k: v for k, v in document["outs"][index].items() if k not in TOUCHED}
    assert old == new
    # every line that does not belong to the entry is there, in order, byte for byte
    untouched = [
        line for line in text.splitlines(keepends=True) if line.strip().startswith("#") or not line.lstrip(" -{")[:1]
    ]
    position = 0
    for line in untouched:
        found = written.find(line.rstrip("\r\n"), position)
        assert found >= 0
        position = found + len(line.rstrip("\r\n"))
    assert ("\r\n" in text) == ("\r\n" in written)
    assert rewritten(written, index, digest) == written
