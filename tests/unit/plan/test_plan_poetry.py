"""Poetry's notation of dependencies."""

from __future__ import annotations

import pytest

from runner.plan.lists.poetry import bound, read_poetry
from runner.plan.toml_text import load_toml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("^1.2.3", ">=1.2.3,<2.0.0"),
        ("^0.2.3", ">=0.2.3,<0.3.0"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0.0", ">=0.0,<0.1"),
        ("^0", ">=0,<1"),
        ("^3.8", ">=3.8,<4.0"),
        ("~1.2.3", ">=1.2.3,<1.3.0"),
        ("~1.2", ">=1.2,<1.3"),
        ("~1", ">=1,<2"),
        ("~=1.2", ">=1.2,<2.0"),
        ("1.2.3", "==1.2.3"),
        ("1.2.*", "==1.2.*"),
        ("*", ""),
        (">=1.2,<2", ">=1.2,<2"),
        (">=1.2 <2", ">=1.2,<2"),
        (">= 1.2, < 2", ">=1.2,<2"),
        ("!=1.5,^1.2", ">=1.2,!=1.5,<2.0"),
        ("^2.0.0-beta1", ">=2.0.0b1,<3.0.0"),
        ("^1.2 || ^2.0", None),
        ("latest", None),
    ],
)
def test_constraints_are_what_poetry_means(text: str, expected: str | None) -> None:
    assert bound(text) == expected


def test_dependencies_with_their_groups_extras_and_markers() -> None:
    text = """
[tool.poetry.dependencies]
python = ">=3.9,<3.12"
numpy = "^1.26"
scikit-learn = { version = "1.4.2", extras = ["docs"] }
torch = [
  { version = "2.1.0", markers = "sys_platform == 'linux'" },
  { version = "2.0.0", markers = "sys_platform == 'darwin'" },
]
dataclasses = { version = "*", python = "<3.7" }
extra = { version = "1", optional = true }
own = { git = "https://git.example/own.git", rev = "abc" }
odd = "^1 || ^2"
[tool.poetry.group.train.dependencies]
mlflow = "*"
[tool.poetry.group.dev.dependencies]
pytest = "*"
[tool.poetry.group.big]
optional = true
[tool.poetry.group.big.dependencies]
tensorflow = "*"
"""
    found = read_poetry(load_toml(text))
    assert found.lines == (
        "numpy<2.0,>=1.26",
        "scikit-learn[docs]==1.4.2",
        'torch==2.1.0; sys_platform == "linux"',
        'torch==2.0.0; sys_platform == "darwin"',
        'dataclasses; python_version < "3.7"',
        "own @ git+https://git.example/own.git@abc",
        "odd",
        "mlflow",
    )
    assert found.loosened == ("odd ^1 || ^2",)


def test_a_document_of_anything_else_asks_for_nothing() -> None:
    for text in ("", "[tool.poetry]\ndependencies = 3\n", "[tool.poetry.group]\nx = 1\n"):
        assert read_poetry(load_toml(text)).lines == ()
