"""What a plan says of images before any is looked for."""

from __future__ import annotations

from runner.schema.plan import Images

NOT_MADE = Images(
    base="made at first use",
    base_digest=None,
    base_origin="made at first use",
    tools="made at first use",
    tools_digest=None,
)
"""Stands in a plan that was made without an engine."""
