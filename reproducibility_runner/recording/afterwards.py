"""What is known only when a training has ended: the model that it wrote, and data that it wrote over."""

from __future__ import annotations

import json
import os
import subprocess

from reproducibility_runner.recording import facts as facts_module
from reproducibility_runner.recording import pointers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from reproducibility_runner.recording.facts import Facts


# The folder of the training may own a module of any name.
_RELABEL = (
    "import sys; '' in sys.path and sys.path.remove('')\n"
    "from reproducibility_runner.recording.relabel import main; main()"
)


class Result:
    """Tags to set and to remove on the runs, those that only the one outermost run gets, and sentences.

    `problems` stand in the way of what was asked for, `notes` do not.
    """

    def __init__(self) -> None:
        self.tags = {}  # type: dict[str, str]
        self.remove = []  # type: list[str]
        self.of_outermost = {}  # type: dict[str, str]
        self.problems = []  # type: list[str]
        self.notes = []  # type: list[str]

    def orders(self, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return what is to be set on which run; adds a problem where it is not known which run made the model."""
        of_wandb = [run for run in runs if run.get("tracker") == "wandb"]
        runs = [run for run in runs if run.get("tracker") == "mlflow"]
        outermost = [run for run in runs if not run.get("parent")]
        of_model = outermost if len(outermost) == 1 else []
        if self.of_outermost and not of_model and not any(run.get("model") for run in of_wandb):
            how_many = f"{len(outermost)} runs" if runs else "no run of MLflow"
            if of_wandb:
                how_many = "a run of W&B that ended before the model was written"
            self.problems.append(f"the command logged {how_many}: the model's digest was not logged")
        orders = []
        for run in runs:
            tags = dict(self.tags, **(self.of_outermost if run in of_model else {}))
            if tags or self.remove:
                orders.append(dict(run, tags=tags, remove=self.remove))
        return orders


def fingerprints(folder: str, models: Sequence[str]) -> dict[str, tuple[int, ...] | None]:
    """Return by what it is known that the training wrote a model, for each, by its whole path."""
    paths = [os.path.normpath(os.path.join(folder, model)) for model in models]
    return {path: pointers.fingerprint(path) for path in paths}


def look(
    facts: Facts,
    folder: str,
    models: Mapping[str, tuple[int, ...] | None],
    environment: Mapping[str, str],
    *,
    ended_well: bool,
) -> Result:
    """Return what is to be recorded at the end. `models` are whole paths, with what they were known by before."""
    result = Result()
    written = [
        path
        for path in facts.data
        if facts.root and pointers.fingerprint(os.path.join(facts.root, path)) != facts.before.get(path)
    ]
    if written:
        # What a training writes is no input of it, although a pointer named it when it began.
        before = dict(facts.tags)
        for path in written:
            del facts.data[path]
        facts.settle_data()
        result.notes.append(f"written by the command, and so not recorded as its data: {facts_module.listed(written)}")
        for name in before.keys() - facts.tags.keys():
            result.remove.append(name)
        result.tags.update((name, value) for name, value in facts.tags.items() if before.get(name) != value)
    if models and not ended_well:
        result.notes.append("the command did not end well: no model was versioned")
    elif models:
        _version(facts, folder, models, environment, result)
    return result


def _version(
    facts: Facts,
    folder: str,
    models: Mapping[str, tuple[int, ...] | None],
    environment: Mapping[str, str],
    result: Result,
) -> None:
    digests = {}
    root = facts.root or os.path.realpath(folder)
    for path, before in models.items():
        model = os.path.relpath(path, folder)
        if pointers.fingerprint(path) in (None, before):
            missing = "is not there" if not os.path.exists(path) else "was not written by the command"
            result.problems.append(f"the model {model} {missing}")
            continue
        try:
            digest = pointers.digest_of(path)
        except OSError as error:
            result.problems.append(f"the model {model} cannot be read: {error.strerror}")
            continue
        digests[os.path.relpath(os.path.realpath(path), root).replace(os.sep, "/")] = digest
        problem = _add(path, digest, environment)
        if problem is None:
            beside = os.path.join(os.path.dirname(model), ".gitignore")
            result.notes.append(
                f"{model} is versioned; keep it: git add {model}.dvc {beside} && git commit -m 'Version {model}' && "
                "git push && dvc push"
            )
        else:
            result.problems.append(f"the model {model} was not versioned: {problem}")
    result.of_outermost.update(facts_module.digest_tags(digests, facts_module.MODEL_TAG))


def _add(path: str, digest: str, environment: Mapping[str, str]) -> str | None:
    """Version a model with the user's DVC; return a sentence where that failed."""
    folder, name = os.path.split(path)
    try:
        done = subprocess.run(
            ["dvc", "add", "--quiet", name],
            cwd=folder or ".",
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return "no dvc is installed"
    except OSError as error:
        return f"dvc could not be started: {error.strerror}"
    if done.returncode:
        said = [line for line in os.fsdecode(done.stderr).splitlines() if line.startswith("ERROR: ")]
        return f"dvc add said: {said[0][len('ERROR: ') :]}" if said else f"dvc add ended with {done.returncode}"
    try:
        with open(path + ".dvc", encoding="utf-8") as file:
            agrees = digest in file.read()
    except OSError:
        return f"dvc left no {name}.dvc"
    return None if agrees else f"{name}.dvc has another digest than the bytes ({digest})"


def relabel_in(
    python: str, folder: str, orders: Sequence[Mapping[str, Any]], environment: Mapping[str, str]
) -> str | None:
    """Set tags with the MLflow of another Python; return a sentence where that failed."""
    try:
        done = subprocess.run(
            [python, "-c", _RELABEL],
            cwd=folder,
            env=dict(environment, MLFLOW_DISABLE_TELEMETRY="true"),
            input=json.dumps(list(orders)).encode(),
            capture_output=True,
            check=False,
        )
    except OSError as error:
        return f"{python} could not be started: {error.strerror}"
    if done.returncode:
        last = (os.fsdecode(done.stderr).strip().splitlines() or ["nothing"])[-1]
        return f"MLflow said: {last.partition(':')[0]}"  # what follows may hold an address with a key
    return None
