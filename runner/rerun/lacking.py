"""What of the author's work tree the commit lacks, looked for in the whole history once a rerun did not come out."""

from __future__ import annotations

from runner.plan.commands.started import started_script
from runner.repository.history import first_commit_where, first_commit_with
from runner.repository.mirror import Mirror
from runner.repository.tracking_code import is_untracked, mentions_tracking
from runner.schema.plan import Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Rerun
from runner.schema.snapshot import RepositorySnapshot
from runner.verdict.lacking import (
    Place,
    absent_paths,
    held_elsewhere,
    in_another_folder,
    lacking_file,
    lacking_script,
)


def commit_lacks(plan: Plan, rerun: Rerun, mirror: Mirror, snapshot: RepositorySnapshot) -> Missing | None:
    """Return the script that cannot log the run, or the file that no store holds; None where neither shows."""
    if not rerun.capture.runs:
        script = started_script(plan.command, plan.working_directory, snapshot)
        if script is not None and is_untracked(mirror, snapshot, script):
            first = first_commit_where(mirror, snapshot.commit, script, mentions_tracking)
            return lacking_script(plan, script, first)
    held = {entry.path for entry in snapshot.tree}
    for path in absent_paths(plan, rerun):
        if path not in held and not any(each.startswith(path + "/") for each in held):
            there = held_elsewhere(path, plan.working_directory, held)
            if there is not None:
                script = started_script(plan.command, plan.working_directory, snapshot)
                return in_another_folder(plan, path, there, script)
            return lacking_file(plan, path, _place(path, mirror, snapshot))
    return None


def _place(path: str, mirror: Mirror, snapshot: RepositorySnapshot) -> Place | None:
    for seen in snapshot.history:
        if path == seen.path or path.startswith(seen.path + "/"):
            return Place(commit=seen.commit, pointed=True)
    commit = first_commit_with(mirror, snapshot, path)
    return None if commit is None else Place(commit=commit, pointed=False)
