"""Upload times that an auditor brings for an index that gives none (`--index-dates FILE`): text in, value out.

A file is CSV with a line `FILENAME,TIME` each, or JSON: an object of file names and times, or pages as indexes serve
them (objects with `files`, or a list of entries, each with `filename` and `upload-time`).
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from runner.schema.base import Value

_DISTRIBUTION = re.compile(r"[A-Za-z0-9][^/\\\s]*\.(?:whl|tar\.gz|zip|tar\.bz2|egg|tgz|exe)")
_NAMES = ("filename", "file", "name")
_TIMES = ("upload-time", "upload_time", "uploaded", "upload_time_iso_8601")
_SHOWN = 4  # problems that are told at once


class IndexDates(Value):
    """Upload times by file name, in the form that indexes give them. `digest` is that of what they say."""

    times: dict[str, str]
    digest: str


def read_index_dates(text: str) -> IndexDates:
    """Return the upload times of a file. Raises ValueError with what is wrong in it."""
    text = text.removeprefix("\ufeff")
    entries = _of_json(text) if text.lstrip().startswith(("{", "[")) else _of_csv(text)
    times: dict[str, str] = {}
    problems: list[str] = []
    for place, name, written in entries:
        try:
            _checked(times, name, written)
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ValueError("; ".join(problems[:_SHOWN]) + more)
    if not times:
        raise ValueError("it names no file of a package: lines of FILENAME,TIME are expected, or JSON")
    canonical = "".join(f"{name},{moment}\n" for name, moment in sorted(times.items()))
    return IndexDates(times=times, digest="sha256:" + hashlib.sha256(canonical.encode()).hexdigest())


def _checked(times: dict[str, str], name: Any, written: Any) -> None:
    if not isinstance(name, str) or not _DISTRIBUTION.fullmatch(name):
        raise ValueError(f"{name!r} is no file name of a package, such as six-1.16.0-py2.py3-none-any.whl")
    moment = _moment(written)
    if times.setdefault(name, moment) != moment:
        raise ValueError(f"{name} has two upload times, {times[name]} and {moment}")


def _moment(written: Any) -> str:
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", str(written).strip()))
    except ValueError:
        raise ValueError(f"{written!r} is no time such as 2021-03-01T09:30:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{written!r} has no time zone; write 2021-03-01T09:30:00Z for UTC")
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _of_csv(text: str) -> Iterator[tuple[str, Any, Any]]:
    lines = enumerate(csv.reader(text.splitlines()), 1)
    rows = [(number, row) for number, row in lines if any(map(str.strip, row)) and not row[0].lstrip().startswith("#")]
    name, time = 0, 1
    if rows:
        header = [cell.strip().lower() for cell in rows[0][1]]
        found = [next((header.index(one) for one in names if one in header), None) for names in (_NAMES, _TIMES)]
        if found[0] is not None and found[1] is not None:
            name, time = found[0], found[1]
            rows = rows[1:]
    for number, row in rows:
        if len(row) <= max(name, time):
            yield f"line {number}", row[0], ""
        else:
            yield f"line {number}", row[name].strip(), row[time].strip()


def _of_json(text: str) -> Iterator[tuple[str, Any, Any]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if isinstance(document, dict) and not any(key in document for key in ("files", "urls", "releases")):
        for name, written in document.items():
            yield "an entry", name, written
        return
    for entry in _entries(document):
        name = next((entry[key] for key in _NAMES if key in entry), None)
        written = next((entry[key] for key in _TIMES[::-1] if entry.get(key)), None)
        yield "an entry", name, written


def _entries(document: Any) -> Iterable[dict[str, Any]]:
    """Yield the entries of a page, of several, or of PyPI's older JSON (`urls`, `releases`)."""
    if isinstance(document, list):
        for one in document:
            yield from _entries(one)
    elif isinstance(document, dict):
        nested = [document[key] for key in ("files", "urls") if key in document]
        releases = document.get("releases")
        nested += list(releases.values()) if isinstance(releases, dict) else []
        if nested:
            yield from _entries(nested)
        else:
            yield document
