"""Running uv: its configuration, environment and arguments, and what its errors mean. Standard library only.

uv runs no foreign code here: `--no-build` everywhere but where it only looks up an address with static metadata. Index
addresses and their credentials are in a configuration file on a tmpfs; no variable holds them, so that no requirement
can have them expanded. There is no git on its PATH.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from runner.inside import layout, protocol
from runner.inside.packages.chosen import Chosen
from runner.inside.packages.index_access import knows
from runner.inside.packages.indexes import EVERYWHERE, FIRST_INDEX, IndexSettings, origins, same_index
from runner.inside.protocol import DISK_FULL, MISSING, UNAVAILABLE, PhaseError

UV = str(Path(layout.TOOLS_PYTHON).with_name("uv"))
_SENTENCE = 400  # characters of uv's explanation that a person is shown
_REASON = 200  # characters of a package's own reason
_TOLD = re.compile(r"^(?:Resolved|Prepared|Installed|Downloading|Uninstalled) .*")

_WHEELS = re.compile(r"Wheels are required for `(?P<name>[^`]+)`")
_NO_WHEELS = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!_-]+) has no usable wheels")
_UNDATED = re.compile(r"`(?P<file>[^`]+)` is missing an upload date")
_LOGGED = ("DEBUG ", "TRACE ", "INFO ")
_TRIED = re.compile(r"^DEBUG Searching for a compatible version of (?P<name>[A-Za-z0-9._-]+)", re.MULTILINE)
_YANKED = re.compile(
    r"warning: `(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^`]+)` is yanked(?: \(reason: \"(?P<why>.*)\"\))?"
)
_OUTDATED = re.compile(
    r"existing lockfile due to (?P<why>(?:mismatched (?:requirements|dependency groups|extras|members)"
    r"|change in Python requirement|missing root package)[^\n]*)"
)
_HASH = re.compile(r"Hash mismatch for `(?P<package>[^`]+)`")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]|[A-Za-z0-9]")
_REQUIRED = re.compile(r"you require (?P<name>[A-Za-z0-9._-]*[A-Za-z0-9])")
_UNKNOWN = re.compile(r"Because (?P<name>[A-Za-z0-9._-]+) was not found in the package registry")
_REFUSED = re.compile(r"hint: (?P<hint>An index[^\n]*(?:401|403)[^\n]*)")
_UNREACHED = re.compile(
    r"Request failed after|error sending request|dns error|tcp connect error|HTTP status server error|"
    r"429 Too Many Requests|operation timed out|invalid peer certificate|401 Unauthorized|403 Forbidden|"
    r"connection (?:closed|reset)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"https?://[^\s()`'\"]+")
_ELSEWHERE = re.compile(
    r"hint: `(?P<name>[^`]+)` was found on (?P<own>\S+), but not at the requested version \((?P<version>[^)]*)\)\. "
    r"A compatible version may be available on a subsequent index \(e\.g\., (?P<index>\S+)\)"
)
_MALFORMED = re.compile(
    r"Failed to (?:install|download|prepare)[^\n]*?(?P<wheel>[A-Za-z0-9_.+!-]+(?:\.whl|==[A-Za-z0-9_.+!-]+))"
    r"[^\n]*\n(?P<why>[^\0]*(?:Failed to extract|[Ww]heel is invalid|malformed wheel|reserved name|does not match"
    r"|Failed to read from zip|metadata|dist-info)[^\0]*)"
)
_MISNAMED = re.compile(
    r"Package metadata (?:name|version) `[^`]*` does not match given (?:name|version) `(?P<name>[^`]*)`"
)
_FULL = re.compile(r"No space left on device|os error 28|Disk quota exceeded", re.IGNORECASE)


class WheelsNeeded(Exception):
    """A package has no wheel for this Python: it would have to be built. `version` is None where any will do.

    `also` are others that will most likely have to be, too. `chosen` is what else was resolved, to go on from once they
    are built.
    """

    def __init__(
        self,
        name: str,
        version: str | None,
        explanation: str,
        *,
        also: Sequence[tuple[str, str]] = (),
        chosen: Chosen | None = None,
    ) -> None:
        super().__init__(explanation)
        self.also = tuple(also)
        self.chosen = chosen
        self.name = name
        self.version = version
        self.explanation = explanation


class Unsatisfiable(PhaseError):
    """No versions fit together.

    `explanation` is uv's, `packages` are the names in it, normalised, `required` those that the list itself asks for;
    `sentence` is it in short.
    """

    def __init__(self, stderr: str) -> None:
        self.explanation = stderr
        self.packages = frozenset(_normalised(name) for name in _NAMED.findall(stderr))
        self.required = frozenset(_normalised(match["name"]) for match in _REQUIRED.finditer(" ".join(stderr.split())))
        self.sentence = _sentence(stderr)
        super().__init__(
            MISSING,
            f"the packages cannot be had together: {self.sentence}",
            "change a version with --with NAME==VERSION, or the Python with --python X.Y",
            fact="environment",
        )


class UnknownPackage(PhaseError):
    """No index has a package of that name."""

    def __init__(self, name: str) -> None:
        self.name = _normalised(name)
        super().__init__(
            MISSING,
            f"no package index knows a package {name}",
            "set UV_INDEX where a private index has it, or name another with --with NAME==VERSION",
            fact="environment",
        )


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Uv:
    """uv, bound to its settings. `secrets` is a folder on a tmpfs.

    `stand_in` returns the address at which an index is asked in its place. `yanked` holds the versions that it took
    although they have been withdrawn, with the reason that the index gives; `tried` counts how often it looked for a
    version of a package, the last time that it was to tell so (`-v`).
    """

    def __init__(
        self,
        settings: IndexSettings,
        *,
        secrets: str,
        cache: str = layout.UV_CACHE,
        stand_in: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = settings
        self.cache = cache
        self._stand_in = stand_in
        self._secrets = Path(secrets)
        self.yanked: dict[str, str] = {}
        self.tried: Counter[str] = Counter()

    def with_cache(self, cache: str) -> Uv:
        """Return the same with another cache folder."""
        other = Uv(self.settings, secrets=str(self._secrets), cache=cache, stand_in=self._stand_in)
        other.yanked = self.yanked
        return other

    def run(
        self, arguments: Sequence[str], *, cwd: str = "/", without_build: Sequence[str] = (), by_hash: bool = False
    ) -> str:
        """Run uv and return its standard output.

        A package is taken from the first index that knows it, unless the arguments name each file `by_hash`; or what
        the repository names does not do without another index, and none of the host's own knows the package. Raises
        WheelsNeeded where a package would have to be built, PhaseError for all else.
        """
        try:
            return self._run(arguments, FIRST_INDEX, cwd=cwd, without_build=without_build)
        except (Unsatisfiable, WheelsNeeded) as error:
            several = bool(self.settings.named) or (by_hash and bool(self.settings.own))
            if self.settings.strategy is not None or not several:
                raise
            try:
                output = self._run(arguments, EVERYWHERE, cwd=cwd, without_build=without_build)
            except (Unsatisfiable, WheelsNeeded) as second:
                raise second from error
        if not by_hash:
            self._refuse_shadows(output)
        return output

    def _run(self, arguments: Sequence[str], strategy: str, *, cwd: str, without_build: Sequence[str]) -> str:
        configuration = self._secrets / "uv.toml"
        text = self.settings.configuration(without_build=without_build, strategy=strategy, stand_in=self._stand_in)
        configuration.write_text(text, encoding="utf-8")
        argv = [UV, *arguments, "--config-file", str(configuration), "--cache-dir", self.cache]
        if self.settings.offline:
            argv.append("--offline")
        code, stdout, said = _run(argv, environment=self._environment(), cwd=cwd)
        self.tried = Counter(_normalised(match["name"]) for match in _TRIED.finditer(said))
        stderr = "".join(line for line in said.splitlines(keepends=True) if not line.startswith(_LOGGED))
        if undated := _UNDATED.search(stderr):
            raise undated_index(undated["file"], looked_up=self._stand_in is not None)
        if code != 0:
            raise explain(stderr)
        for match in _YANKED.finditer(stderr):
            self.yanked[f"{match['name']}=={match['version']}"] = (match["why"] or "").strip()[:_REASON]
        return stdout

    def _refuse_shadows(self, lock: str) -> None:
        """Raise PhaseError for a package that one of the host's own indexes knows and another one served."""
        if self.settings.offline:  # what is in the cache was looked at when it was fetched
            return
        for name, (version, index) in origins(lock).items():
            for own in self.settings.own:
                if not any(same_index(index, each) for each in self.settings.own) and knows(own, name, self.settings):
                    raise _shadow(name, version, own, index)

    def outdated(self, project: str, *, python: str) -> str | None:
        """Return why `uv.lock` in the folder `project` is not that of its projects, None where it is.

        uv compares them without an index. What else keeps it from taking the lock as it is, such as other indexes, says
        nothing about the projects. Only for projects that say all of themselves: of others uv would run the build.
        """
        configuration = self._secrets / "empty.toml"
        configuration.write_text("", encoding="utf-8")
        argv = [UV, "lock", "--check", "--offline", "--verbose", "--project", project, "--python", python]
        argv += ["--config-file", str(configuration), "--no-cache", "--no-build"]
        _, _, said = _run(argv, environment=self._environment(), cwd=project)
        match = _OUTDATED.search(said)
        return None if match is None else match["why"].strip().replace("`", "")

    def _environment(self) -> dict[str, str]:
        environment = {
            "PATH": "/nonexistent",
            "HOME": str(self._secrets),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_LINK_MODE": "hardlink",
            "UV_HTTP_TIMEOUT": "60",
        }
        if self.settings.ca_path:
            environment["SSL_CERT_FILE"] = self.settings.ca_path
        for name, value in self.settings.proxies.items():
            environment |= {name: value, name.upper(): value}
        if self._stand_in is not None:
            passed_by = ",".join(filter(None, (environment.get("no_proxy"), "127.0.0.1")))
            environment |= {"no_proxy": passed_by, "NO_PROXY": passed_by}
        return environment


class Shadowed(Unsatisfiable):
    """No versions fit together, and an index after the first that knows a package has other versions of it."""

    def __init__(self, stderr: str, name: str, version: str, own: str, index: str) -> None:
        super().__init__(stderr)
        self.event = _shadow(name, version, own, index).event


def compile_arguments(
    inputs: Sequence[str],
    *,
    python: str,
    exclude_newer: str | None,
    pinned: Iterable[str] = (),
    constraints: Sequence[str] = (),
    overrides: Sequence[str] = (),
    find_links: Sequence[str] = (),
    prereleases: bool = False,
    hashes: bool = True,
    preferences: str | None = None,
) -> list[str]:
    """Return the arguments that resolve requirement files to a lock of exact versions with their hashes.

    Versions of `pinned` packages are taken whenever they were uploaded; those in the file `preferences`, which is
    written anew, where they fit.
    """
    arguments = ["pip", "compile", *inputs, "--python", python, "--no-build", "--no-header", "--no-annotate"]
    arguments += ["--no-sources", "--emit-index-annotation", "-v"]
    if hashes:
        arguments.append("--generate-hashes")
    arguments += dated(exclude_newer, pinned)
    if prereleases:
        arguments += ["--prerelease", "allow"]
    if preferences is not None:
        arguments += ["--output-file", preferences]
    for option, files in (("--constraints", constraints), ("--overrides", overrides), ("--find-links", find_links)):
        for file in files:
            arguments += [option, file]
    return arguments


def undated_links(output: str, links: Iterable[str]) -> list[str]:
    """Return the packages of a compiled lock, by normalised names, that came by a link: links have no upload times."""
    return [name for name, (_, place) in origins(output).items() if any(same_index(place, link) for link in links)]


def dated(day: str | None, pinned: Iterable[str] = ()) -> list[str]:
    """Return the arguments that leave out what was uploaded after a day, but for versions that are pinned."""
    if day is None:
        return []
    exempt = [word for name in sorted(pinned) for word in ("--exclude-newer-package", f"{name}=false")]
    return ["--exclude-newer", day, *exempt]


def install_arguments(lock: str, *, python: str, dry_run: bool = False) -> list[str]:
    """Return the arguments that install a lock: wheels only, each with a hash that the lock holds."""
    arguments = ["pip", "install", "--python", python, "--no-deps", "--require-hashes", "--no-build", "-r", lock]
    return [*arguments, "--dry-run"] if dry_run else arguments


def undated_index(file: str, *, looked_up: bool = False) -> PhaseError:
    """Return the error for an index that does not say when files were uploaded; `looked_up` elsewhere, too."""
    who = "neither the package index nor --index-dates says" if looked_up else "the package index does not say"
    return PhaseError(
        MISSING,
        f"{who} when {file} was uploaded, so versions as of the run's date cannot be had",
        "runner reproduce RUN --allow undated" + ("" if looked_up else "    or --index-dates FILE, which says it"),
        fact="environment",
    )


def explain(stderr: str) -> Exception:  # noqa: PLR0911  # a row of cases, the most specific first
    """Return the exception that uv's error output stands for."""
    if _FULL.search(stderr):
        return PhaseError(DISK_FULL, "no space is left for packages in the cache volume", "runner setup --prune")
    if undated := _UNDATED.search(stderr):
        return undated_index(undated["file"])
    if "network was disabled" in stderr or "network connectivity is disabled" in stderr:
        return _unavailable(
            "packages are not in the cache, and --offline forbids to fetch them", "run without --offline"
        )
    if refused := _REFUSED.search(stderr):
        address = _ADDRESS.search(refused["hint"])
        where = "https://HOST/simple" if address is None else address[0]
        return _unavailable(
            f"the package index refused: {_sentence(refused['hint'])}",
            f"export UV_INDEX=NAME={where} UV_INDEX_NAME_USERNAME=... UV_INDEX_NAME_PASSWORD=...",
        )
    if mismatch := _HASH.search(stderr):
        return PhaseError(
            MISSING,
            f"the package index serves other bytes of {mismatch['package']} than the lock at the commit records",
            "name another version with --with NAME==VERSION",
            fact="environment",
        )
    # What was resolved to its end was asked of an index that answered, whatever a hint says beside.
    if "No solution found" not in stderr and _UNREACHED.search(stderr):
        address = _ADDRESS.search(stderr)
        where = "the package index" if address is None else (urlsplit(address[0]).hostname or "the package index")
        last = [line.strip().removeprefix("cause: ") for line in stderr.strip().splitlines() if line.strip()]
        return _unavailable(f"the package index at {where} could not be used: {last[-1][:200]}", "runner doctor")
    if needed := _WHEELS.search(stderr):
        versions = [m for m in _NO_WHEELS.finditer(stderr) if m["name"].lower() == needed["name"].lower()]
        return WheelsNeeded(needed["name"], versions[0]["version"] if versions else None, _sentence(stderr))
    if misnamed := _MISNAMED.search(stderr):
        return PhaseError(
            MISSING,
            f"{misnamed['name']} of the package index is no wheel that can be installed: {misnamed[0]}",
            "name another version with --with NAME==VERSION",
            fact="environment",
        )
    if malformed := _MALFORMED.search(stderr):
        why = " ".join(line.strip().removeprefix("cause: ") for line in malformed["why"].splitlines() if line.strip())
        return PhaseError(
            MISSING,
            f"{malformed['wheel']} of the package index is no wheel that can be installed: {why[:300]}",
            "name another version with --with NAME==VERSION",
            fact="environment",
        )
    if elsewhere := _ELSEWHERE.search(stderr):
        index = elsewhere["index"].rstrip(")")
        return Shadowed(stderr, elsewhere["name"], elsewhere["version"].rpartition("==")[2], elsewhere["own"], index)
    if unknown := _UNKNOWN.search(stderr):
        return UnknownPackage(unknown["name"])
    return Unsatisfiable(stderr)


def _shadow(name: str, version: str, own: str, index: str) -> PhaseError:
    return PhaseError(
        MISSING,
        f"{name} {version} is on {urlsplit(index).hostname} and not on {urlsplit(own).hostname}, an index of your own "
        f"that knows {name}: what another index has under that name may be another package",
        f"--with {name}==VERSION    that your own index has; or, where all are trusted alike, "
        "UV_INDEX_STRATEGY=unsafe-best-match",
        fact="environment",
    )


def _unavailable(cause: str, remedy: str) -> PhaseError:
    return PhaseError(UNAVAILABLE, cause, remedy, service="index")


def _sentence(stderr: str) -> str:
    """Return uv's explanation in one line: the causes where it names some, else its error."""
    explanation = stderr.split("hint:", 1)[0] if not stderr.startswith("hint:") else stderr
    lines = [line.strip() for line in explanation.splitlines() if not line.startswith("warning:")]
    text = " ".join(line for line in lines if line)
    if "error:" in text:
        text = text.split("error:", 1)[1].strip()
    if "cause:" in text:
        head, causes = text.split("cause:", 1)
        text = causes.strip() if head.startswith("No solution found") else f"{head.strip()}: {causes.strip()}"
    text = text.replace("we can conclude that ", "").replace(" cause: ", ": ")
    return text if len(text) <= _SENTENCE else text[:_SENTENCE].rsplit(" ", 1)[0] + " …"


def _run(argv: Sequence[str], *, environment: Mapping[str, str], cwd: str) -> tuple[int, str, str]:
    """Run a command, telling of its progress as it goes; both streams are read at once."""
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        cwd=cwd,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: list[str] = []
    told: list[str] = []

    def follow() -> None:
        for line in process.stderr or ():
            lines.append(line)
            if line.startswith(_LOGGED):
                continue
            told.append(line)
            if _TOLD.match(line.strip()):
                protocol.progress(line.strip())

    reader = threading.Thread(target=follow)
    reader.start()
    stdout = process.stdout.read() if process.stdout is not None else ""
    code = process.wait()
    reader.join()
    os.write(2, "".join(told).encode(errors="replace"))  # the log for --debug
    return code, stdout, "".join(lines)
