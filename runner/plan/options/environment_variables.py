"""Environment variables that a script reads, less those that say where something is and who asks."""

from __future__ import annotations

import ast
import re

from runner.plan.options.declared import Declared
from runner.plan.options.expressions import Scope
from runner.plan.options.syntax import called, is_attribute, is_environment

_OF_MACHINES = re.compile(
    r"(?:REPRO|MLFLOW|WANDB|DVC|GIT|GITHUB|CI|AWS|S3|AZURE|GOOGLE|GCP|HF|CUDA|NVIDIA|NCCL|MPLBACKEND|XDG|CONDA|VIRTUAL_ENV"
    r"|PYTHON|PATH|HOME|USER|USERNAME|LOGNAME|HOSTNAME|PWD|TMP|TEMP|TMPDIR|DISPLAY|LANG|LC|TZ|SLURM|LOCAL_RANK|RANK"
    r"|WORLD_SIZE|MASTER)(?:_|$)|.*(?:TOKEN|KEY|SECRET|PASSWORD|PASS|URI|URL|HOST|PORT|USERNAME)$"
)


def read_variables(tree: ast.Module, scope: Scope, declared: Declared) -> tuple[str, ...]:
    """Return the variables that may decide what is trained, but for those that are an option's default (rule 11)."""
    found: dict[str, None] = {}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Subscript)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        named: ast.expr | None = None
        if isinstance(node, ast.Call):
            name = called(node)
            if name == "getenv" or (name == "get" and is_environment(node.func)):
                named = node.args[0] if node.args else None
        elif is_attribute(node.value, "os", "environ") and isinstance(node.ctx, ast.Load):
            named = node.slice
        value = scope.value(named) if named is not None and id(node) not in declared.in_defaults else None
        if isinstance(value, str) and not _OF_MACHINES.match(value):
            found.setdefault(value)
    return tuple(found)
