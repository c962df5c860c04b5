"""What phase 2b needs and gives: a folder of inputs for each build, and the wheel that comes out of it.

    built/KEY/wheels/               wheels from source archives
    built/KEY/project/              the wheel of the repository itself
    built/KEY/uv/                   uv's cache for all of these; they never enter the shared one
    built/KEY/jobs/JOB/input/       archive, build requirements (a virtual environment), job.json; read-only in 2b
    built/KEY/jobs/JOB/output/      where 2b writes; what it holds is not trusted
    built/KEY/jobs/JOB/workspace/   the repository's files, for an editable install

A key stands for a repository and commit, what is asked for and the day whose packages are meant: what was built is
offered to the resolver whatever the day, so that nothing of another day may lie there.

Archives are read here and never unpacked; what was built is looked at as hostile input. Standard library and uv.
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
import tarfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from runner.inside import layout, protocol, toml
from runner.inside.diagnosis import explained
from runner.inside.environment import normalised
from runner.inside.index_access import NotThere, moment_of, opened
from runner.inside.protocol import DISK_FULL, MISSING, PhaseError
from runner.inside.requirements import pinned_here, plain_build_requirement
from runner.inside.resolve import REDATE, Built
from runner.inside.uv import IndexSettings, Unsatisfiable, Uv, WheelsNeeded, compile_arguments, dated

_DEFAULT_BACKEND = "setuptools.build_meta:__legacy__"
_DEFAULT_REQUIRES = ("setuptools>=40.8.0", "wheel")
_SDIST_LIMIT = 2 << 30
_WHEEL_LIMIT = 4 << 30
_TEXT_LIMIT = 1 << 20
_STALE_S = 24 * 3600
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[A-Za-z0-9_.!+]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")
_PROJECT_ARCHIVE = "project.tar"


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

    def project(self) -> Built | None:
        """Return the wheel of the repository itself, None before it is built."""
        found = _wheels(self.path / "project")
        return found[0] if found else None

    def job(self, name: str) -> Path:
        """Return the folder of a job of this attempt."""
        return self.path / "jobs" / f"{self.attempt}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def sweep(self) -> None:
        """Remove what an attempt that was killed left a day ago."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.path / "jobs"):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_S:
                    shutil.rmtree(entry.path, ignore_errors=True)


def prepare_source(
    folder: BuildFolder,
    needed: WheelsNeeded,
    uv: Uv,
    *,
    python: str,
    as_of: str | None,
    build_as_of: str | None,
    expected: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Fetch the source archive of a package that has no wheel, and what building it asks for; return the job.

    `expected` are the hashes that the lock at the commit records for it, empty where it records none. Where it was
    uploaded after the run's day, which only a pinned one can be, building it sees the packages of its own day.
    """
    name = normalised(needed.name)
    if any(wheel.name == name and needed.version in (None, wheel.version) for wheel in folder.wheels()):
        raise _unbuildable(needed.name, needed.explanation)
    protocol.progress(f"fetching the source of {name}")
    job = _new_job(folder, name)
    listing = job / "input" / "wanted.in"
    listing.write_text(f"{name}{'==' + needed.version if needed.version else ''}\n", encoding="utf-8")
    try:
        # Told that it depends on nothing, uv looks up the archive's address and does not build it to ask.
        arguments = compile_arguments(
            [str(listing)], python=python, exclude_newer=None if needed.version else as_of, hashes=False
        )
        arguments.remove("--no-build")
        output = uv.run([*arguments, "--no-deps", "--format", "pylock.toml"], without_build=[name])
    except WheelsNeeded as error:
        raise _unbuildable(needed.name, error.explanation) from error
    except Unsatisfiable as error:
        raise explained(error, uv.settings, day=build_as_of) from error
    package = toml.loads(output)["packages"][0]
    source = package.get("sdist")
    if source is None:
        raise _unbuildable(needed.name, needed.explanation)
    archive = job / "input" / _archive_name(str(source.get("name") or source["url"]))
    sha256 = str(source["hashes"]["sha256"])
    if expected and f"sha256:{sha256}" not in expected:
        raise PhaseError(
            MISSING, f"the package index serves other bytes of {archive.name} than the lock at the commit records",
            f"name another version: --with {name}==VERSION", fact="environment",
        )  # fmt: skip
    fetch(str(source["url"]), archive, sha256=sha256, settings=uv.settings)
    system = build_system(archive)
    build_as_of = _later(build_as_of, source.get("upload-time"))
    return _describe(
        job, uv, system, python=python, build_as_of=build_as_of, archive=archive, name=name,
        version=str(package["version"]), editable=False,
    )  # fmt: skip


def prepare_project(
    folder: BuildFolder, uv: Uv, *, commit: str, root: str, python: str, build_as_of: str | None, editable: bool
) -> dict[str, Any]:
    """Prepare the build of the repository itself from its bundle, which the host is asked for; return the job."""
    job = _new_job(folder, "the project")
    archive = job / "input" / _PROJECT_ARCHIVE
    bundle = job / "repository.bundle"
    protocol.receive("bundle", str(bundle))
    _archive_of_commit(bundle, commit, archive)
    (job / "workspace").mkdir()
    os.chown(job / "workspace", layout.TRAINER_UID, layout.TRAINER_GID)
    prefix = "" if root in {"", "."} else f"{root}/"
    system = _build_system(_member(archive, f"{prefix}pyproject.toml"))
    return _describe(
        job, uv, system, python=python, build_as_of=build_as_of, archive=archive, name=None, version=None,
        editable=editable, root=root,
    )  # fmt: skip


def collect(folder: BuildFolder, job: dict[str, Any], uv: Uv) -> dict[str, Any] | None:
    """Take what 2b made of a job: None where its wheel is kept now, else the job again, with more requirements.

    Raises PhaseError where it made neither.
    """
    path = Path(job["path"])
    output = path / "output"
    more = _more_requirements(output / "need.json")
    if more and not job["again"]:
        _install(uv, path / "input" / "venv", more, what=_what(job), build_as_of=job["build_as_of"])
        shutil.rmtree(output)
        _own_folder(output)
        return {**job, "again": True}
    wheel = _only_wheel(output / "dist", job)
    kept = folder.path / ("project" if job["name"] is None else "wheels") / wheel.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        temporary = kept.with_name(f".{folder.attempt}.tmp")
        shutil.copyfile(wheel, temporary, follow_symlinks=False)
        temporary.chmod(0o444)
        os.replace(temporary, kept)
    shutil.rmtree(path, ignore_errors=True)
    return None


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


def build_system(archive: Path) -> dict[str, Any]:
    """Return the build system that a source archive declares: requires, backend, backend path; read, not run."""
    return _build_system(_member(archive, "pyproject.toml", below_top=True))


def _build_system(text: str | None) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if text is not None:
        try:
            table = toml.loads(text).get("build-system", {})
        except ValueError as error:
            raise PhaseError(MISSING, f"a pyproject.toml is no TOML: {error}", fact="environment") from error
    requires = tuple(map(str, table.get("requires", _DEFAULT_REQUIRES)))
    return {
        "requires": _checked(requires),
        "backend": str(table.get("build-backend", _DEFAULT_BACKEND)),
        "backend_path": [str(path) for path in table.get("backend-path", ())],
    }


def _describe(
    job: Path,
    uv: Uv,
    system: dict[str, Any],
    *,
    python: str,
    build_as_of: str | None,
    archive: Path,
    name: str | None,
    version: str | None,
    editable: bool,
    root: str = ".",
) -> dict[str, Any]:
    venv = job / "input" / "venv"
    uv.run(["venv", "--python", python, "--no-project", str(venv)])
    what = "the repository's own package" if name is None else f"{name} {version}"
    _install(uv, venv, system["requires"], what=what, build_as_of=build_as_of)
    document = {
        "archive": str(archive),
        "source": layout.WORKSPACE_TARGET if name is None else str(job / "output" / "source"),
        "root": root,
        "output": str(job / "output"),
        "python": str(venv / "bin" / "python"),
        "backend": system["backend"],
        "backend_path": system["backend_path"],
        "editable": editable,
    }
    (job / "input" / "job.json").write_text(json.dumps(document), encoding="utf-8")
    return {
        "path": str(job),
        "subpath": str(job.relative_to(layout.CACHE)),
        "name": name,
        "version": version,
        "build_as_of": build_as_of,
        "again": False,
    }


def _install(uv: Uv, venv: Path, requires: Sequence[str], *, what: str, build_as_of: str | None) -> None:
    """Install what building asks for, as of a day: what is newer may build it otherwise, or not at all."""
    if not requires:
        return
    listing = venv.parent / "requires.in"
    listing.write_text("\n".join(requires) + "\n", encoding="utf-8")
    arguments = ["pip", "install", "--python", str(venv / "bin" / "python"), "--no-build", "-r", str(listing)]
    arguments += dated(build_as_of, pinned_here(requires))
    try:
        uv.run(arguments)
    except WheelsNeeded as error:
        raise _lacking_for(what, f"{error.name}, which has no wheel for this Python", build_as_of) from error
    except Unsatisfiable as error:
        raise _lacking_for(what, f"{', '.join(requires)}: {error.sentence}", build_as_of) from error


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


def _what(job: dict[str, Any]) -> str:
    return "the repository's own package" if job["name"] is None else f"{job['name']} {job['version']}"


def _new_job(folder: BuildFolder, name: str) -> Path:
    job = folder.job(name)
    shutil.rmtree(job, ignore_errors=True)
    (job / "input").mkdir(parents=True)
    _own_folder(job / "output")
    return job


def _own_folder(path: Path) -> None:
    path.mkdir()
    os.chown(path, layout.TRAINER_UID, layout.TRAINER_GID)


def _more_requirements(path: Path) -> list[str]:
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > _TEXT_LIMIT:
            return []
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(_checked(tuple(map(str, listed)))) if isinstance(listed, list) else []


def _only_wheel(dist: Path, job: dict[str, Any]) -> Path:
    try:
        names = sorted(entry.name for entry in os.scandir(dist) if entry.is_file(follow_symlinks=False))
    except OSError:
        names = []
    for name in names:
        match = _WHEEL.fullmatch(name)
        if match is None or (dist / name).lstat().st_size > _WHEEL_LIMIT:
            continue
        if job["name"] is None or (normalised(match["name"]), match["version"]) == (job["name"], job["version"]):
            return dist / name
    raise PhaseError(
        MISSING, f"building {_what(job)} gave no wheel of it", "name a version that has a wheel: --with NAME==VERSION",
        fact="environment",
    )  # fmt: skip


def _wheels(folder: Path) -> list[Built]:
    matches = [(path, _WHEEL.fullmatch(path.name)) for path in sorted(folder.glob("*.whl"))]
    return [Built(normalised(match["name"]), match["version"], path) for path, match in matches if match]


def _checked(requires: Sequence[str]) -> tuple[str, ...]:
    for text in requires:
        if not plain_build_requirement(text):
            raise PhaseError(MISSING, f"building asks for {text}, which no package index can give", fact="environment")
    return tuple(requires)


def _member(archive: Path, wanted: str, *, below_top: bool = False) -> str | None:
    """Return the text of a regular member, None if there is none; `below_top` leaves out the first folder."""

    def matches(name: str) -> bool:
        name = name.removeprefix("./")
        return name == wanted if not below_top else name.count("/") == 1 and name.split("/", 1)[1] == wanted

    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as pack:
                for info in pack.infolist():
                    if matches(info.filename) and info.file_size <= _TEXT_LIMIT:
                        return pack.read(info).decode("utf-8", errors="replace")
            return None
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isreg() and matches(member.name) and member.size <= _TEXT_LIMIT:
                    file = tar.extractfile(member)
                    return None if file is None else file.read().decode("utf-8", errors="replace")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise PhaseError(MISSING, f"{archive.name} cannot be read: {error}", fact="environment") from error
    return None


def _archive_name(text: str) -> str:
    name = unquote(urlsplit(text).path.rsplit("/", 1)[-1])
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*", name):
        raise PhaseError(MISSING, f"the index names a source archive {name!r}", fact="environment")
    return name


def _unbuildable(name: str, explanation: str) -> PhaseError:
    return PhaseError(
        MISSING,
        f"{name} has no wheel for this Python and cannot be built: {explanation}",
        f"runner reproduce RUN --with {name}==VERSION    a version that has one, or --python X.Y",
        fact="environment",
    )
