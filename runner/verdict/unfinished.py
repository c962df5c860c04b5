"""When a command that did not finish well says nothing about the run: what broke may be our guess and not the record.

Beside rule 24: `failed` is for the recorded command. Where the packages or the command are guessed and just the guess
broke, or a host was asked for while we close the network, a fact is missing. That holds whatever became of the recorded
run: one that failed may have failed of something else.
"""

from __future__ import annotations

import re

from runner.lineage.packages import linux_markers, normalise, recorded_packages
from runner.schema.plan import EnvironmentSpec, Plan
from runner.schema.reproduction import Missing
from runner.schema.rerun import Ending, Rerun
from runner.schema.run_record import RunRecord
from runner.verdict.causes import other_code
from runner.verdict.hosts import shown_hosts
from runner.verdict.remedy import again
from runner.verdict.services import unread_service

_FINISHED = "FINISHED"
_LOOKED_AT = 8  # lines of the log's end: a wrapper may add a line or two below the exception's
_NO_MODULE = re.compile(
    r"(?:\w+\.)*(?:ModuleNotFoundError|ImportError): No module named ['\"](?P<name>[\w.]{1,100})['\"]"
)

_FRAME = re.compile(r'File "(?P<path>[^"]+)", line \d+')
_IN_PACKAGES = "/site-packages/"
_API_LACKS = re.compile(
    r"(?:ImportError|AttributeError|TypeError): (?:module '(?P<module>\w+)[\w.]*' has no attribute)?"
)
"""What Python says where one version of a package offers less, or other, than its user expects."""

_NO_NETWORK = re.compile(
    r"(?i)name resolution|name or service not known|NameResolutionError|getaddrinfo failed|network is unreachable"
    r"|max retries exceeded"
)


def failure_says_nothing(plan: Plan, record: RunRecord, rerun: Rerun) -> Missing | None:
    """Return the fact that was missing where a failure may be ours, None where it is the author's.

    What our limits ended, or what was not captured whole, says nothing of packages, network or command. A run
    that records no commit cannot be failed by one that was given for it.
    """
    crashed = rerun.ending is Ending.CRASHED
    if not crashed and (rerun.ending is not Ending.FINISHED or rerun.capture.problems):
        return None if plan.lineage.commit_known else other_code(plan)
    ours = (_lacking_package(plan, record, rerun) or unread_service(plan, rerun)) if crashed else None
    if ours is not None:
        return ours
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


def _lacking_package(plan: Plan, record: RunRecord, rerun: Rerun) -> Missing | None:
    """Return which package the environment lacks, or has in a version that does not fit; None where neither shows."""
    module, whole = _missing_module(rerun), _is_whole(plan.environment)
    # What finished had it: then the lock is not what it ran with. Of one that failed, a lock tells what was not there.
    if module is not None and not (whole and record.status != _FINISHED):
        return Missing(
            fact="environment",
            cause=f"the training found no module {module}: {_why_not_there(plan.environment)}",
            remedy=again(plan, "--with", _package_of(module, record)) + f"    or whichever package provides {module}",
            looked_in=(plan.environment.source,),
        )
    clash = _clash(rerun) if not whole and record.status == _FINISHED else None
    if clash is not None:
        return Missing(
            fact="environment",
            cause=f"{clash}: these versions do not fit each other, and {_why_guessed(plan.environment)}",
            remedy=again(plan, "--with", "PACKAGE==VERSION") + "    the version that the run had",
            looked_in=(plan.environment.source,),
        )
    return None


def _missing_module(rerun: Rerun) -> str | None:
    lines = [line.strip() for line in rerun.log_tail if line.strip()]
    for line in reversed(lines[-_LOOKED_AT:]):
        match = _NO_MODULE.match(line)
        if match is not None:
            return match["name"]
    return None


def _package_of(module: str, record: RunRecord) -> str:
    """Return a requirement for a module: with the version that the run recorded, where it recorded one by that name."""
    name = module.partition(".")[0]
    versions = recorded_packages(record, linux_markers("3.11.0", "x86_64")).versions
    version = versions.get(normalise(name))
    return name if version is None else f"{name}=={version}"


def _clash(rerun: Rerun) -> str | None:
    """Return the exception by which installed packages do not fit each other or the code that uses them, None else.

    It came out of a package, or names one that lacks what was asked of it.
    """
    lines = [line.strip() for line in rerun.log_tail if line.strip()]
    for number in range(len(lines) - 1, max(len(lines) - _LOOKED_AT, 0) - 1, -1):
        exception = _API_LACKS.match(lines[number])
        if exception is None:
            continue
        frames = [line for line in lines[:number] if _FRAME.match(line)]
        module = normalise(exception["module"] or "")
        if _IN_PACKAGES in lines[number] or (frames and _IN_PACKAGES in frames[-1]):
            return lines[number]
        return lines[number] if module in rerun.environment.packages else None
    return None


def _complains_of_network(rerun: Rerun) -> bool:
    """Tell by the log's end, for what the capture cannot see: other programs, and Python 3.7."""
    return any(_NO_NETWORK.search(line) for line in rerun.log_tail[-_LOOKED_AT:])


def _is_whole(environment: EnvironmentSpec) -> bool:
    """Tell whether the packages are a lock's: what it does not hold, the author's environment did not hold either."""
    contradicted = bool(environment.recorded_overrides)
    return environment.kind != "none" and environment.exact and environment.as_of is None and not contradicted


def _why_not_there(environment: EnvironmentSpec) -> str:
    if environment.kind == "none":
        return "nothing names any package"
    if _is_whole(environment):
        return f"{environment.source} does not list it, and the recorded run, which finished, had it"
    return f"{environment.source} may not list them all"


def _why_guessed(environment: EnvironmentSpec) -> str:
    if environment.kind == "none":
        return "nothing names any package"
    return f"{environment.source} does not tell all that the run had"
