"""Commands that a Makefile, a README or a workflow of the commit has: shown to choose from, never used unasked."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from runner.lineage.pipeline import load_mapping
from runner.plan.commands.shell import split_line
from runner.plan.commands.started import script_runs
from runner.plan.commands.wrappers import without_wrappers
from runner.redact import redact
from runner.schema.snapshot import RepositorySnapshot

MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
READMES = ("README.md", "README.rst", "README.txt", "README", "readme.md", "Readme.md")
WORKFLOWS = ".github/workflows/"
ENV_FILES = (".env",)
_MOST = 8
_LONGEST = 400
_DEFINED = re.compile(r"^([A-Za-z_]\w*)\s*[:?]?=\s*(.*)$")
_USED = re.compile(r"\$[({]([A-Za-z_]\w*)[)}]")
_PROMPT = re.compile(r"^\s*(?:\$|>|%|!)?\s*")


@dataclass(frozen=True)
class Offer:
    """A line that starts scripts of the commit, without wrappers; `source` says where it stands."""

    line: str
    source: str
    scripts: tuple[str, ...]

    @property
    def pasted(self) -> str:
        """The option to paste."""
        return f"--command {shlex.quote(self.line)}    {self.source}"


def offered_paths() -> tuple[str, ...]:
    """Return the files that are looked into, beside workflows."""
    return (*MAKEFILES, *READMES, *ENV_FILES)


def offered_commands(snapshot: RepositorySnapshot) -> tuple[Offer, ...]:
    """Return what the commit's own documents and automation would run, each line once; a few at most."""
    found: dict[str, Offer] = {}
    for written, source in _lines(snapshot):
        line = without_wrappers(written.strip(), snapshot).line
        if len(line) > _LONGEST or redact(line) != line or not split_line(line) or "$" in line or "<" in line:
            continue
        scripts = tuple(dict.fromkeys(run.path for run in script_runs(line, ".", snapshot)))
        if scripts:
            found.setdefault(line, Offer(line, source, scripts))
    return tuple(found.values())[:_MOST]


def _lines(snapshot: RepositorySnapshot) -> Iterator[tuple[str, str]]:
    for name in MAKEFILES:
        for line, target in _recipes(snapshot.texts.get(name, "")):
            yield line, f"target {target} of {name}"
    for path, text in sorted(snapshot.texts.items()):
        if path.startswith(WORKFLOWS):
            yield from ((line, path) for line in _steps(text))
    for name in READMES:
        yield from ((line, name) for line in _blocks(snapshot.texts.get(name, "")))


def _recipes(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a Makefile's recipes with their targets, its own variables filled in."""
    variables: dict[str, str] = {}
    target = ""
    for line in re.sub(r"\\\r?\n[ \t]*", " ", text).splitlines():
        if line.startswith("\t"):
            recipe = line.strip().lstrip("@-+").strip()
            for _ in range(3):
                recipe = _USED.sub(lambda match: variables.get(match[1], match[0]), recipe)
            yield recipe, target
        elif (defined := _DEFINED.match(line)) is not None:
            variables[defined[1]] = defined[2].strip()
        elif ":" in line and not line.startswith(("#", " ")):
            target = line.partition(":")[0].strip()


def _steps(text: str) -> Iterator[str]:
    """Yield the lines of a workflow's `run:` steps, behind `cd` where the step has a working directory."""
    jobs = load_mapping(text).get("jobs")
    for job in jobs.values() if isinstance(jobs, dict) else ():
        for step in job.get("steps") or () if isinstance(job, dict) else ():
            if not isinstance(step, dict) or not isinstance(step.get("run"), str):
                continue
            folder = step.get("working-directory")
            for line in re.sub(r"\\\n\s*", " ", step["run"]).splitlines():
                yield f"cd {shlex.quote(folder)} && {line}" if isinstance(folder, str) and line.strip() else line


def _blocks(text: str) -> Iterator[str]:
    """Yield the lines of a document that look like a command: those that start Python or a tool that does."""
    for line in re.sub(r"\\\r?\n[ \t]*", " ", text).splitlines():
        bare = _PROMPT.sub("", line.strip().strip("`"))
        if re.match(
            r"(?:[A-Z_]+=\S+ )*(?:cd\s+\S+\s*&&\s*)?(?:python|uv run|poetry run|pipenv run|pdm run)\S*\s", bare
        ):
            yield bare


def set_elsewhere(name: str, snapshot: RepositorySnapshot) -> tuple[tuple[str, str], ...]:
    """Return the values that the commit's automation gives an environment variable, each with where."""
    quoted = re.escape(name)
    found: list[tuple[str, str]] = []
    for path, text in sorted(snapshot.texts.items()):
        base = posixpath.basename(path)
        if path in (*MAKEFILES, *ENV_FILES) or base == "Dockerfile":
            pattern = rf"(?m)^\s*(?:export\s+|ENV\s+)?(?:\S+=\S+\s+)*{quoted}\s*(?:[:?]?=|\s)\s*([^\s#]+)"
        elif path.startswith(WORKFLOWS):
            pattern = rf"(?m)^\s*{quoted}:\s*([^\s#{{}}]+)\s*$"
        else:
            continue
        found += [(match[1].strip("\"'"), path) for match in re.finditer(pattern, text)]
    return tuple(
        dict.fromkeys((value, path) for value, path in found if redact(f"{name}={value}") == f"{name}={value}")
    )
