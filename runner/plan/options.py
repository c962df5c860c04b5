"""Which options a script declares, read from its source without running it: argparse, click and typer.

Only what the source says for certain counts as known: a default is known where it is a literal, a constant of the
module or a pure expression of these, so that no environment variable or file can change it (VERDICTS rule 11).
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["value", "flag", "inverse", "boolean", "count", "list", "append"]

_PURE_CALLS = frozenset({"str", "int", "float", "bool", "list", "tuple", "Path", "PurePath", "join"})
_MISSING = object()
_OF_MACHINES = re.compile(
    r"(?:REPRO|MLFLOW|WANDB|DVC|GIT|GITHUB|CI|AWS|S3|AZURE|GOOGLE|GCP|HF|CUDA|NVIDIA|NCCL|MPLBACKEND|XDG|CONDA|VIRTUAL_ENV"
    r"|PYTHON|PATH|HOME|USER|USERNAME|LOGNAME|HOSTNAME|PWD|TMP|TEMP|TMPDIR|DISPLAY|LANG|LC|TZ|SLURM|LOCAL_RANK|RANK"
    r"|WORLD_SIZE|MASTER)(?:_|$)|.*(?:TOKEN|KEY|SECRET|PASSWORD|PASS|URI|URL|HOST|PORT|USERNAME)$"
)
"""Variables that say where something is and who asks, and nothing of what is trained."""


@dataclass(frozen=True)
class Option:
    """A declared option or positional argument.

    `flag` is the one to write (the first long one), None for a positional argument. `kind` tells how it takes values:
    one value, a switch (`flag` sets, `inverse` clears, `boolean` has `--no-` too), a count or a list. `default` is
    meaningful where `default_known`; `text_default` is set to the source of an unknown one.
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

    @property
    def shown(self) -> str:
        """The option as people write it."""
        return self.flag or self.dest


@dataclass(frozen=True)
class ScriptInterface:
    """What a script takes from its command line. `unreadable` lists in words what could not be told from the source.

    `variables` are environment variables that it reads, but for those of machines and tools.
    """

    options: tuple[Option, ...] = ()
    variables: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    relative_imports: bool = False
    imported: tuple[str, ...] = ()


@dataclass
class _Reader(ast.NodeVisitor):
    constants: dict[str, Any]
    options: list[Option] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    defaults: dict[str, ast.expr] = field(default_factory=dict)
    parses: bool = False
    variables: dict[str, None] = field(default_factory=dict)
    in_defaults: set[int] = field(default_factory=set)
    relative: bool = False
    imported: set[str] = field(default_factory=set)

    def visit_Import(self, node: ast.Import) -> None:
        self.imported.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self.relative = True
        elif node.module:
            self.imported.add(node.module)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        if name == "add_argument":
            self.argparse(node)
        elif name == "set_defaults":
            self.defaults.update({word.arg: word.value for word in node.keywords if word.arg})
        elif name in ("parse_args", "parse_known_args"):
            self.parses = True
        elif name == "add_subparsers":
            self.unreadable.append("its sub-commands")
        elif name == "getenv" or (name == "get" and _is_environment(node.func)):
            self.variable(node, node.args[0] if node.args else None)
        elif name == "run" and _is_name(node.func, "typer") and node.args and isinstance(node.args[0], ast.Name):
            self.unreadable.append(f"typer.run({node.args[0].id})")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _is_attribute(node.value, "sys", "argv") and not _is_zero(node.slice):
            self.unreadable.append("sys.argv")
        if _is_attribute(node.value, "os", "environ") and isinstance(node.ctx, ast.Load):
            self.variable(node, node.slice)
        self.generic_visit(node)

    def variable(self, node: ast.expr, named: ast.expr | None) -> None:
        """Take note of an environment variable that the script reads, unless it is an option's default (rule 11)."""
        name = self.value(named) if id(node) not in self.in_defaults else None
        if isinstance(name, str) and not _OF_MACHINES.match(name):
            self.variables.setdefault(name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            name = _called(call) if call else getattr(decorator, "attr", getattr(decorator, "id", ""))
            target = call.func if call else decorator
            if call and name in ("option", "argument") and _is_name(target, "click"):
                self.click(call, positional=name == "argument")
            elif _is_attribute(target, "hydra", "main"):
                self.unreadable.append("Hydra's overrides")
            elif name == "command" and not _is_name(target, "click") and not self.has_click(node):
                self.typer(node)
        self.generic_visit(node)

    @staticmethod
    def has_click(node: ast.FunctionDef) -> bool:
        return any(
            isinstance(item, ast.Call) and _called(item) in ("option", "argument") and _is_name(item.func, "click")
            for item in node.decorator_list
        )

    def argparse(self, node: ast.Call) -> None:
        names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        words = {word.arg: word.value for word in node.keywords if word.arg}
        if len(names) != len(node.args) or not names or not all(isinstance(name, str) for name in names):
            self.unreadable.append(f"the option at line {node.lineno}")
            return
        if len(words) != len(node.keywords):
            self.unreadable.append(f"the settings of {names[0]!r}")
        flags = [name for name in names if isinstance(name, str)]
        positional = not flags[0].startswith("-")
        long = next((flag for flag in flags if flag.startswith("--")), flags[0])
        dest = _text(words.get("dest")) or (flags[0] if positional else long.lstrip("-").replace("-", "_"))
        action = _text(words.get("action")) or _name_of(words.get("action")) or "store"
        if action in ("help", "version"):
            return
        kind, implied = _kind_of(action, words.get("nargs"))
        default, known, text = self.default(words.get("default"), implied)
        optional = positional and _text(words.get("nargs")) in ("?", "*")
        choices = self.value(words.get("choices"))
        self.options.append(
            Option(
                dest=dest,
                flag=None if positional else long,
                kind=kind,
                default=default,
                default_known=known and action not in ("store_const", "append_const"),
                text_default=text,
                required=(positional and not optional and "default" not in words) or _is_true(words.get("required")),
                choices=tuple(str(choice) for choice in choices) if isinstance(choices, list | tuple) else None,
                type_name=_name_of(words.get("type")),
                negative_flag="--no-" + long[2:] if kind == "boolean" else None,
            )
        )

    def click(self, node: ast.Call, *, positional: bool) -> None:
        names = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
        words = {word.arg: word.value for word in node.keywords if word.arg}
        if not names:
            self.unreadable.append(f"the option at line {node.lineno}")
            return
        long = next((name for name in names if name.startswith("--")), names[0])
        flag, _, negative = long.partition("/")
        plain = next((name for name in names if not name.startswith("-")), None)
        kind: Kind = "boolean" if negative else "flag" if _is_true(words.get("is_flag")) else "value"
        if _is_true(words.get("multiple")):
            kind = "append"
        if _is_true(words.get("count")):
            kind = "count"
        default, known, text = self.default(words.get("default"), None if kind == "value" else False)
        if "envvar" in words:
            known, text = False, "an environment variable"
        self.options.append(
            Option(
                dest=plain or flag.lstrip("-").replace("-", "_"),
                flag=None if positional else flag.strip(),
                kind=kind,
                default=default,
                default_known=known,
                text_default=text,
                required=(positional and "default" not in words) or _is_true(words.get("required")),
                type_name=_name_of(words.get("type")),
                negative_flag=negative.strip() or None,
            )
        )

    def typer(self, node: ast.FunctionDef) -> None:
        arguments = node.args.args
        defaults: list[ast.expr | None] = [None] * (len(arguments) - len(node.args.defaults)) + list(node.args.defaults)
        pairs = [*zip(arguments, defaults, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
        for argument, default in pairs:
            positional, flag, expression = default is None, None, default
            if isinstance(default, ast.Call) and _called(default) in ("Option", "Argument"):
                positional = _called(default) == "Argument"
                first = default.args[0] if default.args else None
                expression = None if isinstance(first, ast.Constant) and first.value is Ellipsis else first
                declared = [str(item.value) for item in default.args[1:] if isinstance(item, ast.Constant)]
                flag = next((name.partition("/")[0] for name in declared if name.startswith("--")), None)
            value, known, text = self.default(expression, None)
            long = flag or "--" + argument.arg.replace("_", "-")
            switch = isinstance(value, bool) or _name_of(argument.annotation) == "bool"
            self.options.append(
                Option(
                    dest=argument.arg,
                    flag=None if positional else long,
                    kind="boolean" if switch and not positional else "value",
                    default=value,
                    default_known=known and expression is not None,
                    text_default=text,
                    required=expression is None,
                    type_name=_name_of(argument.annotation),
                    negative_flag="--no-" + long[2:] if switch else None,
                )
            )

    def default(self, node: ast.expr | None, implied: Any) -> tuple[Any, bool, str | None]:
        """Return (value, known, source text where it is unknown)."""
        if node is None:
            return implied, True, None
        self.in_defaults.update(id(inner) for inner in ast.walk(node))
        value = self.value(node)
        if value is _MISSING:
            return None, False, ast.unparse(node)
        if isinstance(value, str) and (value.startswith(("/", "~")) or value[1:3] in (":\\", ":/")):
            return value, False, repr(value)  # a file outside the commit
        return value, True, None

    def value(self, node: ast.expr | None) -> Any:
        """Return the value of a pure expression, `_MISSING` for any other."""
        return _evaluate(node, self.constants) if node is not None else None


def read_interface(source: str) -> ScriptInterface:
    """Return the options that a script's source declares. What cannot be told is in `unreadable`; never raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in their strings, not ours to mend
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ScriptInterface(unreadable=("its source, which this Python cannot parse",))
    reader = _Reader(_constants(tree))
    try:
        reader.visit(tree)
    except RecursionError:
        return ScriptInterface(unreadable=("its source, which is nested too deeply",))
    typed = [text for text in reader.unreadable if text.startswith("typer.run(")]
    for text in typed:
        name = text.removeprefix("typer.run(").removesuffix(")")
        function = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)
        if function is not None:
            reader.typer(function)
            reader.unreadable.remove(text)
    if reader.parses and not reader.options:
        reader.unreadable.append("its options, which another module declares")
    options = [_with_default(option, reader) for option in _once(reader.options)]
    return ScriptInterface(
        options=tuple(options),
        variables=tuple(reader.variables),
        unreadable=tuple(dict.fromkeys(reader.unreadable)),
        relative_imports=reader.relative,
        imported=tuple(sorted(reader.imported)),
    )


def _once(options: list[Option]) -> list[Option]:
    return list({(option.dest, option.flag): option for option in options}.values())


def _with_default(option: Option, reader: _Reader) -> Option:
    if option.dest not in reader.defaults:
        return option
    default, known, text = reader.default(reader.defaults[option.dest], None)
    values = {**option.__dict__, "default": default, "default_known": known, "text_default": text}
    return Option(**values)


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the names that the module assigns exactly once, at its top, to a pure value."""
    assigned: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned[node.id] = assigned.get(node.id, 0) + 1
    constants: dict[str, Any] = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and value is not None and assigned.get(target.id) == 1:
            evaluated = _evaluate(value, constants)
            if evaluated is not _MISSING:
                constants[target.id] = evaluated
    return constants


def _evaluate(node: ast.expr, constants: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return constants.get(node.id, _MISSING)
    if isinstance(node, ast.List | ast.Tuple):
        items = [_evaluate(item, constants) for item in node.elts]
        return _MISSING if _MISSING in items else items
    if isinstance(node, ast.Call):
        return _called_value(node, [_evaluate(argument, constants) for argument in node.args])
    if isinstance(node, ast.BinOp):
        return _combined(node.op, _evaluate(node.left, constants), _evaluate(node.right, constants))
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _MISSING


def _called_value(node: ast.Call, arguments: list[Any]) -> Any:
    if node.keywords or _called(node) not in _PURE_CALLS or _MISSING in arguments:
        return _MISSING
    if _called(node) in ("Path", "PurePath", "join"):
        return "/".join(str(part) for part in arguments)
    return arguments[0] if len(arguments) == 1 else _MISSING


_NUMERIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: lambda left, right: left**right if abs(left) <= 1e6 and abs(right) <= 64 else _MISSING,
}


def _combined(operation: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        if isinstance(operation, ast.Div):  # of pathlib
            return f"{left}/{right}"
        return left + right if isinstance(operation, ast.Add) else _MISSING
    compute = _NUMERIC.get(type(operation))
    if compute is None or not (isinstance(left, int | float) and isinstance(right, int | float)):
        return _MISSING
    try:
        return compute(left, right)
    except ArithmeticError:
        return _MISSING


def _kind_of(action: str, nargs: ast.expr | None) -> tuple[Kind, Any]:
    """Return how an argparse action takes values, and the default that it implies."""
    if action == "store_true":
        return "flag", False
    if action == "store_false":
        return "inverse", True
    if action == "BooleanOptionalAction":
        return "boolean", None
    if action == "count":
        return "count", None
    if action in ("append", "extend"):
        return ("append" if action == "append" and nargs is None else "list"), None
    return ("value" if nargs is None or _text(nargs) == "?" else "list"), None


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_name(node: ast.expr, module: str) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module


def _is_attribute(node: ast.expr, module: str, name: str) -> bool:
    return _is_name(node, module) and getattr(node, "attr", "") == name


def _is_environment(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and _is_attribute(function.value, "os", "environ")


def _is_zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name_of(node: ast.expr | None) -> str | None:
    return getattr(node, "attr", getattr(node, "id", None))
