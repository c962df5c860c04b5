"""Options that mean the same wherever they occur."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from runner.settings import Flags


class Common:
    """What every command shares, beside its own work. `debug` is read by the entry point too."""

    debug = False


def _set_debug(value: bool) -> bool:
    Common.debug = value
    return value


Text = Optional[str]  # noqa: UP045  # Typer evaluates it on Python 3.10 as well
Many = Optional[list[str]]  # noqa: UP045

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run id or unique prefix, runs:/ID, EXPERIMENT/RUN_NAME, models:/NAME/VERSION, models:/NAME@ALIAS, "
        "models:/m-ID, or the address of a run's page.",
    ),
]
Argv = Annotated[
    Many,
    typer.Argument(metavar="[-- CMD...]", help="The command to run instead of the recorded one.", show_default=False),
]

_LINEAGE = "Where the facts come from"
_POLICY = "Policy"
_LIMITS = "Limits"
_OUTPUT = "Output"

Tracker = Annotated[
    Text,
    typer.Option(
        "--tracker", "--tracking-uri", metavar="URI", help="The tracker's store. [env: MLFLOW_TRACKING_URI]",
        rich_help_panel=_LINEAGE, show_default=False,
    ),
]  # fmt: skip
RegistryUri = Annotated[
    Text,
    typer.Option(
        "--registry-uri", metavar="URI", help="The model registry, if not the tracker's. [env: MLFLOW_REGISTRY_URI]",
        rich_help_panel=_LINEAGE, show_default=False,
    ),
]  # fmt: skip
RunOfModel = Annotated[
    Text,
    typer.Option("--run", metavar="RUN", help="The run of a model that names none.", rich_help_panel=_LINEAGE),
]
Repo = Annotated[
    Text, typer.Option("--repo", metavar="URL|PATH", help="The git repository of the run.", rich_help_panel=_LINEAGE)
]
Commit = Annotated[
    Text, typer.Option("--commit", metavar="SHA", help="The commit of the run.", rich_help_panel=_LINEAGE)
]
Remote = Annotated[
    Text,
    typer.Option("--remote", metavar="NAME|URL", help="The DVC remote to restore from.", rich_help_panel=_LINEAGE),
]
Pull = Annotated[
    Text,
    typer.Option("--pull", metavar="needed|all", help="How much of what DVC names.", rich_help_panel=_LINEAGE),
]
Command = Annotated[
    Text,
    typer.Option("--command", metavar="LINE", help="The training command, as a shell line.", rich_help_panel=_LINEAGE),
]
Python = Annotated[
    Text, typer.Option("--python", metavar="X.Y", help="The Python minor version.", rich_help_panel=_LINEAGE)
]
Pointer = Annotated[
    Many,
    typer.Option(
        "--pointer", metavar="DIGEST=PATH", help="Which path a digest belongs to.", rich_help_panel=_LINEAGE,
    ),
]  # fmt: skip
WarmStart = Annotated[
    Many,
    typer.Option(
        "--warm-start", metavar="PATH", help="A recorded output to start from.", rich_help_panel=_LINEAGE,
    ),
]  # fmt: skip
With = Annotated[
    Many,
    typer.Option("--with", metavar="PKG==V", help="Another version of one package.", rich_help_panel=_LINEAGE),
]
IndexDates = Annotated[
    Text,
    typer.Option(
        "--index-dates", metavar="FILE", help="Upload times, for an index that gives none.", rich_help_panel=_LINEAGE,
    ),
]  # fmt: skip
BaseImage = Annotated[
    Text, typer.Option("--base-image", metavar="REF", help="The Python base image to use.", rich_help_panel=_LINEAGE)
]
SystemPackages = Annotated[
    Many,
    typer.Option(
        "--system-packages", metavar="NAME,...", help="Debian packages for the training's image.",
        rich_help_panel=_LINEAGE,
    ),
]  # fmt: skip
Rtol = Annotated[Text, typer.Option("--rtol", metavar="X", help="Relative tolerance.", rich_help_panel=_POLICY)]
Atol = Annotated[Text, typer.Option("--atol", metavar="X", help="Absolute tolerance.", rich_help_panel=_POLICY)]
Metric = Annotated[
    Many, typer.Option("--metric", metavar="NAME", help="Compare these metrics only.", rich_help_panel=_POLICY)
]
Allow = Annotated[
    Many,
    typer.Option(
        "--allow", metavar="WHAT", help="Lower assurance: network, cached, dirty, ...", rich_help_panel=_POLICY,
    ),
]  # fmt: skip
Require = Annotated[
    Text,
    typer.Option("--require", metavar="identical|reproduced", help="Exit 1 below this.", rich_help_panel=_POLICY),
]
RequireComplete = Annotated[
    bool, typer.Option("--require-complete", help="Exit 1 if anything is not verified.", rich_help_panel=_POLICY)
]
PolicyFile = Annotated[
    Text, typer.Option("--policy", metavar="FILE", help="The auditor's policy.", rich_help_panel=_POLICY)
]
Timeout = Annotated[
    Text, typer.Option("--timeout", metavar="TIME", help="Of the training: 90s, 30m, 2h.", rich_help_panel=_LIMITS)
]
Memory = Annotated[Text, typer.Option("--memory", metavar="SIZE", help="As docker's.", rich_help_panel=_LIMITS)]
Cpus = Annotated[Text, typer.Option("--cpus", metavar="N", help="How many processors.", rich_help_panel=_LIMITS)]
PidsLimit = Annotated[Text, typer.Option("--pids-limit", metavar="N", help="As docker's.", rich_help_panel=_LIMITS)]
Gpus = Annotated[
    Text,
    typer.Option("--gpus", metavar="all|N|device=...", help="As docker's; or none.", rich_help_panel=_LIMITS),
]
ShmSize = Annotated[Text, typer.Option("--shm-size", metavar="SIZE", help="As docker's.", rich_help_panel=_LIMITS)]
LfsLimit = Annotated[
    Text, typer.Option("--lfs-limit", metavar="SIZE", help="Most to fetch from Git LFS: 2g.", rich_help_panel=_LIMITS)
]
Offline = Annotated[bool, typer.Option("--offline", help="Use what is there; reach no network.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the workspace and say how to look into it.")]
Out = Annotated[Text, typer.Option("--out", metavar="FOLDER", help="Where the evidence goes.", rich_help_panel=_OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_OUTPUT)]
All = Annotated[bool, typer.Option("--all", help="List every metric.", rich_help_panel=_OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel=_OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the training's log.", rich_help_panel=_OUTPUT)]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours.", rich_help_panel=_OUTPUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", callback=_set_debug, rich_help_panel=_OUTPUT)]


def typed(arguments: Mapping[str, Any]) -> Flags:
    """Return what was typed, from a command's own arguments (its `locals()`): those that settings know."""
    from runner.settings import Flags

    values = {**arguments, "argv": after_dashes(arguments["argv"]), "with_packages": arguments["with_"]}
    given = {name: value for name, value in values.items() if name in Flags.model_fields and value is not None}
    return Flags.model_validate(
        {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    )


def after_dashes(
    words: list[str] | None, remedy: str = "runner reproduce RUN -- {words}    to give the command"
) -> tuple[str, ...]:
    """Return the words of `-- CMD...`. Raises UsageError for further words without the dashes: a typing error."""
    import sys

    from runner.errors import UsageError

    given = len(sys.argv) - sys.argv.index("--") - 1 if "--" in sys.argv else 0
    before = (words or [])[: max(len(words or ()) - given, 0)]
    if before:
        raise UsageError(
            f"{' '.join(before)!r} is not understood",
            remedy.format(words=" ".join(words or ())),
        )
    return tuple(words or ())
