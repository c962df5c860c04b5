"""Files of the commit that a script reads its values from: YAML and JSON that it names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from runner.plan.options.expressions import MISSING, Scope, load_config
from runner.plan.options.hydra_config import flatten
from runner.plan.options.interface import ConfigFile, Option
from runner.plan.options.syntax import called

_NAMED = re.compile(r"[^\s*?]+\.(?:ya?ml|json)$")
_MOST = 10


def named_files(tree: ast.Module, options: Iterable[Option] = ()) -> list[str]:
    """Return the configuration files that a script names in literals or in defaults of its options."""
    names = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    names += [option.default for option in options if isinstance(option.default, str)]
    if any(called(node) == "params_show" for node in ast.walk(tree)):
        names.append("params.yaml")
    return list(dict.fromkeys(name for name in names if len(name) < 200 and _NAMED.match(name)))


def values_of(path: str, content: str) -> dict[str, object]:
    """Return the flat values of a configuration file, empty where it cannot be read."""
    value = load_config(path, content)
    return {} if value is MISSING else dict(flatten(value))


def read_files(tree: ast.Module, scope: Scope, options: Iterable[Option]) -> tuple[ConfigFile, ...]:
    """Return the values of the files that the script names and the commit has."""
    found = {path: value for path, value in scope.files.items() if isinstance(value, dict)}
    for name in named_files(tree, options)[:_MOST]:
        file = scope.around.file(name)
        if file is not None and file[0] not in found:
            value = load_config(*file)
            if value is not MISSING:
                found[file[0]] = value
    return tuple(ConfigFile(path, dict(flatten(value))) for path, value in found.items())
