"""The options that a script declares: one module per library, `read.py` over them all."""

from runner.plan.options.interface import Option, ScriptInterface
from runner.plan.options.read import read_interface

__all__ = ["Option", "ScriptInterface", "read_interface"]
