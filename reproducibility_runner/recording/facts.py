"""All that is recorded of a training before it starts, and what an audit of later years would miss."""

from __future__ import annotations

import json
import os

from reproducibility_runner.recording import command_line, environment, git_state, pointers, remotes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA_TAG = "dvc_data_md5"
MODEL_TAG = "dvc_model_md5"
PATHS = {DATA_TAG: "runner.data_md5", MODEL_TAG: "runner.model_md5"}
_SHOWN = 5


class Problem:
    """What stands in the way of an audit, and a command that mends it; a `note` is to be known and refuses nothing."""

    def __init__(self, text: str, remedy: str, note: bool = False) -> None:
        self.text = text
        self.remedy = remedy
        self.note = note

    @property
    def line(self) -> str:
        """Both in a line."""
        return f"{self.text} (try: {self.remedy})"


class Facts:
    """Tags, what was found wrong, and the data by path (`data`) with what it was known by (`before`)."""

    def __init__(self) -> None:
        self.tags = {}  # type: dict[str, str]
        self.problems = []  # type: list[Problem]
        self.root = None  # type: str | None
        self.data = {}  # type: dict[str, str]
        self.outs = []  # type: list[pointers.Out]
        self.before = {}  # type: dict[str, tuple[int, ...] | None]

    def settle_data(self) -> None:
        """Put the data into their tags, as text."""
        for name in (DATA_TAG, PATHS[DATA_TAG]):
            self.tags.pop(name, None)
        self.tags.update(digest_tags(self.data, DATA_TAG))


def gather(
    folder: str,
    words: Sequence[str] | None,
    *,
    main: str | None = None,
    models: Sequence[str] = (),
    image: str | None = None,
) -> Facts:
    """Return what can be told without a network. Never raises for what a repository may be like.

    `folder` is where the training runs, `words` are its command; `main` is its script, where that is known: it tells
    which repository is meant. `models` are paths that it will write, as seen from `folder`.
    """
    facts = Facts()
    if image:
        facts.tags["runner.image"] = git_state.without_credentials(image)
    try:
        state = git_state.read_git_state(os.path.dirname(main) if main else folder)
    except git_state.NoState as error:
        facts.problems.append(
            Problem(f"nothing is recorded of the code: {error}", "git init && git add . && git commit")
        )
        _add_command(facts, words, folder, folder)
        return facts
    facts.root = state.root
    facts.tags.update(state.tags)
    _add_problems(facts, state)
    real = os.path.realpath(folder)
    if real == state.root or real.startswith(os.path.join(state.root, "")):
        _add_command(facts, words, state.root, real)
        facts.tags["runner.working_directory"] = os.path.relpath(real, state.root).replace(os.sep, "/")
    ends = [os.path.realpath(os.path.join(folder, model)) for model in models]
    _add_data(facts, state, [os.path.relpath(end, state.root).replace(os.sep, "/") for end in ends])
    return facts


def digest_tags(digests: Mapping[str, str], tag: str) -> dict[str, str]:
    """Return the tags of digests by path; none where one would be cut: then the pointers at the commit tell the same.

    A single digest stands by itself, as people look it up, and a second tag has its path; several are a map.
    """
    text = json.dumps(digests, sort_keys=True)
    if not digests or len(text) > command_line.LONGEST:
        return {}
    if len(digests) > 1:
        return {tag: text}
    return {tag: next(iter(digests.values())), PATHS[tag]: text}


def check_data_is_kept(facts: Facts, environment_of_dvc: Mapping[str, str]) -> None:
    """Add a problem for data that no remote holds, and one for what could not be looked for."""
    if facts.root is None:
        return
    wanted = [out for out in facts.outs if out.certain]
    holding = remotes.check_remotes(facts.root, wanted, environment_of_dvc)
    if holding.lacking:
        where = " and ".join(dict.fromkeys(holding.asked))
        facts.problems.append(Problem(f"data that the remote lacks: {listed(holding.lacking)} ({where})", "dvc push"))
    facts.problems += [
        Problem(f"not checked whether the remote holds the data: {text}", "dvc status --cloud")
        for text in holding.unchecked
    ]


def listed(paths: Sequence[str]) -> str:
    """Return the first few of many in words."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def _add_command(facts: Facts, words: Sequence[str] | None, root: str, folder: str) -> None:
    if not words:
        return
    command, hidden = command_line.recordable(words, root, folder)
    tags = command_line.shown(command)
    facts.tags.update(tags)
    if hidden:
        text = "what looks like a secret in the command is not recorded: an audit will ask for the command"
        facts.problems.append(Problem(text, "give it in an environment variable instead", note=True))
    if not tags:
        text = f"a command of more than {command_line.LONGEST} characters is not recorded"
        facts.problems.append(Problem(text, "put its options in a file that git holds"))


def _add_problems(facts: Facts, state: git_state.GitState) -> None:
    problems = facts.problems
    if state.changed:
        problems.append(Problem(f"changes that no commit holds: {listed(state.changed)}", "git commit --all"))
    if state.pointers_changed:
        text = f"pointers that no commit holds: {listed(state.pointers_changed)}"
        problems.append(Problem(text, "git add '*.dvc' && git commit"))
    if state.untracked:
        text = f"sources that no commit holds: {listed(state.untracked)}"
        problems.append(Problem(text, "git add them, or name them in .gitignore"))
    if state.pushed is None:
        problems.append(Problem("the repository has no remote: nobody else can get its commits", "git remote add"))
    elif not state.pushed:
        text = f"commit {state.commit[:12]} is on no remote, as far as was fetched"
        problems.append(Problem(text, "git push"))


def _add_data(facts: Facts, state: git_state.GitState, models: Sequence[str]) -> None:
    read = pointers.read_pointers(state.root, state.pointers)
    facts.problems += [Problem(text, "dvc status") for text in read.problems]
    in_git = git_state.tracked_among(state.root, [out.path for out in read.outs])
    allowance = [pointers.HASHED_BYTES]
    for out in read.outs:
        if out.path in in_git:
            continue
        if any(out.path == model or model.startswith(out.path + "/") for model in models):
            out.certain = False
        facts.outs.append(out)
        if not out.certain:
            continue
        agreement = pointers.compare(state.root, out, allowance)
        facts.before[out.path] = pointers.fingerprint(os.path.join(state.root, out.path))
        if agreement.kind == "absent":
            problem = Problem(f"{out.path} is not there, which {out.pointer} names", "dvc pull", note=True)
            facts.problems.append(problem)
        elif agreement.kind == "other":
            text = f"{out.path} is not what {out.pointer} names"
            facts.problems.append(Problem(text, "dvc add it and commit the pointer, or dvc checkout"))
            facts.data[out.path] = str(agreement.digest)
        else:
            facts.data[out.path] = out.digest
    facts.settle_data()


def python_tags() -> dict[str, str]:
    """Return what is recorded of the Python that runs this."""
    return environment.tags()
