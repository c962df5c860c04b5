"""What a container is handed to sign in at one place, or why there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Handed:
    """Credentials for one place, as `runner.inside.data.kinds` takes them.

    `source` says where they were found, without any of them; `secrets` are all texts that must never be shown.
    """

    options: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    source: str


@dataclass(frozen=True, kw_only=True)
class NotHad:
    """That this host has none: `missing` in words that go on after `and`, `remedy` how to have some."""

    missing: str
    remedy: str
