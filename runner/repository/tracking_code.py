"""Whether a script of the commit could have logged its run: it, and what it imports of the repository."""

from __future__ import annotations

import re

from runner.repository.history import LONGEST_TEXT, read_contents
from runner.repository.mirror import Mirror
from runner.schema.snapshot import RepositorySnapshot

_TRACKING = re.compile(r"mlflow|wandb", re.IGNORECASE)
_IMPORT = re.compile(
    r"^\s*(?:from\s+(?P<base>[.\w]+)\s+import\s+(?P<names>[^#\n]+)|import\s+(?P<modules>[^#\n]+))", re.MULTILINE
)
_STARTS_OTHERS = re.compile(r"\b(?:subprocess|importlib|runpy|os\.system|os\.popen|__import__|exec)\b")


def mentions_tracking(source: str) -> bool:
    """Tell whether a source names MLflow or W&B at all."""
    return _TRACKING.search(source) is not None


def is_untracked(mirror: Mirror, snapshot: RepositorySnapshot, script: str) -> bool:
    """Tell whether neither a script of the commit nor any module of the repository that it imports names a tracker.

    A script that starts other code by name is taken to start any of the commit's.
    """
    modules = [entry.path for entry in snapshot.tree if entry.kind == "file" and entry.path.endswith(".py")]
    seen: set[str] = set()
    next_ones = {script}
    while next_ones:
        sources = read_contents(mirror, snapshot.commit, sorted(next_ones), LONGEST_TEXT)
        if sources.keys() != next_ones:
            return False  # what could not be read may name one
        seen |= next_ones
        texts = [source.decode(errors="replace") for source in sources.values()]
        if any(mentions_tracking(text) for text in texts):
            return False
        if any(_STARTS_OTHERS.search(text) for text in texts):
            next_ones = set(modules) - seen
            continue
        names = {name for text in texts for name in _imported(text)}
        next_ones = {path for path in modules if _names_of(path) & names} - seen
    return True


def _imported(source: str) -> set[str]:
    """Return the last parts of all that a source imports: as many modules as could be meant by them."""
    names: set[str] = set()
    for match in _IMPORT.finditer(source):
        for text in (match["base"], match["names"], match["modules"]):
            names |= set(re.findall(r"\w+", text or ""))
    if re.search(r"import\s*\([^)]*\)", source):
        names |= set(re.findall(r"\w+", " ".join(re.findall(r"import\s*\(([^)]*)\)", source))))
    return names


def _names_of(path: str) -> set[str]:
    parts = path.removesuffix(".py").split("/")
    return {parts[-2]} if parts[-1] == "__init__" and len(parts) > 1 else {parts[-1]}
