"""The command of a training as it may be recorded: without secrets, and without places of this machine."""

from __future__ import annotations

import os
import re
import shlex
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

HIDDEN = "***"
LONGEST = 4000  # MLflow's servers take tags of 5000 characters, and refuse the run with a longer one

_SECRET = re.compile(
    r"(?i)password|passwd|passphrase|(?<![a-z])(?:pwd|pass)(?![a-z])|secret|token(?!s|iz)|credential|authorization|"
    r"(?:api|access|account|private|auth)[_-]?key|signature|(?<![a-z])(?:sas|sig)(?![a-z])|(?<![a-z])dsn(?![a-z])"
)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/@:\s]*:(?!\d{1,5}/)\S*|[^/\s]*)@")
_KNOWN_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{16,}|"
    r"AKIA[0-9A-Z]{16}|xox[abpr]-[\w-]{10,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|[0-9a-f]{40})\b"
)
_HEADER = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
_PYTHON = re.compile(r"python(?:w|\d+(?:\.\d+)?)?(?:\.exe)?")
_LAUNCHED = ("ipykernel_launcher", "multiprocessing", "colab_kernel_launcher", "pytest", "joblib", "ray")
_RANKS = ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")


def recordable(words: Sequence[str], root: str, folder: str) -> tuple[str, bool]:
    """Return a command as one shell line, and if anything of it was hidden.

    A Python of some environment is `python`, and a path beneath the repository is as seen from `folder`: on another
    machine neither lies where it does here.
    """
    shown, hidden, hide_next = [], False, False
    for number, word in enumerate(words):
        text = _program(word) if number == 0 else word
        if hide_next and not word.startswith("--"):
            text, hide_next = HIDDEN, False
        else:
            text, hide_next = _without_secrets(_relative(text, root, folder))
        hidden = hidden or HIDDEN in text
        shown.append(text)
    return " ".join(shlex.quote(text) for text in shown), hidden


def words_of_process() -> list[str] | None:
    """Return the words that started this Python, None where they are not the training's own command.

    A notebook's kernel, a worker of a pool and one process of many are started by something else.
    """
    words = [str(word) for word in getattr(sys, "orig_argv", ())] or _words_of_kernel()
    if not words or any(os.environ.get(name, "0") not in ("", "0") for name in _RANKS):
        return None
    if any(os.environ.get(name, "1") not in ("", "1") for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE")):
        return None
    for word in words[1:]:
        if word == "-c" or os.path.basename(word).partition(".")[0] in _LAUNCHED:
            return None
    return words if len(words) > 1 else None


def main_file() -> str | None:
    """Return the script that this Python runs, None for none or one of an installed package."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if not path:
        return None
    path = os.path.abspath(path)
    installed = (os.path.join(sys.prefix, ""), os.path.join(sys.base_prefix, "lib", ""))
    return None if path.startswith(installed) and sys.prefix not in ("/usr", "/") else path


def _words_of_kernel() -> list[str]:
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def _program(word: str) -> str:
    name = os.path.basename(word)
    if _PYTHON.fullmatch(name):
        return "python"
    beside = os.path.dirname(os.path.abspath(word)) == os.path.join(sys.prefix, "bin")
    return name if beside else word


def _relative(text: str, root: str, folder: str) -> str:
    head, equals, path = text.rpartition("=")
    for start, base in ((head + equals, path), ("", text)):
        if os.path.isabs(base) and (base == root or base.startswith(os.path.join(root, ""))):
            return start + os.path.relpath(base, folder)
    return text


def _without_secrets(text: str) -> tuple[str, bool]:
    """Return a word with what is secret in it hidden, and if the word after it is."""
    text = _USERINFO.sub(r"\1" + HIDDEN + "@", text)
    text = _HEADER.sub(r"\1 " + HIDDEN, _KNOWN_TOKEN.sub(HIDDEN, text))
    name, equals, value = text.partition("=")
    if equals and _SECRET.search(name) and value:
        return name + equals + HIDDEN, False
    head, colon, value = text.partition(":")
    if colon and _SECRET.search(head) and value and not text.startswith("-"):
        return head + colon + HIDDEN, False  # a header
    return text, not equals and text.startswith("-") and _SECRET.search(text) is not None


def shown(command: str) -> Mapping[str, Any]:
    """Return the tag of a command; none for one that is too long: a part of it would be another command."""
    return {"runner.command": command} if len(command) <= LONGEST else {}
