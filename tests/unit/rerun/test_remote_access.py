"""What restore is told of a remote: keys for a confirmed place alone, and what to paste where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.credentials.handed import Handed
from runner.credentials.host import NO_ACCESS, HostAccess, host_access
from runner.network import NetworkSettings
from runner.pointers.places import place_of
from runner.rerun.remote_access import OFFLINE, credentials_for, remote_access, secrets_of
from runner.schema.plan import Remote
from tests.support.values import make_plan

MINIO = "https://minio.example:9000"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "envsecret", "AWS_SESSION_TOKEN": "tok"}


def host(own: str = "", **variables: str) -> HostAccess:
    return host_access(
        {"HOME": "/h", **variables}, [(Path("/h/dvc"), False)], lambda path: own if path.name == "dvc" else None
    )


def remote(url: str = "s3://data/x", confirmed_by: str | None = "--remote", endpoint: str | None = None) -> Remote:
    options = {} if endpoint is None else {"endpointurl": endpoint}
    return Remote(name="storage", url=url, source="test", options=options, confirmed_by=confirmed_by)


def access(asked: Remote, said: HostAccess, *, offline: bool = False, **network: Any) -> dict[str, Any]:
    plan = make_plan(remotes=(asked,))
    return remote_access(asked, plan, said, NetworkSettings(**network), offline=offline)


@pytest.mark.parametrize(
    ("asked", "variables", "given"),
    [
        (remote(), KEYS, True),
        (remote(endpoint=MINIO), {**KEYS, "AWS_ENDPOINT_URL": MINIO}, True),
        (remote(confirmed_by=None), KEYS, False),
        (remote("https://files.example/x"), KEYS, False),
        (remote("/srv/store"), KEYS, False),
        (remote(), {}, False),
        # a plan that was changed on its way names a place that this host does not
        (remote(endpoint=MINIO), KEYS, False),
        (remote(), {**KEYS, "AWS_ENDPOINT_URL": MINIO}, False),
    ],
)
def test_keys_are_given_for_a_confirmed_place_whose_endpoint_this_host_names(
    asked: Remote, variables: dict[str, str], given: bool
) -> None:
    said = host(**variables)
    assert isinstance(credentials_for(asked, said), Handed) is given
    told = access(asked, said)
    if given:
        assert told["credentials"] == {
            "access_key_id": "AKIAENV",
            "secret_access_key": "envsecret",
            "session_token": "tok",
        }
        assert told["access"] == "with the credentials of AWS_ACCESS_KEY_ID"
        assert set(secrets_of((asked,), said)) == {"AKIAENV", "envsecret", "tok"}
    else:
        assert told["credentials"] is None
        assert "envsecret" not in repr(told)
        assert secrets_of((asked,), said) == ()


def test_a_confirmed_place_gets_its_own_keys_and_no_others() -> None:
    own = f"['remote \"mine\"']\nurl = s3://data\nendpointurl = {MINIO}\naccess_key_id = OWN\nsecret_access_key = S\n"
    said = host(own, **KEYS)
    assert access(remote(endpoint=MINIO), said)["credentials"] == {"access_key_id": "OWN", "secret_access_key": "S"}
    answered = said.with_confirmed(place_of("s3://other"), "you, on the terminal")
    other = access(remote("s3://other/x", "you, on the terminal"), answered)
    assert other["credentials"]["access_key_id"] == "AKIAENV"


@pytest.mark.parametrize(
    ("asked", "said", "refusal", "remedy"),
    [
        (remote(), host(**KEYS), "refuses the credentials of AWS_ACCESS_KEY_ID", "see that they may read it"),
        (remote(), host(), "and this host has no keys for S3", "set AWS_ACCESS_KEY_ID"),
        (
            remote(),
            host(AWS_PROFILE="gone"),
            "neither /h/.aws/credentials nor /h/.aws/config has the profile gone",
            "set AWS_ACCESS_KEY_ID",
        ),
        (
            remote(confirmed_by=None),
            host(**KEYS),
            "nobody confirmed s3, host amazonaws.com, bucket data for those of this host",
            "runner reproduce RUN --remote storage",
        ),
        (
            remote(confirmed_by=None, endpoint=MINIO),
            host(**KEYS),
            f"nobody confirmed s3, host {MINIO}, bucket data",
            f"AWS_ENDPOINT_URL={MINIO} runner reproduce RUN --remote storage",
        ),
    ],
)
def test_a_refusal_says_what_to_paste(asked: Remote, said: HostAccess, refusal: str, remedy: str) -> None:
    told = access(asked, said)
    assert refusal in told["refusal"]
    assert remedy in told["remedy"].replace(make_plan().run.id, "RUN")
    assert "envsecret" not in told["refusal"] + told["remedy"]


def test_offline_closes_all_but_folders(tmp_path: Path) -> None:
    assert access(remote(), NO_ACCESS, offline=True)["closed"] == OFFLINE
    assert access(remote("https://files.example/x"), NO_ACCESS, offline=True)["closed"] == OFFLINE
    assert access(remote(str(tmp_path / "gone")), NO_ACCESS, offline=True)["closed"] is None
    assert access(remote(), NO_ACCESS)["closed"] is None


def test_certificates_are_awss_for_s3_and_the_hosts_for_the_rest(tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text("OWN")
    aws = host_access({"AWS_CA_BUNDLE": str(own)}, (), lambda _: "")
    general = {"ca_bundle": b"GENERAL"}
    assert access(remote(), aws, **general)["ca_bundle"] == "OWN"
    assert access(remote(), NO_ACCESS, **general)["ca_bundle"] == "GENERAL"
    assert access(remote("https://files.example/x"), aws, **general)["ca_bundle"] == "GENERAL"
    assert access(remote("/srv/store"), aws, **general)["ca_bundle"] is None
    assert access(remote(), NO_ACCESS)["ca_bundle"] is None
