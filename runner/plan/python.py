"""Which Python a run was made with: given, recorded, declared at its commit, else the newest of its day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from runner.plan.python_records import PythonRecord, declared_pythons, recorded_pythons
from runner.plan.python_releases import KNOWN, in_the_place_of, released_by
from runner.redact import redact
from runner.schema.lineage import Considered
from runner.schema.model_files import RegisteredModel
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import FILE_NAME, CommitFacts, Settings

_OF_THE_DAY = "the newest of that day"


@dataclass(frozen=True)
class PythonChoice:
    """A minor version and where it comes from.

    `recorded` is the version that the best record or declaration has, with its patch where that is told; None where
    none names one. Then `minor` is a guess, `alternatives` are what it may be instead, the likeliest first, and `note`
    is the sentence that says so. `others` are all that bounds admit besides, for where this one cannot be had.
    """

    minor: str
    source: str
    considered: tuple[Considered, ...] = ()
    note: str | None = None
    recorded: str | None = None
    alternatives: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def choose_python(
    record: RunRecord,
    snapshot: RepositorySnapshot,
    settings: Settings,
    facts: CommitFacts,
    folders: Iterable[str],
    *,
    registered: RegisteredModel | None = None,
    passed_over: Mapping[str, str] | None = None,
) -> PythonChoice:
    """Return the Python of a run.

    Order: `--python` or `runner.yaml`; what the run recorded (the environment files of its models, their flavors, tags
    such as `python_version`); `runner.yaml` at the commit; what the commit names in `folders` (`.python-version`, a
    bound that admits one version alone, conda's environment, `FROM python:3.9`). Where none of these names one, the
    newest that was there at the run's start and that all bounds admit. `passed_over` are versions that a guess cannot
    be, with the reason: no image has it, or packages have no wheels for it.
    """
    folders = tuple(dict.fromkeys(folders))
    declared = declared_pythons(snapshot, folders)
    ours = f"python in {FILE_NAME} at the commit"
    of_commit = [PythonRecord(facts.python, ours, "declared")] if facts.python else []
    known = [
        *recorded_pythons(record, registered),
        *of_commit,
        *(hit for hit in declared if hit.strength == "declared"),
    ]
    loose = [hit for hit in declared if hit.strength in ("bound", "hint")]
    choice = _choose(record, settings, known, loose, passed_over or {})
    return replace(choice, others=in_the_place_of(choice.minor, _admitted(loose), record.start_time))


def _choose(
    record: RunRecord,
    settings: Settings,
    known: list[PythonRecord],
    loose: list[PythonRecord],
    passed_over: Mapping[str, str],
) -> PythonChoice:
    if not known and not settings.python:
        if settings.base_python and all(settings.base_python in hit.minors for hit in loose if hit.strength == "bound"):
            source = f"the base image {settings.base_image}"
            note = f"Python {settings.base_python}: what {source} has, since no record names the run's"
            return PythonChoice(settings.base_python, source, note=note)
        return _guess(record, loose, passed_over)
    given = [PythonRecord(settings.python, settings.source("python"), "recorded")] if settings.python else []
    first, *rest = [*given, *known]
    minor, source = first.minors[0], first.named
    considered = [
        Considered(
            source=hit.named,
            value=redact(hit.minors[0]),
            reason=f"says the same as {source}" if hit.minors == (minor,) else f"{source} comes first",
        )
        for hit in rest
    ]
    considered += [Considered(source=hit.source, value=redact(hit.text), reason=_loose(hit, minor)) for hit in loose]
    return PythonChoice(
        minor,
        source,
        tuple(considered),
        note=_disagreement(known) if not settings.python else None,
        recorded=known[0].text if known else None,
    )


def _admitted(loose: Iterable[PythonRecord]) -> set[str]:
    """Return the minor versions that all bounds admit; of bounds that exclude each other the first count."""
    admitted = set(KNOWN)
    for hit in loose:
        if hit.strength == "bound":
            admitted = (admitted & set(hit.minors)) or admitted
    return admitted


def _guess(record: RunRecord, loose: Iterable[PythonRecord], passed_over: Mapping[str, str]) -> PythonChoice:
    bounds = [hit for hit in loose if hit.strength == "bound"]
    hints = [hit for hit in loose if hit.strength == "hint"]
    admitted = _admitted(loose)
    there = [minor for minor in released_by(record.start_time) if minor in admitted]
    there = there or [minor for minor in KNOWN if minor in admitted]  # a clock was wrong: what comes next
    hinted = [hit.minors[0] for hit in hints if hit.minors[0] in there]
    order = [*hinted, *(minor for minor in there if minor not in hinted)]
    left = [minor for minor in order if minor not in passed_over] or order
    minor = left[0]
    when = "" if record.start_time is None else f" of {record.start_time:%Y-%m-%d}"
    words = [f"the newest{when} that can be had and that its packages have wheels for"]
    source = _OF_THE_DAY
    if minor in hinted:
        source = hints[0].source
        words = [f"{source} tests with it"]
    elif bounds:
        source = f"{bounds[0].source} ({bounds[0].text})"
        words.append("within " + " and ".join(f"{bound.text} of {bound.source}" for bound in bounds))
    considered = [
        Considered(source=_OF_THE_DAY, value=other, reason=redact(reason)) for other, reason in passed_over.items()
    ]
    considered += [Considered(source=hit.source, value=redact(hit.text), reason=_loose(hit, minor)) for hit in loose]
    passed = f"; not {', '.join(f'{other} ({reason})' for other, reason in passed_over.items())}" if passed_over else ""
    return PythonChoice(
        minor,
        source,
        tuple(considered),
        note=redact(f"Python {minor}: no record names the run's; {', '.join(words)}{passed}"),
        alternatives=tuple(left[1:]),
    )


def _loose(hit: PythonRecord, minor: str) -> str:
    what = "a bound" if hit.strength == "bound" else "what tests run on"
    return f"{what}, not a record" + ("" if minor in hit.minors else f"; it does not have {minor}")


def _disagreement(known: list[PythonRecord]) -> str | None:
    """Return the sentence on sources of one kind that name several versions: which of them ran is not known."""
    first = known[0]
    others = [hit for hit in known if hit.strength == first.strength and hit.minors != first.minors]
    if not others:
        return None
    listed = ", ".join(f"{hit.minors[0]} by {hit.source}" for hit in others)
    return redact(f"Python {first.minors[0]}: by {first.source}, which comes first; {listed}")
