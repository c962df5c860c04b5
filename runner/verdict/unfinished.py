"""When a command that did not finish well says nothing about the run: what broke may be our guess and not the record.

Beside rule 24: `failed` is for the recorded command. Where the packages or the command are guessed and just the guess
broke, or a host was asked for while we close the network, a fact is missing. That holds whatever became of the recorded
run: one that failed may have failed of something else.
"""

from __future__ import annotations

import re

from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Ending, Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.causes import other_code
from runner.verdict.hosts import shown_hosts
from runner.verdict.remedy import again

_LOOKED_AT = 8  # lines of the log's end: a wrapper may add a line or two below the exception's
_NO_MODULE = re.compile(
    r"(?:\w+\.)*(?:ModuleNotFoundError|ImportError): No module named ['\"](?P<name>[\w.]{1,100})['\"]"
)

_NO_NETWORK = re.compile(
    r"(?i)name resolution|name or service not known|NameResolutionError|getaddrinfo failed|network is unreachable"
    r"|max retries exceeded"
)


def failure_says_nothing(plan: Plan, record: RunRecord, rerun: Rerun) -> Missing | None:
    """Return the fact that was missing where a failure may be ours, None where it is the author's.

    What our limits ended, or what was not captured whole, says nothing of packages, network or command.
    """
    crashed = rerun.ending is Ending.CRASHED
    if not crashed and (rerun.ending is not Ending.FINISHED or rerun.capture.problems):
        return None
    module = _missing_module(rerun) if crashed else None
    if module is not None and not _is_whole(plan.environment):
        return Missing(
            fact="environment",
            cause=f"the training found no module {module}: {_why_not_whole(plan.environment)}",
            remedy=again(plan, "--with", module.partition(".")[0]) + f"    or whichever package provides {module}",
            looked_in=(plan.environment.source,),
        )
    hosts = shown_hosts(record, rerun)
    if "network" in plan.policy.allow:
        if crashed and _complains_of_network(rerun):
            return Missing(
                fact="data",
                cause=f"the training asked for {hosts or 'another host'}: it could not be reached",
                remedy=again(plan, "--allow", "network") + "    where these hosts answer",
            )
    elif hosts or (crashed and _complains_of_network(rerun)):
        return Missing(
            fact="data",
            cause=f"the training asked for {hosts or 'another host'}: the network is closed while training",
            remedy=again(plan, "--allow", "network"),
        )
    if crashed and plan.command_inferred and plan.options_uncovered:
        options = ", ".join(plan.options_uncovered)
        return Missing(
            fact="command",
            cause=f"the inferred command ended with exit status {rerun.exit_code}, and nothing pins its {options}",
            remedy=again(plan, "--command", f"{plan.command} ARGUMENTS"),
        )
    return other_code(plan)


def _missing_module(rerun: Rerun) -> str | None:
    lines = [line.strip() for line in rerun.log_tail if line.strip()]
    for line in reversed(lines[-_LOOKED_AT:]):
        match = _NO_MODULE.match(line)
        if match is not None:
            return match["name"]
    return None


def _complains_of_network(rerun: Rerun) -> bool:
    """Tell by the log's end, for what the capture cannot see: other programs, and Python 3.7."""
    return any(_NO_NETWORK.search(line) for line in rerun.log_tail[-_LOOKED_AT:])


def _is_whole(environment: EnvironmentSpec) -> bool:
    """Tell whether the packages are a lock's: what it does not hold, the author's environment did not hold either."""
    return environment.kind != "none" and environment.exact and environment.as_of is None


def _why_not_whole(environment: EnvironmentSpec) -> str:
    return "nothing names any package" if environment.kind == "none" else f"{environment.source} may not list them all"
