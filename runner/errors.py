"""Every error that a user can meet, in one tree.

    RunnerError
    ├── UsageError                 2   nothing was run: usage, configuration, no run matches
    │   ├── RunNotFound
    │   ├── AmbiguousRun
    │   ├── NotAStore
    │   └── InvalidConfiguration
    ├── MissingFact                3   a fact is missing; becomes the verdict `unverifiable`
    │   ├── AmbiguousFact
    │   ├── NotAuditable
    │   └── NotByThen
    ├── InfrastructureError        5   something refused or timed out; may be tried again, never a verdict
    │   ├── EngineUnavailable
    │   ├── ImageUnavailable
    │   ├── TrackerUnavailable
    │   ├── RepositoryUnavailable
    │   ├── RemoteUnavailable
    │   ├── IndexUnavailable
    │   └── DiskFull
    ├── Interrupted                130, 143, 129
    └── InternalError              70  our own bug

Each carries one sentence of cause and one of remedy (best: a command that can be pasted), and texts that enter them
hold no secrets: pass anything that came from outside through `runner.redact` first.
"""

from __future__ import annotations

import signal
from typing import ClassVar


class RunnerError(Exception):
    """Base of all: a cause, a remedy, an exit code and whether trying again may help."""

    exit_code: ClassVar[int] = 70
    kind: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        # The default replays `args`, which lack the remedy.
        return (type(self), (self.cause, self.remedy))


class UsageError(RunnerError):
    """Nothing was run, because what was asked for cannot be meant."""

    exit_code = 2
    kind = "usage"


class RunNotFound(UsageError):
    """No run matches the reference."""

    kind = "run-not-found"


class AmbiguousRun(UsageError):
    """Several runs match the reference; the cause lists them."""

    kind = "ambiguous-run"


class NotAStore(UsageError):
    """The tracker's path holds no store of a kind that we read."""

    kind = "not-a-store"


class InvalidConfiguration(UsageError):
    """`runner.yaml`, a policy file or a flag has a value that is not allowed."""

    kind = "invalid-configuration"


class MissingFact(RunnerError):
    """A fact that the rerun needs is missing or gone for good: the verdict is `unverifiable`.

    `fact` names it in a word (`commit`, `data`, `command`, `environment` ...), `looked_in` lists where it was looked
    for, `nearest` what came close, in sentences for the report.
    """

    exit_code = 3
    kind = "missing-fact"

    def __init__(
        self,
        cause: str,
        remedy: str,
        *,
        fact: str,
        looked_in: tuple[str, ...] = (),
        nearest: tuple[str, ...] = (),
    ) -> None:
        super().__init__(cause, remedy)
        self.fact = fact
        self.looked_in = looked_in
        self.nearest = nearest

    def __reduce__(self) -> tuple[object, ...]:
        return (_missing_fact, (type(self), self.cause, self.remedy, self.fact, self.looked_in, self.nearest))


def _missing_fact(
    kind: type[MissingFact], cause: str, remedy: str, fact: str, looked_in: tuple[str, ...], nearest: tuple[str, ...]
) -> MissingFact:
    return kind(cause, remedy, fact=fact, looked_in=looked_in, nearest=nearest)


class AmbiguousFact(MissingFact):
    """Several values are equally good for a fact; `nearest` lists them, ready to paste."""

    kind = "ambiguous-fact"


class NotAuditable(MissingFact):
    """A training that is to be recorded would leave a run that lacks something (`runner record --strict`)."""

    kind = "not-auditable"


class NotByThen(MissingFact):
    """The packages of the run's day cannot be had, and those of a later day perhaps can (`--allow redate`)."""

    kind = "not-by-then"


class InfrastructureError(RunnerError):
    """Engine, tracker, repository, remote or index refused, timed out or was not found by name."""

    exit_code = 5
    kind = "infrastructure"
    retryable = True


class EngineUnavailable(InfrastructureError):
    """No container engine answers, or it broke off."""

    kind = "engine-unavailable"


class ImageUnavailable(InfrastructureError):
    """An image that reruns need could not be made or pulled."""

    kind = "image-unavailable"


class TrackerUnavailable(InfrastructureError):
    """The tracker refused, timed out or was not found by name."""

    kind = "tracker-unavailable"


class RepositoryUnavailable(InfrastructureError):
    """The repository refused, timed out or was not found by name."""

    kind = "repository-unavailable"


class RemoteUnavailable(InfrastructureError):
    """The DVC remote refused, timed out or was not found by name."""

    kind = "remote-unavailable"


class IndexUnavailable(InfrastructureError):
    """The package index refused, timed out or was not found by name."""

    kind = "index-unavailable"


class DiskFull(InfrastructureError):
    """No space is left on a volume or folder that the rerun writes to."""

    kind = "disk-full"


class Interrupted(RunnerError):
    """A signal asked us to stop; everything started has been stopped and removed."""

    kind = "interrupted"
    retryable = True

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(f"stopped by {name}", "run the same command again; the caches are kept")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number  # type: ignore[misc]  # depends on the signal: 130, 143 or 129

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.signal_number,))


class InternalError(RunnerError):
    """A bug of ours; `--debug` shows the traceback."""
