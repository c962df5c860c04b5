"""What the commit lacks of the author's work tree: a script that logs the run, or a file that no store holds.

Such a rerun could not end as the original did, whoever tries it; so it says nothing about the original. Only an end
without a run, a crash or a divergence is excused so: many scripts look for files that they can do without.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from runner.inside.layout import WORKSPACE_TARGET
from runner.plan.lfs import in_words, limit_for
from runner.plan.outside import in_words as submodule_in_words
from runner.plan.outside import leads_out
from runner.redact import redact
from runner.schema.plan import Plan
from runner.schema.reproduction import Decision, Missing, Verdict
from runner.schema.rerun import Ending, Rerun
from runner.schema.snapshot import Gitlink, LfsPointer, RepositorySnapshot
from runner.verdict.remedy import again

_MOST = 20  # paths that are looked for
_SAYS_ABSENT = re.compile(
    r"(?i)no such file|not found|not exist|n't exist|cannot find|could not find|missing|cannot open|unable to open"
)
_FILE_NAME = (
    r"[\w-][\w.-]*\.(?:csv|tsv|txt|jsonl?|ya?ml|toml|ini|xml|parquet|feather|arrow|avro|orc|pkl|pickle|joblib"
    r"|np[yz]|mat|h5|hdf5|db|sqlite3?|zip|tar|gz|bz2|xz|xlsx?|dat|data|bin|pth?|ckpt|onnx|safetensors|model|png|jpe?g"
    r"|tiff?|wav|mp3)\b"
)
_PATH = re.compile(
    # as Python says it, of any shape; else with a folder and an extension; else a name as only files have
    r"No such file or directory: b?['\"](?P<said>[^'\"]+)['\"]"
    r"|(?P<below>[^\s'\"`()<>\[\]{},;=]*/[^\s'\"`()<>\[\]{},;=/]*\w\.[A-Za-z]\w{0,7}\b)"
    rf"|(?P<plain>{_FILE_NAME})"
)
_DATA = re.compile(_FILE_NAME)
_SHELL = re.compile(r"[;&|<>$`\n]|^\w+=|\\|(?:^|\s)cd\s")  # a line that is more than words, or has a place of its own
_CODE = (".py", ".pyc", ".so", ".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".rs", ".go", ".js")


@dataclass(frozen=True)
class Place:
    """Where another commit has a path: `pointed` tells that it is a pointer of it which names the bytes."""

    commit: str
    pointed: bool


@dataclass(frozen=True)
class Elsewhere:
    """Where the commit itself has a path that was looked for: `path`, which `folder` as working directory leads to."""

    path: str
    folder: str


def held_elsewhere(path: str, working_directory: str, held: Iterable[str]) -> Elsewhere | None:
    """Return the folder of the commit from which a path that the training looked for is there.

    A script names it from the working directory: the author's was another. Of several the one nearest to the root.
    """
    named = posixpath.relpath(path, working_directory)
    if named.startswith("../"):
        return None
    found = [each for each in held if each != path and (each == named or each.endswith(f"/{named}"))]
    if not found:
        return None
    nearest = min(found, key=lambda each: (each.count("/"), each))
    return Elsewhere(nearest, nearest.removesuffix(named).rstrip("/") or ".")


def unfetched(plan: Plan, rerun: Rerun, snapshot: RepositorySnapshot) -> Missing | None:
    """Return what of the commit the training looked for and had no bytes of (rule 20).

    That is a file in Git LFS of which it had the pointer's text alone, one of a submodule that could not be had, or one
    behind a link that leads out of the repository.
    """
    return _unfetched_pointer(plan, rerun, snapshot.lfs) or _unfetched_part(plan, rerun, snapshot)


def _unfetched_part(plan: Plan, rerun: Rerun, snapshot: RepositorySnapshot) -> Missing | None:
    absent = absent_paths(plan, rerun)
    for link in snapshot.submodules:
        if link.refused is not None and _at_or_below(link.path, absent):
            return _without(plan, link, "the training looked for the submodule")
    restored = [*(file.path for file in plan.supplied), *(file.path for file in plan.lineage.files)]
    for outside in snapshot.outside_links:
        if _at_or_below(outside.path, absent) and not _at_or_below(outside.path, restored):
            return Missing(
                fact="data",
                cause=leads_out(outside),
                remedy=again(plan, "--pointer", f"md5:DIGEST={outside.path}") + "    once a DVC remote holds its bytes",
                looked_in=(f"commit {plan.lineage.commit[:12]}",),
            )
    return None


def lacking_submodule(plan: Plan, snapshot: RepositorySnapshot) -> Missing | None:
    """Return a submodule that could not be had: code in it may be what the training went without."""
    absent = [link for link in snapshot.submodules if link.refused is not None]
    return _without(plan, absent[0], "the training went without the submodule") if absent else None


def _without(plan: Plan, link: Gitlink, what: str) -> Missing:
    return Missing(
        fact="submodule",
        cause=f"{what} {submodule_in_words(link)}",
        remedy=again(plan, "--repo", "PATH")
        + "    a clone in which `git submodule update --init --recursive` brought it",
        looked_in=(f".gitmodules at commit {plan.lineage.commit[:12]}",),
    )


def _at_or_below(folder: str, paths: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for path in paths)


def _unfetched_pointer(plan: Plan, rerun: Rerun, pointers: Iterable[LfsPointer]) -> Missing | None:
    restored = {*(file.path for file in plan.lineage.files), *(file.path for file in plan.supplied)}
    pointers = [pointer for pointer in pointers if pointer.path not in restored]
    written = {file.path for file in rerun.outputs}
    opened = set(rerun.capture.files_opened)
    early = set(rerun.capture.files_opened_before_output)
    for pointer in pointers:
        was_read = pointer.path in opened and (pointer.path not in written or pointer.path in early)
        if was_read:
            return Missing(
                fact="data",
                cause=redact(f"the training opened {pointer.path}, which is {in_words(pointer)}"),
                remedy=again(plan, "--lfs-limit", limit_for(pointers))
                if pointer.refused is None
                else again(plan, "--repo", "PATH") + "    a clone in which `git lfs fetch --all` brought it",
                looked_in=(f"commit {plan.lineage.commit[:12]}, which holds the pointer of Git LFS alone",),
            )
    return None


def may_be_excused(decision: Decision, rerun: Rerun) -> bool:
    """Tell whether what the commit lacks can be the reason of a verdict; never of a capture that is not whole."""
    if decision.verdict is Verdict.DIVERGED or rerun.ending is Ending.CRASHED:
        return decision.verdict in (Verdict.DIVERGED, Verdict.FAILED)
    return decision.verdict is Verdict.FAILED and rerun.ending is Ending.FINISHED and not rerun.capture.problems


def absent_paths(plan: Plan, rerun: Rerun) -> tuple[str, ...]:
    """Return what the training looked for in its workspace and did not find, most certain first.

    Libraries look for much that need not be there (`.git`, settings): what the log does not name must be called as
    data is.
    """
    failed = rerun.ending is Ending.CRASHED or not rerun.capture.runs
    said = [path for line in rerun.log_tail for path in _said_absent(plan, line)] if failed else []
    observed = [path for path in rerun.capture.files_absent if path in said or _is_data(path)]
    there = {*rerun.capture.files_opened, *(file.path for file in rerun.outputs)}
    ours = {*plan.expected_outputs, *plan.reference_files, *(file.path for file in plan.lineage.files)}
    return tuple(
        path
        for path in dict.fromkeys((*(path for path in observed if path in said), *observed, *said))
        if path not in there and not any(path == each or path.startswith(each + "/") for each in ours)
    )[:_MOST]


def _is_data(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return _DATA.fullmatch(name) is not None and not any(part.startswith(".") for part in folder.split("/"))


def _said_absent(plan: Plan, line: str) -> list[str]:
    """Return the paths of a line of the log that says that something is not there, from the repository's root."""
    if not _SAYS_ABSENT.search(line) or "://" in line:
        return []
    paths = []
    for match in _PATH.finditer(line):
        full = posixpath.normpath(posixpath.join(WORKSPACE_TARGET, plan.working_directory, match[match.lastgroup or 0]))
        if full.startswith(WORKSPACE_TARGET + "/") and not full.endswith(_CODE):
            paths.append(full.removeprefix(WORKSPACE_TARGET + "/"))
    return paths


def in_another_folder(plan: Plan, path: str, there: Elsewhere, script: str | None) -> Missing:
    """Return that an input is in the commit, and that the working directory is not the author's."""
    command = "COMMAND"
    if script is not None and not _SHELL.search(plan.command):
        named, instead = (posixpath.relpath(script, folder) for folder in (plan.working_directory, there.folder))
        words = [instead if posixpath.normpath(word) == named else word for word in shlex.split(plan.command)]
        command = shlex.join(words)
    folder = posixpath.relpath(there.folder, _given_commands_directory(plan))
    command = command if folder == "." else f"cd {shlex.quote(folder)} && {command}"
    where = "the repository's root" if there.folder == "." else there.folder
    return Missing(
        fact="command",
        cause=redact(
            f"the training looked for {path}, and commit {plan.lineage.commit[:12]} holds {there.path}: it fits where "
            f"the command is called in {where}, not in {plan.working_directory}"
        ),
        remedy=again(plan, "--command", command),
        looked_in=(f"commit {plan.lineage.commit[:12]}",),
        nearest=(f"{there.path}    of the same name, from {where}",),
    )


def _given_commands_directory(plan: Plan) -> str:
    """Return where a command that is given with `--command` is called: where configuration says, else at the root."""
    configured = any(
        fact.fact == "working directory" and fact.source.startswith("working_directory in") for fact in plan.provenance
    )
    return plan.working_directory if configured else "."


def lacking_file(plan: Plan, path: str, place: Place | None) -> Missing:
    """Return that an input is in no store that the commit leads to."""
    short = plan.lineage.commit[:12]
    nearest: tuple[str, ...] = ()
    remedy = again(plan, "--pointer", f"md5:DIGEST={path}") + "    once a DVC remote holds its bytes"
    if place is not None:
        has = "has a pointer of it" if place.pointed else "holds it"
        nearest = (f"--commit {place.commit}    {has}",)
        remedy = again(plan, "--commit", place.commit)
    return Missing(
        fact="data",
        cause=redact(f"the training looked for {path}, which commit {short} does not hold and no pointer restores"),
        remedy=remedy,
        looked_in=(f"commit {short}", f"pointers at commit {short}", "the repository's history", *_remotes(plan)),
        nearest=nearest,
    )


def _remotes(plan: Plan) -> tuple[str, ...]:
    """Return the remotes of a plan, for people."""
    return tuple(redact(f"{remote.url} ({remote.source})") for remote in plan.remotes)


def lacking_script(plan: Plan, script: str, commit: str | None) -> Missing:
    """Return that the script of the commit, with all that it imports there, names no tracker."""
    short = plan.lineage.commit[:12]
    return Missing(
        fact="script",
        cause=f"{script} of commit {short} mentions neither mlflow nor wandb, nor does what it imports there"
        + (f"; commit {commit[:12]} is the first in which it does" if commit is not None else ""),
        remedy=again(plan, "--commit", commit or "SHA"),
        looked_in=(f"commit {short}", "the repository's history"),
        nearest=() if commit is None else (f"--commit {commit}",),
    )
