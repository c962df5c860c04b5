"""`runner reproduce` of a run whose data is in a bucket: from keys on this host to a verdict, and no key anywhere."""

from __future__ import annotations

import os
import pty
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.buckets import BucketStore, S3Service
from tests.support.command import CommandLine, Said
from tests.support.projects import RUN_ID, RecordedProject
from tests.support.repositories import dvc_config


class Audit:
    """A project whose author pushed to a bucket, and an auditor's shell with nothing in its home."""

    def __init__(self, folder: Path, s3: S3Service) -> None:
        self.s3 = s3
        (folder / "author").mkdir()
        self.project = RecordedProject(folder / "author", values=(1.5, float(uuid.uuid4().int % 1000)))
        self.store = BucketStore(s3, f"ml-data-{uuid.uuid4().hex[:8]}")
        self.stored = self.store.put(self.project.data)
        self.store.put(self.project.model)
        self.folder = folder

    def commit(self, **options: str) -> None:
        """Commit with the bucket as the only remote, and record the run."""
        config = dvc_config(self.store.url, **options)
        self.project.commit_training(files={".dvc/config": config})
        self.project.record()

    def shell(self, **variables: str) -> CommandLine:
        """A prompt in a folder of its own; only these variables say anything of AWS."""
        shell = CommandLine(self.folder / "here", tracker=self.project.tracker, HOME=str(self.folder / "home"))
        own = {name: value for name, value in shell.variables.items() if not name.startswith("AWS_")}
        shell.variables = {**own, **variables}
        return shell

    def nothing_shown(self, said: Said, *secrets: str) -> bool:
        """Tell that no key is in the output, in the evidence or in any other file that the command left."""
        texts = [said.out.encode(), said.err.encode()]
        for place in (self.folder / "here", self.folder / ".here-tmp", self.folder / ".here-cache"):
            texts += [path.read_bytes() for path in place.rglob("*") if path.is_file()]
        keys = (*secrets, self.s3.secret_access_key, self.s3.access_key_id)
        return not any(key.encode() in text for key in keys for text in texts)


@pytest.fixture
def audit(tmp_path: Path, s3: S3Service, shared_images: Any) -> Audit:
    return Audit(tmp_path, s3)


def test_a_private_bucket_is_refused_until_the_auditor_names_it_and_no_key_is_left_anywhere(audit: Audit) -> None:
    audit.commit()
    before = audit.store.fingerprint()
    shell = audit.shell(**audit.s3.variables)
    refused = shell.run("reproduce", RUN_ID)
    assert refused.code == 5, refused
    assert f"nobody confirmed s3, host {audit.s3.endpoint}, bucket {audit.store.bucket}" in refused.err
    remedy = refused.err.split("try: ")[1].split()
    assert remedy[:2] == ["runner", "reproduce"]
    said = shell.run(*remedy[1:], "--json")
    assert (said.code, said.document["verdict"]) == (0, "identical"), said
    assert all(audit.nothing_shown(each) for each in (refused, said))
    assert audit.store.fingerprint() == before
    (asked,) = said.document["rerun"]["remotes_asked"]
    assert asked == (
        f"{audit.store.url} at {audit.s3.endpoint} (--remote storage, with the credentials of AWS_ACCESS_KEY_ID)"
    )
    assert said.document["plan"]["remotes"][0]["confirmed_by"] == "--remote"


def test_on_a_terminal_the_place_is_asked_about_by_scheme_host_and_bucket(audit: Audit) -> None:
    """The endpoint is the repository's, and on this host: nothing but a yes has it asked."""
    audit.commit(endpointurl=audit.s3.endpoint)
    keys = {name: value for name, value in audit.s3.variables.items() if name != "AWS_ENDPOINT_URL"}
    shell = audit.shell(**keys, TERM="xterm")
    master, terminal = pty.openpty()
    started = shell.start("reproduce", RUN_ID, "--json", stdin=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(master, 1000)
    os.write(master, b"y\n")
    while True:
        try:
            shown += os.read(master, 1000)
        except OSError:  # the other end is closed
            break
    said = Said(started.end().code, started.end().out, shown.decode())
    os.close(master)
    question = f"Send credentials of this host to s3, host {audit.s3.endpoint}, bucket {audit.store.bucket}? [y/N]"
    assert question in said.err
    assert (said.code, said.document["verdict"]) == (0, "identical"), said
    assert said.document["plan"]["remotes"][0]["confirmed_by"] == "you, on the terminal"
    assert audit.nothing_shown(said)


def test_refused_credentials_are_exit_5_with_a_remedy_and_shown_nowhere(audit: Audit) -> None:
    audit.commit()
    wrong = {**audit.s3.variables, "AWS_SECRET_ACCESS_KEY": "hunter2" * 5, "AWS_ACCESS_KEY_ID": "AKIA" + "Z" * 16}
    shell = audit.shell(**wrong)
    said = shell.run("reproduce", RUN_ID, "--remote", "storage", "--json", "--debug")
    assert said.code == 5, said
    assert "Traceback" in said.err
    error = said.document["error"]
    assert (error["kind"], error["retryable"]) == ("remote-unavailable", True)
    assert "refuses the credentials of AWS_ACCESS_KEY_ID (InvalidAccessKeyId)" in error["cause"]
    assert f"runner reproduce {RUN_ID}" in error["remedy"]
    assert audit.nothing_shown(said, "hunter2", "Z" * 16)
    assert not [name for name in shell.files() if "reproduction.json" in name or name.startswith("TMP/")]


def test_a_bucket_that_is_gone_is_unverifiable_and_named_and_evidence_says_where_it_was_looked_for(
    audit: Audit,
) -> None:
    audit.commit(bearer_token_command="touch owned", ssl_verify="false", profile="admin")
    audit.store.drop()
    said = audit.shell(**audit.s3.variables).run("reproduce", RUN_ID, "--remote", "storage", "--json")
    assert said.code == 3, said
    assert f"the bucket {audit.store.bucket} at {audit.s3.endpoint} does not exist" in said.document["reason"]
    assert audit.store.bucket in said.document["missing"]["looked_in"][0]
    refused = "remote storage: settings of the repository not used: bearer_token_command, profile, ssl_verify"
    assert refused in said.document["not_verified"]
    assert audit.nothing_shown(said)
