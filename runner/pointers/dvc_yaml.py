"""What DVC's own schema asks of a `dvc.yaml`, with the line of what breaks it. Keys of older versions count too."""

from __future__ import annotations

from collections.abc import Callable

from runner.pointers.document import Node, PointerSyntaxError
from runner.pointers.read import document_root

_TOP = frozenset({"stages", "vars", "params", "metrics", "plots", "artifacts", "datasets"})
_STAGE = frozenset(
    {"cmd", "wdir", "deps", "params", "outs", "metrics", "plots", "vars", "frozen", "meta", "desc", "always_changed"}
    | {"live", "matrix"}
)  # `live` is DVC 2's
_LOOP = frozenset({"foreach", "do"})
_OUT_LISTS = ("outs", "metrics", "plots")
_FLAGS = frozenset({"cache", "persist", "push", "checkpoint"})


def check_pipeline(text: str) -> Node | None:
    """Return the root of a `dvc.yaml`, None where it is empty. Raises PointerSyntaxError with the line."""
    root = document_root(text)
    if root is None:
        return None
    for key, _ in root.pairs:
        if key.text not in _TOP:
            raise PointerSyntaxError(f"has the key {key.text!r}, which no dvc.yaml has", key.line)
    stages = root.get("stages")
    if stages is not None and not stages.is_null:
        _must(stages, "mapping", "stages must be a mapping")
        for name, stage in stages.pairs:
            _check_definition(name, stage)
    entries = root.get("vars")
    if entries is not None:
        _check_vars(entries)
    return root


def _check_definition(name: Node, stage: Node) -> None:
    _must(stage, "mapping", f"stage {name.text!r} must be a mapping", name.line)
    if not _LOOP.intersection(key.text for key, _ in stage.pairs):
        _check_stage(name, stage)
        return
    for key, _ in stage.pairs:
        if key.text not in _LOOP:
            raise PointerSyntaxError(f"stage {name.text!r} has the key {key.text!r} beside foreach", key.line)
    inner = stage.get("do")
    if inner is None or stage.get("foreach") is None:
        raise PointerSyntaxError(f"stage {name.text!r} lacks {'do' if inner is None else 'foreach'}", name.line)
    _must(inner, "mapping", f"`do` of stage {name.text!r} must be a mapping", name.line)
    _check_stage(name, inner)


def _check_stage(name: Node, stage: Node) -> None:
    if stage.get("<<") is not None:
        return  # what an anchor brings is checked where it is read
    for key, _ in stage.pairs:
        if key.text not in _STAGE:
            raise PointerSyntaxError(f"stage {name.text!r} has the key {key.text!r}, which no stage has", key.line)
    command = stage.get("cmd")
    if command is None or command.is_null:
        raise PointerSyntaxError(f"stage {name.text!r} has no cmd", name.line)
    if command.kind == "mapping" or any(item.kind != "scalar" for item in command.items):
        raise PointerSyntaxError(f"cmd of stage {name.text!r} must be text, or a list of it", command.line)
    _check_list(name, stage, "deps", lambda item: item.kind == "scalar", "a path")
    _check_list(name, stage, "params", lambda item: item.kind != "sequence", "a key, or a file with its keys")
    for outs in _OUT_LISTS:
        _check_list(name, stage, outs, lambda item: item.kind != "sequence", "a path, or a path with its options")
        for entry in _items(stage, outs):
            _check_options(name, outs, entry)
    working_directory = stage.get("wdir")
    if working_directory is not None:
        _must(working_directory, "scalar", f"wdir of stage {name.text!r} must be text")
    entries = stage.get("vars")
    if entries is not None:
        _check_vars(entries)


def _check_options(name: Node, key: str, entry: Node) -> None:
    for _, options in entry.pairs:
        for option, value in options.pairs if options.kind == "mapping" else []:
            if option.text in _FLAGS and (value.style is not None or value.text.lower() not in ("true", "false")):
                raise PointerSyntaxError(
                    f"{option.text} in {key} of stage {name.text!r} must be true or false", option.line
                )


def _check_list(name: Node, stage: Node, key: str, holds: Callable[[Node], bool], what: str) -> None:
    node = stage.get(key)
    if node is None:
        return
    _must(node, "sequence", f"{key} of stage {name.text!r} must be a list")
    for item in node.items:
        if not holds(item):
            raise PointerSyntaxError(f"an entry of {key} of stage {name.text!r} must be {what}", item.line)


def _check_vars(entries: Node) -> None:
    _must(entries, "sequence", "vars must be a list")
    for entry in entries.items:
        if entry.kind == "sequence":
            raise PointerSyntaxError("an entry of vars must be a file or a mapping", entry.line)


def _items(stage: Node, key: str) -> list[Node]:
    node = stage.get(key)
    return [] if node is None else node.items


def _must(node: Node, kind: str, sentence: str, line: int | None = None) -> None:
    if node.kind != kind:
        raise PointerSyntaxError(sentence, line or node.line)
