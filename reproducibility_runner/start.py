"""Begins the capture in a Python that starts: a start record, the audit hook, and a watch for MLflow's import.

Imported by the `.pth` file of an environment, by the entry points that MLflow loads, or both; does nothing unless the
variable REPRO_CAPTURE_DIR names a directory, or there is the one that a training's container has. The latter counts
where a command or a script starts a Python with an environment made anew, as `env -i` does.
"""

from __future__ import annotations

import os
import sys
import time

from reproducibility_runner import events, libraries, observe, places, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def begin(how: str) -> None:
    """Begin the capture, once per process; `how` says what loaded it."""
    directory = os.environ.get(places.CAPTURE_VARIABLE) or places.CAPTURE
    if session.writer is not None or not os.path.isdir(directory):
        return
    directory = os.environ[places.CAPTURE_VARIABLE] = os.path.abspath(directory)
    workspace = os.environ.setdefault(places.WORKSPACE_VARIABLE, _workspace(directory))
    writer = session.open_writer(directory)
    # MLflow 3 reports usage to a host of its own, which would stand among those that the training tried.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    inherited = {places.CAPTURE_VARIABLE: directory, places.WORKSPACE_VARIABLE: workspace}
    observed = observe.install(writer, workspace, inherited)
    libraries.watch(writer)
    _count_processors()
    kind, name = _program()
    writer.append(
        "start",
        {
            "ppid": os.getppid(),
            "time_ns": int(time.time() * 1e9),
            "kind": kind,
            "name": name,
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "loaded_by": how,
            "observed": observed,
        },
    )
    sys.meta_path.insert(0, _Watch())


def _count_processors() -> None:
    """Have `os.cpu_count()` tell the CPU set, which it does not see, as PYTHON_CPU_COUNT has it from Python 3.13 on."""
    count = os.environ.get("PYTHON_CPU_COUNT", "")
    if sys.version_info < (3, 13) and count.isdigit() and int(count) > 0:
        os.cpu_count = lambda: int(count)


def _workspace(directory: str) -> str:
    if directory == places.CAPTURE:
        return places.WORKSPACE
    try:
        return os.getcwd()
    except OSError:  # the working directory is gone
        return directory


def _program() -> tuple[str, str]:
    """Return what kind of program this is and its name; never its arguments, which may hold secrets."""
    arguments = list(getattr(sys, "orig_argv", ()))
    if not arguments:
        try:
            with open("/proc/self/cmdline", "rb") as file:
                arguments = [os.fsdecode(argument) for argument in file.read().split(b"\0")[:-1]]
        except OSError:
            return "unknown", ""
    rest = iter(arguments[1:])
    for argument in rest:
        if argument in ("-X", "-W", "--check-hash-based-pycs"):
            next(rest, None)
        elif argument.startswith("-") and not argument.startswith("--") and argument != "-":
            if "c" in argument:
                return "command", ""
            if "m" in argument:
                return "module", events.short(argument.partition("m")[2] or next(rest, ""))
        elif not argument.startswith("-"):
            return "script", events.short(os.path.basename(argument))
    return "stdin", ""


_WANDB = {
    "wandb.sdk.wandb_init": "claim_init",
    "wandb.sdk.wandb_login": "claim_login",
    "wandb.sdk.wandb_run": "claim_run",
    "wandb.apis.public": "claim_api",
    "wandb.apis.public.api": "claim_api",
    "wandb.sdk.wandb_sweep": "claim_sweep",
    "wandb.wandb_agent": "claim_sweep",
    "wandb.sdk.artifacts.artifact": "claim_artifact",
    "wandb.sdk.wandb_artifacts": "claim_artifact",
}


class _Watch:
    """Stands first among the finders, to act right after a few modules of MLflow and of W&B have been loaded.

    Entry points alone would do, but a program may rearrange `sys.path` so that they are not found, and other plugins
    may claim the same schemes.
    """

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[Any], None]] = {
            "mlflow.store.tracking.abstract_store": _watch_stores,
            "mlflow.store.model_registry.abstract_store": _watch_stores,
            "mlflow.tracking._tracking_service.utils": _claim_tracking,
            "mlflow.tracking._model_registry.utils": _claim_registry,
            "mlflow.store.artifact.artifact_repository_registry": _claim_artifacts,
            "wandb": _note_wandb,
            **dict.fromkeys(_WANDB, _claim_wandb),
        }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find one of the watched modules as the other finders do, and wrap its loader."""
        action = self._actions.get(name)
        if action is None:
            return None
        if name == "wandb":
            _prepare_wandb()
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    _act_after(spec.loader, action)
                return spec
        return None


def _act_after(loader: Any, action: Callable[[Any], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        try:
            action(module)
        except Exception as error:  # noqa: BLE001  # the training goes on; the report says what is missing
            session.problem(f"the capture could not attach itself to {module.__name__}: {error!r}")

    try:
        loader.exec_module = exec_module
    except AttributeError:
        session.problem(f"the capture could not watch how {type(loader).__name__} loads a module of the tracker")


def _note_wandb(_: Any) -> None:
    session.record("wandb", {})


def _prepare_wandb() -> None:
    from reproducibility_runner import wandb_runs

    wandb_runs.prepare()


def _claim_wandb(module: Any) -> None:
    from reproducibility_runner import wandb_runs

    getattr(wandb_runs, _WANDB[module.__name__])(module)


def _watch_stores(module: Any) -> None:
    """Write a problem for each store that is made and is not ours."""
    made = module.AbstractStore.__init__

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: N807
        kind = type(self)
        if not getattr(kind, "reproducibility_runner", False):
            session.problem(f"the training used a store that is not captured: {kind.__module__}.{kind.__qualname__}")
        made(self, *arguments, **options)

    __init__.__wrapped__ = made  # type: ignore[attr-defined]
    module.AbstractStore.__init__ = __init__


def _claim_tracking(module: Any) -> None:
    from reproducibility_runner import tracking

    tracking.claim(module)


def _claim_registry(module: Any) -> None:
    from reproducibility_runner import registry

    registry.claim(module)


def _claim_artifacts(module: Any) -> None:
    from reproducibility_runner import artifacts

    artifacts.claim(module)
