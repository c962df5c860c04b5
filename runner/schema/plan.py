"""Plan: everything about a rerun that is decided before a container starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from runner.schema.base import Number, UtcTime, Value, canonical_digest
from runner.schema.digest import Digest
from runner.schema.invocation import Invocation
from runner.schema.lineage import Lineage, Provenance
from runner.schema.model_files import RegisteredModel
from runner.schema.snapshot import CommittedFile

Tolerance = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
"""A finite tolerance, not below zero."""

Allowance = Literal[
    "network",
    "build-network",
    "redate",
    "undated",
    "line-endings",
    "cached",
    "unfinished",
    "dirty",
    "evaluation",
    "existing",
    "cpu-torch",
    "policy",
]


class MetricPolicy(Value):
    """What is allowed for one metric; None means the policy's general value."""

    rtol: Tolerance | None = None
    atol: Tolerance | None = None
    last_only: bool = False
    ignore: bool = False


class Policy(Value):
    """The auditor's terms. abs(rerun - original) <= atol + rtol * abs(original), as numpy.isclose has it.

    `only` restricts the comparison to these metrics. `allow` is what the auditor lowered, `allow_existing` the paths
    of `--allow existing:PATH`. `inputs` maps datasets that the run read from a service to the files that hold them
    now, as the auditor says (VERDICTS rule 28). `source` tells where the terms come from.
    """

    rtol: Tolerance = 1e-6
    atol: Tolerance = 0.0
    metrics: dict[str, MetricPolicy] = {}
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow: tuple[Allowance, ...] = ()
    allow_existing: tuple[str, ...] = ()
    warm_start: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    require: Literal["identical", "reproduced"] | None = None
    require_complete: bool = False
    source: str = "default"

    def tolerance(self, metric: str) -> tuple[float, float]:
        """Return (rtol, atol) for a metric."""
        own = self.metrics.get(metric, MetricPolicy())
        return (
            self.rtol if own.rtol is None else own.rtol,
            self.atol if own.atol is None else own.atol,
        )


class Limits(Value):
    """What the training may use.

    `cpuset` is the engine's notation (`0-3`), None for all processors. `gpus` is docker's (`all`, `2`, `device=0,1`) or
    `none`; None where nobody asked and the run is not known to have used one.
    """

    timeout_s: Annotated[float, Field(gt=0)]
    timeout_source: str
    memory_bytes: Annotated[int, Field(gt=0)] | None = None
    cpuset: str | None = None
    gpus: str | None = None
    gpus_source: str | None = None
    pids: Annotated[int, Field(gt=0)] = 4096
    shm_bytes: Annotated[int, Field(gt=0)] = 1 << 30
    log_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    output_bytes: Annotated[int, Field(gt=0)] = 16 << 30


DEFAULT_PYTHON = "3.11"
"""What is taken where nothing asks for another."""

OF_IMAGE = "of the image"
"""Stands for the Python of an environment that is an image: it has its own."""


class RecordedImage(Value):
    """The image in which a run trained.

    `digest` is its id, or that of a registry; None where it is named by a tag alone. `source` says who names it;
    `by_auditor` is true where the auditor does.
    """

    reference: str
    digest: str | None
    source: str
    by_auditor: bool = False


class ImportedModule(Value):
    """A module that a script of the training, or one of the commit that it imports, does not go on without.

    `path` is that file, `distributions` have the module as far as that is known. `at_once` tells that starting the
    training imports it: it is in no function and under no condition.
    """

    name: str
    path: str
    distributions: tuple[str, ...] = ()
    at_once: bool = False


class EnvironmentSpec(Value):
    """The specification of the packages; the resolved lock is part of the Rerun.

    `source` says which in a phrase (`uv.lock at the commit`). `files` maps each path that takes part to its text at
    the commit; `lines` is what `main` asks for in the notation of requirement files, where it has another. `exact` is
    true where every package is pinned. `as_of` is the date after which uploads are not seen; None where the lock
    decides alone. `python` is a minor version such as `3.11`; `python_recorded` is the one of the best record, with its
    patch where that is told, None where none names one; `python` is a guess then, and may turn out to be one of
    `python_alternatives`, the likeliest first; `python_others` are all that bounds of the commit admit, to be offered
    where it cannot be had, the best first. `install_project` tells that the repository itself is a package to be built
    and installed; `repositories` are addresses of others that packages are built from. `constraints` are
    `NAME==VERSION` for what the files leave open, as `constraints_source` recorded it; what needs none of these
    packages does not get them. `recorded_overrides` are recorded versions in the place of others that the files ask
    for, `overrides` are the auditor's and win over all. `image` is the one that the training runs in as it is, with
    its own Python and packages: then nothing is resolved. `index_dates` is the digest of the upload times that the
    auditor brought for indexes that give none. `substitutions` are further ones that an allowance stands for, from
    `indexes` beside the repository's own; `left_out` are packages that only what they replace needs. `imports` is
    what the training imports: what the environment lacks of what is imported at once is added as of the day where
    `adds_imports` says so, and else is an error. `from_conda` are packages of conda's own part of a list: what the
    index lacks of these, and nothing imports, is left out.
    """

    kind: Literal[
        "uv.lock",
        "poetry.lock",
        "pdm.lock",
        "Pipfile.lock",
        "pylock.toml",
        "requirements",
        "pyproject",
        "conda",
        "setup",
        "imports",
        "image",
        "none",
    ]
    source: str
    root: str = "."
    main: str | None
    files: dict[str, str]
    lines: tuple[str, ...] = ()
    exact: bool
    as_of: UtcTime | None
    python: str
    python_source: str
    python_recorded: str | None = None
    python_alternatives: tuple[str, ...] = ()
    python_others: tuple[str, ...] = ()
    install_project: bool = False
    repositories: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    constraints_source: str | None = None
    recorded_overrides: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    image: RecordedImage | None = None
    index_dates: str | None = None
    substitutions: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    imports: tuple[ImportedModule, ...] = ()
    adds_imports: bool = False
    from_conda: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_lock(self) -> bool:
        """Tell whether a tool resolved it: it holds what its packages need in turn, for several platforms."""
        return self.kind in {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"}

    @property
    def tools_python(self) -> str:
        """The Python of the image that restores, collects and, unless the training has an image of its own, trains."""
        return self.python if self.image is None else DEFAULT_PYTHON

    def constrained(self, packages: Iterable[str]) -> int:
        """Return how many of these installed packages, by normalised names, have the version that was recorded."""
        recorded = (*self.constraints, *self.recorded_overrides)
        return len({line.partition("==")[0].partition("[")[0] for line in recorded} & set(packages))


GIVEN_BASE = "--base-image"
"""What `Images.base_origin` says of an image that the auditor named."""


class OfferedPackages(Value):
    """Debian packages that a file of the commit installs for its author; `source` says which file."""

    source: str
    names: tuple[str, ...]


class SystemPackages(Value):
    """Debian packages that the training's image has beyond its base.

    `names` are the auditor's, each perhaps with `=VERSION`, and `source` says where they were given. `offered` are for
    the auditor to choose from: nothing of them is used unasked.
    """

    names: tuple[str, ...] = ()
    source: str | None = None
    offered: tuple[OfferedPackages, ...] = ()


class Images(Value):
    """The images of a rerun; ids are content digests, None until `runner setup` made them.

    `base_origin` says how the base image was had: `--base-image`, `registry`, or `mmdebstrap SUITE`; `base_digest` is
    the registry's where it came from one, `base_id` the content id, which it keeps on another machine. `train` is what
    the training runs on where that is not `tools`: the image in which the run trained, or the tools image with the
    system packages, which `system_packages` maps to their versions with all that came along. `gpus` tells whether the
    engine can give a container any, None where no engine was asked.
    """

    base: str
    base_digest: str | None
    base_id: str | None = None
    base_origin: str
    tools: str
    tools_digest: str | None
    train: str | None = None
    train_digest: str | None = None
    system_packages: dict[str, str] = {}
    engine: str | None = None
    platform: str | None = None
    gpus: bool | None = None


class Remote(Value):
    """A DVC remote to restore from.

    `options` holds only keys of the positive list; for S3 `endpointurl` is the one that is asked, whoever named it.
    `confirmed_by` says who confirmed the place for credentials; None means that it is tried without. `in_commit` is
    the folder of the commit that is itself the remote.
    """

    name: str
    url: str
    source: str
    options: dict[str, str] = {}
    confirmed_by: str | None = None
    in_commit: str | None = None


class SuppliedFile(Value):
    """A file that the workspace gets from this host, since neither git nor a DVC remote holds its bytes.

    `kind` is `lfs` for a file of the commit in Git LFS, `input` for one that the auditor pinned; `dataset` is then what
    it stands for; `git` for one of the commit with other line endings. `source` says where the bytes are from.
    """

    kind: Literal["lfs", "input", "git"]
    path: str
    digest: Digest
    size_bytes: int | None = None
    source: str
    dataset: str | None = None


class SubmoduleSource(Value):
    """A submodule that the workspace has: the commit in it, and where it was fetched from, without credentials."""

    path: str
    commit: str
    place: str


class PointerEdit(Value):
    """A pointer file as the restored workspace gets it: rewritten, or created where the commit has none."""

    path: str
    text: str
    created: bool


class EarlierStage(Value):
    """A stage that is run before the training where no store holds what it makes.

    `outs` are absent before it runs, but for the `persistent`. Where the outs of `dvc.lock` are all that tells what the
    run had, `locked` has the digests of the dependencies that it names, and `stale` sentences on what else in it is not
    the commit's.
    """

    name: str
    file: str
    command: str
    working_directory: str
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    persistent: tuple[str, ...] = ()
    locked: dict[str, Digest] = {}
    stale: tuple[str, ...] = ()


class CodeChange(Value):
    """A commit after the run's own that changes a file which its command runs."""

    commit: str
    path: str
    seconds_after_start: Annotated[int, Field(ge=0)]


class ValuesElsewhere(Value):
    """A file at the commit whose values are not those that the run recorded, and the first commit in which they are."""

    path: str
    commit: str


class RunSummary(Value):
    """The original run in a line. `baseline_digest` binds the record that was read (VERDICTS rule 13)."""

    id: str
    uri: str
    experiment: str
    name: str | None
    status: str
    start_time: UtcTime | None
    duration_s: float | None
    baseline_digest: str


class Plan(Value):
    """What is to be rerun, and how.

    `registered` is the model whose run it is, where RUN named one; `invocation` is what was typed.
    `command` is one shell line, run by `bash -o pipefail -c` in `working_directory` (relative to the repository's
    root). `command_inferred` is true where no record or person gave it. `options_uncovered` names options of the
    script whose value nothing pins. `values_elsewhere` are files with other values than the run recorded, which another
    commit has. `params_given` are recorded params that whoever started the training logged as it handed them on
    (`mlflow run`), so that the training need not log them again. `variables` are environment variables of the training.
    `expected_outputs` are paths that must be absent before and written by the training. `needs` are paths that the
    training reads, so far as that is known, and `earlier_stages` what makes them, in the order in which they run.
    `committed` are files of the commit whose digest the run recorded. `prefetch` are commands of the auditor that fetch
    data before the training, with the network. `digest` covers what is rerun, `execution_digest` how. `gpu_recorded` is
    the sign by which the run is known to have used a GPU.
    """

    schema_version: Literal[1] = 1
    run: RunSummary
    invocation: Invocation = Invocation()
    registered: RegisteredModel | None = None
    lineage: Lineage
    command: str
    command_source: str
    command_inferred: bool
    recorded_command: str | None = None
    gpu_recorded: str | None = None
    code_changed: CodeChange | None = None
    options_uncovered: tuple[str, ...] = ()
    values_elsewhere: tuple[ValuesElsewhere, ...] = ()
    params_given: dict[str, str] = {}
    working_directory: str = "."
    environment: EnvironmentSpec
    system_packages: SystemPackages = SystemPackages()
    variables: dict[str, str] = {}
    policy: Policy
    limits: Limits
    images: Images
    remotes: tuple[Remote, ...] = ()
    pointer_edits: tuple[PointerEdit, ...] = ()
    supplied: tuple[SuppliedFile, ...] = ()
    submodules: tuple[SubmoduleSource, ...] = ()
    prefetch: tuple[str, ...] = ()
    committed: tuple[CommittedFile, ...] = ()
    expected_outputs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    earlier_stages: tuple[EarlierStage, ...] = ()
    reference_files: tuple[str, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    not_verified: tuple[str, ...] = ()
    digest: str = ""
    execution_digest: str = ""

    def sealed(self) -> Plan:
        """Return the plan with both digests computed from its other fields."""
        document = self.model_dump(mode="json")
        what = {
            "commit": document["lineage"]["commit"],
            "files": [{key: file[key] for key in ("path", "digest", "role")} for file in document["lineage"]["files"]],
            "run": document["run"]["id"],
            "baseline": document["run"]["baseline_digest"],
            "command": document["command"],
            "working_directory": document["working_directory"],
            "variables": document["variables"],
            "environment": {
                key: document["environment"][key]
                for key in ("kind", "files", "as_of", "python", "install_project", "overrides")
            },
            "policy": {key: value for key, value in document["policy"].items() if key != "source"},
        }
        given = ("constraints", "recorded_overrides", "lines", "index_dates", "image", "substitutions", "left_out")
        for key in given:
            if document["environment"][key]:
                what["environment"][key] = document["environment"][key]
        if self.params_given:
            what["params_given"] = document["params_given"]
        if self.lineage.patch is not None:
            what["patch"] = self.lineage.patch.sha256
        if self.system_packages.names:
            what["system_packages"] = document["system_packages"]["names"]
        pinned = [file.model_dump(mode="json") for file in self.supplied if file.kind != "lfs"]
        if pinned:
            what["supplied"] = [{"path": file["path"], "digest": file["digest"]} for file in pinned]
        if self.prefetch:
            what["prefetch"] = document["prefetch"]
        if self.earlier_stages:
            what["earlier_stages"] = document["earlier_stages"]
        if self.registered is not None:
            what["registered"] = self.registered.bound()
        how = {"limits": document["limits"], "images": document["images"], "remotes": document["remotes"]}
        digest = canonical_digest(what)
        return self.model_copy(
            update={"digest": digest, "execution_digest": canonical_digest({"what": digest, "how": how})}
        )
