"""How people write sizes, durations, processors, GPUs, packages and digests of files; as docker has the first four."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath

from runner.schema.digest import DigestValue

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtp])i?)?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]*[a-z0-9+](?:=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?")
_GPUS = re.compile(r"all|(?:count=)?[1-9]\d*|device=[\w:-]+(?:,[\w:-]+)*")
_CPUSET = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")


def parse_bytes(text: str) -> int:
    """Return the bytes of docker's notation: `512`, `512m`, `1.5g`, `8gb`, in powers of 1024.

    Raises ValueError for anything else and for zero.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512m or 8g")
    size = int(float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()])
    if size <= 0:
        raise ValueError(f"{text!r} is no size: it must be above zero")
    return size


def parse_duration(text: str) -> float:
    """Return the seconds of `90`, `90s`, `30m`, `1h30m` or `2d`. Raises ValueError for anything else and for zero."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError(f"{text!r} is not a duration such as 90s, 30m or 1h30m")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total <= 0 or not math.isfinite(total):
        raise ValueError(f"{text!r} is no duration: it must be above zero")
    return total


def parse_cpus(text: str) -> str:
    """Return the set of processors (`0-3`) for a number of them (`4`) or a set in docker's notation (`0-3`, `0,2`).

    Raises ValueError for fractions: docker's are a quota that BLAS and `os.cpu_count()` do not see (TRAPS).
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.0+)?", text):
        count = int(float(text))
        if count < 1:
            raise ValueError(f"{text!r} processors are none")
        return "0" if count == 1 else f"0-{count - 1}"
    if not _CPUSET.fullmatch(text) or cpus_in(text) < 1:
        raise ValueError(f"{text!r} is neither a whole number of processors such as 4 nor a set such as 0-3")
    return text


def parse_system_package(text: str) -> str:
    """Return the name of a Debian package, with `=VERSION` where one is given. Raises ValueError for anything else.

    apt takes much more: options, `NAME-` to remove, releases, files. None of it is a name.
    """
    text = text.strip()
    if _PACKAGE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no name of a Debian package such as libgomp1")
    return text


def parse_gpus(text: str) -> str:
    """Return GPUs in docker's notation, `all`, `2` or `device=0,GPU-1a2b`, or `none`. Raises ValueError."""
    found = text.strip().strip("\"'").lower() if "=" not in text else text.strip().strip("\"'")
    if found in ("0", "none"):
        return "none"
    if not _GPUS.fullmatch(found):
        raise ValueError(f"{text!r} is neither all, none, a number of GPUs nor device=0,1")
    return found.removeprefix("count=")


def cpus_in(cpuset: str) -> int:
    """Return how many processors a set such as `0-3` or `0,2` names."""
    return len(_processors(cpuset))


def highest_cpu(cpuset: str) -> int:
    """Return the highest number that a set of processors names."""
    return max(_processors(cpuset))


def _processors(cpuset: str) -> set[int]:
    processors: set[int] = set()
    for part in cpuset.split(","):
        first, _, last = part.partition("-")
        processors.update(range(int(first), int(last or first) + 1))
    return processors


def parse_relative_path(text: str) -> str:
    """Return a POSIX path inside the repository, normalised. Raises ValueError for absolute paths and for `..`."""
    path = PurePosixPath(text.strip())
    if not text.strip() or path.is_absolute() or ".." in path.parts or "\\" in text or re.match(r"[A-Za-z]:", text):
        raise ValueError(f"{text!r} is not a path inside the repository, written with /")
    return str(path)


def parse_pointer(text: str) -> tuple[str, str]:
    """Return (digest, path) of `DIGEST=PATH`. Raises ValueError."""
    digest, separator, path = text.partition("=")
    if not separator:
        raise ValueError(f"{text!r} is not DIGEST=PATH, such as 1c9a…=data/train.csv")
    return str(DigestValue.parse(digest)), parse_relative_path(path)
