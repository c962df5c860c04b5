"""What runs inside our containers runs on Python 3.9 too, the oldest that DVC runs on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import runner

INSIDE = sorted(Path(runner.__file__).with_name("inside").rglob("*.py"))
SINCE_3_10 = {"kw_only", "slots"}


@pytest.mark.parametrize("path", INSIDE, ids=lambda path: path.stem)
def test_no_dataclass_asks_for_what_python_3_9_lacks(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "dataclass"]
    assert not [word.arg for call in calls for word in call.keywords if word.arg in SINCE_3_10]
