"""Which texts of the commit the decisions need beyond those that every snapshot holds."""

from __future__ import annotations

import posixpath

from runner.lineage.resolve import commit_facts
from runner.lineage.script import find_script
from runner.plan.lists.requirements import read_files
from runner.plan.system_packages import list_paths
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings


def unread_texts(record: RunRecord, snapshot: RepositorySnapshot, settings: Settings) -> tuple[str, ...]:
    """Return paths of the commit whose texts the plan needs and the snapshot lacks; read them and ask again.

    These are the run's script where it lies beneath a folder that the record does not name, a dependency file that
    configuration names, what requirement files include, and lists of Debian packages. Texts that cannot be read stay
    unread: ask a few times.
    """
    facts = commit_facts(snapshot, settings)
    wanted = [script.path for script in find_script(record, snapshot)]
    folders = [posixpath.dirname(path) for path in wanted]
    wanted += list_paths([*filter(None, (settings.working_directory, facts.working_directory)), *folders])
    named = settings.environment or facts.environment
    if named:
        wanted.append(named)
    lists = [path for path in snapshot.texts if path == named or path.rpartition("/")[2].startswith("requirements")]
    for path in lists:
        wanted += read_files(snapshot.texts, path).lacking
    files = {entry.path for entry in snapshot.tree if entry.kind == "file"}
    return tuple(sorted({path for path in wanted if path in files and path not in snapshot.texts}))
