"""One training that is recorded: its tags, and a note of each run that MLflow makes in it.

`runner record` puts what it found into a folder and names that in REPRO_RECORD; every Python of the training reads it
there, and appends the runs that it makes. Without it, a Python finds out for itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from reproducibility_runner.recording import command_line, facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VARIABLE = "REPRO_RECORD"
TAGS = "tags.json"
MODELS = "models.json"
RUNS = "runs.jsonl"


def write(folder: str, tags: Mapping[str, str], models: Mapping[str, Any]) -> None:
    """Write what the Pythons of a training are to read; `models` are paths with what they are known by.

    Raises OSError.
    """
    for name, value in ((TAGS, tags), (MODELS, models)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(dict(value), file)


def tags_of_process() -> dict[str, str]:
    """Return the tags of runs that this process makes."""
    folder = os.environ.get(VARIABLE)
    if folder:
        with open(os.path.join(folder, TAGS), encoding="utf-8") as file:
            return dict(facts.python_tags(), **json.load(file))
    main = command_line.main_file()
    found = facts.gather(os.getcwd(), command_line.words_of_process(), main=main)
    return dict(facts.python_tags(), **found.tags)


def watch_runs() -> None:
    """Have MLflow's client note each run that it makes; only in a training that is recorded as a whole."""
    folder = os.environ.get(VARIABLE)
    module = sys.modules.get("mlflow.tracking.client")
    client = getattr(module, "MlflowClient", None)  # type: Any
    if not folder or client is None or hasattr(client.create_run, "reproducibility_runner"):
        return
    made = client.create_run

    def create_run(
        self: Any, experiment_id: Any, start_time: Any = None, tags: Any = None, *rest: Any, **more: Any
    ) -> Any:
        run = made(self, experiment_id, start_time, _with_ours(tags), *rest, **more)
        with contextlib.suppress(Exception):  # the run is made all the same
            line = {
                "run": run.info.run_id,
                "tracker": "mlflow",
                "uri": getattr(self, "tracking_uri", None) or self._tracking_client.tracking_uri,
                "parent": run.data.tags.get("mlflow.parentRunId"),
                "python": sys.executable,
                "folder": os.getcwd(),
            }
            note(str(folder), line)
        return run

    create_run.__wrapped__ = made  # type: ignore[attr-defined]
    create_run.__doc__ = made.__doc__
    create_run.reproducibility_runner = True  # type: ignore[attr-defined]
    client.create_run = create_run


def _with_ours(tags: Any) -> Any:
    """Return a run's tags with ours beneath them: a script that makes runs by the client asks no context."""
    try:
        return dict(tags_of_process(), **(tags or {}))
    except Exception:  # noqa: BLE001  # a training goes on without its tags
        return tags


def note(folder: str, line: Mapping[str, Any]) -> None:
    """Note a run; several processes may do so at once. Raises OSError."""
    data = (json.dumps(dict(line)) + "\n").encode()
    descriptor = os.open(os.path.join(folder, RUNS), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def read_runs(folder: str) -> list[dict[str, Any]]:
    """Return the runs that were noted; a line that was cut is none."""
    try:
        with open(os.path.join(folder, RUNS), encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [run for run in found if isinstance(run, dict) and isinstance(run.get("run"), str)]
