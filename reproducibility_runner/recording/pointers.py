"""The data that pointers of the work tree name, and whether the bytes that lie there are those."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_CHUNK = 1 << 20
_HEX = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_MOST_FILES = 10_000
_RESULT = re.compile(
    r"(?i)(?:^|[/_.-])(?:models?|checkpoints?|ckpts?|weights|outputs?|results?|predictions?|preds?|artifacts?|runs?|"
    r"plots?|figures?|reports?|logs?|metrics)(?:$|[/_.-])|"
    r"\.(?:joblib|pkl|pickle|pt|pth|ckpt|onnx|h5|keras|safetensors|pb|tflite|bst|cbm)$"
)

HASHED_BYTES = 64 << 20
"""How much is hashed before a training starts: a tenth of a second's worth. Of more, sizes are compared."""


class Out:
    """A file or folder that DVC holds; `path` is from the repository's root, with slashes.

    `legacy` tells that its digest is DVC 2's, `certain` that it is taken to be data: neither made by a stage that
    nobody depends on, nor named like a result.
    """

    def __init__(self, path: str, pointer: str, entry: dict[str, Any]) -> None:
        self.path = path
        self.pointer = pointer
        self.digest = str(entry.get("md5", "")).lower()
        self.size = entry.get("size")
        self.files = entry.get("nfiles")
        self.remote = entry.get("remote")
        self.legacy = entry.get("hash") != "md5"
        self.certain = _RESULT.search(path) is None


class Pointers:
    """What was read: outs, and a sentence for each pointer that could not be."""

    def __init__(self) -> None:
        self.outs = []  # type: list[Out]
        self.problems = []  # type: list[str]


def read_pointers(root: str, names: Iterable[str]) -> Pointers:
    """Read pointer files and locks of a repository; an out that the cache does not keep is none."""
    found = Pointers()
    try:
        import yaml  # MLflow and W&B both bring it
    except ImportError:
        names = list(names)
        if names:
            found.problems.append("DVC's pointers were not read: this Python has no PyYAML")
        return found

    def load(text: Any) -> Any:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # a safe loader, in C

    for name in names:
        try:
            with open(os.path.join(root, name), encoding="utf-8") as file:
                document = load(file)
            outs = list(_outs(root, name, document, load))
        except (OSError, ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            found.problems.append(f"{name} cannot be read: {first}")
            continue
        paths = {out.path for out in found.outs}
        found.outs += [out for out in outs if out.path not in paths]
    return found


def _outs(root: str, name: str, document: Any, load: Any) -> Iterator[Out]:
    folder = posixpath.dirname(name)
    if posixpath.basename(name) != "dvc.lock":
        base = posixpath.join(folder, str(document.get("wdir") or "."))
        for entry in document.get("outs") or ():
            yield from _out(base, name, entry)
        return
    stages = document.get("stages") or {}
    with open(os.path.join(root, folder, "dvc.yaml"), encoding="utf-8") as file:
        written = (load(file) or {}).get("stages") or {}
    needed, outs = set(), []
    for stage, body in stages.items():
        definition = written.get(str(stage).partition("@")[0]) or {}
        base = posixpath.join(folder, str(definition.get("wdir") or "."))
        needed |= {posixpath.normpath(posixpath.join(base, entry["path"])) for entry in body.get("deps") or ()}
        for entry in body.get("outs") or ():
            outs += list(_out(base, name, entry))
    for out in outs:
        out.certain = out.path in needed
        yield out


def _out(base: str, name: str, entry: dict[str, Any]) -> Iterator[Out]:
    path = posixpath.normpath(posixpath.join(base, str(entry["path"])))
    out = Out(path, name, entry)
    if path.startswith("..") or posixpath.isabs(path):
        raise ValueError(f"{path} is outside the repository")
    if entry.get("cache") is not False and _HEX.fullmatch(out.digest):
        yield out


class Agreement:
    """How the bytes in the work tree answer a pointer: `same`, `other` (with their digest), `absent` or `unknown`."""

    def __init__(self, kind: str, digest: str | None = None) -> None:
        self.kind = kind
        self.digest = digest


def compare(root: str, out: Out, allowance: list[int]) -> Agreement:
    """Compare one out with what lies there.

    `allowance` holds how many bytes may still be hashed; what is more is compared by its size, and hashed only where
    that differs: a digest of other bytes must not be recorded.
    """
    path = os.path.join(root, out.path)
    try:
        size, files = _measure(path)
    except OSError:
        return Agreement("absent")
    if files < 0:
        return Agreement("unknown")
    differs = out.size is not None and size != out.size
    if not differs and size > allowance[0]:
        return Agreement("unknown")
    if not differs:
        allowance[0] -= size
    try:
        return _hashed(path, out)
    except OSError:
        return Agreement("unknown")


def _hashed(path: str, out: Out) -> Agreement:
    if os.path.isdir(path) != out.digest.endswith(".dir"):
        return Agreement("other", digest_of(path))
    if out.legacy and os.path.isdir(path):
        return Agreement("unknown")  # DVC 2 hashed texts as if their lines ended otherwise
    digest = digest_of(path)
    if digest == out.digest or (out.legacy and _text_digest(path) == out.digest):
        return Agreement("same", out.digest)
    return Agreement("other", digest)


def digest_of(path: str) -> str:
    """Return the digest by which DVC names a file or a folder. Raises OSError."""
    if not os.path.isdir(path):
        return _md5(path)
    entries = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in names:
            file = os.path.join(folder, name)
            entries.append({"md5": _md5(file), "relpath": os.path.relpath(file, path).replace(os.sep, "/")})
    entries.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"  # noqa: S324  # DVC's


def _md5(path: str) -> str:
    digest = hashlib.md5()  # noqa: S324  # DVC's
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _text_digest(path: str) -> str:
    """Return DVC 2's digest of a text, each piece of which is read with its line ends changed."""
    digest = hashlib.md5()  # noqa: S324  # DVC's
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk.replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _measure(path: str) -> tuple[int, int]:
    """Return bytes and number of files; a negative number where there are too many to look at. Raises OSError."""
    if not os.path.isdir(path):
        return os.stat(path).st_size, 1
    size = files = 0
    for folder, _, names in os.walk(path):
        files += len(names)
        if files > _MOST_FILES:
            return 0, -1
        size += sum(os.stat(os.path.join(folder, name)).st_size for name in names)
    return size, files


def fingerprint(path: str) -> tuple[int, ...] | None:
    """Return by what a file that was written meanwhile is known; of a folder, of all that is in it."""
    try:
        stat = os.stat(path)
        values = [stat.st_ino, stat.st_mtime_ns, stat.st_size]
        if os.path.isdir(path):
            for number, entry in enumerate(sorted(os.scandir(path), key=lambda entry: entry.name)):
                if number > _MOST_FILES:
                    break
                stat = entry.stat()
                values += [stat.st_ino, stat.st_mtime_ns, stat.st_size]
        return tuple(values)
    except OSError:
        return None
