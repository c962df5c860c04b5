"""What phase 2b needs and gives: a folder of inputs for each build, and the wheel that comes out of it.

    built/KEY/wheels/               wheels from source archives
    built/KEY/trees/TREE/           the wheel of the repository itself, of a folder of it, or of another repository
    built/KEY/uv/                   uv's cache for all of these; they never enter the shared one
    built/KEY/jobs/JOB/input/       archive, build requirements (a virtual environment), job.json; read-only in 2b
    built/KEY/jobs/JOB/output/      where 2b writes; what it holds is not trusted
    built/KEY/jobs/JOB/workspace/   the repository's files, for a package of its own

A key stands for a repository and commit, what is asked for and the day whose packages are meant: what was built is
offered to the resolver whatever the day, so that nothing of another day may lie there.

A job is a dictionary, which the host hands to 2b and back: `path` and `subpath`; `name` and `version` of a source
archive, or `tree`, the key of a source tree, with its `commit` and the `known_version` of that; `title`, what a person
calls it; `in_workspace`, whether it is built where the training will have the repository; `build_as_of`, the day whose
packages it sees; `asked`, how often the build said that it needs more; `chain`, what needs it to be built, outermost
first.

Archives are read here and never unpacked; what was built is looked at as hostile input. No command of ours starts an
interpreter in whose environment packages are installed: their `.pth` files would run. Standard library and uv.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from runner.inside import layout, protocol
from runner.inside.packages import toml, wheels
from runner.inside.packages.archives import Archive, BuildSystem, build_system, checked
from runner.inside.packages.diagnosis import explained, pythons_with_wheels
from runner.inside.packages.environment import normalised
from runner.inside.packages.index_access import NotThere, moment_of, opened
from runner.inside.packages.index_pages import files_of
from runner.inside.packages.indexes import IndexSettings
from runner.inside.packages.requirements import lock_text, pinned_here, plain_build_requirement
from runner.inside.packages.resolve import REDATE, Built, split_built
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.uv import Unsatisfiable, Uv, WheelsNeeded, compile_arguments, install_arguments
from runner.inside.protocol import DISK_FULL, MISSING, PhaseError

_SDIST_LIMIT = 2 << 30
_WHEEL_LIMIT = 4 << 30
_TEXT_LIMIT = 1 << 20
_STALE_S = 24 * 3600
_MOST_QUESTIONS = 3  # how often a build may say that it needs more
_EXTRAS = re.compile(r"\[[^\]]*\]")
_TREE_ARCHIVE = "project.tar"


class BuildFolder:
    """The folder of what is built under one key; `attempt` names this provision's own jobs."""

    def __init__(self, key: str, attempt: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]+", key + attempt):
            raise ValueError("keys are letters and digits")
        self.path = Path(layout.BUILT) / key
        self.attempt = attempt

    @property
    def cache(self) -> str:
        """uv's cache for what is built from source."""
        return str(self.path / "uv")

    def wheels(self) -> list[Built]:
        """Return the wheels that were built from source archives."""
        return _wheels(self.path / "wheels")

    def of_tree(self, key: str) -> Built | None:
        """Return the wheel of a source tree, None before it is built."""
        found = _wheels(self.tree_path(key))
        return found[0] if found else None

    def commit_of_tree(self, key: str) -> str:
        """Return the commit that the wheel of a source tree was built from."""
        return (self.tree_path(key) / "commit").read_text(encoding="ascii")

    def tree_path(self, key: str) -> Path:
        """Return where the wheel of a source tree is kept."""
        return self.path / "trees" / key

    def job(self, name: str) -> Path:
        """Return the folder of a job of this attempt."""
        return self.path / "jobs" / f"{self.attempt}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def sweep(self) -> None:
        """Remove what an attempt that was killed left a day ago."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.path / "jobs"):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_S:
                    shutil.rmtree(entry.path, ignore_errors=True)


@dataclass(frozen=True)
class Preparation:
    """What all preparations of one provision share.

    `build_as_of` is the day whose packages builds see, None for any.
    """

    folder: BuildFolder
    uv: Uv
    python: str
    build_as_of: str | None

    def source(
        self,
        needed: WheelsNeeded,
        *,
        as_of: str | None,
        expected: frozenset[str] = frozenset(),
        constraints: Sequence[str] = (),
        chain: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Fetch the source archive of a package that has no wheel, and what building it asks for; return the job.

        Where a requirement of its build has no wheel either, it is that one's job that must be done first. `as_of` is
        the day whose versions are seen, `expected` are the hashes that the lock at the commit records, empty where it
        records none; `constraints` are requirements that the version must meet; `chain` is what needs it to be built.
        Where it was uploaded after the run's day, which only a pinned one can be, building it sees the packages of its
        own day.
        """
        name = normalised(needed.name)
        if name in chain:
            raise unbuildable(needed.name, f"building it needs itself, by way of {' and '.join(chain)}")
        if any(
            wheel.name == name and (needed.version is None or wheels.same_version(needed.version, wheel.version))
            for wheel in self.folder.wheels()
        ):
            raise unbuildable(needed.name, needed.explanation)
        protocol.progress(f"fetching the source of {name}")
        job = self._new_job(name)
        package = self._look_up(job, name, needed, as_of=as_of, constraints=constraints)
        source = package["sdist"]
        archive = job / "input" / _archive_name(str(source.get("name") or source["url"]))
        sha256 = str(source["hashes"]["sha256"])
        if expected and f"sha256:{sha256}" not in expected:
            raise PhaseError(
                MISSING, f"the package index serves other bytes of {archive.name} than the lock at the commit records",
                f"name another version: --with {name}==VERSION", fact="environment",
            )  # fmt: skip
        fetch(str(source["url"]), archive, sha256=sha256, settings=self.uv.settings)
        version = str(package["version"])
        described = {
            "name": name,
            "version": version,
            "title": f"{name} {version}",
            "build_as_of": _later(self.build_as_of, source.get("upload-time")),
            "chain": list(chain),
            "pythons": list(pythons_with_wheels(version, files_of(name, self.uv.settings))),
        }
        return self._describe(job, build_system(Archive(archive)), described, archive=archive)

    def tree(self, tree: SourceTree, *, commit: str) -> dict[str, Any] | None:
        """Prepare the build of a source tree, whose repository the host is asked for; return the job.

        As with `source`, it may be the job of something that it needs; None where nothing is left to be built.
        """
        protocol.progress(f"preparing the build of {tree.title}")
        job = self._new_job(f"tree {tree.key}")
        archive = job / "input" / _TREE_ARCHIVE
        if tree.address is None:
            bundle = job / "repository.bundle"
            protocol.receive("bundle", str(bundle))
            _archive_of_commit(bundle, commit, archive)
        else:
            commit = protocol.receive("source", str(archive), {"address": tree.address, "revision": tree.revision})
        described: dict[str, Any] = {
            "name": None if tree.name is None else normalised(tree.name),
            "version": None,
            "title": tree.title,
            "build_as_of": self.build_as_of,
            "chain": [],
            "tree": tree.key,
            "commit": commit,
            "known_version": tree.known_version,
        }
        if tree.is_file:
            return self._file(job, archive, tree, described)
        source = Archive(archive, folder=tree.path)
        if not source.is_package:
            raise PhaseError(
                MISSING, f"{tree.title} is to be installed and holds no pyproject.toml or setup.py",
                "name the file that lists the packages with `environment:` in runner.yaml", fact="environment",
            )  # fmt: skip
        if tree.address is None:
            (job / "workspace").mkdir()
            os.chown(job / "workspace", layout.TRAINER_UID, layout.TRAINER_GID)
            described["in_workspace"] = True
        editable = tree.editable and tree.address is None
        return self._describe(job, build_system(source), described, archive=archive, root=tree.path, editable=editable)

    def collect(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Take what 2b made of a job: None where its wheel is kept now, else the job that must be done next.

        That is the same again, with more requirements, or the one of a requirement. Raises PhaseError where it made
        neither.
        """
        path = Path(job["path"])
        more = _more_requirements(path / "output" / "need.json")
        if more and job["asked"] < _MOST_QUESTIONS:
            document = json.loads((path / "input" / "job.json").read_text(encoding="utf-8"))
            requires = [*document["requires"], *more]
            try:
                self._install(job, requires)
            except WheelsNeeded as needed:
                return self._first(needed, requires, job)
            _write_json(path / "input" / "job.json", {**document, "requires": requires})
            shutil.rmtree(path / "output")
            _own_folder(path / "output")
            return {**job, "asked": job["asked"] + 1}
        self._keep(_only_wheel(path / "output" / "dist", job), job)
        return None

    def _file(self, job: Path, commit: Path, tree: SourceTree, described: dict[str, Any]) -> dict[str, Any] | None:
        """Take a wheel that the commit holds, or prepare the build of a source archive there."""
        dist = job / "input" / "dist"
        dist.mkdir()
        archive = dist / _archive_name(tree.path)
        Archive(commit, folder=".").copy(tree.path, archive)
        if archive.suffix == ".whl":
            self._keep(_only_wheel(dist, {**described, "path": str(job)}), {**described, "path": str(job)})
            return None
        return self._describe(job, build_system(Archive(archive)), described, archive=archive)

    def _keep(self, wheel: Path, job: dict[str, Any]) -> None:
        folder = self.folder.path / "wheels" if job["tree"] is None else self.folder.tree_path(job["tree"])
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / wheel.name
        if not kept.exists():
            temporary = kept.with_name(f".{self.folder.attempt}.tmp")
            shutil.copyfile(wheel, temporary, follow_symlinks=False)
            temporary.chmod(0o444)
            if job["tree"] is not None:
                (folder / "commit").write_text(job["commit"], encoding="ascii")
            os.replace(temporary, kept)
        shutil.rmtree(job["path"], ignore_errors=True)

    def _look_up(
        self, job: Path, name: str, needed: WheelsNeeded, *, as_of: str | None, constraints: Sequence[str]
    ) -> dict[str, Any]:
        """Return what the index says of the source archive: uv's own record of it."""
        listing, limits = job / "input" / "wanted.in", job / "input" / "limits.in"
        listing.write_text(f"{name}{'==' + needed.version if needed.version else ''}\n", encoding="utf-8")
        plain = [_EXTRAS.sub("", line) for line in constraints if plain_build_requirement(line)]
        limits.write_text("".join(f"{line}\n" for line in plain), encoding="utf-8")
        day = None if needed.version else as_of
        arguments = compile_arguments(
            [str(listing)], python=self.python, exclude_newer=day, hashes=False, constraints=[str(limits)]
        )
        # Told that it depends on nothing, uv looks up the archive's address and does not build it to ask.
        arguments.remove("--no-build")
        try:
            output = self.uv.run([*arguments, "--no-deps", "--format", "pylock.toml"], without_build=[name])
        except WheelsNeeded as error:
            raise unbuildable(needed.name, error.explanation) from error
        except Unsatisfiable as error:
            raise explained(error, self.uv.settings, day=self.build_as_of) from error
        package: dict[str, Any] = toml.loads(output)["packages"][0]
        if "sdist" not in package:
            raise unbuildable(needed.name, needed.explanation)
        return package

    def _describe(
        self,
        job: Path,
        system: BuildSystem,
        described: dict[str, Any],
        *,
        archive: Path,
        root: str = ".",
        editable: bool = False,
    ) -> dict[str, Any]:
        made = {
            "path": str(job),
            "subpath": str(job.relative_to(layout.CACHE)),
            "tree": None,
            "in_workspace": False,
            "asked": 0,
            **described,
        }
        try:
            self._install(made, system.requires)
        except WheelsNeeded as needed:
            return self._first(needed, system.requires, made)
        document = {
            "archive": str(archive),
            "source": layout.WORKSPACE_TARGET if made["in_workspace"] else str(job / "output" / "source"),
            "root": root,
            "output": str(job / "output"),
            "python": str(job / "input" / "venv" / "bin" / "python"),
            "backend": system.backend,
            "backend_path": list(system.backend_path),
            "editable": editable,
            "requires": list(system.requires),
        }
        _write_json(job / "input" / "job.json", document)
        return made

    def _first(self, needed: WheelsNeeded, requires: Sequence[str], job: dict[str, Any]) -> dict[str, Any]:
        """Return the job of what another one's build needs; that one is prepared anew when this is done."""
        shutil.rmtree(job["path"], ignore_errors=True)
        chain = (*job["chain"], job["name"] or job["title"])
        try:
            return self.source(needed, as_of=job["build_as_of"], constraints=requires, chain=chain)
        except PhaseError as error:
            if error.event["kind"] == MISSING and error.event["fact"] == "environment" and job["build_as_of"]:
                lack = f"{needed.name}, which cannot be had: {error.event['cause']}"
                raise _lacking_for(job["title"], lack, job["build_as_of"]) from error
            raise

    def _install(self, job: dict[str, Any], requires: Sequence[str]) -> None:
        """Make the build's environment anew, in one go: see above. Raises WheelsNeeded.

        Its packages are those of a day: what is newer may build it otherwise, or not at all.
        """
        place = Path(job["path"]) / "input"
        venv = place / "venv"
        shutil.rmtree(venv, ignore_errors=True)
        self.uv.run(["venv", "--python", self.python, "--no-project", str(venv)])
        if not requires:
            return
        listing, lock = place / "requires.in", place / "requires.txt"
        listing.write_text("".join(f"{line}\n" for line in requires), encoding="utf-8")
        built = self.folder.wheels()
        links = [str(self.folder.path / "wheels")] if built else []
        uv = self.uv.with_cache(self.folder.cache) if built else self.uv
        arguments = compile_arguments(
            [str(listing)],
            python=self.python,
            exclude_newer=job["build_as_of"],
            pinned=pinned_here(requires),
            find_links=links,
        )
        try:
            lock.write_text(lock_text(uv.run(arguments)), encoding="utf-8")
        except Unsatisfiable as error:
            lack = f"{', '.join(requires)}: {error.sentence}"
            raise _lacking_for(job["title"], lack, job["build_as_of"]) from error
        if not split_built(lock.read_text(encoding="utf-8"), built)[1]:
            uv, links = self.uv, []  # from the store that all share
        install = install_arguments(str(lock), python=str(venv / "bin" / "python"))
        uv.run([*install, *(part for link in links for part in ("--find-links", link))], by_hash=True)

    def _new_job(self, name: str) -> Path:
        job = self.folder.job(name)
        shutil.rmtree(job, ignore_errors=True)
        (job / "input").mkdir(parents=True)
        _own_folder(job / "output")
        return job


def _archive_of_commit(bundle: Path, commit: str, target: Path) -> None:
    bare = str(target.with_suffix(".git"))
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (
        ["clone", "--quiet", "--bare", "--template=", str(bundle), bare],
        ["--git-dir", bare, "archive", "--format=tar", f"--output={target}", commit],
    ):
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            if "No space left" in done.stderr:
                raise PhaseError(DISK_FULL, "no space is left for the repository's files")
            raise PhaseError(protocol.INTERNAL, f"git {arguments[0]} failed: {done.stderr.strip()[-500:]}")
    shutil.rmtree(bare)
    bundle.unlink()


def fetch(address: str, target: Path, *, sha256: str, settings: IndexSettings) -> None:
    """Fetch a file of an index by its address and check its digest.

    Raises PhaseError.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with opened(address, settings) as response, open(target, "wb") as file:
            while chunk := response.read(1 << 20):
                size += len(chunk)
                if size > _SDIST_LIMIT:
                    raise PhaseError(DISK_FULL, f"{target.name} is larger than {_SDIST_LIMIT >> 30} GiB")
                digest.update(chunk)
                file.write(chunk)
    except NotThere as error:
        raise PhaseError(MISSING, f"the index names {target.name} and does not have it", fact="environment") from error
    if digest.hexdigest() != sha256:
        raise PhaseError(
            MISSING, f"{target.name} has other bytes than the index says", "runner doctor", fact="environment"
        )


def _lacking_for(what: str, lack: str, build_as_of: str | None) -> PhaseError:
    when = "" if build_as_of is None else f" as of {build_as_of[:10]}"
    return PhaseError(
        MISSING, f"{what} has no wheel for this Python, and building it asks{when} for {lack}",
        REDATE if build_as_of is not None else "runner reproduce RUN --python X.Y", fact="environment",
        later=build_as_of is not None,
    )  # fmt: skip


def _later(day: str | None, uploaded: object) -> str | None:
    """Return the later of two moments, None where packages are not dated."""
    moment, other = moment_of(day), moment_of(None if uploaded is None else str(uploaded))
    return day if moment is None or other is None or other <= moment else other.isoformat()


def unbuildable(name: str, explanation: str) -> PhaseError:
    """Return the error for a package that has no wheel and that cannot be built."""
    return PhaseError(
        MISSING,
        f"{name} has no wheel for this Python and cannot be built: {explanation}",
        f"runner reproduce RUN --with {name}==VERSION    a version that has one, or --python X.Y",
        fact="environment",
    )


def _own_folder(path: Path) -> None:
    path.mkdir()
    os.chown(path, layout.TRAINER_UID, layout.TRAINER_GID)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")


def _more_requirements(path: Path) -> list[str]:
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > _TEXT_LIMIT:
            return []
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return list(checked(tuple(map(str, listed)))) if isinstance(listed, list) else []


def _only_wheel(dist: Path, job: dict[str, Any]) -> Path:
    """Return the wheel that a job was for. Raises PhaseError where there is none that may be installed."""
    what = job["title"]
    try:
        # The folder may be a link by now: to what belongs to others.
        real = stat.S_ISDIR(dist.lstat().st_mode)
        entries = sorted(os.scandir(dist), key=lambda entry: entry.name) if real else []
    except OSError:
        entries = []
    for entry in entries:
        match = wheels.FILE_NAME.fullmatch(entry.name)
        if (
            match is None
            or not entry.is_file(follow_symlinks=False)
            or not _is_of(job, match["name"], match["version"])
        ):
            continue
        if entry.stat(follow_symlinks=False).st_size > _WHEEL_LIMIT:
            raise PhaseError(DISK_FULL, f"building {what} gave a wheel of more than {_WHEEL_LIMIT >> 30} GiB")
        try:
            wheels.check(dist / entry.name)
        except wheels.BadWheel as error:
            raise PhaseError(
                MISSING, f"building {what} gave a wheel that is not installed: {error}",
                "name a version that has a wheel: --with NAME==VERSION", fact="environment",
            ) from error  # fmt: skip
        return dist / entry.name
    raise PhaseError(
        MISSING, f"building {what} gave no wheel of it", "name a version that has a wheel: --with NAME==VERSION",
        fact="environment",
    )  # fmt: skip


def _is_of(job: dict[str, Any], name: str, version: str) -> bool:
    if job["name"] is not None and normalised(name) != normalised(job["name"]):
        return False
    return job["version"] is None or wheels.same_version(version, job["version"])


def _wheels(folder: Path) -> list[Built]:
    matches = [(path, wheels.FILE_NAME.fullmatch(path.name)) for path in sorted(folder.glob("*.whl"))]
    return [Built(normalised(match["name"]), match["version"], path) for path, match in matches if match]


def _archive_name(text: str) -> str:
    name = unquote(urlsplit(text).path.rsplit("/", 1)[-1])
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*", name):
        raise PhaseError(MISSING, f"the index names a source archive {name!r}", fact="environment")
    return name
