"""What the host's own DVC configuration confirms, and which keys it gives for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.credentials.host import HostAccess, host_access, read_host_access
from runner.pointers.places import Place, place_of

VARIABLES = {"HOME": "/home/ann", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "envsecret"}
MINIO = "https://minio.example:9000"
OWN = "access_key_id = AKIAOWN\nsecret_access_key = ownsecret\n"


def host(own: str = "", local: str = "", environ: dict[str, str] | None = None, **files: str) -> HostAccess:
    texts = {"/home/ann/.config/dvc/config": own, "/p/.dvc/config.local": local, **files}
    levels = [(Path("/home/ann/.config/dvc/config"), False), (Path("/p/.dvc/config.local"), True)]
    return host_access(VARIABLES if environ is None else environ, levels, lambda path: texts.get(str(path)))


def source(access: HostAccess, name: str, place: Place) -> str | None:
    keys = access.aws_for(name, place).keys
    return None if keys is None else keys.source


def test_a_remote_with_a_url_confirms_its_place_and_only_that() -> None:
    access = host(f"['remote \"mine\"']\nurl = s3://data/x\nendpointurl = {MINIO}\n{OWN}")
    assert dict(access.confirmed) == {place_of("s3://data", MINIO): "remote mine of /home/ann/.config/dvc/config"}
    assert source(access, "any", place_of("s3://data", MINIO)) == "/home/ann/.config/dvc/config"
    assert source(access, "mine", place_of("s3://data")) == "AWS_ACCESS_KEY_ID", "another place has other keys"


def test_keys_without_a_url_confirm_nothing_and_belong_to_the_remote_of_that_name() -> None:
    access = host(local=f"['remote \"storage\"']\n{OWN}")
    place = place_of("s3://data")
    assert access.confirmed == {}
    assert source(access, "Storage", place) == "/p/.dvc/config.local"
    assert source(access, "other", place) == "AWS_ACCESS_KEY_ID"


def test_later_files_win_by_the_key() -> None:
    access = host(
        f"['remote \"storage\"']\nurl = s3://old\nregion = us-east-1\n{OWN}",
        f"['remote \"storage\"']\nurl = s3://new\nendpointurl = {MINIO}\n",
    )
    (remote,) = access.remotes
    assert (remote.url, remote.source, remote.overrides) == ("s3://new", "/p/.dvc/config.local", True)
    assert (remote.aws.endpoint, remote.aws.region) == (MINIO, "us-east-1")
    assert list(access.confirmed) == [place_of("s3://new", MINIO)]


def test_an_endpoint_is_the_hosts_for_all_or_for_a_name() -> None:
    access = host(local=f"['remote \"storage\"']\nendpointurl = {MINIO}\n")
    assert access.names_endpoint(MINIO.upper().replace("HTTPS", "https"), "storage")
    assert not access.names_endpoint(None, "storage")
    assert access.names_endpoint(None, "other")
    assert not access.names_endpoint(MINIO, "other")
    assert not access.names_endpoint("no address", "other")
    everywhere = host(environ={**VARIABLES, "AWS_ENDPOINT_URL": MINIO})
    assert everywhere.names_endpoint(f"{MINIO}/", "any")
    assert not everywhere.names_endpoint(None, "any")


def test_a_profile_and_files_that_a_remote_names_are_read() -> None:
    access = host(
        "['remote \"a\"']\nurl = s3://aaa\nprofile = work\n['remote \"b\"']\nurl = s3://bbb\ncredentialpath = keys\n",
        **{
            "/home/ann/.aws/credentials": "[work]\naws_access_key_id = W\naws_secret_access_key = S\n",
            "/home/ann/.config/dvc/keys": "[default]\naws_access_key_id = K\naws_secret_access_key = S\n",
        },
        environ={"HOME": "/home/ann"},
    )
    assert source(access, "a", place_of("s3://aaa")) == "profile work of /home/ann/.aws/credentials"
    assert source(access, "b", place_of("s3://bbb")) == "profile default of /home/ann/.config/dvc/keys"


@pytest.mark.parametrize("url", ["/srv/store", "s3://odd!", "azure://data/x"])
def test_what_is_no_place_confirms_nothing(url: str) -> None:
    access = host(f"['remote \"x\"']\nurl = {url}\n{OWN}")
    assert access.confirmed == {}
    assert source(access, "x", place_of("s3://data")) == "AWS_ACCESS_KEY_ID"


def test_checks_that_it_switches_off_stay_on_and_an_authority_is_passed_on() -> None:
    access = host("['remote \"x\"']\nurl = s3://data\nssl_verify = false\nuse_ssl = false\n")
    assert access.notes == (
        "remote x of /home/ann/.config/dvc/config: ssl_verify is not used",
        "remote x of /home/ann/.config/dvc/config: use_ssl is not used",
    )
    own = host("['remote \"x\"']\nurl = s3://data\nssl_verify = ca.pem\n", **{"/home/ann/.config/dvc/ca.pem": "PEM"})
    assert own.aws_for("x", place_of("s3://data")).ca_file == "/home/ann/.config/dvc/ca.pem"
    gone = host(environ={**VARIABLES, "AWS_CA_BUNDLE": "/gone.pem"})
    assert gone.notes == ("AWS_CA_BUNDLE=/gone.pem is not passed on: it cannot be read",)


def test_files_are_found_where_dvc_finds_them(tmp_path: Path) -> None:
    places = {
        "DVC_SYSTEM_CONFIG_DIR": tmp_path / "system",
        "DVC_GLOBAL_CONFIG_DIR": tmp_path / "global",
        "XDG_CONFIG_HOME": tmp_path / "xdg" / "dvc",
        "HOME": tmp_path / "home" / ".config" / "dvc",
        "clone": tmp_path / "clone" / ".dvc",
    }
    for name, folder in places.items():
        folder.mkdir(parents=True)
        file = folder / ("config.local" if name == "clone" else "config")
        file.write_text(f"['remote \"{name}\"']\nurl = s3://{name.lower().replace('_', '-')}\n")
    home = str(tmp_path / "home")

    def names(**environ: str) -> list[str]:
        return [each.name for each in read_host_access({"HOME": home, **environ}, [tmp_path / "clone"]).remotes]

    variables = {name: str(places[name]) for name in ("DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR")}
    assert names(**variables) == ["DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "clone"]
    assert names(XDG_CONFIG_HOME=str(tmp_path / "xdg"), XDG_CONFIG_DIRS="/nonexistent") == ["XDG_CONFIG_HOME", "clone"]
    assert names(XDG_CONFIG_DIRS="/nonexistent") == ["HOME", "clone"]


def test_no_key_is_in_what_is_printed() -> None:
    assert "secret" not in repr(host(f"['remote \"x\"']\nurl = s3://data\n{OWN}"))
