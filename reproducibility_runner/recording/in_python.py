"""`reproducibility_runner.record()`: what `runner record` does, called at the top of a script."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

from reproducibility_runner.recording import afterwards, command_line, facts, plugin, relabel, session, wandb_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_recording = False


class NotAuditable(Exception):
    """An audit of later years would miss something; the text says what, and what mends it."""


def record(strict: bool = False, model: str | Sequence[str] | None = None, image: str | None = None) -> None:
    """Check and tag the training that begins; see `reproducibility_runner.record`."""
    global _recording  # noqa: PLW0603  # one training per process
    if _recording or os.environ.get(session.VARIABLE) or plugin.in_rerun():
        return
    models = [model] if isinstance(model, str) else list(model or ())
    folder, began_in = os.getcwd(), os.getpid()
    found = facts.gather(
        folder,
        command_line.words_of_process(),
        main=command_line.main_file(),
        models=models,
        image=image or os.environ.get("REPRO_IMAGE"),
    )
    facts.check_data_is_kept(found, os.environ)
    problems = [problem for problem in found.problems if strict and not problem.note]
    if problems:
        raise NotAuditable("; ".join(problem.line for problem in problems))
    for problem in found.problems:
        _say(problem.line)
    place = tempfile.mkdtemp(prefix="reproducibility-runner-record-")
    before = afterwards.fingerprints(folder, models)
    session.write(place, found.tags, before)
    os.environ[session.VARIABLE] = place
    session.watch_runs()
    wandb_runs.watch()
    _recording = True

    def at_exit() -> None:
        if os.getpid() != began_in:  # a fork of it, which has not trained
            return
        try:
            # That it ended well is not known here: a model that was not written is told by that.
            result = afterwards.look(found, folder, before, os.environ, ended_well=True)
            orders = result.orders(session.read_runs(place))
            if orders:
                relabel.relabel(orders)
            for line in (*result.problems, *result.notes):
                _say(line)
        except Exception as error:  # noqa: BLE001  # the training has ended, and well
            _say(f"what the training wrote was not recorded: {type(error).__name__}")
        finally:
            shutil.rmtree(place, ignore_errors=True)

    atexit.register(at_exit)


def _say(text: str) -> None:
    print(f"record: {text}", file=sys.stderr)  # noqa: T201  # to whoever trains
