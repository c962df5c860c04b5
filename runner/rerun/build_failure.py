"""Why a build of phase 2b failed, told from the end of its log: what was missing, and how to supply it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import MissingFact, NotByThen
from runner.inside.packages.resolve import REDATE
from runner.plan.debian import packages_of_header, packages_of_linked, packages_of_tool, together
from runner.redact import redact

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINES = 8
_LINE_LENGTH = 300


@dataclass(frozen=True)
class _Sign:
    """What a log says, what that means, and which packages have what was missing."""

    pattern: re.Pattern[str]
    sentence: str
    packages: Callable[[str], tuple[str, ...]] = lambda _: ()
    network: bool = False


_SIGNS = (
    _Sign(
        re.compile(r"fatal error: (?P<what>[\w./+-]+): No such file or directory"),
        "the header {what} is missing",
        packages_of_header,
    ),
    _Sign(
        re.compile(r"cannot find -l(?P<what>[\w+.-]+)"),
        "the library {what} to link with is missing",
        packages_of_linked,
    ),
    _Sign(
        re.compile(r"(?:unable to execute|command|error:) '?(?P<what>[\w./-]*(?:gcc|g\+\+|clang|cc))'?"), "no compiler"
    ),
    _Sign(
        re.compile(
            r"(?P<what>gfortran)\S*: (?:command )?not found|Unknown compiler\(s\): \[\['gfortran'"
            r"|No CMAKE_Fortran_COMPILER could be found|(?i:no fortran compiler)"
        ),
        "no compiler (gfortran)",
        lambda _: packages_of_tool("gfortran"),
    ),
    _Sign(re.compile(r"(?P<what>gcc|g\+\+|cc|clang)\S*: (?:command )?not found"), "no compiler ({what})"),
    _Sign(re.compile(r"Broken toolchain: cannot link a simple C program"), "no compiler"),
    _Sign(
        re.compile(r"Unknown compiler\(s\)|No CMAKE_C(?:XX)?_COMPILER could be found|no acceptable C compiler"),
        "no compiler",
    ),
    _Sign(
        re.compile(
            r"(?P<what>cmake|ninja|rustc|cargo|pkg-config|pg_config|mysql_config|llvm-config|swig|make)\b"
            r".{0,40}(?:not found|No such file or directory)"
        ),
        "{what} is missing",
        packages_of_tool,
    ),
    _Sign(re.compile(r"Do you have `?(?P<what>[\w-]+)`? in your PATH"), "{what} is missing", packages_of_tool),
    _Sign(
        re.compile(
            r"No such file or directory: (?:PosixPath\()?'(?P<what>cmake|ninja|cargo|pg_config|llvm-config|swig)'"
        ),
        "{what} is missing",
        packages_of_tool,
    ),
    _Sign(
        re.compile(
            r"Name or service not known|Temporary failure in name resolution|Network is unreachable|"
            r"Could not resolve (?:host|proxy)|Failed to establish a new connection|Max retries exceeded with url|"
            r"getaddrinfo (?:failed|ENOTFOUND|EAI_AGAIN)|dns error|failed to lookup address|dial tcp|ENETUNREACH"
        ),
        "it tried to reach the network",
        network=True,
    ),
    _Sign(re.compile(r"ModuleNotFoundError: No module named '(?P<what>[\w.]+)'"), "it imports {what} undeclared"),
)


def explain_build_failure(
    job: Mapping[str, Any],
    log: str,
    *,
    given: Sequence[str] = (),
    limit: str = "",
    open_network: bool = False,
    dated: bool = False,
    fixed: bool = True,
) -> MissingFact:
    """Return the error for a build that failed, from the end of its log: what was missing, where that can be told.

    `job` is what was built (`packages.source_builds`), `given` are the system packages that it had. `limit` says
    which limit ended it, in words that go on from `it`; `open_network` that it could reach the network. `dated` tells
    that a later day has other packages to build it with, and another version of it unless that is `fixed`.
    """
    lines = [line.rstrip() for line in _CONTROL.sub("", redact(log)).splitlines() if line.strip()]
    text = "\n".join(lines)
    found = next(((sign, match) for sign in _SIGNS if (match := sign.pattern.search(text))), None)
    packages: tuple[str, ...] = ()
    reason, network = limit, False
    if found is not None and not limit:
        sign, match = found
        reason, network = sign.sentence.format(**match.groupdict()), sign.network
        packages = sign.packages(match.groupdict().get("what") or "")
    python = "--python X.Y"
    if pythons := job.get("pythons"):
        python = f"--python {pythons[0]}, which has one of {job['version']}"
    remedy = f"runner reproduce RUN --with {job['name'] or 'NAME'}==VERSION    a version that has a wheel, or {python}"
    machine = lacks_tool(reason)
    supplied = bool(set(packages) - set(given))
    if network and not open_network:
        remedy = "runner reproduce RUN --allow build-network"
    elif "memory" in limit:
        remedy = "runner reproduce RUN --memory SIZE    or a version that has a wheel: --with NAME==VERSION"
    elif supplied:
        remedy = f"runner reproduce RUN --system-packages {together(given, packages)}"
    elif machine:
        wanted = together(given, ("NAME",))
        remedy += f"; or what is missing: --system-packages {wanted}, or an image that has it: --base-image REF"
    later = dated and not (limit or network or supplied) and not (fixed and machine)
    if later:
        remedy = f"{REDATE}; {remedy}"
    failed = f"{job['title']} has no wheel for this Python and building it failed"
    if job["tree"] is not None:
        failed = f"building {job['title']} failed"
    return (NotByThen if later else MissingFact)(
        failed + (f": {reason}" if reason else ""),
        remedy,
        fact="environment",
        nearest=tuple(line[:_LINE_LENGTH] for line in lines[-_LINES:]),
    )


def lacks_tool(reason: str) -> bool:
    """Tell whether a build failed for what the machine lacks, which no other day brings."""
    return "no compiler" in reason or reason.endswith("is missing")
