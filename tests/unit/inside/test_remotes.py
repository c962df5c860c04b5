"""What a remote's refusal means: gone for good, or try again; and that another remote is asked all the same."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.inside.data.objects import ObjectId
from runner.inside.data.remotes import Remotes, _options
from runner.inside.protocol import DISK_FULL, MISSING, UNAVAILABLE, PhaseError
from tests.support.inside import Cache
from tests.support.inside import remote as described
from tests.support.repositories import Store, fingerprint

ANY = ObjectId.parse("md5:" + "0" * 32)
REFUSAL = "refuses the credentials of AWS_ACCESS_KEY_ID"


def remote(url: str = "s3://dvc/x", **fields: Any) -> dict[str, Any]:
    return described(url, **{"refusal": REFUSAL, **fields})


def refused_by_server(code: str) -> Exception:
    """As botocore raises it; s3fs then makes another of it."""
    cause = Exception(f"An error occurred ({code})")
    cause.response = {"Error": {"Code": code, "Message": "the key AKIASECRET is not known"}}  # type: ignore[attr-defined]
    error = PermissionError("the key AKIASECRET is not known")
    error.__cause__ = cause
    return error


class Unreadable(Remotes):
    """Remotes of which DVC raises something as soon as one that is no folder is asked."""

    def __init__(self, raised: Exception, *remotes: dict[str, Any], root: Path | None = None) -> None:
        super().__init__(list(remotes or (remote(),)), str(root), "/nowhere")
        self._raised = raised

    @property
    def cloud(self) -> Any:
        raise self._raised

    def _opened(self) -> Any:
        return self


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (refused_by_server("NoSuchBucket"), MISSING, "the bucket dvc at amazonaws.com does not exist"),
        (refused_by_server("InvalidAccessKeyId"), UNAVAILABLE, f"{REFUSAL} (InvalidAccessKeyId)"),
        (refused_by_server("SignatureDoesNotMatch"), UNAVAILABLE, f"{REFUSAL} (SignatureDoesNotMatch)"),
        (refused_by_server("ExpiredToken"), UNAVAILABLE, f"{REFUSAL} (ExpiredToken)"),
        (refused_by_server("403"), UNAVAILABLE, f"{REFUSAL} (status 403)"),
        (refused_by_server("RequestTimeTooSkewed"), UNAVAILABLE, "the clock of the engine's host is wrong"),
        (refused_by_server("SlowDown"), UNAVAILABLE, "did not answer as it should (SlowDown)"),
        (type("SSLError", (Exception,), {})("x"), UNAVAILABLE, "the certificate of the bucket dvc"),
        (ConnectionError("reset"), UNAVAILABLE, "did not answer as it should (ConnectionError)"),
    ],
)
def test_only_what_may_pass_is_to_be_tried_again(raised: Exception, kind: str, words: str) -> None:
    remotes = Unreadable(raised)
    assert remotes.held([ANY]) == {}
    assert remotes.problem is not None
    assert remotes.problem.event["kind"] == kind
    assert words in remotes.problem.event["cause"]
    assert words in remotes.asked[0], "also where another remote has the bytes"
    assert "AKIASECRET" not in repr((remotes.problem.event, remotes.asked)), "a server's own text may repeat a key"


def test_a_full_disk_ends_it() -> None:
    with pytest.raises(PhaseError, match="no space is left") as caught:
        Unreadable(OSError(errno.ENOSPC, "no space")).held([ANY])
    assert caught.value.event["kind"] == DISK_FULL


def test_a_remote_that_does_not_answer_hides_no_other_and_is_asked_once(tmp_path: Path) -> None:
    stored = ObjectId.parse(str(Store(tmp_path / "store").put(b"x").digest))
    committed = remote("../store", name="folder", in_commit="store")
    remotes = Unreadable(ConnectionError("down"), remote(), committed, root=tmp_path)
    assert remotes.held([stored, ANY]) == {stored: "folder"}
    remotes._raised = AssertionError("asked again")
    assert remotes.held([stored]) == {stored: "folder"}
    assert remotes.problem is not None
    assert "ConnectionError" in remotes.problem.event["cause"]


def test_what_keeps_us_from_knowing_outweighs_what_is_gone() -> None:
    remotes = Remotes([], "", "")
    gone = PhaseError(MISSING, "gone")
    remotes._problems = {"a": gone}
    assert remotes.problem is gone
    remotes._problems["b"] = down = PhaseError(UNAVAILABLE, "down")
    assert remotes.problem is down


def test_a_closed_remote_is_not_asked_and_says_why() -> None:
    remotes = Unreadable(AssertionError("asked"), remote(closed="not asked, because of --offline"))
    assert remotes.held([ANY]) == {}
    assert remotes.problem is None
    assert remotes.asked == ["s3://dvc/x (remote origin): not asked, because of --offline"]
    assert remotes.unasked


def test_what_is_asked_is_told_with_endpoint_and_access() -> None:
    told = remote(options={"endpointurl": "https://m.example"}, access="without credentials")
    assert Remotes([told], "", "").asked == ["s3://dvc/x at https://m.example (remote origin, without credentials)"]


FIXED = {"connect_timeout": 15}  # a remote that is gone must not keep others waiting


def test_keys_are_options_in_memory_and_none_means_anonymous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.inside.data.remotes._DVC_ROOT", str(tmp_path))
    keys = {"access_key_id": "AKIA", "secret_access_key": "hunter2"}
    assert _options(remote(credentials=keys)) == {"url": "s3://dvc/x", **keys, **FIXED, "allow_anonymous_login": False}
    hostile = remote(options={"allow_anonymous_login": "false"})
    assert _options(hostile) == {"url": "s3://dvc/x", **FIXED, "allow_anonymous_login": True}
    trusting = _options(remote(ca_bundle="PEM"))
    assert Path(trusting["ssl_verify"]).read_text() == "PEM"
    assert [path.name for path in tmp_path.iterdir()] == ["origin.pem"], "and nothing else is written"


def test_a_folder_of_the_clone_is_copied_from_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cache(tmp_path / "cache", monkeypatch)
    store = Store(tmp_path / "clone" / "store")
    good, bad = store.put(b"data\n"), store.put(b"more data\n")
    store.object_path(bad.digest).write_bytes(b"other bytes, which DVC would delete\n")
    before = fingerprint(store.path)
    committed = remote("../store", name="folder", in_commit="store")
    remotes = Remotes([committed], str(tmp_path / "clone"), str(tmp_path))
    both = {ObjectId.parse(str(each.digest)): "folder" for each in (good, bad)}
    assert remotes.held(both) == both
    remotes.pull(both)
    right, wrong = both
    assert Path(right.path).read_bytes() == b"data\n"
    assert not os.path.samefile(right.path, store.object_path(good.digest)), "the training may write to its clone"
    assert not os.path.exists(wrong.path)
    assert fingerprint(store.path) == before


@pytest.mark.parametrize("linked", ["store", "store/files", "object"])
def test_links_in_a_folder_of_the_clone_lead_nowhere(tmp_path: Path, linked: str) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    stored = elsewhere.put(b"not the commit's")
    own = Store(tmp_path / "clone" / "store")
    path = own.object_path(stored.digest) if linked == "object" else tmp_path / "clone" / linked
    target = elsewhere.object_path(stored.digest) if linked == "object" else elsewhere.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        path.rmdir()
    path.symlink_to(target if linked != "store/files" else target / "files")
    remotes = Remotes([remote("../store", in_commit="store")], str(tmp_path / "clone"), str(tmp_path))
    assert remotes.held([ObjectId.parse(str(stored.digest))]) == {}


def test_neither_dvc_nor_an_s3_client_is_imported_before_a_remote_that_needs_it_is_asked() -> None:
    """A warm restore from a folder takes less time than importing either."""
    look = "import runner.inside.restore, sys; print(sorted({'dvc', 's3fs', 'botocore'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True).stdout == "[]\n"
