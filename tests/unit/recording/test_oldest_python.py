"""What is recorded runs in Pythons of many years: from 3.7 on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import reproducibility_runner

MODULES = sorted((Path(reproducibility_runner.__file__).parent / "recording").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_has_no_syntax_that_python_3_7_lacks(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not attributes & {"removeprefix", "removesuffix", "orig_argv", "cached_property"}
