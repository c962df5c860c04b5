"""Phase 1: clone at the commit, rewrite pointers, pull the recorded bytes, verify them, and lay out the workspace.

Runs in our image, with the remote's credentials and without any code of the repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from typing import Any

from runner.inside import layout, uses, workspace
from runner.inside.capture import traces
from runner.inside.chain import overlap, stages_to_run
from runner.inside.data.objects import (
    ObjectId,
    Verified,
    discard,
    drop_mended,
    is_mendable,
    listing,
    take_mended,
    verified,
    verify,
)
from runner.inside.data.remotes import Remotes
from runner.inside.data.space import check_space, in_words
from runner.inside.hashing import Hashing, hash_file
from runner.inside.packages.environment import find_ready
from runner.inside.protocol import MISSING, UNAVAILABLE, PhaseError, note, progress, receive
from runner.inside.supplied import clone_submodules, lay_supplied
from runner.inside.usage import allocated_bytes

# What is larger, or has more files, and is of unknown role is linked, read-only, like data.
_COPIED_BYTES = 256 << 20
_COPIED_FILES = 1000
_TRAINING, _EARLIER, _ASKED_FOR = "training", "earlier stages", "asked for"


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Restore a rerun's workspace.

    Request: rerun, commit, head (the same, or its parent where a recorded patch makes the difference), branch, url,
    dvc_roots, outs[], pointer_edits[],
    files[] {path, digest, role, use, origin, warm_start, size_bytes}, submodules[] {path, commit, place},
    supplied[] {path, digest, kind, source}, expected_outputs[], needs[], stages[] (see `Chain`), allow_cached,
    allow_line_endings, proxies,
    remotes[] (see `Remotes`), environment {specification, repository} (keys), base (the base image's reference).
    Asks for: the `bundle` of the repository; that of each `submodule`; files that are `supplied`; what folders of the
    host hold (see `folders`).
    Result: files[] {path, digest, sha256, size_bytes, place, held_by}, remotes_asked[], removed[], stages[] that must
    run before the training, as they were given, and doubts[], sentences on inputs that a lock of other code names.
    """
    with uses.with_others():
        return _restore(request)


def _restore(request: dict[str, Any]) -> dict[str, Any]:
    rerun = request["rerun"]
    _make_folders(rerun)
    uses.note_image(request["base"])
    ready = find_ready(request["environment"]["specification"], request["environment"]["repository"])
    if ready is not None:
        uses.mark(rerun, ready["key"])
    note("environment", ready)
    for name, value in request["proxies"].items():
        os.environ[name] = os.environ[name.upper()] = value
    root = layout.work(rerun, f"{layout.SANDBOX}/{layout.WORKSPACE}")
    progress("cloning")
    bundle = layout.work(rerun, f"{layout.STATE}/repository.bundle")
    receive("bundle", bundle)
    workspace.clone(bundle, root, commit=request["commit"], branch=request["branch"], url=request["url"])
    workspace.move_head(root, request["head"])
    os.unlink(bundle)
    clone_submodules(root, request["submodules"], layout.work(rerun, layout.STATE))
    workspace.own(root)
    supplied = lay_supplied(root, request["supplied"])
    workspace.edit_pointers(root, request["pointer_edits"])
    workspace.private_cache(root, request["dvc_roots"])

    remotes = Remotes(request["remotes"], root, layout.work(rerun, layout.STATE))
    store = _Store(
        remotes,
        {ObjectId.parse(file["digest"]): file.get("size_bytes") for file in request["files"]},
        allow_cached=request["allow_cached"],
        allow_line_endings=request["allow_line_endings"],
    )
    chain = Chain(request, root, store)
    doubts = chain.doubts()

    for path in request["outs"]:
        workspace.make_room(root, path)
    removed = []
    for path in request["expected_outputs"]:
        workspace.make_parents(root, path)
        held = workspace.tracked(root, path)
        if workspace.remove(workspace.inside(root, path)):
            removed.append(path)
        workspace.mark_unchanged(root, held)
    for path in chain.made_anew:
        workspace.make_parents(root, path)
        workspace.remove(workspace.inside(root, path))

    reference = layout.work(rerun, layout.REFERENCE)
    results = supplied + [_place(file, root, reference, store) for file in chain.laid_now]
    _check_deferred(chain)
    store.forget_mended()
    workspace.exclude(root, [f["path"] for f in results if f["place"] == "workspace"])
    for submodule in request["submodules"]:
        workspace.settle(workspace.inside(root, submodule["path"]))
    workspace.settle(root)
    manifest = {path: traces.mark(status) for path, status in workspace.files(root)}
    state = {
        "manifest": manifest,
        "files": results,
        "access_times": traces.are_kept(layout.work(rerun, layout.STATE)),
        "pending": chain.pending,
        "deferred": chain.deferred,
        "used_by_stages": [],
    }
    with open(layout.work(rerun, f"{layout.STATE}/restored.json"), "w", encoding="utf-8") as file:
        json.dump({**state, "allocated": allocated_bytes(layout.work(rerun, layout.SANDBOX))}, file)
    return {
        "files": results,
        "remotes_asked": remotes.asked,
        "removed": removed,
        "stages": chain.to_run,
        "doubts": doubts,
    }


def _make_folders(rerun: str) -> None:
    os.umask(0o022)
    for folder in (layout.OBJECTS, layout.VERIFIED, layout.ENVIRONMENTS, layout.LOCKS, layout.WORK):
        os.makedirs(folder, exist_ok=True)
    os.mkdir(layout.work(rerun))
    for part in (layout.REFERENCE, layout.STATE, layout.SANDBOX):
        os.mkdir(layout.work(rerun, part))
    for part in (layout.CAPTURE, layout.HOME, layout.TEMPORARY):
        folder = layout.work(rerun, f"{layout.SANDBOX}/{part}")
        os.mkdir(folder)
        os.chown(folder, layout.TRAINER_UID, layout.TRAINER_GID)


class _Store:
    """Recorded objects: which remote holds each, and that our cache has verified bytes of it."""

    def __init__(
        self,
        remotes: Remotes,
        recorded: dict[ObjectId, int | None],
        *,
        allow_cached: bool,
        allow_line_endings: bool,
    ) -> None:
        self._remotes = remotes
        self._recorded = recorded
        self._allow_line_endings = allow_line_endings
        self.mended: dict[ObjectId, str] = {}
        self._allow_cached = allow_cached
        self._held: dict[ObjectId, str] = {}
        self._verified: dict[ObjectId, Verified] = {}
        self._entries: dict[ObjectId, list[tuple[str, ObjectId]]] = {}

    def fetch(self, wanted: set[ObjectId]) -> None:
        """Bring all objects that a remote holds into the cache: listings of directories first, then files."""
        directories = {each for each in wanted if each.directory}
        self._bring(directories)
        files = wanted - directories
        for each in directories & self._verified.keys():
            try:
                self._entries[each] = listing(each)
            except (ValueError, KeyError, TypeError) as error:
                raise PhaseError(
                    MISSING, f"the directory object {each} is not one of DVC's: {error}", "", fact="data"
                ) from error
            files |= {entry for _, entry in self._entries[each]}
        self._bring(files)

    def _bring(self, wanted: set[ObjectId]) -> None:
        if not wanted:
            return
        progress(f"asking the remote for {len(wanted)} objects")
        cached = {each: record for each in wanted if (record := verified(each)) is not None}
        held = self._remotes.held(wanted, {each: record.size_bytes for each, record in cached.items()})
        self._held.update(held)
        missing: dict[ObjectId, str] = {}
        for each in wanted:
            known = cached.get(each)
            if known is not None and (each in held or self._allow_cached):
                self._verified[each] = known
                self._held.setdefault(each, "cache")
            elif known is None and each in held:
                missing[each] = held[each]
        wrong = self._pull(missing) if missing else {}
        while wrong:
            for each, name in wrong.items():
                self._remotes.refuse(each, name)
            elsewhere = self._remotes.held(wrong)
            nowhere = [each for each in wrong if each not in elsewhere]
            self._mend(nowhere, wrong)
            self._held.update(elsewhere)
            wrong = self._pull(elsewhere)

    def _mend(self, nowhere: list[ObjectId], wrong: dict[ObjectId, str]) -> None:
        """Take objects with other line endings than their remote has, where that is allowed.

        Raises PhaseError for the first that has no such endings, or where it is not.
        """
        for each in nowhere:
            how = take_mended(each) if self._allow_line_endings else None
            if how is None:
                raise self._other_bytes(each, wrong[each])
            found = verified(each)
            if found is not None:
                self._verified[each], self._held[each], self.mended[each] = found, wrong[each], how

    def _other_bytes(self, object_id: ObjectId, name: str) -> PhaseError:
        mendable = is_mendable(object_id)
        drop_mended(object_id)
        return PhaseError(
            MISSING,
            f"the remote {name} holds other bytes under {object_id} than the digest's"
            + (": git or an editor changed their line endings" if mendable else ""),
            "runner reproduce RUN --allow line-endings    to use them with the endings that have the digest"
            if mendable
            else "runner reproduce RUN --remote URL    if another store has the bytes",
            fact="data",
            looked_in=tuple(self._remotes.asked),
            nearest=("with the other line endings they have the recorded digest",) if mendable else (),
        )

    def how_mended(self, object_id: ObjectId) -> str | None:
        """Return how line endings of an object, or of a file of it, were changed; None where none were."""
        parts = [object_id, *(entry for _, entry in self._entries.get(object_id, []))]
        return next((self.mended[part] for part in parts if part in self.mended), None)

    def forget_mended(self) -> None:
        """Keep nothing that no remote holds as it is: the next rerun is to be asked again. Links to it stay."""
        for each in self.mended:
            discard(each)

    def _pull(self, missing: dict[ObjectId, str]) -> dict[ObjectId, str]:
        """Bring objects from the remotes that have their names; return those of which the bytes were others."""
        for each in missing:
            discard(each)  # bytes that nobody verified: a pull that broke off, for instance
        wrong: dict[ObjectId, str] = {}
        expected = self._expected_bytes(missing)
        check_space(expected)
        progress(f"pulling {len(missing)} objects, {in_words(expected)}")
        self._remotes.pull(missing)
        for number, each in enumerate(missing):
            progress("verifying", number, len(missing))
            found = verified(each) or verify(each)
            if found is None:
                wrong[each] = missing[each]
            else:
                self._verified[each] = found
        return wrong

    def _expected_bytes(self, missing: Collection[ObjectId]) -> int:
        """Return how much is to be pulled: as remotes told it, else what a directory's pointer leaves for the rest."""
        told = {each: size for each in missing if (size := self._remotes.sizes.get(each)) is not None}
        left = 0
        for directory, entries in self._entries.items():
            objects = {entry for _, entry in entries}
            if objects & set(missing) - told.keys():
                known = sum(self._verified[each].size_bytes for each in objects & self._verified.keys())
                known += sum(told[each] for each in objects & told.keys())
                left += max(0, (self._recorded.get(directory) or 0) - known)
        left += sum(self._recorded.get(each) or 0 for each in missing if each not in told and not each.directory)
        return sum(told.values()) + left

    @property
    def asked(self) -> list[str]:
        """The remotes that were asked, for people."""
        return self._remotes.asked

    @property
    def problem(self) -> PhaseError | None:
        """What kept a remote from being asked."""
        return self._remotes.problem

    @property
    def answered(self) -> list[str]:
        """The remotes that answered."""
        return self._remotes.answered

    @property
    def others(self) -> str:
        """Words for a sentence that says which remotes hold other bytes."""
        return self._remotes.others

    @property
    def unasked(self) -> str:
        """Words for a sentence that says that remotes were left out."""
        return self._remotes.unasked

    def complete(self, object_id: ObjectId) -> bool:
        """Tell whether the cache has the object and, for a directory, every file in it, all verified."""
        if object_id not in self._verified:
            return False
        return all(entry in self._verified for _, entry in self._entries.get(object_id, []))

    def absent(self, object_id: ObjectId) -> list[str]:
        """Return what is missing of a directory object, as paths."""
        return [path for path, entry in self._entries.get(object_id, []) if entry not in self._verified]

    def entries(self, object_id: ObjectId) -> list[tuple[str, ObjectId]] | None:
        """Return a directory's files, None for a file."""
        return self._entries.get(object_id) if object_id.directory else None

    def held_by(self, object_id: ObjectId) -> str | None:
        """Return the remote that holds an object and all its files; `cache` where any is in our cache alone."""
        holders = [self._held.get(object_id)]
        holders += [self._held.get(entry) for _, entry in self._entries.get(object_id, [])]
        return "cache" if "cache" in holders else holders[0]

    def found(self, object_id: ObjectId) -> Verified:
        """Return what we found when we hashed it."""
        return self._verified[object_id]

    def size(self, object_id: ObjectId) -> int:
        """Return its bytes, of all files for a directory."""
        entries = self.entries(object_id)
        if entries is None:
            return self._verified[object_id].size_bytes
        return sum(self._verified[entry].size_bytes for _, entry in entries)


class Chain:
    """What is fetched, and which stages run before the training since no store holds what they make.

    Request: needs[] (paths), files[], and stages[] {name, file, deps[], outs[], persistent[], locked}: those that may
    run, in their order. What only a stage reads is fetched if that stage runs.
    """

    def __init__(self, request: dict[str, Any], root: str, store: _Store) -> None:
        self._stages: list[dict[str, Any]] = request["stages"]
        self._supplied = [file["path"] for file in request["supplied"]]
        self._root = root
        self._store = store
        self._files = [file for file in request["files"] if file["use"] in (_TRAINING, _ASKED_FOR)]
        self._later = [file for file in request["files"] if file["use"] == _EARLIER]
        self._fetch(self._files)
        while True:
            self.to_run = stages_to_run(request["needs"], self._stages, self._is_there)
            deps = [dep for stage in self.to_run for dep in stage["deps"]]
            more = [file for file in self._later if any(overlap(file["path"], dep) for dep in deps)]
            if not more:
                break
            self._fetch(more)
            self._files += more
            self._later = [file for file in self._later if file not in more]
        self._made = [out for stage in self.to_run for out in stage["outs"]]

    def _fetch(self, files: list[dict[str, Any]]) -> None:
        self._store.fetch({ObjectId.parse(file["digest"]) for file in files})

    def _is_there(self, out: str) -> bool:
        """Tell whether a store holds an out, or the commit; what nobody has asked for yet counts as held."""
        named = [file for file in (*self._files, *self._later) if overlap(file["path"], out)]
        if not named:
            return bool(workspace.tracked(self._root, out)) or any(overlap(path, out) for path in self._supplied)
        return all(file in self._later or self._complete(file) for file in named)

    def _complete(self, file: dict[str, Any]) -> bool:
        return self._store.complete(ObjectId.parse(file["digest"]))

    def _is_made(self, path: str) -> bool:
        return any(overlap(path, out) for out in self._made)

    @property
    def made_anew(self) -> list[str]:
        """What must be absent before the stages run."""
        kept = {path for stage in self.to_run for path in stage["persistent"]}
        return [out for out in self._made if out not in kept]

    @property
    def laid_now(self) -> list[dict[str, Any]]:
        """The files that are laid out at once: no stage is going to make them."""
        return [
            file
            for file in self._files
            if not self._is_made(file["path"]) and (file["use"] != _ASKED_FOR or self._complete(file))
        ]

    @property
    def deferred(self) -> list[dict[str, Any]]:
        """The files that a store holds beside others that a stage must make; they are laid out after it."""
        held = [file for file in self._files if self._is_made(file["path"]) and self._complete(file)]
        return [{**_described(file), **_found(file, self._store)} for file in held]

    @property
    def pending(self) -> list[dict[str, Any]]:
        """The files that the stages are to make: those that the record or a lock names, and outs that nothing names."""
        named = [file for file in self._files if self._is_made(file["path"])]
        unheld = [_described(file) for file in named if not self._complete(file)]
        others = [out for out in self._made if not any(overlap(out, file["path"]) for file in named)]
        return unheld + [_described({"path": out, "digest": None, "role": "input"}) for out in others]

    def doubts(self) -> list[str]:
        """Return where `dvc.lock` names other code than the commit holds: its outs may not be the run's (rule 23).

        Of the stages that run again nothing is said: what they make is compared.
        """
        return [
            f"dvc.lock at the commit is not of its code: stage {stage['name']} had other bytes of {path}"
            for stage in self._stages
            if stage not in self.to_run
            for path, digest in stage["locked"].items()
            if workspace.tracked(self._root, path) == [path] and not _is_as_locked(self._root, path, digest)
        ]


def _check_deferred(chain: Chain) -> None:
    """Refuse what is laid out only after a stage and is there by other line endings alone, which nobody keeps."""
    for file in chain.deferred:
        if file.get("mended"):
            raise PhaseError(
                MISSING,
                f"{file['path']} has the recorded digest with other line endings alone, beside what a stage makes",
                "runner reproduce RUN --remote URL    if another store has the bytes",
                fact="data",
            )


def _is_as_locked(root: str, path: str, digest: str) -> bool:
    """Tell whether a file of the commit has a digest, be it with the line endings of Windows."""
    object_id = ObjectId.parse(digest)
    full = workspace.inside(root, path)
    if os.path.islink(full) or object_id.directory:
        return True
    if hash_file(full).matches(object_id.algorithm, object_id.hexdigest):
        return True
    windows = Hashing()
    with open(full, "rb") as file:
        content = file.read(_COPIED_BYTES)
    windows.update(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return windows.result().matches("md5", object_id.hexdigest)


def _described(file: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": file["path"],
        "expected": file["digest"],
        "digest": None,
        "sha256": None,
        "size_bytes": None,
        "role": file["role"],
        "place": "missing",
        "held_by": None,
    }


def _found(file: dict[str, Any], store: _Store) -> dict[str, Any]:
    object_id = ObjectId.parse(file["digest"])
    return {
        "digest": str(object_id),
        "sha256": None if object_id.directory else store.found(object_id).sha256,
        "size_bytes": store.size(object_id),
        "held_by": store.held_by(object_id),
        "mended": store.how_mended(object_id),
    }


def _place(file: dict[str, Any], root: str, reference: str, store: _Store) -> dict[str, Any]:
    object_id = ObjectId.parse(file["digest"])
    result = _described(file)
    if not store.complete(object_id):
        if file["role"] != "output" or file["warm_start"]:
            raise _missing(file, store, object_id)
        return result
    in_workspace = file["role"] != "output" or file["warm_start"]
    if in_workspace:
        held = workspace.tracked(root, file["path"])
        # A file of which nobody knows whether it is data or an older model: the training may want to overwrite it.
        small = store.size(object_id) <= _COPIED_BYTES and len(store.entries(object_id) or ()) <= _COPIED_FILES
        writable = file["role"] != "input" and small
        workspace.lay(root, file["path"], object_id, store.entries(object_id), writable=writable)
        workspace.mark_unchanged(root, held)
    else:
        _link_reference(reference, file["path"], object_id, store)
    return {**result, **_found(file, store), "place": "workspace" if in_workspace else "reference"}


def _link_reference(reference: str, path: str, object_id: ObjectId, store: _Store) -> None:
    target = workspace.inside(reference, path)
    entries = store.entries(object_id)
    os.makedirs(os.path.dirname(target) if entries is None else target, exist_ok=True)
    if entries is None:
        workspace.link(object_id.path, target)
        return
    for relative, entry in entries:
        os.makedirs(os.path.dirname(os.path.join(target, relative)), exist_ok=True)
        workspace.link(entry.path, os.path.join(target, relative))


def _missing(file: dict[str, Any], store: _Store, object_id: ObjectId) -> PhaseError:
    """Return why an input is not there: a remote that did not answer may hold it, a bucket that is gone does not."""
    problem = store.problem
    what = f"{file['path']} ({file['digest']})"
    if problem is not None and problem.event["kind"] == UNAVAILABLE:
        # One that refused may be the one that holds it: no verdict comes of that.
        if not store.answered:
            return problem
        lacking = f"{what} is in none of the remotes that answered ({', '.join(store.answered)})"
        event = problem.event
        cause = f"{lacking}, and {event['cause']}"
        return PhaseError(UNAVAILABLE, cause, event["remedy"], service=event["service"])
    absent = store.absent(object_id)
    if absent:
        what += f", of which {len(absent)} files such as {absent[0]} are absent,"
    remedy = "runner reproduce RUN --remote URL    if another store has these bytes"
    if verified(object_id) is not None and not absent:
        remedy = "runner reproduce RUN --allow cached    the bytes are in our own cache"
    elif problem is not None:
        remedy = problem.event["remedy"]
    return PhaseError(
        MISSING,
        f"{what} is in no remote"
        + (f": {problem.event['cause']}" if problem is not None else store.unasked + store.others)
        + (f"; it came by {file['origin']}" if file["origin"] else ""),
        remedy,
        fact="data",
        looked_in=tuple(store.asked),
    )
