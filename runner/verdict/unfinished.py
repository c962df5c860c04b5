"""When a command that did not finish well says nothing about the run: what broke may be our guess and not the record.

Beside rule 24: `failed` is for the recorded command. Where the packages or the command are guessed and just the guess
broke, or the network that we close was wanted, a fact is missing.
"""

from __future__ import annotations

import re

from runner.redact import redact
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Ending, Rerun
from runner.verdict.remedy import again

_LOOKED_AT = 8  # lines of the log's end: a wrapper may add a line or two below the exception's
_NO_MODULE = re.compile(
    r"(?:\w+\.)*(?:ModuleNotFoundError|ImportError): No module named ['\"](?P<name>[\w.]{1,100})['\"]"
)

_NO_NETWORK = re.compile(
    r"(?i)name resolution|name or service not known|NameResolutionError|getaddrinfo failed|network is unreachable"
    r"|max retries exceeded"
)


def failure_says_nothing(plan: Plan, rerun: Rerun) -> Missing | None:
    """Return the fact that was missing where a crash may be ours, None where it is the author's."""
    if rerun.ending is not Ending.CRASHED:
        return None
    module = _missing_module(rerun)
    if module is not None and not _is_whole(plan.environment):
        return Missing(
            fact="environment",
            cause=f"the training found no module {module}: {_why_not_whole(plan.environment)}",
            remedy=again(plan, "--with", module.partition(".")[0]) + f"    or whichever package provides {module}",
            looked_in=(plan.environment.source,),
        )
    if _wanted_network(rerun):
        hosts = redact(", ".join(rerun.capture.hosts_tried)) or "another host"
        opened = "network" in plan.policy.allow
        return Missing(
            fact="data",
            cause=f"the training asked for {hosts}: "
            + ("it could not be reached" if opened else "the network is closed while training"),
            remedy=again(plan, "--allow", "network") + ("    where these hosts answer" if opened else ""),
        )
    if plan.command_inferred and plan.options_uncovered:
        options = ", ".join(plan.options_uncovered)
        return Missing(
            fact="command",
            cause=f"the inferred command ended with exit status {rerun.exit_code}, and nothing pins its {options}",
            remedy=again(plan, "--command", f"{plan.command} ARGUMENTS"),
        )
    return None


def _missing_module(rerun: Rerun) -> str | None:
    lines = [line.strip() for line in rerun.log_tail if line.strip()]
    for line in reversed(lines[-_LOOKED_AT:]):
        match = _NO_MODULE.match(line)
        if match is not None:
            return match["name"]
    return None


def _wanted_network(rerun: Rerun) -> bool:
    return any(_NO_NETWORK.search(line) for line in rerun.log_tail[-_LOOKED_AT:])


def _is_whole(environment: EnvironmentSpec) -> bool:
    """Tell whether the packages are a lock's: what it does not hold, the author's environment did not hold either."""
    return environment.kind != "none" and environment.exact and environment.as_of is None


def _why_not_whole(environment: EnvironmentSpec) -> str:
    return "nothing names any package" if environment.kind == "none" else f"{environment.source} may not list them all"
