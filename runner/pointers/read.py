"""Reading `.dvc` files and `dvc.lock`: text in, values out. Nothing is looked up."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runner.inside.hashing import directory_digest
from runner.pointers.document import Node, PointerSyntaxError, parse
from runner.redact import redact
from runner.schema.digest import DigestValue
from runner.schema.snapshot import CloudVersion, ImportSource, PointerOut, PointerProblem

HASH = "md5"  # the value of the key `hash` since DVC 3: bytes as they are
LEGACY = "md5-dos2unix"  # DVC before 3 wrote no such key, and hashed text with its line endings made \n

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STAGE = re.compile(r"^(  [^\s#].*\n)", re.MULTILINE)
_AT_THE_MARGIN = re.compile(r"^\S", re.MULTILINE)
_PRIVATE = frozenset({".git", ".dvc"})


@dataclass(frozen=True)
class LockContents:
    """What a `dvc.lock` names: the outs of all stages, their deps, and entries that cannot be used, each with why."""

    outs: tuple[PointerOut, ...] = ()
    deps: tuple[PointerOut, ...] = ()
    problems: tuple[PointerProblem, ...] = ()


def read_pointer(path: str, text: str) -> tuple[PointerOut, ...]:
    """Return the outs of the `.dvc` file `path` (relative to the repository's root, POSIX) in their order.

    Digests have the algorithm `md5` where the entry says `hash: md5` and `md5-dos2unix` where it does not. `imported`
    is true where the pointer has deps and no command of its own. Raises PointerSyntaxError where the text is no
    pointer, and where an out lies outside the repository.
    """
    root = document_root(text)
    if root is None:
        raise PointerSyntaxError("is empty")
    wdir = _text(root, "wdir") or "."
    deps = _sequence(root, "deps")
    imported = bool(deps) and root.get("cmd") is None
    source = _import_source(deps[0]) if imported else None
    return tuple(
        _out(path, index, entry, wdir, imported=imported, source=source)
        for index, entry in enumerate(_sequence(root, "outs"))
    )


def read_lock(path: str, text: str, wdirs: Mapping[str, str] | None = None) -> LockContents:
    """Return what the `dvc.lock` at `path` (relative to the repository's root, POSIX) names.

    Schemas 1 (DVC 1) and 2 are read. `wdirs` are working directories of stages (`read_wdirs`), which the lock does
    not hold although its paths are relative to them. An entry that lies outside the repository is a problem of its
    own; PointerSyntaxError is raised where the text is no lock.
    """
    outs: list[PointerOut] = []
    deps: list[PointerOut] = []
    problems: list[PointerProblem] = []
    for name, stage in lock_stages(document_root(text)):
        wdir = _wdir(name, wdirs or {})
        for key, found in (("outs", outs), ("deps", deps)):
            for index, entry in enumerate(_sequence(stage, key)):
                try:
                    found.append(_out(path, index, entry, wdir, stage=name))
                except _OutsideError as error:
                    if key == "outs":
                        problems.append(PointerProblem(pointer=path, problem=f"stage {name!r}: {error}"))
    return LockContents(tuple(outs), tuple(deps), tuple(problems))


def lock_parts(text: str) -> list[str]:
    """Return locks of one stage each that together name what `text` names; `text` alone where it is not so written.

    Versions of a lock have most stages in common: who reads many versions reads each part once. Where a part raises
    PointerSyntaxError, the whole must be read instead.
    """
    head = "schema: '2.0'\nstages:\n"
    if not text.startswith(head):
        return [text]
    parts = _STAGE.split(text[len(head) :])
    # what comes before the first stage; then names and bodies in turn
    names, bodies = parts[1::2], parts[2::2]
    if parts[0] or len(set(names)) < len(names) or _AT_THE_MARGIN.search(text, len(head)):
        return [text]
    return [head + name + body for name, body in zip(names, bodies, strict=True)]


def read_wdirs(text: str) -> dict[str, str]:
    """Return the working directory of each stage of a `dvc.yaml` that has its own; empty where it cannot be read.

    Those of `foreach` and `matrix` are under the name before the `@`. Templates (`${…}`) are returned as they are.
    """
    if "wdir" not in text:
        return {}
    try:
        root = document_root(text)
    except PointerSyntaxError:
        return {}
    stages = root.get("stages") if root is not None else None
    wdirs: dict[str, str] = {}
    for name, stage in stages.pairs if stages is not None else []:
        body = stage.get("do") or stage
        wdir = body.get("wdir")
        if wdir is not None and wdir.kind == "scalar" and not wdir.is_null:
            wdirs[name.text] = wdir.text
    return wdirs


def document_root(text: str, *, aliases: bool = True) -> Node | None:
    """Return the mapping that a pointer or lock file is, None where it is empty. Raises PointerSyntaxError."""
    root = parse(text, aliases=aliases)
    if root is not None and root.kind != "mapping":
        raise PointerSyntaxError("must be a mapping of keys to values", root.line)
    return root


def lock_stages(root: Node | None) -> list[tuple[str, Node]]:
    """Return the stages of a lock's root with their names. Raises PointerSyntaxError."""
    if root is None:
        return []
    if root.get("schema") is not None:
        stages = root.get("stages")
        if stages is None or stages.is_null:
            return []
        if stages.kind != "mapping":
            raise PointerSyntaxError("stages must be a mapping", stages.line)
    else:
        stages = root
    for name, stage in stages.pairs:
        if stage.kind != "mapping":
            raise PointerSyntaxError(f"stage {name.text!r} must be a mapping", name.line)
    return [(name.text, stage) for name, stage in stages.pairs]


def out_digest(entry: Node) -> DigestValue | None:
    """Return the digest of an entry of outs or deps, None where it has none. Raises PointerSyntaxError."""
    if entry.get("<<") is not None:
        raise PointerSyntaxError("merges a YAML anchor; write it out", entry.line)
    hexdigest = _text(entry, "md5")
    if not hexdigest:
        return _of_listed(entry)
    algorithm = _text(entry, "hash") or LEGACY
    if algorithm not in (HASH, LEGACY):
        raise PointerSyntaxError(f"has a hash of a kind that is not known: {redact(algorithm)!r}", entry.line)
    try:
        return DigestValue.parse(f"{algorithm}:{hexdigest}")
    except ValueError as error:
        raise PointerSyntaxError(f"has a digest that is none: {redact(str(error))}", entry.line) from error


def _of_listed(entry: Node) -> DigestValue | None:
    """Return the digest of a directory that lists its files instead of naming its listing, None for other entries.

    Cloud versioning writes pointers so; the listing is what DVC would make of these files.
    """
    files = _sequence(entry, "files")
    if not files:
        return None
    digests = {}
    algorithms = set()
    for file in files:
        digest = out_digest(file) if file.kind == "mapping" else None
        name = _text(file, "relpath") if digest is not None else None
        if digest is None or name is None:
            raise PointerSyntaxError("a file of a directory has no md5 or no relpath", file.line)
        digests[name] = digest.hexdigest
        algorithms.add(_text(file, "hash") or _text(entry, "hash") or HASH)
    algorithm = algorithms.pop() if len(algorithms) == 1 else ""
    if algorithm not in (HASH, LEGACY):
        raise PointerSyntaxError("the files of a directory have hashes of several kinds", entry.line)
    return DigestValue(algorithm, directory_digest(digests.items()), directory=True)


def _versions(entry: Node, digest: DigestValue | None) -> tuple[CloudVersion, ...]:
    """Return what version-aware remotes hold of an out, by its pointer."""
    if digest is None:
        return ()
    if not digest.directory:
        return tuple(_clouds(entry, "", digest))
    found: list[CloudVersion] = []
    for file in _sequence(entry, "files"):
        name, hexdigest = _text(file, "relpath"), _text(file, "md5")
        if name is not None and hexdigest is not None:
            found += _clouds(file, name, DigestValue(digest.algorithm, hexdigest))
    return tuple(found)


def _clouds(entry: Node, path: str, digest: DigestValue) -> Iterator[CloudVersion]:
    clouds = entry.get("cloud")
    for name, cloud in clouds.pairs if clouds is not None and clouds.kind == "mapping" else []:
        if cloud.kind == "mapping":
            yield CloudVersion(
                path=path,
                digest=digest,
                remote=name.text,
                version_id=_text(cloud, "version_id"),
                size_bytes=_count(entry, "size"),
            )


def _other_hash(entry: Node) -> str | None:
    """Return the kind of digest of an entry that has no MD5, such as `etag`; None where it has none at all."""
    for name in ("etag", "checksum", "sha256", "blake3", "md5-b64"):
        if _text(entry, name):
            return name
    return None


def _import_source(dep: Node) -> ImportSource | None:
    if dep.kind != "mapping":
        return None
    repository = dep.get("repo")
    if repository is not None and repository.kind == "mapping":
        url = _text(repository, "url")
        revision = _text(repository, "rev_lock") or _text(repository, "rev")
        return ImportSource(kind="import", url=url, path=_text(dep, "path"), revision=revision) if url else None
    database = dep.get("db")
    if database is not None and database.kind == "mapping":
        return ImportSource(kind="import-db", url=redact(_text(database, "connection") or "a database"))
    path = _text(dep, "path")
    return ImportSource(kind="import-url", url=redact(path)) if path else None


def place(pointer: str, wdir: str, path: str) -> str:
    """Return where an entry's `path` lies, relative to the repository's root. Raises ValueError where it is outside.

    `.git` and `.dvc` folders count as outside: what is restored into them would be configuration.
    """
    for part in (wdir, path):
        if _ADDRESS.match(part) or part.startswith("/") or _DRIVE.match(part):
            raise ValueError(f"{redact(part)!r} lies outside the repository")
        if _CONTROL.search(part):
            raise ValueError(f"{part!r} holds a control character")
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(pointer), wdir, path))
    parts = joined.split("/")
    if parts[0] in (".", "..") or not path:
        raise ValueError(f"{path!r} lies outside the repository")
    if "${" in joined:
        raise ValueError(f"{joined!r} hangs on a template that names no value")
    if _PRIVATE.intersection(parts):
        raise ValueError(f"{path!r} lies in a folder of git or DVC")
    return joined


class _OutsideError(PointerSyntaxError):
    """One entry names a place that is not in the repository; the others may be fine."""


def _out(
    pointer: str,
    index: int,
    entry: Node,
    wdir: str,
    *,
    stage: str | None = None,
    imported: bool = False,
    source: ImportSource | None = None,
) -> PointerOut:
    if entry.kind != "mapping":
        raise PointerSyntaxError("an entry of outs must be a mapping", entry.line)
    path = _text(entry, "path")
    if path is None:
        raise PointerSyntaxError("an entry of outs has no path", entry.line)
    digest = out_digest(entry)
    try:
        placed = place(pointer, wdir, path)
    except ValueError as error:
        raise _OutsideError(f"the out {error}", entry.line) from error
    return PointerOut(
        pointer=pointer,
        index=index,
        path=placed,
        digest=digest,
        size_bytes=_count(entry, "size"),
        file_count=_count(entry, "nfiles"),
        stage=stage,
        imported=imported,
        source=source,
        other_hash=None if digest is not None else _other_hash(entry),
        versions=_versions(entry, digest),
    )


def _wdir(stage: str, wdirs: Mapping[str, str]) -> str:
    return wdirs.get(stage) or wdirs.get(stage.partition("@")[0]) or "."


def _sequence(mapping: Node, key: str) -> list[Node]:
    node = mapping.get(key)
    if node is None or node.is_null:
        return []
    if node.kind != "sequence":
        raise PointerSyntaxError(f"{key} must be a list", node.line)
    return node.items


def _text(mapping: Node, key: str) -> str | None:
    node = mapping.get(key)
    if node is None or node.is_null:
        return None
    if node.kind != "scalar":
        raise PointerSyntaxError(f"{key} must be text", node.line)
    return node.text


def _count(mapping: Node, key: str) -> int | None:
    text = _text(mapping, key)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise PointerSyntaxError(f"{key} must be a number of bytes or files", mapping.line)
    return int(text)
