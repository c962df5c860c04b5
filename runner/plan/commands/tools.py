"""Names that a project's tools give to commands: scripts of pdm and rye in pyproject.toml, and of a Pipfile."""

from __future__ import annotations

import posixpath

from runner.plan.toml_text import load_toml, table
from runner.schema.snapshot import RepositorySnapshot

_TABLES = (("pyproject.toml", ("tool", "pdm", "scripts")), ("pyproject.toml", ("tool", "rye", "scripts")))


def tool_scripts(snapshot: RepositorySnapshot, folder: str) -> dict[str, str]:
    """Return the commands by name, of the project in `folder` before that at the root."""
    found: dict[str, str] = {}
    for place in dict.fromkeys((folder, ".")):
        for name, keys in (*_TABLES, ("Pipfile", ("scripts",))):
            document = load_toml(snapshot.texts.get(posixpath.normpath(posixpath.join(place, name))))
            for script, body in table(document, *keys).items():
                command = body.get("cmd") if isinstance(body, dict) else body
                if isinstance(command, list) and all(isinstance(word, str) for word in command):
                    command = " ".join(command)
                if isinstance(command, str):
                    found.setdefault(str(script), command)
    return found
