"""A shell line taken apart into its simple commands, as far as that can be told without a shell. Pure."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<redirect>\d*(?:<<<|<<-?|<>|<&|>>|>&|>\||<|>)(?:\d+|-)?|&>>?)
    |(?P<operator>&&|\|\||\|&|;;|[|;&\n()])
    |(?P<word>(?:[^\s\\'"|&;()<>]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+)
    |(?P<space>(?:[^\S\n]|\\\n)+)""",
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_CONTROL = frozenset({"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "{"})
_PYTHON = re.compile(r"(?:python|pypy)(?:\d(?:\.\d+)*)?w?(?:\.exe)?|py(?:\.exe)?", re.IGNORECASE)
_SHELLS = frozenset({"bash", "sh", "zsh", "dash"})
_WITH_VALUE = frozenset({"-W", "-X", "-Q"})


@dataclass(frozen=True)
class Word:
    """A word as it is written, where it ends, and what it says."""

    raw: str
    end: int

    @property
    def text(self) -> str:
        """The word as the program gets it, but for what a shell would expand."""
        return _plain(self.raw)


@dataclass(frozen=True)
class Simple:
    """A command between two operators: `words` without redirections; `operator` is what follows, empty at the end.

    `entangled` tells that words come after a redirection.
    """

    words: tuple[Word, ...]
    text: str
    start: int
    operator: str = ""
    entangled: bool = False

    @property
    def assigned(self) -> int:
        """How many words assign a variable before the program."""
        return next((at for at, word in enumerate(self.words) if not is_assignment(word.raw)), len(self.words))

    @property
    def called(self) -> tuple[Word, ...]:
        """The program and its arguments."""
        return self.words[self.assigned :]


def is_assignment(raw: str) -> bool:
    """Tell whether a word of a line assigns a variable."""
    return _ASSIGNMENT.match(raw) is not None


def split_line(line: str) -> tuple[Simple, ...] | None:
    """Return the simple commands of a line in order; None where it has more to it: substitutions, loops, a mistake."""
    if "`" in line or "$(" in line or "<<" in line:
        return None
    found: list[Simple] = []
    words: list[Word] = []
    place, start, last, redirected, ended, entangled = 0, None, 0, False, False, False
    while place < len(line):
        match = _TOKEN.match(line, place)
        if match is None or match["operator"] in ("(", ")", ";;"):
            return None
        if match["operator"]:
            if start is not None:
                found.append(Simple(tuple(words), line[start:last], start, match["operator"], entangled))
            words, start, redirected, ended, entangled = [], None, False, False, False
        elif not match["space"]:
            start = match.start() if start is None else start
            last = match.end()
            if match["redirect"]:
                ended = True
                redirected = not match["redirect"][-1].isdigit() and match["redirect"][-1] != "-"
            elif redirected:
                redirected = False  # the name of the file
            else:
                words.append(Word(match["word"], match.end()))
                entangled = entangled or ended
        place = match.end()
    if start is not None:
        found.append(Simple(tuple(words), line[start:last], start, entangled=entangled))
    if any(word.raw in _CONTROL for command in found for word in command.called[:1]):
        return None
    return tuple(found)


def joined_line(commands: Sequence[Simple]) -> str:
    """Return simple commands as one line."""
    parts = []
    for at, command in enumerate(commands):
        parts.append(command.text)
        if at + 1 < len(commands):
            operator = command.operator or "&&"
            parts.append("; " if operator == ";" else "\n" if operator == "\n" else f" {operator} ")
    return "".join(parts)


def program_of(word: str) -> str:
    """Return a program's name without its folder and without `.exe`."""
    return posixpath.basename(word.replace("\\", "/")).removesuffix(".exe")


def is_python(word: str) -> bool:
    """Tell whether a program is a Python interpreter, of any machine."""
    return _PYTHON.fullmatch(program_of(word)) is not None


@dataclass(frozen=True)
class Started:
    """Something that a command starts: a file, a module (`-m`) or a program, with its arguments, in a folder."""

    kind: str
    name: str
    arguments: tuple[str, ...]
    folder: str


def started_by(line: str, folder: str) -> tuple[Started, ...]:
    """Return what a line starts, each in the folder to which `cd` has led; empty where the line cannot be taken apart.

    Python files are found behind any program (`torchrun`, `accelerate launch`), modules behind `-m`.
    """
    found: list[Started] = []
    for command in split_line(line) or ():
        words = [word.text for word in command.called]
        if not words:
            continue
        if words[0] == "cd":
            folder = posixpath.normpath(posixpath.join(folder, words[1] if len(words) > 1 else "."))
        elif (started := _started(words, folder)) is not None:
            found.append(started)
    return tuple(found)


def _started(words: list[str], folder: str) -> Started | None:
    program = program_of(words[0])
    if "=" not in words[0] and words[0].endswith((".py", ".sh")):
        return Started("file", words[0], tuple(words[1:]), folder)
    for at, word in enumerate(words[1:], start=1):
        before = words[at - 1]
        if before == "-m" and (is_python(words[0]) or at > 2):
            return Started("module", word, tuple(words[at + 1 :]), folder)
        if word.endswith(".py") and not before.startswith("--") and before not in _WITH_VALUE:
            return Started("file", word, tuple(words[at + 1 :]), folder)
        if program in _SHELLS and word.endswith(".sh"):
            return Started("file", word, tuple(words[at + 1 :]), folder)
        if is_python(words[0]) and word == "-c":
            return None
    return Started("program", words[0], tuple(words[1:]), folder)


def lines_of(script: str) -> Iterator[str]:
    """Yield the lines of a shell script that say something, continued ones as one."""
    for line in re.sub(r"\\\r?\n", " ", script).splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def _plain(raw: str) -> str:
    try:
        return "".join(shlex.split(raw)) if raw else ""
    except ValueError:
        return raw
