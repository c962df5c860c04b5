"""Names of values as names of files, so that `loss` and `loss/val` can lie beside each other.

MLflow's file store makes a folder of all that stands before a slash, and fails where a value has that name already.
Databases and servers know no such conflict, and a training that logs to one must not fail because we use files.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FOLDER = "%/"  # no name of a value may hold a percent sign


def to_file(name: str) -> str:
    """Return the path of a value's file within its folder."""
    return name.replace("/", _FOLDER)


def from_file(path: str) -> str:
    """Return the name of the value that a file is for."""
    return path.replace(_FOLDER, "/")


def replace_end(path: Any, name: str) -> Any:
    """Return the path that MLflow gives to a value, with its file as we name it."""
    return path[: len(path) - len(name)] + to_file(name) if path is not None and path.endswith("/" + name) else path


def claim(module: Any) -> None:
    """Let MLflow's file store read values from files as we name them."""
    for name in ("read_file", "read_file_lines"):
        read = getattr(module, name)
        if not hasattr(read, "__wrapped__"):
            setattr(module, name, _reading(read))


def _reading(read: Callable[..., Any]) -> Callable[..., Any]:
    def read_value(parent_path: Any, file_name: Any, *arguments: Any, **options: Any) -> Any:
        own = to_file(file_name)
        if own != file_name and os.path.exists(os.path.join(parent_path, own)):
            file_name = own
        return read(parent_path, file_name, *arguments, **options)

    read_value.__wrapped__ = read  # type: ignore[attr-defined]
    return read_value
