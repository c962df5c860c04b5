"""Phase 4: read what the training left, as hostile input, and remove the workspace. No network, no credentials."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from runner.inside import layout, workspace
from runner.inside.capture import traces
from runner.inside.capture.reader import read_capture
from runner.inside.capture.traces import Mark
from runner.inside.capture.uncaptured import stores_made
from runner.inside.data.objects import ObjectId, listing, verified
from runner.inside.discard import handle as discard
from runner.inside.hashing import directory_digest, hash_file
from runner.inside.protocol import note, progress
from runner.inside.usage import written_bytes

_HASHED_FILES = 20_000
_SHOWN_STORES = 5
_CHUNK = 1 << 20


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Collect a rerun.

    Request: rerun, expected_outputs[], output_bytes (limit), copy_bytes (limit), remove (whether the workspace goes).
    Result: the fields of the schema's Rerun that are observed here: capture, inputs[], outputs[], hardware;
    `used_of_commit`, files of the commit that may have fed a logged value; `opened_of_commit`, those that were opened
    at any time; `free_bytes`, what the training could still have written; `written_bytes`, what it wrote; and `cut`,
    sentences on what went over a limit or could not be seen.
    """
    rerun = request["rerun"]
    size_bytes = written_bytes(rerun)  # before anything is removed
    root = layout.work(rerun, f"{layout.SANDBOX}/{layout.WORKSPACE}")
    free_bytes = _free_bytes()
    with open(layout.work(rerun, f"{layout.STATE}/restored.json"), encoding="utf-8") as file:
        state = json.load(file)
    progress("reading the capture")
    capture = read_capture(layout.work(rerun, f"{layout.SANDBOX}/{layout.CAPTURE}"))
    manifest = traces.manifest_of(state["manifest"])
    # Before anything is read by ourselves.
    files = dict(workspace.files(root))
    opened = {_relative(path) for path in capture["files_opened"]}
    moved = traces.moved(manifest, files)
    read = {path for path, status in files.items() if traces.is_read(manifest.get(moved.get(path, path)), status)}
    inputs = [{**_check_input(file, root, opened | read), "entries": None} for file in state["files"]]
    used = _used(capture, manifest, files, read - opened) | set(state["used_by_stages"])
    made = stores_made(root, [path for path, status in files.items() if traces.is_written(manifest.get(path), status)])
    capture["problems"] += [
        f"a process of the training logged past the capture, to {_as_text(store)}" for store in made[:_SHOWN_STORES]
    ]
    progress("hashing outputs")
    outputs, cut = _outputs(
        root,
        manifest,
        files,
        expected=request["expected_outputs"],
        inputs=[file["path"] for file in inputs if file["place"] == "workspace" and file["unchanged"]],
        limit_bytes=request["output_bytes"],
    )
    if not state["access_times"]:
        cut.append("what other programs than Python read was not seen: the engine's disk keeps no access times")
    _send_copies(root, [output["path"] for output in outputs if output["written"]], request["copy_bytes"])
    if request["remove"]:
        progress("removing the workspace")
        discard({"reruns": [rerun]})
    return {
        "capture": capture,
        "inputs": inputs,
        "outputs": [{**output, "path": _as_text(output["path"])} for output in outputs],
        "used_of_commit": _of_commit(used, manifest, moved, inputs),
        "opened_of_commit": _of_commit(opened | read | moved.keys(), manifest, moved, inputs),
        "hardware": _hardware(),
        "free_bytes": free_bytes,
        "written_bytes": size_bytes,
        "cut": [_as_text(sentence) for sentence in cut],
    }


def _free_bytes() -> int:
    """Return what the volume has left for the training; nothing where it can make no more files."""
    status = os.statvfs(layout.CACHE)
    return 0 if status.f_files and not status.f_favail else status.f_bavail * status.f_frsize


def _relative(path: str) -> str:
    return path.removeprefix(layout.WORKSPACE_TARGET + "/")


def _as_text(path: str) -> str:
    """Return a path as text: the training may write names that are no UTF-8, which the host's values refuse."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _check_input(file: dict[str, Any], root: str, opened: set[str]) -> dict[str, Any]:
    """Say whether an input is still the object that was linked, and whether the training opened it, or a file of it."""
    if file["place"] != "workspace":
        return file
    object_id = ObjectId.parse(file["digest"])
    path = file["path"]
    try:
        full = workspace.inside(root, path)
    except Exception:  # noqa: BLE001  # the training made one of its parents a link
        return {**file, "unchanged": False, "opened": None}
    was_opened = path in opened
    if object_id.directory:
        was_opened = any(name.startswith(path + "/") for name in opened)
        unchanged = all(_has_bytes(os.path.join(full, name), entry) for name, entry in _entries(file, object_id))
    else:
        unchanged = _has_bytes(full, object_id)
    return {**file, "unchanged": unchanged, "opened": was_opened}


def _entries(file: dict[str, Any], object_id: ObjectId) -> list[tuple[str, ObjectId]]:
    """Return a directory's files: those that a stage made, or those of the listing that a store holds."""
    made = file.get("entries")
    if made is None:
        return listing(object_id)
    return [(name, ObjectId(object_id.algorithm, digest, False)) for name, digest in made.items()]


def _has_bytes(path: str, object_id: ObjectId) -> bool:
    """Tell whether a path still has an object's bytes: it is the cache's own file as it was verified, or hashes so."""
    known = verified(object_id)
    try:
        status = os.lstat(path)
        if known is not None and stat.S_ISREG(status.st_mode) and status.st_ino == known.inode:
            return True
        return stat.S_ISREG(status.st_mode) and hash_file(path).matches(object_id.algorithm, object_id.hexdigest)
    except OSError:
        return False


def _outputs(
    root: str,
    manifest: dict[str, Mark],
    files: dict[str, os.stat_result],
    *,
    expected: list[str],
    inputs: list[str],
    limit_bytes: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Hash what the training wrote and what the plan expects, directories as DVC does."""
    outputs: list[dict[str, Any]] = []
    digests: dict[str, tuple[str, bool, int]] = {}
    cut: list[str] = []
    total = 0
    kept = set(inputs)
    # An expected path may be a link of the training's to where it wrote: to a version, or to its home.
    linked = {path: found for each in expected for path, found in workspace.behind_link(root, each)}

    def is_expected(path: str) -> bool:
        return any(path == each or path.startswith(each + "/") for each in expected)

    # The expected first: what a limit cuts off would look as if the training had not written it.
    for path in sorted({*files, *linked}, key=lambda path: (not is_expected(path), path)):
        if path not in linked and (path in kept or any(path.startswith(each + "/") for each in inputs)):
            continue
        place = linked.get(path, os.path.join(root, path))
        status = os.lstat(place)
        written = traces.is_written(manifest.get(os.path.relpath(place, root)), status)
        if not written and not is_expected(path):
            continue
        # What is expected is hashed whatever its size: a limit must not look like an author's fault.
        total += 0 if is_expected(path) else status.st_size
        if (total > limit_bytes or len(outputs) >= _HASHED_FILES) and not is_expected(path):
            cut.append(f"outputs beyond {limit_bytes} bytes or {_HASHED_FILES} files were not hashed, from {path} on")
            break
        found = hash_file(place)
        digests[path] = (found.md5, written, found.size_bytes)
        outputs.append(
            {
                "path": path,
                "digest": f"md5:{found.md5}",
                "sha256": found.sha256,
                "size_bytes": found.size_bytes,
                "written": written,
            }
        )
    for each in expected:
        outputs.extend(_directory(each, digests))
    return sorted(outputs, key=lambda output: str(output["path"])), cut


def _directory(path: str, digests: dict[str, tuple[str, bool, int]]) -> Iterator[dict[str, Any]]:
    entries = {name[len(path) + 1 :]: found for name, found in digests.items() if name.startswith(path + "/")}
    if entries:
        yield {
            "path": path,
            "digest": f"md5:{directory_digest((name, md5) for name, (md5, _, _) in entries.items())}.dir",
            "sha256": None,
            "size_bytes": sum(size for _, _, size in entries.values()),
            "written": all(written for _, written, _ in entries.values()),
        }


def _send_copies(root: str, paths: Iterable[str], limit_bytes: int) -> None:
    """Send the bytes of small outputs, for the evidence; regular files only, as many as fit the limit."""
    left = limit_bytes
    for path in paths:
        full = os.path.join(root, path)
        try:
            descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        status = os.fstat(descriptor)
        if status.st_size > left or not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            continue
        size = status.st_size
        left -= size
        with os.fdopen(descriptor, "rb") as file:
            for start in range(0, max(size, 1), _CHUNK):
                data = base64.b64encode(file.read(_CHUNK)).decode()
                note("output", {"path": _as_text(path), "data": data, "last": start + _CHUNK >= size})


def _used(
    capture: dict[str, Any],
    manifest: dict[str, Mark],
    files: dict[str, os.stat_result],
    read_unseen: set[str],
) -> set[str]:
    """Return the files that may have fed a logged value without the training having made them.

    What Python opened before the last value was logged, and what another program read, at a time that nobody knows.
    """
    used = {_relative(path) for path in capture["files_opened_before_output"]}
    return used | {
        path for path in read_unseen if path not in manifest or not traces.is_written(manifest[path], files[path])
    }


def _of_commit(
    paths: set[str], manifest: dict[str, Mark], moved: dict[str, str], inputs: list[dict[str, Any]]
) -> list[str]:
    """Return which files of the commit, no inputs, paths are or were before they were moved."""
    known = [file["path"] for file in inputs if file["place"] == "workspace"]
    return sorted(
        path
        for path in {moved.get(path, path) for path in paths} & manifest.keys()
        if not any(path == each or path.startswith(each + "/") for each in known)
    )


def _hardware() -> dict[str, Any]:
    """Return what this machine and image are: the training's container was on the same, from the same."""
    processor = _processor()
    flags = sorted((processor.get("flags") or processor.get("Features") or "").split())
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_model": processor.get("model name"),
        "cpu_flags": flags,
        "cpu_flags_digest": "sha256:" + hashlib.sha256(" ".join(flags).encode()).hexdigest() if flags else None,
        "cpus": os.cpu_count() or 1,
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "compiler": platform.python_compiler() or None,
        "kernel": platform.release(),
    }


def _processor() -> dict[str, str]:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        first = file.read().split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
