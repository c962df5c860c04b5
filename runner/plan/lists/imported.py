"""What the scripts of a training import from elsewhere, for an environment that its repository's own list describes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runner.plan.lists.import_names import NAMESPACES, NOT_ON_AN_INDEX
from runner.plan.lists.imports import Modules, distributions_of, follow, longest, standard_modules
from runner.schema.plan import ImportedModule
from runner.schema.snapshot import RepositorySnapshot


def imported_modules(
    snapshot: RepositorySnapshot, scripts: Sequence[str], folders: Sequence[str], python: str
) -> tuple[ImportedModule, ...]:
    """Return the modules that the scripts do not go on without, by their top-level names.

    `python` is the minor version whose standard library is left out. What the repository itself may have under a name,
    and what no index has, is left out too: nothing is to be concluded from its lack.
    """
    own, standard = Modules(snapshot), standard_modules(python)
    first = follow(snapshot, scripts, folders, at_once=True).outside
    found: dict[str, ImportedModule] = {}
    for name, path in sorted(follow(snapshot, scripts, folders).outside.items()):
        for module, distributions in _named(name):
            at_once = any(other == module or other.startswith(f"{module}.") for other in first)
            if module.partition(".")[0] not in standard and own.anywhere(module.partition(".")[0]) is None:
                found.setdefault(
                    module, ImportedModule(name=module, path=path, distributions=distributions, at_once=at_once)
                )
    return tuple(found.values())


def _named(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the module whose presence tells that of an import, with the distributions that have it if they are known.

    That is the top-level one, or what is known beneath a name that many distributions share.
    """
    top = name.partition(".")[0]
    if longest(NOT_ON_AN_INDEX, name) is not None:
        return
    if top not in NAMESPACES:
        yield top, distributions_of(top) or ()
    elif (distributions := distributions_of(name)) is not None:
        yield name, distributions
