"""A notebook as what can be started: the parameters that its tagged cell declares, and what running it needs."""

from __future__ import annotations

import ast

from runner.lineage.notebook import read_notebook
from runner.plan.options.expressions import scope_of
from runner.plan.options.interface import Option, ScriptInterface, Surroundings
from runner.plan.options.logged import read_logged
from runner.plan.options.read import read_interface
from runner.plan.options.syntax import parse


def read_notebook_interface(source: str, around: Surroundings) -> ScriptInterface:
    """Return what a notebook takes: the names that its cell `parameters` assigns, as options of papermill.

    What its code would take from a command line it does not get, as its author's kernel did not.
    """
    notebook = read_notebook(source)
    if notebook is None:
        return ScriptInterface(unreadable=("its cells, which cannot be read",))
    found = read_interface(notebook.code, around)
    tree = parse(notebook.code)
    if tree is None:
        return ScriptInterface(unreadable=("its cells, which this Python cannot parse",))
    scope = scope_of(tree, around)
    cell = parse(notebook.parameters or "")
    options = []
    for node in cell.body if cell is not None else ():
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            value, known, text = scope.default(node.value)
            options.append(
                Option(target.id, f"-p {target.id}", "parameter", value, default_known=known, text_default=text)
            )
    names = frozenset(option.dest for option in options)
    return ScriptInterface(
        options=tuple(options),
        variables=found.variables,
        imported=found.imported,
        relative_imports=found.relative_imports,
        logged=tuple(read_logged(tree, scope, names, parameters=names)),
        files=found.files,
        installs=notebook.installs,
    )
