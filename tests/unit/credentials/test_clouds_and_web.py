"""Keys for web servers, Azure and Google: where each is looked for, and what is never followed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from runner.credentials.azure import azure_credentials, read_account
from runner.credentials.google import google_credentials
from runner.credentials.handed import Handed, NotHad
from runner.credentials.web import web_credentials

SERVICE = {
    "type": "service_account",
    "client_email": "a@b",
    "private_key": "-----BEGIN\ncanary",
    "token_uri": "https://t",
}
OURS = "https://ours.blob.core.windows.net"
CONNECTION = "DefaultEndpointsProtocol=https;AccountName=ours;AccountKey=canary==;EndpointSuffix=core.windows.net"


def web(own: dict[str, str] | None = None, netrc: Path | None = None, **environ: str) -> Handed | NotHad:
    environ = {"HOME": "/nonexistent", **environ, **({} if netrc is None else {"NETRC": str(netrc)})}
    return web_credentials("https://files.example/x", None, own or {}, "config", environ, lambda _: "text")


def test_a_password_becomes_one_header_that_is_never_shown(tmp_path: Path) -> None:
    basic = ["Authorization", "Basic " + base64.b64encode(b"ann:canary").decode()]
    netrc = tmp_path / "netrc"
    netrc.write_text("default login eve password other\nmachine files.example login ann password canary\n")
    for handed, header, source in (
        (web({"user": "ann", "password": "canary"}), basic, "config"),
        (web({"token": "canary"}), ["Authorization", "Bearer canary"], "config"),
        (web({"custom_auth_header": "X-Key", "password": "canary"}), ["X-Key", "canary"], "config"),
        (web(REPRO_REMOTE_USER="ann", REPRO_REMOTE_PASSWORD="canary"), basic, "REPRO_REMOTE_PASSWORD"),
        (web(REPRO_REMOTE_TOKEN="canary"), ["Authorization", "Bearer canary"], "REPRO_REMOTE_TOKEN"),
        (web(netrc=netrc), basic, str(netrc)),
    ):
        assert isinstance(handed, Handed)
        assert (handed.options["header"], handed.source) == (header, source)
        assert "canary" in handed.secrets
        assert "canary" not in repr(handed)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({}, "this host has no password for files.example"),
        ({"bearer_token_command": "touch /tmp/owned"}, "has a command print its token"),
        ({"ask_password": "true", "user": "ann"}, "asks for its password"),
        ({"custom_auth_header": "X: y\r\nZ", "password": "a"}, "that no request can have"),
        ({"token": "a\r\nHost: evil"}, "that no request can have"),
    ],
)
def test_why_there_is_no_password(own: dict[str, str], words: str) -> None:
    answer = web(own)
    assert isinstance(answer, NotHad)
    assert words in answer.missing


def test_the_entry_of_netrc_for_everybody_is_for_nobody(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login eve password canary\n")
    answer = web(netrc=tmp_path / "netrc")
    assert isinstance(answer, NotHad)


def test_a_key_of_google_is_a_document_in_memory() -> None:
    texts = {Path("/k.json"): json.dumps(SERVICE)}
    handed = google_credentials({}, "config", {"HOME": "/h", "GOOGLE_APPLICATION_CREDENTIALS": "/k.json"}, texts.get)
    assert isinstance(handed, Handed)
    assert handed.options["token"] == SERVICE
    assert "canary" not in repr(handed)
    texts = {Path("/h/.config/gcloud/application_default_credentials.json"): json.dumps(SERVICE)}
    assert isinstance(google_credentials({}, "config", {"HOME": "/h"}, texts.get), Handed)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("no json", "holds no key"),
        (
            json.dumps({"type": "external_account", "credential_source": {"executable": {"command": "x"}}}),
            "not followed",
        ),
        (json.dumps({"type": "service_account"}), "lacks client_email"),
    ],
)
def test_a_key_of_google_that_is_none_or_runs_something_is_not_followed(text: str | None, words: str) -> None:
    environ = {"HOME": "/h", "GOOGLE_APPLICATION_CREDENTIALS": "/k.json"}
    answer = google_credentials({}, "config", environ, lambda _: text)
    assert isinstance(answer, NotHad)
    assert words in answer.missing


@pytest.mark.parametrize(
    ("own", "environ", "endpoint", "keys"),
    [
        ({}, {"AZURE_STORAGE_CONNECTION_STRING": CONNECTION}, OURS, "connection_string"),
        ({}, {"AZURE_STORAGE_ACCOUNT": "ours", "AZURE_STORAGE_KEY": "canary"}, OURS, "account_key"),
        ({"account_name": "mine", "sas_token": "sv=1&sig=canary"}, {"AZURE_STORAGE_ACCOUNT": "ours"},
         "https://mine.blob.core.windows.net", "sas_token"),
        ({}, {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=x;AccountKey=canary;BlobEndpoint=http://localhost:1/x"},
         "http://localhost:1/x", "connection_string"),
    ],
)  # fmt: skip
def test_a_key_of_azure_is_of_the_account_that_this_host_names(
    own: dict[str, str], environ: dict[str, str], endpoint: str, keys: str
) -> None:
    account = read_account(own, "config", {"HOME": "/h", **environ}, lambda _: None)
    assert account is not None
    assert (account.endpoint, list(account.keys)) == (endpoint, [keys])
    handed = azure_credentials(account)
    assert isinstance(handed, Handed)
    assert any(secret.startswith("canary") for secret in handed.secrets)
    assert "canary" not in repr((account, handed))


def test_the_file_of_azures_command_line_counts_last_and_an_account_alone_has_no_key() -> None:
    text = "[storage]\naccount = cli\nkey = canary\n"
    account = read_account(
        {}, "config", {"HOME": "/h"}, lambda path: text if path == Path("/h/.azure/config") else None
    )
    assert account is not None
    assert (account.name, account.source) == ("cli", "/h/.azure/config")
    lonely = read_account({}, "config", {"AZURE_STORAGE_ACCOUNT": "ours"}, lambda _: None)
    assert isinstance(azure_credentials(lonely), NotHad)
    assert read_account({}, "config", {}, lambda _: None) is None
    with pytest.raises(ValueError, match="is not the name of a storage account"):
        read_account({"account_name": "evil.example/", "account_key": "k"}, "config", {}, lambda _: None)
