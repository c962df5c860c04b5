"""RunRecord: what the tracker knows of one historical run, with full metric histories."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from runner.schema.base import Number, UtcTime, Value
from runner.schema.digest import Digest


class StoreKind(str, Enum):
    """The kind of store that a record was read from; it decides the canonical form of values (VERDICTS rule 3)."""

    MLFLOW_FILE = "mlflow-file"
    MLFLOW_SQLITE = "mlflow-sqlite"
    MLFLOW_HTTP = "mlflow-http"
    WANDB_FILE = "wandb-file"
    WANDB_API = "wandb-api"

    @property
    def is_wandb(self) -> bool:
        """Whether W&B kept the run."""
        return self.value.startswith("wandb-")


UNFINISHED = frozenset({"RUNNING", "SCHEDULED"})
"""Statuses of a run that may still change (VERDICTS rule 13)."""

CONTINUED = "wandb.continued"
"""The tag of ours that says in words that a run of W&B goes on from an earlier one (VERDICTS rule 14)."""


class MetricPoint(Value):
    """One logged value of a metric."""

    step: int
    timestamp_ms: int
    value: Number


class MetricHistory(Value):
    """All logged values of a metric, in the order in which the store returns them.

    `complete` is false where the store may have cut or sampled it.
    """

    name: str
    points: tuple[MetricPoint, ...]
    complete: bool = True


class Artifact(Value):
    """A file beneath the run's artifact root; `size_bytes` and `digest` are None where the store does not tell."""

    path: str
    size_bytes: int | None = None
    digest: Digest | None = None


class DatasetInput(Value):
    """A dataset that the run logged with `mlflow.log_input`; the digest is MLflow's own, of unknown algorithm."""

    name: str
    digest: str
    context: str | None = None
    source: str | None = None


class TextFile(Value):
    """A small text file that tells of the run's environment or command, such as a logged model's `requirements.txt`."""

    path: str
    text: str


class RunRecord(Value):
    """What the tracker knows of a run.

    `uri` is the tracker's address without credentials, `artifact_root` the recorded one, which may name a path of
    another machine. Times are None where the store has none. `params_truncated` names the params whose text has the
    length at which the store cuts. `siblings` are the ids of all runs of the same parent, this one included, in order
    of start; empty where they were not looked for (VERDICTS rule 12). `model_sources` are the scripts that MLflow noted
    with the models which the run logged (since MLflow 3). `notes` are sentences on what could not be read
    whole. `experiment_name` is the id where the store lost the name. `patches` are W&B's: changes that no
    commit held, or none that was pushed.
    """

    schema_version: Literal[1] = 1
    run_id: str
    uri: str
    store: StoreKind
    experiment_id: str
    experiment_name: str
    name: str | None
    status: str
    lifecycle_stage: str = "active"
    start_time: UtcTime | None
    end_time: UtcTime | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: tuple[MetricHistory, ...]
    artifact_root: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    dataset_inputs: tuple[DatasetInput, ...] = ()
    environment_files: tuple[TextFile, ...] = ()
    patches: tuple[TextFile, ...] = ()
    params_truncated: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()
    model_sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def experiment_is_named(self) -> bool:
        """Whether the store knows the name of the experiment; a project of W&B's has its name for an id."""
        return self.store.is_wandb or self.experiment_name not in ("", self.experiment_id)

    @property
    def parent_run_id(self) -> str | None:
        """The run that this one is nested in, if any."""
        return self.tags.get("mlflow.parentRunId")
