"""What the auditor typed, and the command to paste that does the same with something changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from runner.redact import redact
from runner.schema.base import Value

Option = tuple[str, ...]
"""A flag alone, or a flag and its value."""

_ALONE = frozenset({"--keep", "--offline", "--require-complete"})
_NOT_OF_PLAN = frozenset({"--keep", "--out", "--require", "--require-complete"})
_ADDED = frozenset({"--with", "--allow", "--warm-start", "--pointer"})
_COMMAND = re.compile(r"runner reproduce RUN(?P<rest>(?: \S+)*)")


class Invocation(Value):
    """The options that were typed, in the order of the command's help, and the words after `--`.

    Secrets are hidden: where an option held one, what is pasted has a placeholder for it.
    """

    options: tuple[Option, ...] = ()
    command: tuple[str, ...] = ()

    def has(self, flag: str) -> bool:
        """Tell whether an option was typed."""
        return any(option[0] == flag for option in self.options)

    def values(self, flag: str) -> tuple[str, ...]:
        """Return what was typed after each of an option's occurrences."""
        return tuple(option[1] for option in self.options if option[0] == flag)

    def again(self, run: str, *words: str, name: str = "reproduce", found: Sequence[Option] = ()) -> str:
        """Return `runner NAME RUN` as it was typed, with the options in `words` in place of those of their name.

        Options that may be given several times are added, unless they are about the same thing. `found` are options
        that were not typed and yet tell where the run is; they come where typed ones do not say it.
        """
        new = tuple(_options(words))
        kept = [option for option in found if not self.has(option[0])]
        kept += [option for option in self.options if name != "plan" or option[0] not in _NOT_OF_PLAN]
        line = [word for option in (*new, *(each for each in kept if not _replaced(each, new))) for word in option]
        if self.command and all(option[0] != "--command" for option in new):
            line += ["--", *self.command]
        return shlex.join(["runner", name, redact(run), *map(redact, line)])

    def pasted(self, remedy: str, run: str, found: Sequence[Option] = ()) -> str:
        """Return a remedy of who knows neither RUN nor what was typed, with both in place."""

        def fill(match: re.Match[str]) -> str:
            try:
                words = shlex.split(match["rest"])
            except ValueError:  # a name from outside that has a quotation mark
                words = match["rest"].split()
            return self.again(run, *words, found=found)

        return _COMMAND.sub(fill, remedy)


def _options(words: Sequence[str]) -> Iterator[Option]:
    rest = iter(words)
    for word in rest:
        yield (word,) if word in _ALONE else (word, next(rest, ""))


def _replaced(option: Option, new: Sequence[Option]) -> bool:
    same = [other for other in new if other[0] == option[0]]
    if option[0] in _ADDED:
        return any(_subject(other) == _subject(option) for other in same)
    return bool(same)


def _subject(option: Option) -> str:
    """Return what an option is about: other versions of one package, other paths of one digest are about the same."""
    flag, value = option
    if flag == "--with":
        return re.split(r"[\[<>=!~;@\s]", value, maxsplit=1)[0].lower()
    return value.partition("=")[0] if flag == "--pointer" else value
