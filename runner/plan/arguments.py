"""Recorded params mapped onto the options that a script declares."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.plan.hydra import map_hydra
from runner.plan.options.interface import Option, ScriptInterface, SubCommand
from runner.plan.values import is_absolute, is_secret, names_in, same_value
from runner.plan.values import key_of as _key
from runner.redact import redact
from runner.schema.lineage import Considered
from runner.schema.run_record import RunRecord


@dataclass(frozen=True)
class Arguments:
    """The words after the script. `uncovered` names in phrases the options whose value nothing pins, `lacking` the
    required ones without a value. `considered` tells of recorded params that no option takes: what gives them."""

    words: tuple[str, ...]
    used: tuple[str, ...]
    uncovered: tuple[str, ...]
    lacking: tuple[str, ...]
    considered: tuple[Considered, ...] = ()

    @property
    def placeholders(self) -> str:
        """What is lacking, as a person would type it."""
        words = (
            f"{name} VALUE" if name.startswith("-") else name if "=" in name or "{" in name else name.upper()
            for name in self.lacking
        )
        return " ".join(words)


@dataclass
class _Mapped:
    """Words while they are gathered."""

    positional: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    @property
    def words(self) -> tuple[str, ...]:
        # Options first: a positional list would swallow what follows it.
        return (*self.flagged, *self.positional)


def map_params(record: RunRecord, interface: ScriptInterface, tree_path: Callable[[str], str | None]) -> Arguments:
    """Return the arguments that give a script the recorded values.

    A param goes to the option whose value the script logs under its name, else to the one whose destination has its
    name, else to the one that is written so. `tree_path` returns the path in the repository that a path of another
    machine ends in, None if there is none.
    """
    recorded = _recorded_by_dest(record, interface)
    known = {_key(name).lower() for name in (*record.params, *record.tags)}
    total = _Mapped(uncovered=list(interface.unreadable))
    total.uncovered += [f"environment variable {name}" for name in interface.variables if name.lower() not in known]
    words: tuple[str, ...] = ()
    if interface.hydra is not None:
        overrides = map_hydra(record, interface.hydra, interface.logged, tree_path)
        words = overrides.words
        total.used += overrides.used
        total.uncovered += overrides.uncovered
        total.lacking += overrides.lacking
    chosen = _chosen(interface, recorded)
    own = _mapped(interface.options, recorded, record, tree_path)
    parts = [own]
    words = (*own.words, *words)
    if isinstance(chosen, SubCommand):
        inner = _mapped(chosen.options, recorded, record, tree_path)
        parts.append(inner)
        words = (*words, *chosen.words, *inner.words)
    elif chosen:
        total.lacking.append(chosen)
    for part in parts:
        total.used += part.used
        total.uncovered += part.uncovered
        total.lacking += part.lacking
    used = tuple(dict.fromkeys(total.used))
    considered = _about_params(record, interface, used)
    return Arguments(words, used, tuple(total.uncovered), tuple(total.lacking), considered)


def _mapped(
    options: Iterable[Option],
    recorded: Mapping[str, tuple[str, str]],
    record: RunRecord,
    tree_path: Callable[[str], str | None],
) -> _Mapped:
    """Return the words that give options their recorded values."""
    found = _Mapped()
    gap: str | None = None
    options = tuple(options)
    dests = {_key(option.dest) for option in options}
    for option in options:
        names = [
            _key(flag.lstrip("-")) for flag in (option.flag, *option.other_flags) if flag and flag.startswith("--")
        ]
        keys = [_key(option.dest), *(name for name in names if name not in dests)]
        value = next((recorded[key] for key in keys if key in recorded), None)
        problem: str | None = None
        if value is not None and option.flag is None and gap is not None:
            problem = f"it stands behind {gap}, which has no recorded value"
        elif value is not None:
            name, text = value
            problem = _unfit(option, name, text, record)
            words = None if problem else [] if _is_its_default(option, text) else _words(option, text, tree_path)
            if words is not None:
                (found.flagged if option.flag else found.positional).extend(words)
                found.used.append(name)
                continue
            problem = problem or f"the recorded value {redact(text[:40])!r} cannot be passed"
        gap = gap or (option.dest if option.flag is None else None)
        if option.required:
            found.lacking.append(option.shown)
        elif problem:
            found.uncovered.append(f"{option.shown} ({problem})")
        elif not option.default_known:
            found.uncovered.append(f"{option.shown} (default {redact((option.text_default or 'unknown')[:60])})")
    return found


def _chosen(interface: ScriptInterface, recorded: Mapping[str, tuple[str, str]]) -> SubCommand | str | None:
    """Return the sub-command that the recorded params tell, all of them as text where they do not, None for none."""
    commands = interface.commands
    if not commands:
        return None
    named = recorded.get(_key(interface.command_dest)) if interface.command_dest else None
    by_name = [command for command in commands if named is not None and command.words[-1] == named[1]]
    if by_name:
        return by_name[0]
    takes = {command.words: {_key(option.dest) for option in command.options} & recorded.keys() for command in commands}
    most = [command for command in commands if all(takes[command.words] >= other for other in takes.values())]
    only = [command for command in most if takes[command.words]]
    if len(commands) == 1 and (interface.command_required or only):
        return commands[0]
    if len(only) == 1:
        return only[0]
    if not only and not interface.command_required:
        return None
    return "{" + ",".join(" ".join(command.words) for command in commands) + "}"


def _about_params(record: RunRecord, interface: ScriptInterface, used: Sequence[str]) -> tuple[Considered, ...]:
    """Return what gives the recorded params that no option takes: files of the commit, constants of the code."""
    rest = {name: value for name, value in record.params.items() if name not in used}
    found = [
        Considered(
            source="a cell of the notebook",
            value=redact(line),
            reason="installs it while it runs, which has no network here: --with takes it",
        )
        for line in interface.installs
    ]
    for file in interface.files:
        by_name = names_in(file.values)
        held = {name: by_name(name) for name in rest}
        equal = [name for name, key in held.items() if key is not None and _agrees(file.values[key], rest[name])]
        other = {name: key for name, key in held.items() if key is not None and name not in equal}
        source = f"{file.path} at the commit"
        if equal:
            found.append(Considered(source=source, value=", ".join(equal), reason="holds the recorded values"))
        for name, key in other.items():
            reason = f"holds {_shown(file.values[key])}, and the run recorded {_shown(rest[name])}"
            found.append(Considered(source=source, value=key, reason=reason))
    constants = {each.name: each.constant for each in interface.logged if each.constant is not None}
    alike = [name for name in rest if name in constants and same_value(str(constants[name]), rest[name])]
    if alike:
        reason = "the script logs them as constants, equal to the recorded"
        found.append(Considered(source="params that no option takes", value=", ".join(alike), reason=reason))
    for name, value in rest.items():
        if name in constants and name not in alike:
            reason = f"the script logs the constant {_shown(constants[name])}, and the run recorded {_shown(value)}"
            found.append(Considered(source="params that no option takes", value=name, reason=reason))
    return tuple(found)


def _agrees(value: object, text: str) -> bool:
    return same_value(str(value), text)


def _shown(value: object) -> str:
    return redact(str(value)[:40])


def quoted(words: tuple[str, ...]) -> str:
    """Return words as they are typed in a shell."""
    return " ".join(shlex.quote(word) for word in words)


def effective(option: Option, words: list[str]) -> str | None:
    """Return the value that an option has under a command's words, as text; None where it cannot be told."""
    if option.flag is None or option.kind == "parameter":
        return None
    flags = (option.flag, *option.other_flags)
    for index, word in enumerate(words):
        if option.kind in ("flag", "inverse", "boolean"):
            if word in flags:
                return str(option.kind != "inverse")
            if word == option.negative_flag:
                return "False"
        elif word in flags and index + 1 < len(words):
            return words[index + 1]
        elif word.startswith(tuple(f"{flag}=" for flag in flags)):
            return word.partition("=")[2]
    return str(option.default) if option.default_known else None


def _recorded_by_dest(record: RunRecord, interface: ScriptInterface) -> dict[str, tuple[str, str]]:
    """Return (name, value) by option destination: params, and what the tracker itself holds of a run's names.

    What the script logs as an option's value is that option's, whatever its name, and what it logs as a constant is
    none's. A name with folders (`args/lr`) is that of its last part, where no other is.
    """
    recorded: dict[str, tuple[str, str]] = {}
    if record.name:
        recorded["run_name"] = ("run name", record.name)
    if record.experiment_is_named:
        recorded["experiment_name"] = ("experiment name", record.experiment_name)
    told = {each.name for each in interface.logged if each.dest is not None or each.constant is not None}
    rest = {name: value for name, value in record.params.items() if name not in told}
    parts: dict[str, list[str]] = {}
    for name in rest:
        parts.setdefault(_key(re.split(r"[./:]", name)[-1]), []).append(name)
    recorded.update({last: (names[0], rest[names[0]]) for last, names in parts.items() if len(names) == 1})
    recorded.update({_key(name): (name, value) for name, value in rest.items()})
    values: dict[str, list[tuple[str, str]]] = {}
    for each in interface.logged:
        if each.dest is not None and each.name in record.params:
            values.setdefault(_key(each.dest), []).append((each.name, record.params[each.name]))
    recorded.update(
        {dest: pairs[0] for dest, pairs in values.items() if all(same_value(pairs[0][1], each[1]) for each in pairs)}
    )
    return recorded


def _unfit(option: Option, name: str, text: str, record: RunRecord) -> str | None:
    if name in record.params_truncated:
        return "its recorded value is cut"
    if is_secret(name, text) or is_secret(option.dest, text):
        return "its recorded value looks like a secret"
    if option.choices is not None and option.kind == "value" and text not in option.choices:
        return f"the recorded {text[:40]!r} is none of its choices"
    return None


def _words(option: Option, text: str, tree_path: Callable[[str], str | None]) -> list[str] | None:
    """Return an option with a value as words; empty where nothing need be said; None where it cannot be said."""
    truth: Mapping[str, bool] = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if option.kind in ("flag", "inverse", "boolean"):
        wanted = truth.get(text.lower())
        return None if wanted is None else _switch(option, wanted)
    if option.kind == "count":
        return [option.flag or ""] * int(text) if text.isdigit() and int(text) < 10 else None
    if text == "None" and option.kind != "parameter":
        return [] if option.default_known and option.default is None else None
    if option.kind in ("list", "append"):
        return _many(option, text)
    if is_absolute(text):
        inside = tree_path(text)
        if inside is None:
            return None
        text = inside
    return _one(option, text)


def _is_its_default(option: Option, text: str) -> bool:
    """Tell whether an option must not be said: of a group only one may be, and the default need not."""
    return option.exclusive is not None and option.default_known and same_value(str(option.default), text)


def _switch(option: Option, wanted: bool) -> list[str] | None:
    sets = option.kind != "inverse"
    if wanted == sets:
        return [option.flag or ""]
    if option.negative_flag:
        return [option.negative_flag]
    return []  # a plain switch that is not given


def _many(option: Option, text: str) -> list[str] | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        value = text
    items = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    if option.kind == "append":
        return [word for item in items for word in _one(option, item)]
    if not items:
        return [] if option.default_known and not option.default else None
    return [*([option.flag] if option.flag else []), *items]


def _parameter(option: Option, text: str) -> list[str]:
    """Return a parameter of papermill: of the value's own type, a list as YAML, and a text as a text."""
    if isinstance(option.default, str):
        return ["-r", option.dest, text]
    if text.startswith(("[", "{", "(")):
        return ["-y", f"{option.dest}: {text}"]
    return ["-p", option.dest, text]


def _one(option: Option, text: str) -> list[str]:
    if option.kind == "parameter":
        return _parameter(option, text)
    if option.flag is None:
        return [text]
    # argparse takes `-1e-5` for an option of its own unless it is joined.
    return [f"{option.flag}={text}"] if text.startswith("-") or option.joined else [option.flag, text]
