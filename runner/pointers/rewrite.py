"""Writing another digest into a pointer, and new pointers: text in, text out.

The text is cut at the places of the values that change and nowhere else: comments, order, quotes, indentation and line
endings of all the rest stay byte for byte, which no dump of a parsed document would give. The result is read again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

import yaml

from runner.pointers.document import Node, PointerSyntaxError
from runner.pointers.read import HASH, LEGACY, document_root, lock_stages, out_digest
from runner.schema.digest import DigestValue
from runner.schema.snapshot import PointerOut

# what describes the bytes that the old digest named, and no others
_OF_THE_OLD_BYTES = frozenset({"size", "nfiles", "files", "etag", "checksum", "version_id", "cloud"})
_NUMBER = re.compile(r"[0-9]+(e[0-9]+)?|0b[01]+")

_Edit = tuple[int, int, str]
_Finder = Callable[[Node | None], Node]


def rewrite_out(text: str, out: PointerOut, digest: DigestValue) -> str:
    """Return `text`, which is that of `out.pointer`, with `digest` for `out`, be it a `.dvc` file or a `dvc.lock`.

    Size and number of files, which belong to the other bytes, are dropped there, and `hash` is made to say what the
    digest's algorithm is; all else stays as it was. A pointer that holds the digest already is returned as it is.
    Raises PointerSyntaxError where the text has no such out or cannot be rewritten, ValueError for a digest that DVC
    does not know.
    """

    def entry(root: Node | None) -> Node:
        return _entry(root if out.stage is None else _stage(root, out.stage), out.index)

    return _rewrite(text, entry, digest)


def create_pointer(path: str, digest: DigestValue) -> str:
    """Return the text of `PATH.dvc` for the file or folder `path`, as `dvc add` writes it. Raises ValueError."""
    _check(digest)
    name = yaml.safe_dump(
        {"path": posixpath.basename(path)}, allow_unicode=True, default_flow_style=False, width=1 << 20
    )
    style = f"  hash: {HASH}\n" if digest.algorithm == HASH else ""
    return f"outs:\n- md5: {_plain(digest)}\n{style}  {name}"


def _check(digest: DigestValue) -> None:
    if digest.algorithm not in (HASH, LEGACY):
        raise ValueError(f"DVC does not know digests by {digest.algorithm}")


def _plain(digest: DigestValue) -> str:
    return f"'{digest.dvc}'" if _NUMBER.fullmatch(digest.dvc) else digest.dvc


def _entry(mapping: Node | None, index: int) -> Node:
    outs = mapping.get("outs") if mapping is not None else None
    if outs is None or not 0 <= index < len(outs.items):
        raise PointerSyntaxError(f"has no out number {index}")
    return outs.items[index]


def _stage(root: Node | None, name: str) -> Node:
    for candidate, stage in lock_stages(root):
        if candidate == name:
            return stage
    raise PointerSyntaxError(f"has no stage {name!r}")


def _rewrite(text: str, find: _Finder, digest: DigestValue) -> str:
    _check(digest)
    entry = find(document_root(text, aliases=False))
    if entry.kind != "mapping":
        raise PointerSyntaxError("an entry of outs must be a mapping", entry.line)
    if out_digest(entry) == digest:
        return text
    written = _apply(text, _edits(text, entry, digest))
    if not _is_rewritten(text, written, find, digest):
        raise PointerSyntaxError("is written in a way that cannot be changed safely", entry.line)
    return written


def _is_rewritten(before: str, after: str, find: _Finder, digest: DigestValue) -> bool:
    """Tell whether the entry alone has changed, and holds the digest."""
    try:
        old, new = document_root(before), document_root(after)
        old_entry, new_entry = find(old), find(new)
        if out_digest(new_entry) != digest:
            return False
    except PointerSyntaxError:
        return False
    touched = _OF_THE_OLD_BYTES | {"md5", "hash"}
    return _meaning(old, old_entry, touched) == _meaning(new, new_entry, touched)


def _meaning(node: Node | None, entry: Node, touched: frozenset[str]) -> object:
    """Return a document without its places, and without the touched keys of one entry."""
    if node is None:
        return None
    if node.kind == "scalar":
        return node.text, node.style
    if node.kind == "sequence":
        return [_meaning(item, entry, touched) for item in node.items]
    left_out: frozenset[str] = touched if node is entry else frozenset()
    return [(key.text, _meaning(value, entry, touched)) for key, value in node.pairs if key.text not in left_out]


def _edits(text: str, entry: Node, digest: DigestValue) -> list[_Edit]:
    newline = "\r\n" if "\r\n" in text else "\n"
    separator = ", " if entry.flow else newline + " " * _column(entry)
    style = f"hash: {HASH}" if digest.algorithm == HASH else None
    old_style = entry.get("hash")
    edits: list[_Edit] = []
    dropped = set(_OF_THE_OLD_BYTES)
    if old_style is not None:
        if style is None or old_style.kind != "scalar":
            dropped.add("hash")
        elif old_style.text != HASH:
            edits.append((old_style.start, old_style.end, _in_place(text, old_style, HASH)))
    added = [] if style is None or (old_style is not None and "hash" not in dropped) else [style]
    value = entry.get("md5")
    if value is None:
        start = entry.pairs[0][0].start if entry.pairs else entry.end - 1
        edits.append((start, start, separator.join([f"md5: {_plain(digest)}", *added]) + separator))
    else:
        edits.append((value.start, value.end, _in_place(text, value, digest.dvc)))
        if added:
            end = value.end if entry.flow else _end_of_line(text, value.end)
            edits.append((end, end, separator + added[0]))
    edits += _removals(text, entry, dropped)
    return edits


def _apply(text: str, edits: list[_Edit]) -> str:
    pieces: list[str] = []
    done = 0
    for start, end, replacement in sorted(edits, key=lambda edit: edit[:2]):
        pieces += [text[done:start], replacement]
        done = max(done, end)
    return "".join(pieces) + text[done:]


def _in_place(text: str, old: Node, new: str) -> str:
    """Return `new` in the quotes of the scalar that it replaces."""
    if old.style in ("'", '"'):
        return f"{old.style}{new}{old.style}"
    quoted = f"'{new}'" if _NUMBER.fullmatch(new) else new
    return quoted if old.end > old.start or text[old.start - 1 : old.start] == " " else f" {quoted}"


def _removals(text: str, entry: Node, dropped: set[str]) -> Iterator[_Edit]:
    """Yield what takes the dropped keys out; places may overlap."""
    for place, (key, value) in enumerate(entry.pairs):
        if key.text not in dropped:
            continue
        end = max(key.end, value.end)
        while text[end - 1] in "\r\n":  # a block scalar ends after its line
            end -= 1
        if entry.flow:
            yield _removal_in_flow(entry, place, end)
            continue
        line = text.rfind("\n", 0, key.start) + 1
        after = _end_of_line(text, end)
        if not text[line : key.start].strip():
            yield line, text.find("\n", after) + 1 or len(text), ""
            continue
        # beside the dash of its entry: the next key that stays moves up, unless comments stand between
        kept = next((name.start for name, _ in entry.pairs[place + 1 :] if name.text not in dropped), after)
        yield key.start, after if "#" in text[after:kept] else kept, ""


def _removal_in_flow(entry: Node, place: int, end: int) -> _Edit:
    key, _ = entry.pairs[place]
    if place + 1 < len(entry.pairs):
        return key.start, entry.pairs[place + 1][0].start, ""
    return entry.pairs[place - 1][1].end if place else key.start, end, ""


def _column(entry: Node) -> int:
    return entry.pairs[0][0].column if entry.pairs else entry.column


def _end_of_line(text: str, start: int) -> int:
    """Return the offset of the line's end, before its line ending."""
    end = text.find("\n", start)
    if end < 0:
        return len(text)
    return end - 1 if end > start and text[end - 1] == "\r" else end
