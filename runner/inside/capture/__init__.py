"""Phase 4: what a training's capture holds, read as hostile input."""
