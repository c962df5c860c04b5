"""Which options a script declares, read from its source and that of the commit around it, without running either.

Only what the source says for certain counts as known: a default is known where it is a literal, a constant, a value in
a file of the commit or a pure expression of these, so that nothing outside the commit can change it (VERDICTS rule 11).
"""

from __future__ import annotations

import ast

from runner.plan.options.absl_flags import read_absl
from runner.plan.options.argparse_options import read_argparse
from runner.plan.options.click_options import read_click
from runner.plan.options.config_files import read_files
from runner.plan.options.dataclass_options import read_dataclasses
from runner.plan.options.declared import Declared
from runner.plan.options.environment_variables import read_variables
from runner.plan.options.expressions import Scope, scope_of
from runner.plan.options.hydra_config import read_hydra
from runner.plan.options.imports import needed_of, read_imports
from runner.plan.options.interface import NOWHERE, Option, ScriptInterface, Surroundings
from runner.plan.options.logged import read_logged
from runner.plan.options.positions import read_positions
from runner.plan.options.signatures import read_fire, read_signatures
from runner.plan.options.syntax import called, name_of, parse
from runner.plan.options.typer_options import read_typer

_READERS = (
    read_argparse,
    read_click,
    read_typer,
    read_fire,
    read_signatures,
    read_dataclasses,
    read_absl,
    read_positions,
)
_UNREAD = frozenset({"docopt", "getopt", "gnu_getopt"})


def read_interface(source: str, around: Surroundings = NOWHERE) -> ScriptInterface:
    """Return the options that a script's source declares. What cannot be told is in `unreadable`; never raises."""
    tree = parse(source)
    if tree is None:
        return ScriptInterface(unreadable=("its source, which this Python cannot parse",))
    try:
        return _read(tree, around)
    except RecursionError:
        return ScriptInterface(unreadable=("its source, which is nested too deeply",))


def _read(tree: ast.Module, around: Surroundings) -> ScriptInterface:
    scope = scope_of(tree, around)
    declared = _declared(tree, scope)
    declared.unreadable += [f"its options, which {name} reads" for name in _libraries(tree)]
    declared.unreadable += _from_environment(tree)
    for module in needed_of(tree, around):
        inner = _declared(module, scope_of(module, around))
        inner.command_required = inner.command_required and not declared.options
        declared.take(inner)
    hydra, config_name = read_hydra(tree, scope, declared)
    if declared.parses and not declared.options and not declared.commands:
        declared.unreadable.append("its options, which another module declares")
    options = _once(declared.options)
    names = {option.dest for option in options} | {
        option.dest for command in declared.commands for option in command.options
    }
    imported, relative = read_imports(tree)
    return ScriptInterface(
        options=tuple(options),
        variables=read_variables(tree, scope, declared),
        unreadable=tuple(dict.fromkeys(declared.unreadable)),
        relative_imports=relative,
        imported=imported,
        commands=tuple(declared.commands),
        command_dest=declared.command_dest,
        command_required=declared.command_required,
        logged=tuple(read_logged(tree, scope, frozenset(names | set(hydra.values if hydra else ())), config_name)),
        files=read_files(tree, scope, options),
        hydra=hydra,
    )


def _declared(tree: ast.Module, scope: Scope) -> Declared:
    declared = Declared()
    for read in _READERS:
        read(tree, scope, declared)
    return declared


def _libraries(tree: ast.Module) -> list[str]:
    """Return the libraries whose options are not read."""
    return sorted({called(node) for node in ast.walk(tree) if called(node) in _UNREAD})


def _from_environment(tree: ast.Module) -> list[str]:
    """Return in words what takes values of options from the environment without naming a variable."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if any(name.partition(".")[0] in ("configargparse",) for name in names):
                found.append("what its parser takes from files and variables")
        elif (isinstance(node, ast.keyword) and node.arg == "auto_envvar_prefix") or (
            isinstance(node, ast.Constant) and node.value == "auto_envvar_prefix"
        ):
            found.append("the variables of auto_envvar_prefix")
        elif isinstance(node, ast.ClassDef) and any(name_of(base) == "BaseSettings" for base in node.bases):
            found.append(f"the variables of {node.name}")
    return found


def _once(options: list[Option]) -> list[Option]:
    return list({(option.dest, option.flag): option for option in options}.values())
