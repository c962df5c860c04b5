"""The files of a model, by digest, and what a registry says of the version that holds them."""

from __future__ import annotations

from runner.schema.base import Value, canonical_digest
from runner.schema.digest import Digest


class ModelFile(Value):
    """A file of a model, its path relative to the model's folder.

    `parts` is there for the texts that MLflow itself writes into every model (MLmodel, conda.yaml, python_env.yaml):
    the digest of each of their top-level entries, without what differs each time a model is logged.
    """

    path: str
    sha256: Digest
    size_bytes: int
    parts: dict[str, str] | None = None


class ModelFiles(Value):
    """All files of a model, sorted by path."""

    files: tuple[ModelFile, ...]

    @property
    def digest(self) -> str:
        """`sha256:HEX` over all paths and bytes: changes with any of them."""
        return canonical_digest([[file.path, str(file.sha256)] for file in self.files])

    @property
    def content_digest(self) -> str:
        """`sha256:HEX` over all that is not written anew each time: the same for a model that is logged again."""
        return canonical_digest([[file.path, file.parts or str(file.sha256)] for file in self.files])


class RegisteredModel(Value):
    """A registered version, or a model that MLflow 3 logged, as it was when the plan was made (VERDICTS rule 9).

    `reference` is what was typed; `name` and `version` are what it led to, None for a logged model that is named by
    its id. `run_source` tells who names the run. `place` is where the registry says that the files are, `path` what
    the model is called among those of its run. `logged` are the files of the run's own logged model; None where
    `logged_note` says why they are not there, or that they are the registered files themselves (`same_place`).
    """

    reference: str
    registry: str
    name: str | None
    version: int | None
    alias: str | None = None
    stage: str | None = None
    model_id: str | None = None
    status: str | None = None
    run_id: str
    run_source: str
    place: str
    path: str | None
    artifact: ModelFiles
    same_place: bool
    logged: ModelFiles | None = None
    logged_note: str | None = None
    digest: str
    content_digest: str

    @property
    def title(self) -> str:
        """`fraud v7`, or the id of a logged model: for people."""
        return f"{self.name} v{self.version}" if self.name is not None else str(self.model_id)

    def bound(self) -> dict[str, object]:
        """Return what a plan's digest covers: which version was meant, and its bytes."""
        return {
            "name": self.name,
            "version": self.version,
            "alias": self.alias,
            "stage": self.stage,
            "model": self.model_id,
            "files": self.digest,
        }


class RegisteredComparison(Value):
    """The registered files, the run's own logged model and the rerun's, by the digest of their content.

    A digest is None where there is no such model, and what it would be compared with is None too. `rerun_models`
    counts those of the rerun, by content, that may be the registered one: `rerun` is there only if it is one.
    `differences` are sentences on the files in which the registered model and the rerun's differ, `circumstances` on
    those that are equal but for what MLflow writes anew each time.
    """

    reference: str
    title: str
    registered: str
    logged: str | None
    rerun: str | None
    rerun_models: int
    equals_run: bool | None
    equals_rerun: bool | None
    run_equals_rerun: bool | None
    differences: tuple[str, ...] = ()
    circumstances: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Tell whether the rerun's model is the registered one, and no other was registered than the run's."""
        return self.equals_rerun is True and self.equals_run is not False
