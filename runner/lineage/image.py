"""Which image a run trained in, where something records one: MLflow projects, `runner record`, or `runner.yaml`."""

from __future__ import annotations

import re

from runner.lineage.recorded import named
from runner.lineage.training import IMAGE_TAGS
from runner.redact import redact
from runner.schema.plan import RecordedImage
from runner.schema.run_record import RunRecord
from runner.settings import FILE_NAME, CommitFacts, Settings

URI_TAG = "mlflow.docker.image.uri"
ID_TAG = "mlflow.docker.image.id"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}(?:@sha256:[0-9a-f]{64})?")


def recorded_images(record: RunRecord, settings: Settings, facts: CommitFacts) -> list[RecordedImage]:
    """Return the images that are named as the run's, the auditor's before the commit's before the record's."""
    found = []
    if settings.image:
        found.append(_image(settings.image, settings.source("image"), by_auditor=True))
    if facts.image:
        found.append(_image(facts.image, f"image in {FILE_NAME} at the commit"))
    uri, identity = (record.tags.get(tag, "").strip() for tag in (URI_TAG, ID_TAG))
    if uri or identity:
        image = _image(uri or identity, f"tag {URI_TAG if uri else ID_TAG}")
        if image is not None and _DIGEST.fullmatch(identity):
            image = image.model_copy(update={"digest": identity})
        found.append(image)
    found += [_image(image.value, image.source) for image in named(record, IMAGE_TAGS)]
    return [image for image in found if image is not None]


def _image(text: str, source: str, *, by_auditor: bool = False) -> RecordedImage | None:
    text = text.removeprefix("docker://").strip()
    if _DIGEST.fullmatch(text):
        return RecordedImage(reference=text, digest=text, source=source, by_auditor=by_auditor)
    if not _REFERENCE.fullmatch(text) or redact(text) != text:
        return None
    digest = text.partition("@")[2] or None
    return RecordedImage(reference=text, digest=digest, source=source, by_auditor=by_auditor)
