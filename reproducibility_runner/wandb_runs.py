"""Has W&B keep every run of a training in its own offline files, in a place of ours, whatever its script asks for.

Nothing of a run is taken from here: W&B writes its `.wandb` file, which is read afterwards. Only what no file tells is
recorded as an event: when a run began and ended among all else, whether it was to continue an earlier one, and what
the training wanted to read of the service, which this rerun did not make.
"""

from __future__ import annotations

import functools
import inspect
import os

from reproducibility_runner import session
from reproducibility_runner.events import WANDB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DISABLED = "disabled"
_VARIABLES = {
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",  # to a host of its own, which would stand among those that the training tried
    "WANDB__DISABLE_STATS": "true",
    "WANDB_X_DISABLE_STATS": "true",
}
_NOT_UPLOADED = ("ArtifactNotLoggedError", "AttributeError", "ValueError")  # of newer versions first
_CONTINUES = ("fork_from", "resume_from")


def prepare() -> None:
    """Set the variables that W&B reads as it is imported."""
    if os.environ.get("WANDB_MODE") != _DISABLED:
        os.environ["WANDB_MODE"] = "offline"
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)


def claim_init(module: Any) -> None:
    """Put ours in the place of `wandb.init`."""
    original = module.init
    signature = inspect.signature(original)

    @functools.wraps(original)
    def init(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options).arguments
        if _mode(bound) == _DISABLED:
            return original(*arguments, **options)
        continues = _offline(bound, signature.parameters)
        run = original(**bound)
        _record(run, continues)
        return run

    module.init = init


def claim_login(module: Any) -> None:
    """Let a training log in to nothing."""

    @functools.wraps(module.login)
    def login(*_: Any, **__: Any) -> bool:
        return True

    module.login = login


def claim_run(module: Any) -> None:
    """Watch runs end, and what they read of the service."""
    run = module.Run
    _watch_end(run)
    for name in ("use_artifact", "use_model", "restore"):
        if hasattr(run, name):
            setattr(run, name, _reading(f"wandb {name}", getattr(run, name)))
    if hasattr(module, "restore"):
        module.restore = _reading("wandb restore", module.restore)


def claim_api(module: Any) -> None:
    """Let the public API, through which other runs are read, reach nothing."""
    api = getattr(module, "Api", None)
    if api is None or hasattr(api, "reproducibility_runner"):
        return
    api.reproducibility_runner = True

    def __init__(self: Any, *_: Any, **__: Any) -> None:  # noqa: ARG001, N807
        from wandb.errors import CommError

        session.record_read("wandb.Api", "runs or artifacts of the service")
        raise CommError("a rerun reads nothing of W&B's service")

    api.__init__ = __init__


def claim_sweep(module: Any) -> None:
    """Let no sweep be made, and none be asked for what to train with."""
    for name in ("sweep", "agent"):
        if callable(getattr(module, name, None)):
            setattr(module, name, _refusing(f"wandb.{name}", getattr(module, name)))


def claim_artifact(module: Any) -> None:
    """Let nobody wait for the upload of an artifact that a run logged offline: it has been kept."""
    wait = module.Artifact.wait

    @functools.wraps(wait)
    def waiting(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return wait(self, *arguments, **options)
        except Exception as error:
            if type(error).__name__ not in _NOT_UPLOADED:
                raise
            return self

    module.Artifact.wait = waiting


def _mode(bound: Any) -> Any:
    """Return the mode that the training asked for, None where it did not."""
    settings = bound.get("settings")
    asked = settings.get("mode") if isinstance(settings, dict) else getattr(settings, "mode", None)
    return bound.get("mode") or (asked if asked == _DISABLED else None) or os.environ.get("WANDB_MODE")


def _offline(bound: Any, known: Any) -> bool:
    """Change the arguments of `wandb.init` so that it stays here; tell whether it was to continue an earlier run."""
    continues = bound.get("resume") == "must" or any(bound.get(name) for name in _CONTINUES)
    for name in ("resume", "force", "anonymous", *_CONTINUES):
        bound.pop(name, None)
    settings = bound.get("settings")
    if isinstance(settings, dict):
        ours = ("mode", "root_dir", "resume", "fork_from", "resume_from")
        bound["settings"] = {name: value for name, value in settings.items() if name not in ours}
    place = _place()
    bound["mode"] = "offline"
    if "dir" in known:
        bound["dir"] = place
    return continues


def _place() -> str:
    writer = session.writer
    assert writer is not None  # noqa: S101  # nothing is claimed before
    place = os.path.join(os.path.realpath(writer.directory), WANDB)
    os.makedirs(place, exist_ok=True)
    return place


def _record(run: Any, continues: bool) -> None:
    """Note that a run began; one that goes on in this process, or that a test made, began before."""
    try:
        folder = str(run._settings.sync_dir)
        place = os.path.dirname(os.path.dirname(os.path.realpath(folder)))
        if place != _place():
            session.problem("W&B keeps a run of the training elsewhere than the capture told it to")
        session.record("wandb run", {"folder": os.path.basename(folder), "continues": continues})
    except Exception as error:  # noqa: BLE001  # the training goes on; the report says what is missing
        session.problem(f"the capture could not tell where W&B keeps a run: {error!r}")


def _watch_end(run: Any) -> None:
    finish = run.finish

    @functools.wraps(finish)
    def finishing(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return finish(self, *arguments, **options)
        finally:
            try:
                session.record("wandb ended", {"folder": os.path.basename(str(self._settings.sync_dir))})
            except Exception as error:  # noqa: BLE001
                session.problem(f"the capture could not tell which run of W&B ended: {error!r}")

    run.finish = finishing


def _reading(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def reading(*arguments: Any, **options: Any) -> Any:
        named = [text for text in (*arguments, *options.values()) if isinstance(text, str)]
        session.record_read(what, ", ".join(named[:2]))
        return function(*arguments, **options)

    return reading


def _refusing(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def refusing(*_: Any, **__: Any) -> Any:
        from wandb.errors import CommError

        session.record_read(what, "of the service")
        raise CommError("a rerun reads nothing of W&B's service")

    return refusing
