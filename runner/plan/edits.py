"""How the pointers of the restored workspace differ from the commit's."""

from __future__ import annotations

from collections.abc import Sequence

from runner.errors import MissingFact
from runner.lineage.remedy import command_again
from runner.pointers.document import PointerSyntaxError
from runner.pointers.rewrite import create_pointer, rewrite_out
from runner.schema.lineage import LineageFile
from runner.schema.plan import PointerEdit
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings


def edit_pointers(
    files: Sequence[LineageFile], record: RunRecord, snapshot: RepositorySnapshot, settings: Settings
) -> tuple[PointerEdit, ...]:
    """Return a text for each pointer that must name another digest, or be there at all; by path.

    An import becomes a plain pointer: of one with `deps` DVC would ignore the digest (TRAPS). Raises MissingFact where
    a pointer cannot be rewritten.
    """
    outs = {out.path: out for out in snapshot.pointers}
    texts: dict[str, tuple[str, bool]] = {}
    for file in files:
        if file.pointer_state == "matches":
            continue
        out = outs.get(file.path)
        try:
            if out is None or out.imported:
                texts[file.pointer] = (create_pointer(file.path, file.digest), out is None)
            else:
                text = texts.get(out.pointer, (snapshot.texts.get(out.pointer, ""), False))[0]
                texts[out.pointer] = (rewrite_out(text, out, file.digest), False)
        except (PointerSyntaxError, ValueError) as error:
            raise MissingFact(
                f"{file.pointer} cannot be made to name {file.digest}: {error}",
                command_again(record, settings, f"--pointer {file.digest.dvc}=PATH"),
                fact="pointer",
                looked_in=(f"{file.pointer} at commit {snapshot.commit[:12]}",),
            ) from error
    return tuple(PointerEdit(path=path, text=text, created=new) for path, (text, new) in sorted(texts.items()))
