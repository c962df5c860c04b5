"""`runner record -- CMD`, top to bottom: check, refuse or warn, train with the tags at hand, version what came out.

Imports none of what the rest of the host needs: it stands between a person and their training, and must not be felt.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reproducibility_runner.recording import afterwards, facts, layout, session
from runner import interrupts
from runner.errors import NotAuditable
from runner.record.child import NOT_FOUND, run_command


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be recorded: a command, the models that it writes, as seen from here, and its image."""

    command: tuple[str, ...]
    models: tuple[str, ...] = ()
    image: str | None = None
    strict: bool = False


def record(request: Request, *, folder: str, environment: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Run a command as a run that can be audited; return its exit status.

    Raises NotAuditable where `strict` refuses to start, and where the command ended well and a model that was asked
    for could not be versioned or its digest not be logged.
    """
    if shutil.which(request.command[0], path=environment.get("PATH")) is None:
        say(f"{request.command[0]}: command not found")
        return NOT_FOUND
    found = facts.gather(
        folder,
        request.command,
        models=request.models,
        image=request.image or environment.get("REPRO_IMAGE"),
    )
    facts.check_data_is_kept(found, environment)
    refusing = [problem for problem in found.problems if not problem.note]
    if request.strict and refusing:
        raise NotAuditable(
            f"nothing was run: {'; '.join(problem.text for problem in refusing)}",
            refusing[0].remedy,
            fact="record",
            looked_in=tuple(problem.line for problem in refusing[1:]),
        )
    for problem in found.problems:
        say(problem.line)
    place = tempfile.mkdtemp(prefix="reproducibility-runner-record-")
    forget = interrupts.note(lambda: shutil.rmtree(place, ignore_errors=True))
    try:
        return _train(request, found, folder, environment, place, say)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        forget()


def _train(
    request: Request,
    found: facts.Facts,
    folder: str,
    environment: Mapping[str, str],
    place: str,
    say: Callable[[str], None],
) -> int:
    before = afterwards.fingerprints(folder, request.models)
    session.write(place, found.tags, before)
    package = os.path.join(place, "package")
    layout.lay_out(package)
    variables = {**environment, session.VARIABLE: place, **layout.variables(package, environment)}
    status = run_command(request.command, folder, variables, say)
    result = afterwards.look(found, folder, before, environment, ended_well=status == 0)
    problems = [*_relabel(result, place, variables), *result.problems]
    for note in result.notes:
        say(note)
    if request.models and problems and status == 0:
        raise NotAuditable(
            f"the command ended well, but {'; '.join(problems)}",
            f"dvc add {request.models[0]}",
            fact="model",
        )
    for problem in problems:
        say(problem)
    return status


def _relabel(result: afterwards.Result, place: str, variables: Mapping[str, str]) -> Sequence[str]:
    """Set on the runs what is known by now, each with the Python and the folder that made it."""
    orders = result.orders(session.read_runs(place))
    problems = []
    for python, folder in dict.fromkeys((str(order["python"]), str(order["folder"])) for order in orders):
        of_it = [order for order in orders if (order["python"], order["folder"]) == (python, folder)]
        problem = afterwards.relabel_in(python, folder, of_it, variables)
        if problem is not None:
            problems.append(f"tags could not be set on {len(of_it)} runs: {problem}")
    return problems
