"""What a phase may ask of this host while it runs, as bytes for its standard input; never held whole.

The host answers about four things only: the repository's bundle, other repositories that the plan takes packages from,
the folders that are remotes of the plan, and its SSH agent where a server of the plan was confirmed. What a container
asks for is input: it names objects by their digests, and never a path.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.credentials.ssh_agent import ask_agent
from runner.errors import InternalError, RemoteUnavailable, RepositoryUnavailable
from runner.inside.data.objects import ObjectId

Answer = Callable[[Any], Iterable[bytes]]

_CHUNK = 1 << 20
_OBJECT = re.compile(r"(md5|md5-dos2unix):[0-9a-f]{32}(\.dir)?")


def value(answer: Any) -> Iterator[bytes]:
    """Return the answer to `ask`."""
    yield _line({"value": answer})


def files(named: Iterable[tuple[str, int]]) -> Iterator[bytes]:
    """Return the answer to `ask_for_files` from (name, descriptor), each closed after it was sent.

    Raises OSError; a file that became shorter meanwhile is one, too.
    """
    for name, descriptor in named:
        try:
            left = os.fstat(descriptor).st_size
            yield _line({"name": name, "size": left})
            while left:
                piece = os.read(descriptor, min(left, _CHUNK))
                if not piece:
                    raise OSError(f"{name} became shorter while it was read")
                left -= len(piece)
                yield piece
        finally:
            os.close(descriptor)
    yield _line({"end": True})


def stream(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return the answer to `ask_for_stream`."""
    for piece in pieces:
        yield _line({"size": len(piece)})
        yield piece
    yield _line({"end": True})


def bundle_answer(bundle: Path) -> Answer:
    """Return what answers for the repository's bundle."""

    def answer(_: Any) -> Iterator[bytes]:
        try:
            yield from files([("bundle", open_file(bundle))])
        except OSError as error:
            raise RepositoryUnavailable(f"the bundle of the commit cannot be read: {error}", "run it again") from error

    return answer


def source_answer(allowed: Collection[str], fetch: Callable[[str, str | None], tuple[str, Path]]) -> Answer:
    """Return what answers with an archive of another repository, called by its commit.

    `allowed` are the addresses of the plan; `fetch` takes one with a revision.
    """

    def answer(asked: Any) -> Iterator[bytes]:
        address, revision = asked["address"], asked["revision"]
        if address not in allowed or not isinstance(revision, str | None):
            raise InternalError("provision asked for a repository that the plan does not name", "report it")
        commit, archive = fetch(address, revision)
        yield from files([(commit, open_file(archive))])

    return answer


def agent_answer(agents: Mapping[str, tuple[str, str]]) -> Answer:
    """Return what answers for the SSH agent: `agents` are its socket and the user to sign in, by confirmed address."""

    def answer(asked: Any) -> Iterator[bytes]:
        if asked["url"] not in agents:
            raise InternalError("restore asked the SSH agent for a server that was not confirmed", "report it")
        path, user = agents[asked["url"]]
        message = base64.b64decode(asked["message"])
        yield from value(base64.b64encode(ask_agent(path, user, message)).decode())

    return answer


class Folders:
    """The remotes of a plan that are folders of this host, by the names that restore has for them. Only read."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def answers(self) -> dict[str, Answer]:
        """Return what answers for all of them."""
        return {"held": self.held, "objects": self.objects}

    def held(self, asked: Any) -> Iterator[bytes]:
        """Answer which of some objects a folder holds, with their sizes; one that is gone holds nothing.

        Raises RemoteUnavailable where that cannot be known: a folder that may not be read is not an empty one.
        """
        folder, wanted = self._asked(asked)
        with _reading(folder):
            sizes = {str(each): object_size(folder, each) for each in wanted}
            yield from value({name: size for name, size in sizes.items() if size is not None})

    def objects(self, asked: Any) -> Iterator[bytes]:
        """Answer with the bytes of objects. Raises RemoteUnavailable."""
        folder, wanted = self._asked(asked)
        with _reading(folder):
            yield from files((str(each), open_file(folder / each.relative_path)) for each in wanted)

    def _asked(self, asked: Any) -> tuple[Path, list[ObjectId]]:
        folder = self._folders.get(asked["remote"])
        if folder is None or not all(_OBJECT.fullmatch(name) for name in asked["objects"]):
            raise InternalError("restore asked for what is no object of a remote", "run again with --debug, report it")
        return folder, [ObjectId.parse(name) for name in asked["objects"]]


class _reading:  # noqa: N801  # a context manager reads as a verb
    """Turns what reading a folder raises into our error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise RemoteUnavailable(
                f"the remote {self._folder} cannot be read on this host: {reason}",
                f"ls -l {self._folder}    then give whoever runs this the right to read it, and run it again",
            ) from error


def object_size(folder: Path, object_id: ObjectId) -> int | None:
    """Return the size of an object, None where the folder does not hold it."""
    try:
        status = os.stat(folder / object_id.relative_path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def open_file(path: Path) -> int:
    """Return a descriptor for reading a file of this host. Raises OSError."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # never waits for the writer of a pipe
    with suppress(PermissionError):
        return os.open(path, flags | os.O_NOATIME)  # the original is only read; the owner alone may leave the time
    return os.open(path, flags)


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
