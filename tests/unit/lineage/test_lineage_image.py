"""Which image a run trained in."""

from __future__ import annotations

import pytest

from runner.engine.recorded_image import _unsafe
from runner.lineage.image import recorded_images
from runner.schema.plan import RecordedImage
from runner.settings import CommitFacts
from tests.support.facts import run, settings

DIGEST = "sha256:" + "5" * 64
URI, ID = "mlflow.docker.image.uri", "mlflow.docker.image.id"


def test_the_auditor_comes_before_the_commit_and_this_before_the_record() -> None:
    record = run(tags={URI: "acme/train:9f3c2e1", ID: DIGEST})
    facts = CommitFacts(image=f"acme/base@{DIGEST}")
    found = recorded_images(record, settings(yaml="image: acme/mine:1"), facts)
    assert [(image.reference, image.digest, image.source, image.by_auditor) for image in found] == [
        ("acme/mine:1", None, "image in runner.yaml", True),
        (f"acme/base@{DIGEST}", DIGEST, "image in runner.yaml at the commit", False),
        ("acme/train:9f3c2e1", DIGEST, f"tag {URI}", False),
    ]


def test_an_id_alone_is_a_record_too() -> None:
    (image,) = recorded_images(run(tags={ID: DIGEST}), settings(), CommitFacts())
    assert (image.reference, image.digest, image.source) == (DIGEST, DIGEST, f"tag {ID}")


@pytest.mark.parametrize("text", ["", " ", "-x", "a b", "a;b", "https://u:p@registry.example/x", "a" * 400, "$(x)"])
def test_what_is_no_reference_is_no_record(text: str) -> None:
    assert recorded_images(run(tags={URI: text}), settings(), CommitFacts(image=text or None)) == []


@pytest.mark.parametrize(
    ("reference", "refused"),
    [
        ("acme/train:1", False),
        ("train:1", False),
        ("ghcr.io/acme/train:1", False),
        ("registry.example:5000/acme/train:1", False),
        ("localhost:5000/train:1", True),
        ("localhost/train:1", True),
        ("registry:5000/train:1", True),
        ("169.254.169.254/train:1", True),
        ("10.0.0.7:5000/train:1", True),
    ],
)
def test_no_place_within_this_network_is_asked_because_the_audited_party_says_so(reference: str, refused: bool) -> None:
    image = RecordedImage(reference=reference, digest=None, source="a tag")
    assert (_unsafe(image) is not None) is refused
    assert _unsafe(image.model_copy(update={"by_auditor": True})) is None
