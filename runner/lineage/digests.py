"""Which digests of data and models a run recorded, under which names, and in which of the forms that people write."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from runner.lineage.recorded import Recorded, like, named, normalised
from runner.redact import redact
from runner.schema.digest import DigestValue
from runner.schema.notation import parse_relative_path
from runner.schema.run_record import RunRecord
from runner.settings import CommitFacts, Settings

DATA_TAG = "dvc_data_md5"
MODEL_TAG = "dvc_model_md5"

Role = Literal["input", "output", "unknown"]

_HASH_WORDS = frozenset({"md5", "hash", "digest", "checksum"})
_DATA_WORDS = frozenset(
    {"data", "dataset", "datasets", "input", "inputs", "train", "test", "val", "valid", "validation", "features"}
)
_MODEL_WORDS = frozenset({"model", "models", "weights", "checkpoint", "output", "outputs"})
_OTHER_WORDS = frozenset({"git", "commit", "code", "config", "env", "params", "schema", "script", "mlflow", "image"})
_DIGEST = re.compile(r"(?:md5:\s*)?([0-9a-f]{32}(?:\.dir)?)", re.IGNORECASE)
_WITH_PATH = re.compile(r"(?P<path>[^=]+?)\s*[=:]\s*(?:md5:\s*)?(?P<digest>[0-9a-f]{32}(?:\.dir)?)", re.IGNORECASE)


@dataclass(frozen=True)
class RecordedDigest:
    """A digest with what the record says of it.

    `path` is set where the record maps paths to digests. `tier` is the place in the order of sources (0 configured,
    1 the pattern's own names, 2 close variants). `certain` is false for a name that does not speak of DVC: the value
    may then be the hash of anything.
    """

    digest: DigestValue
    role: Role
    source: str
    tier: int
    path: str | None = None
    certain: bool = True


def recorded_digests(
    record: RunRecord, settings: Settings, facts: CommitFacts | None = None
) -> tuple[tuple[RecordedDigest, ...], tuple[str, ...]]:
    """Return the digests that the run recorded, best sources first, and notes on those that cannot be read.

    Order for data and models alike: tags that configuration names, `dvc_data_md5` and `dvc_model_md5` in tags and
    then params, close variants. Where configuration names the tags, no other is read.
    """
    facts = facts or CommitFacts()
    found: list[RecordedDigest] = []
    notes: list[str] = []
    kinds: tuple[tuple[Role, tuple[str, ...], str], ...] = (
        ("input", settings.data_tags or facts.data_tags, DATA_TAG),
        ("output", settings.model_tags or facts.model_tags, MODEL_TAG),
    )
    for role, configured, usual in kinds:
        entries = [(0, entry) for entry in named(record, configured)]
        if configured and not entries:
            notes.append(f"the run has no tag or param {', '.join(configured)}, which runner.yaml names")
        if not configured:
            entries = [(1, entry) for entry in named(record, (usual,))]
            known = {entry.source for _, entry in entries}
            variants = like(record, lambda name, role=role: variant_role(name) == role)  # type: ignore[misc]
            entries += [(2, entry) for entry in variants if entry.source not in known]
        for tier, entry in entries:
            read = digests_in(entry.value)
            certain = tier < 2 or "dvc" in normalised(entry.name).split("_")
            if not read and certain:
                notes.append(f"{entry.source} holds no MD5 digest: {redact(entry.value[:60])!r}")
            found += [RecordedDigest(digest, role, entry.source, tier, path, certain) for path, digest in read]
    return tuple(_with_path(entry, found) for entry in found), tuple(notes)


def _with_path(entry: RecordedDigest, others: Sequence[RecordedDigest]) -> RecordedDigest:
    """Return a digest with the one path that another entry of the record has for it, as `runner record` writes both."""
    paths = {
        other.path
        for other in others
        if other.path and other.role == entry.role and other.digest.hexdigest == entry.digest.hexdigest
    }
    return replace(entry, path=paths.pop()) if entry.path is None and len(paths) == 1 else entry


def variant_role(name: str) -> Role | None:
    """Return of what a normalised name is a digest (`data_dvc_md5`, `dvc_hash`, `model_md5`), None if of neither."""
    words = set(name.split("_"))
    if not words & _HASH_WORDS or words & _OTHER_WORDS:
        return None
    if words & _MODEL_WORDS:
        return "output"
    return "input" if words & _DATA_WORDS or "dvc" in words else None


def digests_in(text: str) -> list[tuple[str | None, DigestValue]]:
    """Return (path or None, digest) pairs of a recorded text; empty where any part of it is something else.

    Forms: `HEX`, `md5:HEX`, `HEX.dir`, several with commas, `PATH=HEX`, a JSON or Python list, or a map of paths.
    """
    text = text.strip()
    if text[:1] in ("{", "["):
        return _from_value(_literal(text))
    pairs: list[tuple[str | None, DigestValue]] = []
    for part in re.split(r"[,;\n]+|\s+(?=[^=:\s]*[0-9a-fA-F]{32})", text):
        if not part.strip():
            continue
        pair = _from_text(part.strip().strip("\"'"))
        if pair is None:
            return []
        pairs.append(pair)
    return pairs


def _from_text(text: str) -> tuple[str | None, DigestValue] | None:
    match = _DIGEST.fullmatch(text)
    if match:
        return None, DigestValue.parse(match[1])
    match = _WITH_PATH.fullmatch(text)
    if match:
        return _mapped(match["path"], match["digest"])
    return None


def _mapped(path: str, digest: str) -> tuple[str | None, DigestValue] | None:
    try:
        return parse_relative_path(path.replace("\\", "/").removesuffix(".dvc")), DigestValue.parse(digest)
    except ValueError:
        return None


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _from_value(value: Any) -> list[tuple[str | None, DigestValue]]:
    items: list[tuple[str | None, Any]]
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(None, item) for item in value]
    else:
        return []
    pairs: list[tuple[str | None, DigestValue]] = []
    for key, item in items:
        text = item.get("md5") if isinstance(item, dict) else item
        match = _DIGEST.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            return []
        pair = (None, DigestValue.parse(match[1])) if key is None else _mapped(key, match[1])
        if pair is None:
            return []
        pairs.append(pair)
    return pairs


__all__ = ["DATA_TAG", "MODEL_TAG", "Recorded", "RecordedDigest", "Role", "digests_in", "recorded_digests"]
