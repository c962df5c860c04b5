"""A repository's `.dvc/config` names places, never commands, secrets or files of this host."""

from __future__ import annotations

import pytest

from runner.pointers.remotes import is_local, read_remotes, resolve_local

CONFIG = """\
# ours
[core]
    autostage = true
    remote = main   # the default
['remote "main"']
    url = s3://bucket/path
    endpointurl = https://minio.example:9000
    region = eu-west-1
    access_key_id = AKIA
    secret_access_key = hunter2
    credentialpath = ~/.aws/credentials
['remote "drive"']
    url = "D:\\data # not a comment"
[remote "web"]
    URL = https://me:hunter2@host/data?token=abc
    ask_password = true
    bearer_token_command = touch /tmp/owned
    ssl_verify = false
['remote "beside"']
    url = ../../store
['remote "nothing"']
    jobs = 4
"""


def test_names_urls_default_and_safe_options_are_read() -> None:
    main, drive, web, beside = read_remotes(CONFIG)
    assert (main.name, main.url, main.default, main.root) == ("main", "s3://bucket/path", True, ".")
    assert main.options == {"endpointurl": "https://minio.example:9000", "region": "eu-west-1"}
    assert drive.url == "D:\\data # not a comment"
    assert (beside.url, beside.default) == ("../../store", False)
    assert web.name == "web"


def test_what_is_not_on_the_positive_list_is_refused_by_name_only() -> None:
    remotes = read_remotes(CONFIG)
    assert remotes[0].refused == ("access_key_id", "credentialpath", "secret_access_key")
    assert remotes[2].refused == (
        "ask_password",
        "bearer_token_command",
        "query of the url",
        "ssl_verify",
        "user information in the url",
    )
    assert "hunter2" not in repr(remotes)
    assert "owned" not in repr(remotes)


def test_secrets_are_taken_out_of_addresses_and_user_names_of_ssh_stay() -> None:
    text = (
        "['remote \"a\"']\nurl = ssh://ann:pw@host/data\nendpointurl = https://k:s@host\n"
        "['remote \"b\"']\nurl = ssh://ann@host/data\n['remote \"c\"']\nurl = https://h/x?version=1\n"
    )
    a, b, c = read_remotes(text, "sub")
    assert (a.url, a.options["endpointurl"], a.root) == ("ssh://ann@host/data", "https://host", "sub")
    assert a.refused == ("endpointurl: user information in the url", "user information in the url")
    assert (b.url, b.refused) == ("ssh://ann@host/data", ())
    assert c.url == "https://h/x?version=1"


@pytest.mark.parametrize("text", ["", "[core]\nremote = x\n", "garbage\n= 5\n[\n", "['remote \"x\"']\n"])
def test_a_configuration_without_remotes_gives_none(text: str) -> None:
    assert read_remotes(text) == ()


def test_a_relative_url_starts_at_the_folder_of_the_config_file() -> None:
    assert resolve_local("../../store", "/home/ann/project") == "/home/ann/store"
    assert resolve_local("../store", "/home/ann/project", "sub") == "/home/ann/project/sub/store"
    assert resolve_local("/mnt/store", "/p") == "/mnt/store"
    assert resolve_local("file:///mnt/store", "/p") == "/mnt/store"


@pytest.mark.parametrize("url", ["s3://b/x", "D:\\x", "d:/x", "\\\\server\\share"])
def test_what_is_no_folder_of_this_host_cannot_be_resolved(url: str) -> None:
    with pytest.raises(ValueError, match=r"not a folder|another machine"):
        resolve_local(url, "/p")


def test_folders_are_told_from_addresses() -> None:
    assert is_local("../x")
    assert is_local("D:\\x")
    assert is_local("file:///x")
    assert not is_local("ssh://h/x")
