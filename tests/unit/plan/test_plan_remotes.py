"""Who confirmed what: which remotes are asked, which get this host's keys, and what of a repository is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.credentials.host import NO_ACCESS, HostAccess, host_access
from runner.errors import InvalidConfiguration
from runner.plan.remotes import choose_remotes, place_to_confirm
from runner.pointers.places import place_of
from runner.pointers.remotes import read_remotes
from runner.schema.plan import Remote
from runner.schema.snapshot import DvcRemote, RepositorySnapshot, TreeEntry
from tests.support.facts import lineage, run, settings, snapshot
from tests.support.repositories import dvc_config

MINIO = "https://minio.example:9000"
EVIL = "https://evil.example"
KEYS_OF_STORAGE = "['remote \"storage\"']\naccess_key_id = A\nsecret_access_key = B\n"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hunter2"}


def host(own: str = "", *, local: bool = False, **variables: str) -> HostAccess:
    return host_access({**KEYS, **variables}, [(Path("/home/ann/dvc/config"), local)], lambda _: own)


def repository(config: str, *, today: str = "", **fields: Any) -> RepositorySnapshot:
    return snapshot(remotes=read_remotes(config), remotes_today=read_remotes(today), **fields)


def choose(
    source: RepositorySnapshot | str, access: HostAccess = NO_ACCESS, *, yaml: str | None = None, **flags: Any
) -> tuple[tuple[Remote, ...], tuple[str, ...]]:
    source = repository(source) if isinstance(source, str) else source
    chosen = settings(yaml=yaml, **{"allow": ("cached",), **flags})
    return choose_remotes(run(), source, lineage(run(), source, chosen), chosen, access)


def first(source: RepositorySnapshot | str, access: HostAccess, **options: Any) -> tuple[str | None, str | None]:
    """Who confirmed the remote that is asked first, and at which endpoint it is asked."""
    remote = choose(source, access, **options)[0][0]
    return remote.confirmed_by, remote.options.get("endpointurl")


@pytest.mark.parametrize(
    ("config", "own", "variables", "options", "expected"),
    [
        # nobody confirmed it
        (dvc_config("s3://data/x"), "", {}, {}, (None, None)),
        (dvc_config("s3://data/x", endpointurl=EVIL), "", {}, {}, (None, EVIL)),
        (dvc_config("s3://data/x"), "", {"AWS_ENDPOINT_URL": MINIO}, {}, (None, MINIO)),
        # by the auditor's word
        (dvc_config("s3://data/x"), "", {}, {"remote": "storage"}, ("--remote", None)),
        (dvc_config("s3://data/x"), "", {}, {"yaml": "remote: storage"}, ("remote in runner.yaml", None)),
        (dvc_config("s3://data/x"), "", {}, {"remote": "s3://data/x"}, ("--remote", None)),
        (dvc_config("s3://data/x"), "", {"AWS_ENDPOINT_URL": MINIO}, {"remote": "storage"}, ("--remote", MINIO)),
        # a name confirms no endpoint of the repository's, unless this host names it too
        (dvc_config("s3://data/x", endpointurl=EVIL), "", {}, {"remote": "storage"}, (None, EVIL)),
        (
            dvc_config("s3://data/x", endpointurl=EVIL),
            "",
            {"AWS_ENDPOINT_URL": MINIO},
            {"remote": "storage"},
            (None, EVIL),
        ),
        (
            dvc_config("s3://data/x", endpointurl=f"{MINIO}/"),
            "",
            {"AWS_ENDPOINT_URL": MINIO},
            {"remote": "storage"},
            ("--remote", MINIO),
        ),
        (
            dvc_config("s3://data/x", endpointurl=MINIO.replace("https", "http")),
            "",
            {"AWS_ENDPOINT_URL": MINIO},
            {"remote": "storage"},
            (None, MINIO.replace("https", "http")),
        ),
        # by this host's DVC configuration
        (
            dvc_config("s3://data/x", endpointurl=MINIO),
            dvc_config("s3://data", "mine", endpointurl=MINIO),
            {},
            {},
            ("remote mine of /home/ann/dvc/config", MINIO),
        ),
        (dvc_config("s3://data/x", endpointurl=EVIL), dvc_config("s3://data", "storage"), {}, {}, (None, EVIL)),
        (dvc_config("s3://other/x"), dvc_config("s3://data", "storage"), {}, {}, (None, None)),
        # which adds keys to a name, and confirms nothing by that
        (dvc_config("s3://data/x"), KEYS_OF_STORAGE, {}, {}, (None, None)),
        (
            dvc_config("s3://data/x", endpointurl=MINIO),
            f"['remote \"storage\"']\nendpointurl = {MINIO}\n",
            {},
            {"remote": "storage"},
            ("--remote", MINIO),
        ),
    ],
)  # fmt: skip
def test_who_confirmed_the_remote_that_is_asked_first(
    config: str, own: str, variables: dict[str, str], options: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    assert first(config, host(own, **variables), **options) == expected


def test_what_a_person_confirmed_is_confirmed_and_nothing_else() -> None:
    config = dvc_config("s3://data/x", endpointurl=MINIO) + "['remote \"b\"']\nurl = s3://other/x\n"
    access = host().with_confirmed(place_of("s3://data", MINIO), "you, on the terminal")
    found, _ = choose(config, access)
    assert [(remote.name, remote.confirmed_by) for remote in found] == [
        ("storage", "you, on the terminal"),
        ("b", None),
    ]


def test_the_clones_own_configuration_replaces_what_the_repository_says_of_a_name() -> None:
    own = host(dvc_config("s3://mirror/y", "storage", endpointurl=MINIO), local=True)
    found, _ = choose(dvc_config("s3://data/x"), own)
    assert [(remote.url, remote.confirmed_by) for remote in found] == [
        ("s3://mirror/y", "remote storage of /home/ann/dvc/config"),
        ("s3://data/x", None),
    ]
    assert choose(dvc_config("s3://data/x"), own, remote="storage")[0][0].url == "s3://mirror/y"
    elsewhere = host(dvc_config("s3://mirror/y", "storage"))
    assert choose(dvc_config("s3://data/x"), elsewhere)[0][0].url == "s3://data/x", (
        "a user's remotes are of all projects"
    )


def test_one_bucket_at_two_endpoints_is_two_remotes() -> None:
    found, _ = choose(dvc_config("s3://data/x", endpointurl=EVIL), host(), remote="s3://data/x")
    assert [(remote.options.get("endpointurl"), remote.confirmed_by) for remote in found] == [
        (EVIL, None),
        (None, "--remote"),
    ], "an address never gets the repository's endpoint"


def test_a_remote_that_only_this_host_knows_is_asked_where_it_is_named_after_those_of_the_repository() -> None:
    own = host(dvc_config("s3://mine/y", "own", endpointurl=MINIO))
    found, _ = choose(dvc_config("s3://data/x"), own, remote="own")
    assert [(remote.url, remote.confirmed_by) for remote in found] == [
        ("s3://data/x", None),
        ("s3://mine/y", "remote own of /home/ann/dvc/config"),
    ]


def test_the_repositorys_defaults_come_first_then_what_the_auditor_names_then_its_others() -> None:
    at_commit = dvc_config("/srv/then") + "['remote \"old\"']\nurl = /srv/old\n"
    source = repository(at_commit, today=dvc_config("/srv/today") + "['remote \"spare\"']\nurl = /srv/spare\n")
    found, _ = choose(source, yaml="remote: /srv/file", remote="/srv/flag")
    assert [(remote.url, remote.source) for remote in found] == [
        ("/srv/then", f"default remote at commit {source.commit[:12]}"),
        ("/srv/today", "default remote today"),
        ("/srv/flag", "--remote"),
        ("/srv/file", "remote in runner.yaml"),
        ("/srv/old", f"remote old at commit {source.commit[:12]}"),
        ("/srv/spare", "remote spare today"),
    ]


@pytest.mark.parametrize("url", ["https://files.example/x", "ssh://files.example/x", "webdavs://files.example/x"])
def test_a_name_confirms_no_host_of_the_repositorys_and_a_typed_address_does(url: str) -> None:
    own = host("['remote \"storage\"']\nuser = u\npassword = hunter2\n")
    (remote,), _ = choose(dvc_config(url), own, remote="storage")
    assert remote.confirmed_by is None, "the password of a name goes to nobody that the repository chose"
    (remote,), _ = choose(dvc_config(url), own, remote=url)
    assert (remote.name, remote.confirmed_by) == ("storage", "--remote")
    (remote,), _ = choose(dvc_config(url), host(dvc_config(url.replace("/x", "/other"), "mine")))
    assert remote.confirmed_by == "remote mine of /home/ann/dvc/config"
    ported = url.replace(".example", ".example:4430")
    assert choose(dvc_config(ported), own, remote=url)[0][0].confirmed_by is None, "another port is another server"


def test_a_port_in_the_options_is_part_of_the_place() -> None:
    (remote, typed), _ = choose(
        dvc_config("ssh://a@files.example/x", port="2222"), host(), remote="ssh://files.example/x"
    )
    assert (remote.url, remote.confirmed_by) == ("ssh://a@files.example:2222/x", None)
    assert typed.confirmed_by == "--remote"


def test_a_key_of_azure_is_of_one_account() -> None:
    key = {"AZURE_STORAGE_ACCOUNT": "ours", "AZURE_STORAGE_KEY": "hunter2"}
    for config, by, endpoint in (
        (dvc_config("azure://data/x"), "--remote", "https://ours.blob.core.windows.net"),
        (dvc_config("azure://data/x", account_name="ours"), "--remote", "https://ours.blob.core.windows.net"),
        (dvc_config("azure://data/x", account_name="evil"), None, "https://evil.blob.core.windows.net"),
    ):
        (remote,), _ = choose(config, host(**key), remote="storage")
        assert (remote.confirmed_by, remote.options["endpointurl"]) == (by, endpoint)
    assert choose(dvc_config("azure://data/x"), host(), remote="storage")[0] == (), "nobody names an account"


@pytest.mark.parametrize("named", [None, "storage"])
@pytest.mark.parametrize(
    ("url", "options", "key"),
    [
        ("s3://data/x", {"endpointurl": "http://localhost:9000"}, "endpointurl"),
        ("s3://data/x", {"endpointurl": "http://172.17.0.1:9000"}, "endpointurl"),
        ("s3://data/x", {"endpointurl": "http://169.254.169.254/"}, "endpointurl"),
        ("s3://data/x", {"endpointurl": "file:///etc/passwd"}, "endpointurl"),
        ("s3://odd!name/x", {}, "url"),
        ("s3://arn:aws:s3:us-east-1:123456789012:accesspoint/evil", {}, "url"),
        ("remote://other/x", {}, "url"),
    ],
)
def test_what_a_repository_may_not_have_asked_is_refused_by_name(
    url: str, options: dict[str, str], key: str, named: str | None
) -> None:
    found, notes = choose(dvc_config(url, **options), host(), remote=named)
    assert found == ()
    assert notes[0].startswith(f"remote storage: settings of the repository not used: {key} (")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/x", "https://10.0.0.1/x", "ssh://localhost/x", "http://2130706433/"]
)
def test_other_services_near_this_host_are_asked_only_where_the_auditor_names_them(url: str) -> None:
    found, notes = choose(dvc_config(url), host())
    assert found == ()
    assert "not used: url (" in notes[0]
    assert choose(dvc_config(url), host(), remote="storage")[0][0].url == url
    assert choose(dvc_config("/srv/x"), host(), remote=url)[0][1].url == url


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bearer_token_command", "touch /tmp/owned"),
        ("ask_password", "true"),
        ("credentialpath", "/root/.aws/credentials"),
        ("configpath", "/root/.aws/config"),
        ("ssl_verify", "false"),
        ("use_ssl", "false"),
        ("access_key_id", "AKIATHEIRS"),
        ("secret_access_key", "theirsecret"),
        ("session_token", "theirtoken"),
        ("profile", "admin"),
        ("region", "evil.example/"),
        ("cert_path", "/etc/ssl/private/key.pem"),
        ("gdrive_service_account_json_file_path", "/root/key.json"),
    ],
)
def test_each_setting_that_could_run_read_or_send_something_is_refused_by_name(option: str, value: str) -> None:
    (remote,), notes = choose(dvc_config("s3://data/x", **{option: value}), host(), remote="storage")
    assert option not in remote.options
    assert f"remote storage: settings of the repository not used: {option}" in notes[0]
    assert value not in repr((remote, notes)) or value in ("true", "false")


def test_secrets_in_an_address_are_taken_out_and_named() -> None:
    (remote,), notes = choose(dvc_config("https://u:hunter2@files.example/x?token=hunter2"), host())
    assert remote.url == "https://files.example/x"
    assert notes[0].endswith("query of the url, user information in the url")
    assert "hunter2" not in repr((remote, notes))


def test_a_region_is_the_repositorys_else_the_hosts() -> None:
    assert choose(dvc_config("s3://data/x", region="eu-west-1"), host())[0][0].options == {"region": "eu-west-1"}
    given = host(AWS_DEFAULT_REGION="us-east-2")
    assert choose(dvc_config("s3://data/x"), given)[0][0].options == {"region": "us-east-2"}


@pytest.mark.parametrize("text", ["s3://odd!name/x", "s3://", "s3://arn:aws:s3:::x/y", "https://[x/y"])
def test_an_address_of_the_auditors_that_cannot_be_is_a_usage_error(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"not the name of a bucket|Invalid IPv6") as caught:
        choose(dvc_config("/srv/x"), host(), remote=text)
    assert caught.value.exit_code == 2
    assert "s3://BUCKET/PATH" in caught.value.remedy


def test_an_endpoint_of_this_host_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(InvalidConfiguration, match="AWS_ENDPOINT_URL: 'minio:9000' is not an endpoint"):
        choose(dvc_config("s3://data/x"), host(AWS_ENDPOINT_URL="minio:9000"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("/etc", "a folder of the system"),
        ("/etc/ssl/private", "a folder of the system"),
        ("/proc/1/root", "a folder of the system"),
        ("file:///etc", "a folder of the system"),
        ("/", "a folder of the system"),
        ("../../../../..", "a folder of the system"),
        ("../../..", "holds the repository itself"),
        ("..", "holds the repository itself"),
        ("/work/../etc", "a folder of the system"),
        ("/root", "a folder of the system"),
    ],
)
def test_a_folder_that_can_be_no_store_is_not_looked_into(url: str, why: str) -> None:
    source = repository(dvc_config(url), location="/srv/team/fraud")
    found, notes = choose(source, host())
    assert found == ()
    assert "not used: url (" in notes[0]
    assert why in notes[0]


@pytest.mark.parametrize(
    "url", ["/srv/store", "../../store", "/root/dvcstore", "/var/lib/dvc", "../../../store", "../in"]
)
def test_other_folders_are(url: str) -> None:
    found, notes = choose(repository(dvc_config(url), location="/srv/team/fraud"), host())
    assert (len(found), notes) == (1, ())


def committed(*paths: str) -> tuple[TreeEntry, ...]:
    return tuple(TreeEntry(path=path, kind="file", size_bytes=1) for path in paths)


def test_a_folder_of_the_commit_is_a_remote_wherever_the_repository_is() -> None:
    tree = committed("train.py", "dvcstore/files/md5/ab/cd")
    elsewhere = repository(dvc_config("../dvcstore"), tree=tree, location="https://git.example/x")
    (remote,), notes = choose(elsewhere, host())
    assert (remote.in_commit, notes) == ("dvcstore", ())
    here = repository(dvc_config("../dvcstore"), tree=tree, location="/srv/fraud")
    found, _ = choose(here, host())
    assert [(each.in_commit, each.url) for each in found] == [
        ("dvcstore", "../dvcstore"),
        (None, "/srv/fraud/dvcstore"),
    ]
    nested = DvcRemote(name="main", url="../../dvcstore", default=True, root="sub")
    (remote,), _ = choose(snapshot(remotes=(nested,), tree=tree, location="https://git.example/x"), host())
    assert remote.in_commit == "dvcstore"


@pytest.mark.parametrize("url", ["../../dvcstore", "../.git", "..", "../none"])
def test_what_is_no_folder_of_the_commit_is_none(url: str) -> None:
    tree = committed("train.py", "dvcstore/files/md5/ab/cd", ".git/x/y")
    found, notes = choose(repository(dvc_config(url), tree=tree, location="https://git.example/x"), host())
    assert found == ()
    assert "not here" in notes[0]


@pytest.mark.parametrize(
    ("config", "access", "options", "expected"),
    [
        (dvc_config("s3://data/x"), host(), {}, place_of("s3://data")),
        (dvc_config("s3://data/x", endpointurl="http://localhost:9"), host(), {}, place_of("s3://data", "http://localhost:9")),
        (dvc_config("s3://data/x", endpointurl=MINIO), host(), {"remote": "storage"}, place_of("s3://data", MINIO)),
        (dvc_config("s3://data/x"), host(), {"remote": "storage"}, None),  # confirmed
        (dvc_config("s3://data/x"), host(dvc_config("s3://data")), {}, None),  # confirmed
        (dvc_config("s3://data/x"), NO_ACCESS, {}, None),  # there are no keys to be sent
        (dvc_config("/srv/store"), host(), {}, None),
        (dvc_config("s3://odd!/x"), host(), {}, None),
        (dvc_config("s3://data/x"), host(), {"remote": "/srv/mine"}, None),  # another is asked first
        ("", host(), {}, None),
    ],
)  # fmt: skip
def test_a_person_is_asked_about_the_first_remote_and_only_where_an_answer_matters(
    config: str, access: HostAccess, options: dict[str, Any], expected: object
) -> None:
    assert place_to_confirm(repository(config), settings(**options), access) == expected
