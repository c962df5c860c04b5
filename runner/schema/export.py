"""Writes the JSON Schemas of our documents: `python -m runner.schema.export docs/schemas`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from runner.schema.check import Check
from runner.schema.comparison import Comparison
from runner.schema.configuration import Configuration
from runner.schema.lineage import Lineage
from runner.schema.plan import Plan
from runner.schema.reproduction import Reproduction
from runner.schema.rerun import Rerun
from runner.schema.run_record import RunRecord

DOCUMENTS: dict[str, type[BaseModel]] = {
    "runner-yaml": Configuration,
    "run-record": RunRecord,
    "lineage": Lineage,
    "plan": Plan,
    "rerun": Rerun,
    "comparison": Comparison,
    "reproduction": Reproduction,
    "check": Check,
}
"""Every published document by the name of its schema's file."""


def schema_text(name: str) -> str:
    """Return the JSON Schema of a document as text: of what is written, for `runner-yaml` of what is read."""
    model = DOCUMENTS[name]
    schema = model.model_json_schema(mode="validation" if name == "runner-yaml" else "serialization")
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def export(folder: Path) -> None:
    """Write all schemas into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        (folder / f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the schemas to the folder that the command line names; return the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m runner.schema.export FOLDER\n")
        return 2
    export(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
