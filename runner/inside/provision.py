"""Phase 2a: an environment for a specification, or the list of what phase 2b must build first.

Runs in our image, with the index's credentials and without any code of the repository or of a package.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.inside import uses
from runner.inside.packages import environment, lists, resolve
from runner.inside.packages.chosen import Chosen
from runner.inside.packages.dated_indexes import DatedIndexes
from runner.inside.packages.diagnosis import pythons_with_wheels
from runner.inside.packages.environment import SECRETS, Environment, Lock, normalised
from runner.inside.packages.imported import lacking
from runner.inside.packages.index_pages import files_of
from runner.inside.packages.indexes import FIRST_INDEX, index_settings
from runner.inside.packages.install import Installation, install
from runner.inside.packages.requirements import hashes, requirement_name
from runner.inside.packages.resolve import Built
from runner.inside.packages.source_builds import BuildFolder, Preparation
from runner.inside.packages.source_tree import SourceTree
from runner.inside.packages.uv import Uv, WheelsNeeded
from runner.inside.packages.wanted import Specification, Wanted, not_listed, without
from runner.inside.protocol import MISSING, PhaseError, progress


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Make the environment of a specification ready.

    Request: rerun, specification, repository, builds (keys), attempt (letters and digits, new for each provision),
    commit, kind, root, main, files, lines, as_of, build_as_of, redated, python (minor), image (digest), constraints,
    recorded_overrides, overrides, imports, adds_imports, from_conda, install_project, sources {path: text},
    upload_times {file name: moment}, offline, jobs[] (run by 2b), chosen, closed (of the answer that asked for them),
    spares, given_up {name: why},
    network {ca, index_url, extra_index_urls, find_links, trusted_hosts, index_strategy, proxies}.
    Asks for: the `bundle` of the repository, if a package of its own is to be built; `source` {address, revision}.
    Result: {state: ready, cached, environment {…}} or {state: build, jobs[] (see
    `packages.source_builds`), chosen, closed, given_up}.

    With `wheels_alone` in the request, which is no rerun's, nothing is made, and a specification that has wheels for
    all is `ready`, others {state: no wheels, name, version}.
    """
    with uses.with_others():
        result = _provided(request)
        if "environment" in result and "rerun" in request:
            uses.mark(request["rerun"], result["environment"]["key"])
        return result


def _provided(request: Mapping[str, Any]) -> dict[str, Any]:
    ready = environment.find_ready(request["specification"], request["repository"])
    if ready is not None:
        return {"state": "ready", "cached": True, "environment": ready}
    python = _python(request["python"])
    settings = index_settings(
        request["network"],
        ca_path=_ca(request["network"]),
        offline=request["offline"],
        upload_times=request["upload_times"],
    )
    if not settings.upload_times:
        return _carry_out(request, Uv(settings, secrets=SECRETS), python)
    with DatedIndexes(settings) as dated:
        try:
            return _carry_out(request, Uv(settings, secrets=SECRETS, stand_in=dated.stand_in), python)
        except PhaseError as error:
            raise dated.refusal or error from error


def _carry_out(request: Mapping[str, Any], uv: Uv, python: str) -> dict[str, Any]:
    if request.get("wheels_alone"):
        return _try_wheels(Specification.of(request), uv, python)
    return _Provision(request, uv, python).run()


def _try_wheels(specification: Specification, uv: Uv, python: str) -> dict[str, Any]:
    """Tell whether the packages have wheels for this Python, all that the repository's own package names included.

    What has a source archive alone must be built on every Python, which speaks against none; nor does what none of the
    imports needs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outside = replace(specification, install_project=False)
        wanted = lists.read(outside, uv, folder=folder, python=python)
        uv.settings = uv.settings.with_named(wanted.indexes, wanted.links)
        try:
            resolve.resolve(outside, wanted, uv, folder=folder / "lock", python=python)
        except WheelsNeeded as needed:
            lacking_here = [
                (package, version)
                for package, version in ((needed.name, needed.version), *needed.also)
                if version is None or pythons_with_wheels(version, files_of(package, uv.settings))
            ]
            closed = None
            if lacking_here and specification.spares:
                closed = resolve.closure(outside, wanted, uv, folder=folder / "imports", python=python)
            for package, version in lacking_here:
                if closed is None or normalised(package) in closed:
                    return {"state": "no wheels", "name": package, "version": version}
    return {"state": "ready"}


class _Provision:
    """One provision's way through reading, building what must be, resolving and installing."""

    def __init__(self, request: Mapping[str, Any], uv: Uv, python: str) -> None:
        self.request = request
        self.uv = uv
        self.python = python
        self.specification = Specification.of(request)
        self.built = BuildFolder(request["builds"], request["attempt"])
        self.preparation = Preparation(self.built, uv, python, request["build_as_of"])

    def run(self) -> dict[str, Any]:
        self.built.sweep()
        again = [job for job in map(self.preparation.collect, self.request["jobs"]) if job is not None]
        if again:
            return {"state": "build", "jobs": again}
        # One at a time: the second finds what the first resolved.
        with environment.locked(f"lock-{self.request['specification']}"):
            return self._resolve_and_install()

    def _resolve_and_install(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            wanted = lists.read(self.specification, self.uv, folder=folder, python=self.python)
            self.uv.settings = self.uv.settings.with_named(wanted.indexes, wanted.links)
            lock = environment.read_lock(self.request["specification"], self.request["repository"])
            try:
                if lock is None or not self._still_there(lock, wanted):
                    for tree in wanted.trees:
                        if self.built.of_tree(tree.key) is not None:
                            continue
                        job = self.preparation.tree(tree, commit=self.request["commit"])
                        if job is not None:
                            return {"state": "build", "jobs": [job]}
                    lock = self._resolve(wanted, folder / "lock")
                known, made = self._install(lock, wanted)
                if added := self._imports_to_add(made, wanted):
                    wanted.lines += added
                    lock = self._resolve(wanted, folder / "lock-with-imports")
                    known, made = self._install(lock, wanted)
            except WheelsNeeded as needed:
                return self._to_build(needed, wanted, folder)
            # Last, so that no environment is found by it whose imports were not looked for.
            environment.write_lock(self.request["specification"], self.request["repository"], lock)
            return {"state": "ready", "cached": known, "environment": environment.record(made, lock)}

    def _resolve(self, wanted: Wanted, folder: Path) -> Lock:
        progress("resolving packages")
        built, trees = self.built.wheels(), self._trees(wanted)
        uv = self.uv.with_cache(self.built.cache) if built or trees else self.uv
        before = self.request.get("chosen")
        text = resolve.resolve(
            self.specification,
            wanted,
            uv,
            folder=folder,
            python=self.python,
            built=built,
            trees=trees,
            before=None if before is None else Chosen.of(before),
        )
        used = resolve.split_built(text, built)[1]
        notes = [*wanted.notes, *(f"{wheel.name} {wheel.version} was built from source" for wheel in used)]
        notes += map(_withdrawn, sorted(uv.yanked.items()))
        for tree, wheel in trees:
            how = "linked to the workspace" if _linked(wheel.path) else "as a wheel"
            what = "the repository itself" if (tree.address, tree.path) == (None, ".") else tree.title
            if not tree.exact:
                what += f", commit {self.built.commit_of_tree(tree.key)},"
            notes.append(f"{what} was installed as {wheel.name} {wheel.version}, {how}")
        if self.uv.settings.strategy not in (None, FIRST_INDEX):
            notes.append(f"package indexes were trusted alike ({self.uv.settings.strategy}): names may be another's")
        key = environment.environment_key(
            lock=text,
            python=platform.python_version(),
            image=self.request["image"],
            repository=self.request["repository"] if used or trees else "",
            trees=[wheel.sha256 for _, wheel in trees],
        )
        return Lock(
            environment=key,
            text=text,
            built=tuple(wheel.path.name for wheel in used),
            trees=tuple(wheel.path.name for _, wheel in trees),
            notes=tuple(dict.fromkeys(notes)),
            as_of=self.specification.as_of,
            build_as_of=self.request["build_as_of"],
            redated=self.request["redated"],
        )

    def _install(self, lock: Lock, wanted: Wanted) -> tuple[bool, Environment]:
        """Return whether the environment was there already, and its record."""
        direct = {requirement_name(line) or "" for line in wanted.lines} or set(resolve.pins(lock.text))
        known = environment.read_ready(lock.environment)
        if known is not None:
            return True, known
        return False, install(
            Installation(
                lock=lock,
                python=self.python,
                python_version=platform.python_version(),
                wheels=tuple(wheel for wheel in self.built.wheels() if wheel.path.name in lock.built),
                trees=tuple(wheel for _, wheel in self._trees(wanted)),
                build_cache=self.built.cache,
                sources=self.request["sources"],
                direct=tuple(sorted(direct)),
            ),
            self.uv,
        )

    def _imports_to_add(self, made: Environment, wanted: Wanted) -> list[str]:
        """Return the packages, as requirements, that starting the training imports and that the environment lacks.

        Those the author had: what a function imports may never have been, and would move other versions. They are
        noted. Raises PhaseError where the list is a lock.
        """
        site = environment.site_packages(environment.environment_path(made.key))
        absent = lacking(site, [module for module in self.specification.imports if module.at_once])
        if absent and not self.specification.adds_imports:
            raise not_listed(absent, self.specification)
        asked = {requirement_name(line) for line in wanted.lines}
        # What is asked for already and does not have the module will not have it by being asked for again.
        added = {
            text: module for module in absent for text in module.distributions if requirement_name(text) not in asked
        }
        if added:
            words = ", ".join(f"{text} (import in {module.path})" for text, module in sorted(added.items()))
            when = "" if self.specification.as_of is None else f", as of {self.specification.as_of[:10]}"
            wanted.notes.append(f"inferred from imports, since {self.specification.main} lacks them{when}: {words}")
        return sorted(added)

    def _trees(self, wanted: Wanted) -> list[tuple[SourceTree, Built]]:
        found = ((tree, self.built.of_tree(tree.key)) for tree in wanted.trees)
        return [(tree, wheel) for tree, wheel in found if wheel is not None]

    def _still_there(self, lock: Lock, wanted: Wanted) -> bool:
        names = {wheel.path.name for wheel in self.built.wheels()}
        trees = tuple(wheel.path.name for _, wheel in self._trees(wanted))
        return names.issuperset(lock.built) and lock.trees == trees

    def _to_build(self, needed: WheelsNeeded, wanted: Wanted, folder: Path) -> dict[str, Any]:
        """Return the jobs for what has no wheel. One whose failure stops nothing says so: `spared`."""
        closed = self.request.get("closed")
        if closed is None and self.specification.spares:
            place = folder / "imports"
            closed = resolve.closure(self.specification, wanted, self.uv, folder=place, python=self.python)
        jobs, given_up = [], {}
        for name, version in ((needed.name, needed.version), *needed.also):
            spared = normalised(name) if closed is not None and normalised(name) not in closed else None
            try:
                job = self._source_job(WheelsNeeded(name, version, needed.explanation), wanted)
            except PhaseError as error:
                if spared is not None and error.event["kind"] == MISSING:
                    given_up[spared] = error.event["cause"]
                elif name == needed.name:
                    raise
                # Else it is asked for again, and refused then, if it is needed once the others are built.
            else:
                jobs.append({**job, "spared": spared})
        chosen = None if needed.chosen is None else needed.chosen.document()
        known = {"chosen": chosen, "closed": None if closed is None else sorted(closed)}
        return {"state": "build", "jobs": jobs, "given_up": given_up, **known}

    def _source_job(self, needed: WheelsNeeded, wanted: Wanted) -> dict[str, Any]:
        name = normalised(needed.name)
        lines = [line for line in (wanted.lock or "").splitlines() if requirement_name(line) == name]
        overrides = self.specification.recorded_overrides
        limits = [*self.specification.constraints, *wanted.constraints, *wanted.lines]
        limits = [*overrides, *without(limits, overrides)]
        version = needed.version or resolve.pins("\n".join([*limits, *lines])).get(name)
        return self.preparation.source(
            WheelsNeeded(needed.name, version, needed.explanation),
            as_of=self.specification.as_of,
            expected=frozenset(digest for line in lines for digest in hashes(line)),
            constraints=[line for line in limits if requirement_name(line) == name],
        )


def _withdrawn(yanked: tuple[str, str]) -> str:
    what, why = yanked
    reason = f" ({why})" if why else ""
    return f"{what.replace('==', ' ')} has been yanked from its index{reason}: taken, since it is pinned"


def _linked(wheel: Path) -> bool:
    # An editable wheel holds no package, only what leads to the workspace.
    with zipfile.ZipFile(wheel) as pack:
        return any(name.endswith(".pth") or name.startswith("__editable__") for name in pack.namelist())


def _python(minor: str) -> str:
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if ours != minor:
        raise PhaseError(
            MISSING,
            f"the training needs Python {minor}, and the base image has {ours}",
            f"runner reproduce RUN --base-image python:{minor}-slim    or --python {ours}",
            fact="environment",
        )
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def _ca(network: Mapping[str, Any]) -> str | None:
    if network.get("ca") is None:
        return None
    path = Path(SECRETS) / "ca.pem"
    path.write_text(network["ca"], encoding="utf-8")
    return str(path)
