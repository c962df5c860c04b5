"""Which file each recorded digest is of, and what else the commit's pointers restore.

A digest belongs to the pointer at the commit that has it; else to the path that carried it anywhere in history (a
model's pointer is committed after the run that names it); else to the path that configuration names. Never a guess:
another file restored in its place would train on other data and give a believable number.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from runner.errors import AmbiguousFact, MissingFact
from runner.inside.chain import overlap
from runner.lineage.agreement import agreed_metrics
from runner.lineage.digests import RecordedDigest, Role, recorded_digests
from runner.lineage.pipeline import Stage, chain_to, covers, pipeline_problems, stage_of, stages_of
from runner.lineage.remedy import command_again
from runner.lineage.script import find_script
from runner.schema.digest import DigestValue
from runner.schema.lineage import Considered, LineageFile
from runner.schema.notation import parse_pointer
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import HistoricPointer, PointerOut, RepositorySnapshot
from runner.settings import CommitFacts, Settings

_POINTERS = (".dvc", "dvc.lock", "dvc.yaml", ".gitignore", ".dvc/config")

AT_COMMIT = "pointer at commit"
"""How the source of a file begins that nothing but the commit's own pointers names."""

NO_POINTERS = "no DVC pointer and no recorded digest: the data is what git holds at the commit"


@dataclass(frozen=True)
class _Attribution:
    """A recorded digest with its path, who said so, and the digest as the pointer that carried it writes it."""

    recorded: RecordedDigest
    path: str
    digest: DigestValue
    said_by: str
    considered: tuple[Considered, ...] = ()


@dataclass
class _Resolver:
    """What one resolution looks at; lives for one call."""

    record: RunRecord
    snapshot: RepositorySnapshot
    settings: Settings
    facts: CommitFacts
    own_stages: tuple[Stage, ...] | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outs = {out.path: out for out in self.snapshot.pointers}
        self.short = self.snapshot.commit[:12]
        self.stages = stages_of(self.snapshot)
        if self.own_stages is None:
            scripts = find_script(self.record, self.snapshot)
            self.own_stages = stage_of(self.snapshot, scripts[0].path) if len(scripts) == 1 else ()
        self.own: tuple[Stage, ...] = self.own_stages
        self.earlier = chain_to([dep for stage in self.own for dep in stage.deps], self.stages, but=self.own)

    def resolve(self) -> tuple[LineageFile, ...]:
        recorded, notes = recorded_digests(self.record, self.settings, self.facts)
        self.notes += notes
        by_path: dict[str, _Attribution] = {}
        for entry in recorded:
            attribution = self.attribute(entry)
            if attribution is not None:
                self.add(by_path, attribution)
        for given in self.typed_beside(recorded):
            by_path.setdefault(given.path, given)
        self.check_problems(by_path)
        files = [self.file(attribution) for attribution in by_path.values()]
        files += [file for out in self.snapshot.pointers if out.path not in by_path for file in self.unnamed(out)]
        files += self.locked({file.path for file in files})
        files += self.numbers({file.path for file in files})
        self.check_project(files)
        for problem in pipeline_problems(self.snapshot):
            self.notes.append(f"{problem.pointer} at the commit is not used whole, DVC refuses it: {problem.problem}")
        if not files:
            self.notes.append(NO_POINTERS)
        return tuple(sorted(files, key=lambda file: file.path))

    def typed_beside(self, recorded: Sequence[RecordedDigest]) -> Iterator[_Attribution]:
        """Yield the inputs that the auditor typed with a digest that the run does not record."""
        for text in self.settings.invocation.values("--pointer"):
            digest, path = parse_pointer(text)
            entry = RecordedDigest(DigestValue.parse(digest), "input", "--pointer", tier=0, path=path)
            if any(same_digest(entry.digest, other.digest) for other in recorded):
                continue
            self.notes.append(f"data: {path} ({entry.digest}) is from --pointer: the run does not record it")
            yield self.attributed(entry, path, "--pointer", (), ())

    def attribute(self, entry: RecordedDigest) -> _Attribution | None:
        """Return whose digest it is; None where the value need not be DVC's and no pointer has ever carried it."""
        here = [out for out in self.snapshot.pointers if out.digest and same_digest(out.digest, entry.digest)]
        past = [seen for seen in self.snapshot.history if same_digest(seen.digest, entry.digest)]
        given = _given(self.settings.pointers, entry.digest)
        if given is not None:
            return self.attributed(entry, given, self.settings.source("pointers"), here, past)
        if entry.path is not None:
            return self.attributed(entry, entry.path, entry.source, here, past)
        supplied = _given(self.facts.pointers, entry.digest)
        for paths, source in (
            (_distinct(out.path for out in here), f"pointer at commit {self.short}"),
            (_distinct(seen.path for seen in past), "pointer in the repository's history"),
        ):
            if len(paths) == 1:
                return self.attributed(entry, paths[0], source, here, past)
            if paths and supplied is None:
                self.ambiguous(entry, paths)
            if paths:
                break
        if supplied is not None:
            return self.attributed(entry, supplied, "pointers in runner.yaml at the commit", here, past)
        self.refuse_short_history(entry)
        if not entry.certain:
            self.notes.append(
                f"{entry.source} ({entry.digest.short}…) is the digest of no DVC pointer of any commit; it was not used"
            )
            return None
        raise self.nowhere(entry)

    def attributed(
        self,
        entry: RecordedDigest,
        path: str,
        said_by: str,
        here: Sequence[PointerOut],
        past: Sequence[HistoricPointer],
    ) -> _Attribution:
        self.check_inside(path)
        seen_at: list[PointerOut | HistoricPointer] = [*here, *past]
        carriers = [seen for seen in seen_at if seen.path == path and seen.digest]
        current = self.outs.get(path)
        if carriers and carriers[0].digest:
            digest = carriers[0].digest
        elif current is not None and current.digest is not None and current.digest.algorithm != "sha256":
            # The record names no algorithm: the pointer at the commit tells which of DVC's two it is.
            digest = DigestValue(current.digest.algorithm, entry.digest.hexdigest, entry.digest.directory)
        else:
            digest = entry.digest
        others = _distinct(seen.path for seen in seen_at if seen.path != path)
        considered = tuple(
            Considered(source="history", value=other, reason=f"carried the digest too; {said_by} names {path}")
            for other in others
        )
        return _Attribution(entry, path, digest, said_by, considered)

    def add(self, by_path: dict[str, _Attribution], new: _Attribution) -> None:
        """Enter an attribution; a second one for the same path is considered, or refused where both count alike."""
        old = by_path.get(new.path)
        if old is None:
            by_path[new.path] = new
            return
        equal = same_digest(old.digest, new.digest)
        if not equal and old.recorded.tier == new.recorded.tier:
            raise AmbiguousFact(
                f"the run records two digests for {new.path}: {old.digest.short}… ({old.recorded.source}) and "
                f"{new.digest.short}… ({new.recorded.source})",
                "name in runner.yaml the tag that counts: tags: {data: NAME, model: NAME}",
                fact="data",
                looked_in=(old.recorded.source, new.recorded.source),
                nearest=(f"{old.recorded.source} = {old.digest}", f"{new.recorded.source} = {new.digest}"),
            )
        reason = f"says the same as {old.recorded.source}" if equal else f"{old.recorded.source} comes first"
        considered = Considered(source=new.recorded.source, value=str(new.digest), reason=reason)
        by_path[new.path] = _Attribution(
            old.recorded, old.path, old.digest, old.said_by, (*old.considered, considered, *new.considered)
        )

    def file(self, entry: _Attribution) -> LineageFile:
        out = self.outs.get(entry.path)
        role = entry.recorded.role
        if entry.recorded.tier == 2 and self.is_own_output(entry.path):
            role = "output"  # a name such as dvc_hash does not tell what it is of, the stage does
        previous = role == "output" and (
            (out is not None and out.digest is not None and same_digest(out.digest, entry.digest))
            or any(
                seen.ancestor and seen.path == entry.path and same_digest(seen.digest, entry.digest)
                for seen in self.snapshot.history
            )
        )
        if out is None:
            self.check_overlap(entry.path)
            pointer, index = f"{entry.path}.dvc", 0
        else:
            pointer, index = out.pointer, out.index
        matches = out is not None and out.digest is not None and same_digest(out.digest, entry.digest)
        stale = (
            [
                Considered(
                    source=f"{out.pointer} at commit {self.short}",
                    value=str(out.digest),
                    reason=f"{entry.recorded.source} comes first",
                )
            ]
            if out is not None and out.digest is not None and not matches
            else []
        )
        if out is not None and out.imported and not matches:
            self.notes.append(
                f"{out.pointer} is an import, of which DVC would ignore a rewritten digest: {entry.path} is asked for "
                "by its recorded digest, as an object of the remote"
            )
        return LineageFile(
            path=entry.path,
            digest=entry.digest,
            role=role,
            source=f"{entry.recorded.source}, {entry.said_by}"
            if entry.said_by != entry.recorded.source
            else entry.recorded.source,
            pointer=pointer,
            pointer_index=index,
            pointer_state="matches" if matches else "created" if out is None else "rewritten",
            pointer_digest=None if matches or out is None else out.digest,
            size_bytes=out.size_bytes if matches and out is not None else None,
            origin=None if out is None or out.source is None else str(out.source),
            maybe_previous=previous,
            considered=(*stale, *entry.considered),
        )

    def unnamed(self, out: PointerOut) -> list[LineageFile]:
        """Return a file at the commit's pointers that the record does not name, unless git holds its bytes."""
        if out.digest is None and out.other_hash is not None:
            return self.of_other_kind(out, out.other_hash)
        if out.digest is None:
            self.notes.append(f"{out.pointer} has no digest for {out.path}; it was not restored")
            return []
        if self.snapshot.has(out.path):
            self.notes.append(f"{out.path} is in git although {out.pointer} names it: git's bytes are used")
            return []
        self.check_inside(out.path)
        role = self.role(out)
        return [
            LineageFile(
                path=out.path,
                digest=out.digest,
                role=role,
                source=f"{AT_COMMIT} {self.short}",
                pointer=out.pointer,
                pointer_index=out.index,
                pointer_state="matches",
                size_bytes=out.size_bytes,
                use="training" if role == "output" else self.use(out.path),
                origin=None if out.source is None else str(out.source),
                # A pointer of an output is committed after the run that made it: at the run's commit it is older.
                maybe_previous=role == "output",
            )
        ]

    def use(self, path: str) -> Literal["training", "earlier stages", "nothing", "asked for"]:
        """Return what a file that the record does not name is pulled for.

        A stage tells what its command reads; what the script speaks of counts too, since stages do not always declare
        all, and so does what a file of params does, unless it is for an earlier stage. Without a stage all may be read.
        """
        if not self.own or any(overlap(dep, path) for stage in self.own for dep in stage.deps):
            return "training"
        if self.is_mentioned(path, (".py",)):
            return "training"
        if any(overlap(dep, path) for stage in self.earlier for dep in stage.deps):
            return "earlier stages"
        if self.is_mentioned(path, ("",)):
            return "training"
        return "asked for" if self.settings.pull == "all" else "nothing"

    def is_mentioned(self, path: str, endings: tuple[str, ...]) -> bool:
        """Tell whether a text names a file: one with such an ending, or that the run's own stages start."""
        others = {dep for stage in self.earlier for dep in stage.deps}  # the scripts of other stages
        texts = [
            text
            for name, text in self.snapshot.texts.items()
            if name.endswith(endings) and not name.endswith(_POINTERS) and name not in others
        ]
        return any(word in text for word in (path, posixpath.basename(path)) for text in texts)

    def locked(self, named: set[str]) -> list[LineageFile]:
        """Return dependencies of the run's stages that `dvc.lock` alone names: no pointer and no stage makes them."""
        needed = [(stage, self.own if stage in self.own else ()) for stage in (*self.own, *self.earlier)]
        files: dict[str, LineageFile] = {}
        for stage, own in needed:
            for dep in self.snapshot.locked:
                known = dep.path in named or dep.path in files or dep.digest is None or self.is_there(dep.path)
                if dep.stage != stage.name or not self.is_lock_of(dep, stage) or known or dep.digest is None:
                    continue
                if any(overlap(dep.path, path) for path in named) or any(each.makes(dep.path) for each in self.stages):
                    continue
                files[dep.path] = LineageFile(
                    path=dep.path,
                    digest=dep.digest,
                    role="input",
                    source=f"{dep.pointer} at commit {self.short}: stage {stage.name} reads it",
                    pointer=dep.pointer,
                    pointer_index=dep.index,
                    pointer_state="matches",
                    size_bytes=dep.size_bytes,
                    use="training" if own else "earlier stages",
                )
        return list(files.values())

    def numbers(self, named: set[str]) -> list[LineageFile]:
        """Return the files of metrics that git holds at the commit, where their lock is the commit's (rule 23).

        They are of a run before this one: they count if the rerun's are the same, and are stale else.
        """
        agreed = [out for stage in self.own for out in agreed_metrics(stage, self.snapshot)]
        return [
            LineageFile(
                path=out.path,
                digest=out.digest,
                role="output",
                source=f"{out.pointer} at commit {self.short}, which agrees with the commit",
                pointer=out.pointer,
                pointer_index=out.index,
                pointer_state="matches",
                size_bytes=out.size_bytes,
                maybe_previous=True,
                use="nothing",
            )
            for out in agreed
            if out.path not in named and out.digest is not None
        ]

    @staticmethod
    def is_lock_of(dep: PointerOut, stage: Stage) -> bool:
        return posixpath.dirname(dep.pointer) == posixpath.dirname(stage.file)

    def is_there(self, path: str) -> bool:
        """Tell whether the commit holds a file or folder."""
        return any(covers(path, entry.path) for entry in self.snapshot.tree)

    def of_other_kind(self, out: PointerOut, kind: str) -> list[LineageFile]:
        """Refuse a file that the training needs and that is named by what no remote of DVC keeps bytes by."""
        sentence = f"{out.pointer} names {out.path} by its {kind}, a kind of hash by which no DVC remote keeps bytes"
        if self.role(out) == "output" or self.use(out.path) not in ("training", "asked for"):
            self.notes.append(f"{sentence}; it was not restored")
            return []
        raise MissingFact(
            sentence,
            command_again(self.record, self.settings, f"--pointer {shlex.quote(f'MD5={out.path}')}"),
            fact="data",
            looked_in=(f"{out.pointer} at commit {self.short}",),
            nearest=() if out.source is None else (str(out.source),),
        )

    def check_project(self, files: Sequence[LineageFile]) -> None:
        """Refuse pointers that lie in no DVC project, where nothing else names a remote either."""
        if self.settings.remote is not None or self.snapshot.remotes or self.snapshot.remotes_today:
            return
        if self.snapshot.dvc_roots or self.settings.allows("cached"):
            return
        needed = [file for file in files if file.role != "output" and file.use == "training"]
        pointers = {out.pointer for out in self.snapshot.pointers}
        if needed and all(file.pointer in pointers for file in needed):
            raise MissingFact(
                f"{needed[0].pointer} lies in no DVC project: commit {self.short} holds no .dvc/config, which would "
                "name the remote",
                command_again(self.record, self.settings, "--remote URL_OR_PATH"),
                fact="remote",
                looked_in=("--remote", "remote in runner.yaml", f".dvc/config at commit {self.short}"),
            )

    def role(self, out: PointerOut) -> Role:
        if self.is_own_output(out.path):
            return "output"
        if any(out.path in self.inputs_of(stage) for stage in (self.own or self.stages)):
            return "input"
        return "unknown"

    def is_own_output(self, path: str) -> bool:
        """Tell whether a path is what the run's stage makes; of several stages of one script, and no other needs it."""
        made = any(covers(out, path) for stage in self.own for out in stage.outs)
        return made and not (len(self.own) > 1 and any(overlap(dep, path) for stage in self.own for dep in stage.deps))

    def inputs_of(self, stage: Stage) -> set[str]:
        return {path for path in self.outs if any(covers(dep, path) or covers(path, dep) for dep in stage.deps)}

    def check_problems(self, by_path: dict[str, _Attribution]) -> None:
        """Refuse a pointer that cannot be read, where the run needs what it names; note it where not."""
        has_inputs = any(entry.recorded.role == "input" for entry in by_path.values())
        for problem in self.snapshot.problems:
            path = problem.pointer.removesuffix(".dvc")
            role = by_path[path].recorded.role if path in by_path else None
            if role == "input" or (role is None and not has_inputs):
                raise self.malformed(problem.pointer, problem.problem)
            self.notes.append(f"{problem.pointer} at the commit cannot be read and was not used: {problem.problem}")

    def malformed(self, pointer: str, problem: str) -> MissingFact:
        text = problem.rstrip(".")
        return MissingFact(
            f"{pointer} at commit {self.short} is malformed: {text}",
            command_again(self.record, self.settings, "--commit SHA") + f"   # a commit where {pointer} can be read",
            fact="pointer",
            looked_in=(f"{pointer} at commit {self.short}",),
        )

    def ambiguous(self, entry: RecordedDigest, paths: Sequence[str]) -> None:
        flags = [f"--pointer {shlex.quote(f'{entry.digest.dvc}={path}')}" for path in paths]
        raise AmbiguousFact(
            f"digest {entry.digest} ({entry.source}) is carried by {len(paths)} files: {', '.join(paths)}",
            command_again(self.record, self.settings, flags[0]),
            fact="pointer",
            looked_in=(f"pointers at commit {self.short}", "pointers in the repository's history"),
            nearest=tuple(flags),
        )

    def refuse_short_history(self, entry: RecordedDigest) -> None:
        if self.snapshot.shallow:
            raise MissingFact(
                f"no pointer at commit {self.short} has digest {entry.digest} ({entry.source}), and the repository is "
                "a shallow clone, whose history is cut",
                "git fetch --unshallow   # in that clone",
                fact="history",
                looked_in=(f"pointers at commit {self.short}",),
            )

    def nowhere(self, entry: RecordedDigest) -> MissingFact:
        unreadable = self.snapshot.problems
        if unreadable:
            return self.malformed(unreadable[0].pointer, unreadable[0].problem)
        paths = _distinct(out.path for out in self.snapshot.pointers) or _distinct(
            seen.path for seen in self.snapshot.history
        )
        flags = tuple(f"--pointer {shlex.quote(f'{entry.digest.dvc}={path}')}" for path in paths[:10])
        return MissingFact(
            f"digest {entry.digest} ({entry.source}) is in no DVC pointer of any commit, so that it is not known which "
            "file it is of",
            command_again(
                self.record, self.settings, flags[0] if len(flags) == 1 else f"--pointer {entry.digest.dvc}=PATH"
            ),
            fact="pointer",
            looked_in=(f"pointers at commit {self.short}", "pointers in the repository's history", "runner.yaml"),
            nearest=flags,
        )

    def check_inside(self, path: str) -> None:
        if posixpath.isabs(path) or posixpath.normpath(path).startswith("..") or "\\" in path:
            raise MissingFact(
                f"a pointer at commit {self.short} names {path}, which is outside the repository",
                command_again(self.record, self.settings, "--pointer DIGEST=PATH"),
                fact="pointer",
                looked_in=(f"pointers at commit {self.short}",),
            )

    def check_overlap(self, path: str) -> None:
        other = next((out for out in self.outs if covers(out, path) or covers(path, out)), None)
        if other is not None:
            raise MissingFact(
                f"{path} has no pointer of its own at commit {self.short}, and {self.outs[other].pointer} there "
                f"already restores {other}",
                command_again(self.record, self.settings, f"--pointer {shlex.quote(f'DIGEST={other}')}"),
                fact="pointer",
                looked_in=(f"pointers at commit {self.short}",),
                nearest=(other,),
            )


def resolve_files(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    own_stages: tuple[Stage, ...] | None = None,
) -> tuple[tuple[LineageFile, ...], tuple[str, ...]]:
    """Return every data and model file with its digest, role and pointer, by path; and notes in sentences.

    `own_stages` are those that the run's command runs; where None those of its script. Raises AmbiguousFact for a
    digest that several files carry and MissingFact for one that none ever did, for a malformed pointer that the run
    needs, and for history that is cut.
    """
    resolver = _Resolver(record, snapshot, settings, facts, own_stages)
    files = resolver.resolve()
    return files, tuple(dict.fromkeys(resolver.notes))


def same_digest(one: DigestValue, other: DigestValue) -> bool:
    """Tell whether two digests are one: people leave out `.dir`, and the record does not name DVC's kind of MD5."""
    return one.hexdigest == other.hexdigest


def _given(pointers: dict[str, str], digest: DigestValue) -> str | None:
    return next((path for text, path in pointers.items() if same_digest(DigestValue.parse(text), digest)), None)


def _distinct(paths: Iterable[str]) -> list[str]:
    return sorted(set(paths))
