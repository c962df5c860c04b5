"""What runs beside `wandb.Api`: names of files, failures in words of ours, an end to pages."""

from __future__ import annotations

import itertools

import pytest

from runner.trackers import wandb_client


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "\\\\host\\a", "a\\..\\..\\b", "", "a\0b"])
def test_a_name_that_leads_elsewhere_is_never_written(name: str) -> None:
    assert not wandb_client._stays_below(name)
    assert wandb_client._stays_below("media/a..b.json")


def test_pages_without_an_end_are_broken_off() -> None:
    with pytest.raises(wandb_client._Endless), wandb_client._within(1):
        for _ in itertools.count():
            pass


def test_of_a_failure_nothing_is_told_but_a_kind_and_a_status() -> None:
    error = RuntimeError("POST http://h/graphql giving up after 4 attempt(s)\nwhile retrying: HTTP 429: the-key")
    assert wandb_client._failure(error) == {"error": "busy", "status": 429, "class": "RuntimeError"}
    assert wandb_client._failure(ValueError("dial tcp: no such host the-key"))["error"] == "no host"
