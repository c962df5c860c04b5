"""What a script takes from outside, as values: options, sub-commands, variables, a Hydra configuration, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["value", "flag", "inverse", "boolean", "count", "list", "append", "parameter"]


@dataclass(frozen=True)
class Option:
    """A declared option or positional argument.

    `flag` is the one to write (the first long one), None for a positional argument. `kind` tells how it takes values:
    one value, a switch (`flag` sets, `inverse` clears, `boolean` has `--no-` too), a count, a list or a notebook's
    parameter. `default` is meaningful where `default_known`; `text_default` is set to the source of an unknown one.
    `joined` options are written `--x=VALUE`. `exclusive` names the group of which only one may be given.
    """

    dest: str
    flag: str | None
    kind: Kind = "value"
    default: Any = None
    default_known: bool = True
    text_default: str | None = None
    required: bool = False
    choices: tuple[str, ...] | None = None
    type_name: str | None = None
    negative_flag: str | None = None
    joined: bool = False
    exclusive: str | None = None
    other_flags: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The option as people write it."""
        return self.flag or self.dest


@dataclass(frozen=True)
class SubCommand:
    """A sub-command: the words that choose it, and the options that it alone takes."""

    words: tuple[str, ...]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class LoggedParam:
    """A param that the script logs itself, in words of its source.

    `dest` is the option whose value it is, `constant` the text of a literal; both None where it is computed.
    """

    name: str
    dest: str | None = None
    constant: str | None = None


@dataclass(frozen=True)
class ConfigFile:
    """A file of the commit that the script reads values from: `a.b` to the value."""

    path: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ConfigGroup:
    """A group of Hydra's defaults list: its options, each with the flat values that it gives under `package`."""

    name: str
    package: str
    chosen: str | None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class HydraConfig:
    """The configuration that Hydra composes at the commit: `a.b` to the value, and the groups that can be chosen.

    `moving` are keys whose value a variable or a resolver gives, with its text.
    """

    source: str
    values: dict[str, Any] = field(default_factory=dict)
    groups: tuple[ConfigGroup, ...] = ()
    moving: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScriptInterface:
    """What a script takes from its command line. `unreadable` lists in words what could not be told from the source.

    `variables` are environment variables that it reads, but for those of machines and tools. `commands` are its
    sub-commands, of which one must be given where `command_required`; `command_dest` is where the script keeps which.
    `logged` are the params that the script logs by name, `installs` what a notebook installs while it runs.
    """

    options: tuple[Option, ...] = ()
    variables: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    relative_imports: bool = False
    imported: tuple[str, ...] = ()
    commands: tuple[SubCommand, ...] = ()
    command_dest: str | None = None
    command_required: bool = False
    logged: tuple[LoggedParam, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    hydra: HydraConfig | None = None
    installs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What of the commit lies around a script: its modules by name, and files by the paths in which it names them.

    Each returns (path, text), None for what is not the commit's or was not read. `folder` lists the paths beneath a
    folder that the script names relative to its own, each relative to that folder, with the text.
    """

    module: Callable[[str, int], tuple[str, str] | None] = lambda _name, _level: None
    file: Callable[[str], tuple[str, str] | None] = lambda _path: None
    folder: Callable[[str], dict[str, str]] = lambda _path: {}


NOWHERE = Surroundings()
"""A script of which nothing else is known."""
