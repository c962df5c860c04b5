"""What W&B's stores have in common as trackers: they know none of MLflow's logged and registered models."""

from __future__ import annotations

from runner.schema.model_files import ModelFile
from runner.trackers.artifacts import UnreadableFiles
from runner.trackers.interface import LoggedModel, Tracker


class WandbTracker(Tracker):
    """A store of W&B's."""

    def logged_model(self, model_id: str) -> LoggedModel | None:  # noqa: ARG002  # whichever is asked for
        return None

    def models_of(self, run_id: str) -> list[LoggedModel]:  # noqa: ARG002
        return []

    def hash_model(self, model_id: str) -> tuple[ModelFile, ...]:
        raise UnreadableFiles(f"W&B knows no model {model_id} of MLflow's")

    def hash_place(self, uri: str) -> tuple[ModelFile, ...]:
        raise UnreadableFiles(f"W&B knows no model of MLflow's at {uri}")

    def _logged_models(self) -> list[LoggedModel]:
        return []
