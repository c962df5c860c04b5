"""What our entry points name: MLflow loads these after its own stores, and ours take their place."""

from __future__ import annotations

import sys

from reproducibility_runner import session, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    # Looked up anew for each entry point: by then MLflow has made the registry that the scheme is for.
    start.begin("entry point")
    if session.writer is None:
        raise AttributeError("the capture is not active: REPRO_CAPTURE_DIR names no directory")
    if name == "build_store":
        from reproducibility_runner import tracking

        module = sys.modules.get("mlflow.tracking._tracking_service.utils")
        if hasattr(module, "_tracking_store_registry"):
            tracking.claim(module)
        return tracking.build_store
    if name == "build_registry":
        from reproducibility_runner import registry

        module = sys.modules.get("mlflow.tracking._model_registry.utils")
        if getattr(module, "_model_registry_store_registry", None) is not None:
            registry.claim_schemes(module._model_registry_store_registry)  # type: ignore[union-attr]
        return registry.build_registry
    if name == "build_artifact_repository":
        from reproducibility_runner import artifacts

        return artifacts.build_artifact_repository
    raise AttributeError(name)
