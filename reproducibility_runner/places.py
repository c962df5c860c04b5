"""Where things lie in a training's container, and the variables that say so. As `runner.inside.layout` has it."""

from __future__ import annotations

PACKAGE = "/opt/reproducibility-runner/capture"
CAPTURE = "/sandbox/capture"
WORKSPACE = "/sandbox/workspace"

CAPTURE_VARIABLE = "REPRO_CAPTURE_DIR"
WORKSPACE_VARIABLE = "REPRO_WORKSPACE"
