"""Runs of Weights & Biases in a training that is recorded: tags go into their config, at the end the model's digest.

W&B loads no plugins, and takes a config from others by a file in the working directory alone, which is the user's. So
its `init` is wrapped right after its module has been loaded.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import sys

from reproducibility_runner.recording import facts, pointers, session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INIT = "wandb.sdk.wandb_init"
_tagged = set()  # type: set[str]


def watch() -> None:
    """Wrap `wandb.init`, at once where it has been imported, else as soon as it is; only in a recorded training."""
    if not os.environ.get(session.VARIABLE):
        return
    loaded = sys.modules.get(_INIT)
    if loaded is None:
        sys.meta_path.insert(0, _Watch())
        return
    original = loaded.init
    _wrap(loaded)
    for name in ("wandb", "wandb.sdk"):
        module = sys.modules.get(name)
        if getattr(module, "init", None) is original:
            module.init = loaded.init  # type: ignore[union-attr]


class _Watch:
    """Stands first among the finders, to act right after W&B's module has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find it as the other finders do, and have its loader wrap what it has loaded."""
        if name != _INIT:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                _wrap_after(spec.loader)
                return spec
        return None


def _wrap_after(loader: Any) -> None:
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: Any) -> None:
        execute(module)
        with contextlib.suppress(Exception):  # a training goes on without its tags
            _wrap(module)

    with contextlib.suppress(AttributeError):
        loader.exec_module = exec_module


def _wrap(module: Any) -> None:
    init = module.init

    @functools.wraps(init)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        run = init(*arguments, **options)
        with contextlib.suppress(Exception):  # a training goes on without its tags
            _tag(run)
        return run

    module.init = wrapped


def _tag(run: Any) -> None:
    """Put the tags beneath what the script has in its config; called again for the same run by a second `init`."""
    folder = os.environ.get(session.VARIABLE)
    if not folder or run is None or str(run.id) in _tagged:
        return
    _tagged.add(str(run.id))
    tags = session.tags_of_process()
    run.config.update({name: value for name, value in tags.items() if name not in run.config})
    session.note(folder, {"run": str(run.id), "tracker": "wandb"})
    # At exit W&B ends a run without a call of the run's own; what is registered last is called first.
    atexit.register(_log_models_quietly, run)
    if not hasattr(type(run).finish, "reproducibility_runner"):
        _log_models_before_finish(type(run))


def _log_models_before_finish(kind: Any) -> None:
    finish = kind.finish

    @functools.wraps(finish)
    def wrapped(run: Any, *arguments: Any, **options: Any) -> Any:
        _log_models_quietly(run)
        return finish(run, *arguments, **options)

    wrapped.reproducibility_runner = True  # type: ignore[attr-defined]
    kind.finish = wrapped


def _log_models_quietly(run: Any) -> None:
    with contextlib.suppress(Exception):  # a run ends without the digest
        _log_models(run)


def _log_models(run: Any) -> None:
    """Log the digests of the models that were written by now."""
    folder = os.environ[session.VARIABLE]
    with open(os.path.join(folder, session.MODELS), encoding="utf-8") as file:
        models = json.load(file)
    digests = {}
    for path, before in models.items():
        now = pointers.fingerprint(path)
        if now is not None and list(now) != before:
            digests[path] = pointers.digest_of(path)
    tags = facts.digest_tags(_from_root(digests), facts.MODEL_TAG)
    if tags and run.config.get(facts.MODEL_TAG) != tags[facts.MODEL_TAG]:
        run.config.update(tags, allow_val_change=True)
        session.note(folder, {"run": str(run.id), "tracker": "wandb", "model": True})


def _from_root(digests: dict[str, str]) -> dict[str, str]:
    from reproducibility_runner.recording import git_state

    found = {}
    for path, digest in digests.items():
        root = git_state.root_of(os.path.dirname(path))
        found[os.path.relpath(os.path.realpath(path), root).replace(os.sep, "/")] = digest
    return found
