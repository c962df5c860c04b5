"""Which of several scripts the run's own names speak for: the script that logged them names them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot

_MOST = 200


def most_telling(paths: Sequence[str], record: RunRecord, snapshot: RepositorySnapshot) -> str | None:
    """Return the script that names all that any of the others does of the run's params and metrics, and more.

    None where two have each something of their own, where none names anything that the others do not, and where one
    was not read.
    """
    if len(paths) < 2 or any(path not in snapshot.texts for path in paths):
        return paths[0] if len(paths) == 1 else None
    names = sorted({*record.params, *(history.name for history in record.metrics)})[:_MOST]
    found = {path: {name for name in names if _is_named(name, snapshot.texts[path])} for path in paths}
    best = [path for path in paths if all(found[path] > has for other, has in found.items() if other != path)]
    return best[0] if best else None


def _is_named(name: str, text: str) -> bool:
    spelled = "[-_]".join(re.escape(part) for part in re.split(r"[-_]", name))
    return re.search(rf"[\"'](?:--)?{spelled}[\"']|\b{spelled}\s*=", text) is not None
