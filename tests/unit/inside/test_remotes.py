"""What a remote's refusal means: gone for good, or try again."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from runner.inside.objects import ObjectId
from runner.inside.protocol import DISK_FULL, MISSING, UNAVAILABLE, PhaseError
from runner.inside.remotes import Remotes

REMOTE = {"name": "origin", "url": "s3://dvc/x", "folder": False, "options": {}, "source": "remote origin"}


class Unreadable(Remotes):
    """Remotes of which DVC raises something as soon as one is asked."""

    def __init__(self, raised: Exception) -> None:
        super().__init__([REMOTE], "/nowhere")
        self._raised = raised

    @property
    def cloud(self) -> Any:
        raise self._raised

    def _opened(self) -> Any:
        return self


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (
            ImportError("s3 is supported, but requires 'dvc-s3'"),
            MISSING,
            "of a kind that restoring cannot read yet: s3",
        ),
        (OSError(errno.ENOSPC, "no space"), DISK_FULL, "no space is left"),
        (ConnectionError("reset"), UNAVAILABLE, "did not answer as it should: ConnectionError"),
    ],
)
def test_only_what_may_pass_is_to_be_tried_again(raised: Exception, kind: str, words: str) -> None:
    with pytest.raises(PhaseError, match=words) as caught:
        Unreadable(raised).held([ObjectId.parse("md5:" + "0" * 32)])
    assert caught.value.event["kind"] == kind
