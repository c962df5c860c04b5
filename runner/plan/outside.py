"""What the tree of a commit names and a clone does not have: submodules that cannot be had, links that lead out.

A plain `git clone` leaves the folder of a submodule empty, and the author's may have been: such a one is said, and
stops a run only where its code names it. Whether the training looked there all the same is seen when it runs.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from runner.errors import MissingFact, RepositoryUnavailable
from runner.lineage.remedy import command_again
from runner.plan.command import Command
from runner.plan.lfs import choose_lfs
from runner.plan.named import Names
from runner.redact import redact
from runner.schema.lineage import Lineage
from runner.schema.plan import SubmoduleSource, SuppliedFile
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import Gitlink, OutsideLink, RepositorySnapshot
from runner.settings import Settings


@dataclass(frozen=True)
class BesideGit:
    """What a workspace gets that the commit names and git's own objects do not hold, with notes on the rest."""

    supplied: tuple[SuppliedFile, ...]
    submodules: tuple[SubmoduleSource, ...]
    notes: tuple[str, ...]


def choose_beside_git(
    record: RunRecord, snapshot: RepositorySnapshot, lineage: Lineage, settings: Settings, command: Command
) -> BesideGit:
    """Return the files in Git LFS and the submodules that the workspace gets.

    Raises MissingFact, or RepositoryUnavailable, for what the run's code names and that cannot be had.
    """
    names = Names(record, snapshot, command)
    check_links(record, snapshot, lineage, settings, names)
    submodules, about_submodules = choose_submodules(record, snapshot, settings, names)
    in_lfs, about_lfs = choose_lfs(record, snapshot, lineage, settings, names)
    return BesideGit(in_lfs, submodules, (*about_submodules, *about_lfs))


def choose_submodules(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings, names: Names
) -> tuple[tuple[SubmoduleSource, ...], tuple[str, ...]]:
    """Return the submodules that the workspace gets, and a note on each that stays empty.

    Raises MissingFact, or RepositoryUnavailable, for one that the run's code names and that cannot be had.
    """
    there = tuple(
        SubmoduleSource(path=link.path, commit=link.commit, place=link.place or "")
        for link in snapshot.submodules
        if link.refused is None
    )
    absent = [link for link in snapshot.submodules if link.refused is not None]
    for link in absent:
        if names.has_folder(link.path):
            raise _refused(link, record, snapshot, settings)
    return there, tuple(f"submodule: {in_words(link)}; its folder is empty" for link in absent)


def check_links(
    record: RunRecord, snapshot: RepositorySnapshot, lineage: Lineage, settings: Settings, names: Names
) -> None:
    """Raise MissingFact for a link that leads out of the repository and that the run's code names."""
    restored = {file.path for file in lineage.files} | {pin.path for pin in settings.inputs.values()}
    for link in snapshot.outside_links:
        if any(path == link.path or path.startswith(link.path + "/") for path in restored):
            continue
        is_file = "." in posixpath.basename(link.path)
        if names.has_file(link.path) if is_file else names.has_folder(link.path):
            raise MissingFact(
                leads_out(link),
                command_again(record, settings, f"--pointer 'md5:DIGEST={link.path}'")
                + "    once a DVC remote holds its bytes; or pin it by `inputs` in runner.yaml",
                fact="data",
                looked_in=(f"commit {snapshot.commit[:12]}",),
            )


def in_words(link: Gitlink) -> str:
    """Return which submodule cannot be had, and why."""
    place = f" from {link.place}" if link.place else ""
    return redact(f"{link.path} (commit {link.commit[:12]}{place}) cannot be had: {link.refused}")


def leads_out(link: OutsideLink) -> str:
    """Return that a link leads where no clone has anything."""
    return redact(f"{link.path} is a link out of the repository, to {link.target[:200]!r}, and nobody else has that")


def _refused(
    link: Gitlink, record: RunRecord, snapshot: RepositorySnapshot, settings: Settings
) -> MissingFact | RepositoryUnavailable:
    cause = f"the submodule {in_words(link)}"
    remedy = command_again(record, settings, "--repo PATH") + (
        "    a clone in which `git submodule update --init --recursive` brought it"
    )
    if link.passing:
        return RepositoryUnavailable(cause, remedy)
    return MissingFact(
        cause,
        remedy,
        fact="submodule",
        looked_in=(f".gitmodules at commit {snapshot.commit[:12]}", *([link.place] if link.place else [])),
    )
