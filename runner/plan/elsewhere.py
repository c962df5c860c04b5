"""Where the commit's own values are not those that the run recorded, and which text would have them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from runner.errors import MissingFact
from runner.lineage.resolve import commit_facts
from runner.plan.command import interface_of, resolve_command
from runner.plan.options.config_files import values_of
from runner.plan.options.interface import ScriptInterface
from runner.plan.values import names_in, same_value
from runner.schema.run_record import RunRecord
from runner.schema.snapshot import RepositorySnapshot
from runner.settings import Settings


def differing_texts(
    record: RunRecord, snapshot: RepositorySnapshot, settings: Settings
) -> dict[str, Callable[[str], bool]]:
    """Return, for each file of the commit that gives a recorded param another value, what tells a text that gives all.

    These are the script, by the constants that it logs, and configuration files that it reads. Empty where the run's
    command was not inferred, or cannot be.
    """
    try:
        command = resolve_command(record, snapshot, settings, commit_facts(snapshot, settings))
    except MissingFact:
        return {}
    if not command.inferred or command.script is None or command.stages:
        return {}
    rest = {name: value for name, value in record.params.items() if name not in command.used}
    interface = interface_of(command.script, command.working_directory, snapshot)
    found: dict[str, Callable[[str], bool]] = {}
    constants = _constants(interface)
    if _differ(constants, rest):
        found[command.script] = partial(_script_agrees, command.script, command.working_directory, snapshot, rest)
    for file in interface.files:
        if _differ(_named(file.values, rest), rest):
            found[file.path] = partial(_file_agrees, file.path, rest, frozenset(_named(file.values, rest)))
    return found


def _constants(interface: ScriptInterface) -> dict[str, object]:
    return {each.name: each.constant for each in interface.logged if each.constant is not None}


def _named(values: Mapping[str, object], rest: Mapping[str, str]) -> dict[str, object]:
    """Return the values of a file by the params that they are."""
    find = names_in(values)
    return {name: values[key] for name in rest if (key := find(name)) is not None}


def _differ(values: Mapping[str, object], rest: Mapping[str, str]) -> bool:
    return any(name in rest and not same_value(str(value), rest[name]) for name, value in values.items())


def _script_agrees(path: str, directory: str, snapshot: RepositorySnapshot, rest: Mapping[str, str], text: str) -> bool:
    here = _constants(interface_of(path, directory, snapshot))
    there = _constants(interface_of(path, directory, snapshot.with_texts({path: text})))
    return {name for name in here if name in rest} <= there.keys() and not _differ(there, rest)


def _file_agrees(path: str, rest: Mapping[str, str], names: frozenset[str], text: str) -> bool:
    there = _named(values_of(path, text), rest)
    return names <= there.keys() and not _differ(there, rest)
