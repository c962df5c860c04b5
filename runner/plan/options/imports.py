"""What a script imports, and which of the commit's modules declare its options for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from runner.plan.options.interface import Surroundings
from runner.plan.options.syntax import called, functions, parse

_DECLARING = frozenset(
    {"add_argument", "add_arguments", "HfArgumentParser", "add_parser", "parse_args", "parse_known_args"}
)
_DEEPEST = 3


def read_imports(tree: ast.Module) -> tuple[tuple[str, ...], bool]:
    """Return the names of imported modules, and whether any import is relative."""
    imported: set[str] = set()
    relative = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                relative = True
            elif node.module:
                imported.add(node.module)
    return tuple(sorted(imported)), relative


def needed_of(tree: ast.Module, around: Surroundings) -> list[ast.Module]:
    """Return, of the commit's modules that a script reaches, what declares options when the script runs.

    A module that is only imported runs its top, but not what stands under `if __name__ == "__main__"`; of its
    functions those count that the script uses, and what they call.
    """
    found: list[ast.Module] = []
    seen: set[str] = set()

    def follow(inner: ast.Module, depth: int) -> None:
        if depth > _DEEPEST:
            return
        for path, source, used in _used(inner, around):
            if path in seen:
                continue
            seen.add(path)
            module = parse(source)
            if module is None:
                continue
            kept = _kept(module, used)
            if any(called(node) in _DECLARING or called(node).startswith("DEFINE_") for node in ast.walk(kept)):
                found.append(kept)
            follow(kept, depth + 1)

    follow(tree, 0)
    return found


def _used(tree: ast.Module, around: Surroundings) -> Iterator[tuple[str, str, set[str]]]:
    """Yield (path, text, names that are used) for each of the commit's modules that a module imports."""
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            module = around.module(node.module or "", node.level)
            if module is not None:
                yield (*module, names | attributes)
            for name in names:
                inner = around.module(f"{node.module}.{name}" if node.module else name, node.level)
                if inner is not None and inner != module:
                    yield (*inner, attributes)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                module = around.module(alias.name, 0)
                if module is not None:
                    yield (*module, attributes)


def _kept(module: ast.Module, used: set[str]) -> ast.Module:
    """Return a module without functions that nobody uses and without what runs only where it is the program."""
    own = functions(module)
    waiting = [name for name in own if name in used or "*" in used]
    kept: set[str] = set()
    top = [node for node in module.body if not _is_program(node)]
    waiting += [name for node in top if not isinstance(node, ast.FunctionDef | ast.ClassDef) for name in _names(node)]
    while waiting:
        name = waiting.pop()
        if name in own and name not in kept:
            kept.add(name)
            waiting += _names(own[name])
    body = [node for node in top if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name in kept]
    return ast.Module(body=body, type_ignores=[])


def _names(node: ast.AST) -> list[str]:
    return [item.id for item in ast.walk(node) if isinstance(item, ast.Name)]


def _is_program(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
