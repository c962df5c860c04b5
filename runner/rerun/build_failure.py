"""Why a build of phase 2b failed, told from the end of its log: what was missing, and how to supply it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from runner.errors import MissingFact, NotByThen
from runner.inside.packages.resolve import REDATE
from runner.plan.debian import packages_of_header, packages_of_linked, packages_of_tool, together
from runner.plan.python_releases import KNOWN
from runner.redact import redact

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINES = 8
_LINE_LENGTH = 300


_OTHER_PYTHON = re.compile(
    r"(?:only versions|(?:requires(?: a)?|needs) python(?: versions?)?|supports (?:only )?python)[ '\":]*"
    r"(?P<bounds>[<>=!~]+\s*\d[\d.*]*(?:\s*,\s*[<>=!~]+\s*\d[\d.*]*)*|\d\.\d+\+)"
    r"|requires a different python: [\d.]+ not in '(?P<not_in>[^']+)'"
    r"|unsupported python version|python (?:version )?\d[\d.]* is not supported",
    re.IGNORECASE,
)
"""How builds say that a package is for other Pythons: with the bounds, or without."""


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


@dataclass(frozen=True)
class _AboutPythons:
    """What a log says of the Pythons that a package is for: its own words, and the bounds in them if it names any."""

    sentence: str
    bounds: SpecifierSet | None

    def admits(self, minor: str) -> bool:
        """Tell whether a minor is within the bounds: any of its patches counts."""
        return self.bounds is None or any(self.bounds.contains(f"{minor}.{patch}") for patch in range(30))

    @property
    def nearest(self) -> str | None:
        """The newest minor that the bounds admit; None where they admit all, or there are none."""
        admitted = [minor for minor in KNOWN if self.bounds is not None and self.admits(minor)]
        newest = max(admitted, key=lambda minor: tuple(map(int, minor.split("."))), default=None)
        return None if len(admitted) == len(KNOWN) else newest


def _about_pythons(lines: Sequence[str], here: str) -> _AboutPythons | None:
    """Return what the last line that says that a package is for other Pythons than the one that is `here` says."""
    for line in reversed(lines):
        match = _OTHER_PYTHON.search(line)
        if match is None:
            continue
        bounds = _bounds(match["bounds"] or match["not_in"])
        if bounds is None or not _AboutPythons("", bounds).admits(here):
            sentence = re.sub(r"^\s*(?:E\s+)?(?:\w+(?:Error|Exception|Exit)|error|ERROR):\s*", "", line).strip()
            return _AboutPythons(f"it says: {sentence[:_LINE_LENGTH].rstrip('.')}", bounds)
    return None


def _bounds(text: str | None) -> SpecifierSet | None:
    spaced = re.sub(r"\s+", "", text or "")
    plain = f">={spaced.rstrip('+')}" if re.fullmatch(r"\d[\d.]*\+?", spaced) else spaced
    try:
        return SpecifierSet(plain.rstrip(".,")) if plain else None
    except InvalidSpecifier:
        return None


def explain_build_failure(
    job: Mapping[str, Any],
    log: str,
    *,
    given: Sequence[str] = (),
    limit: str = "",
    open_network: bool = False,
    dated: bool = False,
    fixed: bool = True,
    python_here: str = "",
) -> MissingFact:
    """Return the error for a build that failed, from the end of its log: what was missing, where that can be told.

    `job` is what was built (`packages.source_builds`), `given` are the system packages that it had. `limit` says
    which limit ended it, in words that go on from `it`; `open_network` that it could reach the network. `dated` tells
    that a later day has other packages to build it with, and another version of it unless that is `fixed`.
    `python_here` is the minor that it was built for.
    """
    lines = [line.rstrip() for line in _CONTROL.sub("", redact(log)).splitlines() if line.strip()]
    text = "\n".join(lines)
    found = next(((sign, match) for sign in _SIGNS if (match := sign.pattern.search(text))), None)
    packages: tuple[str, ...] = ()
    reason, network = limit, False
    said = None if limit else _about_pythons(lines, python_here)
    if said is not None:
        reason = said.sentence
    elif found is not None and not limit:
        sign, match = found
        reason, network = sign.sentence.format(**match.groupdict()), sign.network
        packages = sign.packages(match.groupdict().get("what") or "")
    python = "--python X.Y"
    pythons = [one for one in job.get("pythons") or () if said is None or said.admits(one)]
    if pythons:
        python = f"--python {pythons[0]}, which has one of {job['version']}"
    elif said is not None and said.nearest:
        python = f"--python {said.nearest}, for which it is"
    remedy = f"runner reproduce RUN --with {job['name'] or 'NAME'}==VERSION    a version that has a wheel, or {python}"
    machine = lacks_tool(reason)
    supplied = bool(set(packages) - set(given))
    if network and not open_network:
        remedy = "runner reproduce RUN --allow build-network"
    elif said is not None:
        remedy = f"runner reproduce RUN {python}    or a version that is for this Python: --with {job['name']}==VERSION"
    elif "memory" in limit:
        remedy = "runner reproduce RUN --memory SIZE    or a version that has a wheel: --with NAME==VERSION"
    elif supplied:
        remedy = f"runner reproduce RUN --system-packages {together(given, packages)}"
    elif machine:
        wanted = together(given, ("NAME",))
        remedy += f"; or what is missing: --system-packages {wanted}, or an image that has it: --base-image REF"
    later = dated and not (limit or network or supplied) and not (fixed and (machine or said is not None))
    if later:
        remedy = f"{remedy}; {REDATE}" if said is not None else f"{REDATE}; {remedy}"
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
