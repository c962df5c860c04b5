"""Rerun: what happened when the plan was carried out, as it was observed, before anything is compared."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from runner.schema.base import Number, UtcTime, Value
from runner.schema.digest import Digest


class Ending(str, Enum):
    """How the training's container ended."""

    FINISHED = "finished"  # exit status 0
    CRASHED = "crashed"  # exit status not 0
    OUT_OF_MEMORY = "out of memory"  # a process in it was killed for memory, whatever the exit status
    OUT_OF_PROCESSES = "out of processes"  # exit status not 0, after one could not be started
    KILLED = "killed"  # from outside, perhaps for memory: nobody could tell
    TIMED_OUT = "timed out"
    WROTE_TOO_MUCH = "wrote too much"  # more than the plan's limit; ended for it, or found so afterwards


class CapturedPoint(Value):
    """One value that the training logged; `sequence` orders all events of the rerun, over all its processes."""

    sequence: int
    name: str
    value: Number
    step: int
    timestamp_ms: int


class CapturedFile(Value):
    """A file as it was logged.

    `text` is that of MLflow's own small texts within a model, until the host makes `parts` of it: see `ModelFile`.
    """

    md5: Digest
    sha256: Digest
    size_bytes: int
    parts: dict[str, str] | None = None
    text: str | None = None


class CapturedDataset(Value):
    """A dataset that the training said it was given (`mlflow.log_input`); the digest is MLflow's own."""

    name: str
    digest: str
    context: str | None = None


class CapturedRun(Value):
    """A run that the training made, as captured. `status` is None where it was never ended.

    `started` and `ended` are sequence numbers. `artifacts` are all files that were logged, by their paths. `experiment`
    is None where the training named an experiment by its id alone, which `experiment_id` then holds. Of a run of W&B's
    the experiment is the project, and its values have numbers after those of all events.
    """

    tracker: Literal["mlflow", "wandb"] = "mlflow"
    run_id: str
    experiment: str | None
    experiment_id: str | None = None
    name: str | None
    status: str | None
    parent_run_id: str | None
    resumed: bool
    started: int
    ended: int | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: tuple[CapturedPoint, ...]
    artifacts: dict[str, CapturedFile] = {}
    datasets: tuple[CapturedDataset, ...] = ()


class CapturedModel(Value):
    """A model that the training logged, with its files by their paths within the model.

    `model_id` is MLflow 3's; before, a model was a folder among its run's artifacts, which is then its `name`.
    `run_id` is None for a model that was logged outside any run.
    """

    model_id: str | None
    run_id: str | None
    name: str
    files: dict[str, CapturedFile] = {}


class RegisteredVersion(Value):
    """A version that the training registered: which model it points at, and that model's files.

    The model is `model_id` (MLflow 3), or the folder `path` among the artifacts of `run_id`; all three are None, and
    there are no files, where it was made from what the rerun did not log. `stage` and `aliases` are the last given.
    """

    name: str
    version: str
    run_id: str | None
    model_id: str | None
    path: str | None
    stage: str | None = None
    aliases: tuple[str, ...] = ()
    files: dict[str, CapturedFile] = {}


class TrackerRead(Value):
    """A read of tracker or registry that missed in the scratch store (VERDICTS rule 15)."""

    sequence: int
    what: str
    detail: str


class LoadedLibrary(Value):
    """A library of linear algebra, OpenMP or CUDA that the training had loaded when it ended.

    `name` is its file with the folder around it. `threads` are those that it uses; `kernel` is the processor that
    OpenBLAS chose its code for, `version` what it says of itself; None where the library does not tell.
    """

    name: str
    threads: int | None = None
    kernel: str | None = None
    version: str | None = None


class CaptureReport(Value):
    """All that the capture wrote, and whether it can be trusted to be whole.

    `processes` counts the Python processes that loaded it, `mlflow_processes` and `wandb_processes` those that
    imported MLflow and W&B;
    `files_absent` were opened for reading, and neither there nor made by the training;
    `libraries`, `variables` (of the environment, those that can move numbers) and `gpus` are as its processes ended;
    `unobserved` are sentences on files and hosts that went unseen, which leaves the logged values whole;
    `problems` are sentences: truncated lines, limits reached, an MLflow process without a capture.
    """

    runs: tuple[CapturedRun, ...]
    models: tuple[CapturedModel, ...] = ()
    versions: tuple[RegisteredVersion, ...] = ()
    reads: tuple[TrackerRead, ...] = ()
    processes: int = 0
    mlflow_processes: int = 0
    wandb_processes: int = 0
    files_opened: tuple[str, ...] = ()
    files_opened_before_output: tuple[str, ...] = ()
    files_absent: tuple[str, ...] = ()
    hosts_tried: tuple[str, ...] = ()
    libraries: tuple[LoadedLibrary, ...] = ()
    variables: dict[str, str] = {}
    gpus: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unobserved: tuple[str, ...] = ()


class RestoredFile(Value):
    """A data or model file as it was restored and hashed by us.

    `place` tells where it was put: in the workspace, or aside as a reference. `held_by` names the remote that holds
    it, or `cache` where only our cache did. `digest` is ours, over the bytes. `opened` is None where it could not be
    observed. `unchanged` is None before training ended. `mended` says how line endings were changed, so that the bytes
    have the recorded digest. `rebuilt_by` is the stage that made it, where no store holds it; `expected` is then what
    `dvc.lock` names, None where nothing does.
    """

    path: str
    expected: Digest | None
    digest: Digest | None
    sha256: str | None
    size_bytes: int | None
    role: Literal["input", "output", "unknown"]
    place: Literal["workspace", "reference", "missing"]
    held_by: str | None
    opened: bool | None = None
    unchanged: bool | None = None
    mended: str | None = None
    rebuilt_by: str | None = None


class PrefetchedFile(Value):
    """A file that the auditor's `prefetch` commands left; one of the home folder begins with `~/`."""

    path: str
    sha256: str
    size_bytes: int


class OutputFile(Value):
    """A file that was there after training, within the outputs that are looked at.

    `written` is true where it was absent before training, or had another inode or ctime (VERDICTS rule 17).
    """

    path: str
    digest: Digest
    sha256: str | None
    size_bytes: int
    written: bool


class PreExistingResult(Value):
    """A file of the commit that the training used and that holds a result; `why` tells how it shows (rule 18)."""

    path: str
    why: str


class ResolvedEnvironment(Value):
    """The environment that trained. `packages` maps normalised names to versions; `lock` is the resolved text.

    `as_of` is the moment whose packages these are, `build_as_of` that of what building asked for; None where a lock
    decided, or the packages were not dated. `redated` says why they are not those of the run's own day.
    """

    key: str
    python: str
    lock: str
    packages: dict[str, str]
    built_from_source: tuple[str, ...] = ()
    cached: bool
    notes: tuple[str, ...] = ()
    as_of: UtcTime | None = None
    build_as_of: UtcTime | None = None
    redated: str | None = None


class Hardware(Value):
    """Where it ran: what can move numbers without any of the inputs changing.

    `compiler` is what the training's Python was built with; `cpu_flags` are sorted, `cpu_flags_digest` is of them.
    """

    platform: str
    cpu_model: str | None
    cpu_flags: tuple[str, ...] = ()
    cpu_flags_digest: str | None
    cpus: int
    libc: str | None
    compiler: str | None = None
    kernel: str | None


class Rerun(Value):
    """What happened. `timings` are seconds per phase: restore, provision, stages, train, collect.

    `stages_run` are the stages that ran before the training, each with its file. `doubts` are sentences on inputs that
    may not be what the run had, though nothing shows that they are not: a divergence then says nothing.
    """

    schema_version: Literal[1] = 1
    ending: Ending
    exit_code: int | None
    timings: dict[str, float]
    capture: CaptureReport
    inputs: tuple[RestoredFile, ...]
    outputs: tuple[OutputFile, ...]
    pre_existing: tuple[PreExistingResult, ...] = ()
    prefetched: tuple[PrefetchedFile, ...] = ()
    environment: ResolvedEnvironment
    hardware: Hardware
    remotes_asked: tuple[str, ...] = ()
    stages_run: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    log_tail: tuple[str, ...] = ()
    log_cut: bool = False
