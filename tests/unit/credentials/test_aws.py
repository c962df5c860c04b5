"""What AWS's variables and files give: as AWS's tools would take it, and without running or asking anything."""

from __future__ import annotations

import pytest

from runner.credentials.aws import Aws, read_aws

HOME = {"HOME": "/home/ann"}
KEYS = "aws_access_key_id = AKIAFILE\naws_secret_access_key = filesecret\n"
VARIABLES = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "envsecret"}


def read(
    environ: dict[str, str], credentials: str = "", config: str = "", profile: str | None = None, **others: str
) -> Aws:
    files = {"/home/ann/.aws/credentials": credentials, "/home/ann/.aws/config": config, **others}
    return read_aws({**HOME, **environ}, lambda path: files.get(str(path)), profile)


def found(aws: Aws) -> tuple[str, str, str | None] | str:
    return aws.missing if aws.keys is None else (aws.keys.access_key_id, aws.keys.source, aws.keys.session_token)


def test_variables_win_over_files_also_where_a_variable_names_a_profile() -> None:
    aws = read({**VARIABLES, "AWS_SESSION_TOKEN": "tok", "AWS_PROFILE": "x"}, f"[x]\n{KEYS}")
    assert found(aws) == ("AKIAENV", "AWS_ACCESS_KEY_ID", "tok")


def test_a_profile_that_was_named_for_a_remote_wins_over_variables() -> None:
    aws = read(VARIABLES, f"[x]\n{KEYS}", profile="x")
    assert found(aws) == ("AKIAFILE", "profile x of /home/ann/.aws/credentials", None)


def test_the_default_profile_and_the_one_that_is_named() -> None:
    text = f"[default]\n{KEYS}[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = s\naws_session_token = t\n"
    assert found(read({}, text)) == ("AKIAFILE", "profile default of /home/ann/.aws/credentials", None)
    for variable in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        assert found(read({variable: "work"}, text)) == ("AKIAWORK", "profile work of /home/ann/.aws/credentials", "t")


def test_keys_of_the_config_file_count_after_those_of_the_credentials_file() -> None:
    config = "[profile work]\naws_access_key_id = AKIACONF\naws_secret_access_key = s\n"
    assert found(read({"AWS_PROFILE": "work"}, "", config)) == (
        "AKIACONF",
        "profile work of /home/ann/.aws/config",
        None,
    )
    assert found(read({"AWS_PROFILE": "work"}, f"[work]\n{KEYS}", config))[0] == "AKIAFILE"


def test_files_lie_where_variables_say() -> None:
    aws = read(
        {"AWS_SHARED_CREDENTIALS_FILE": "/k", "AWS_CONFIG_FILE": "/c"},
        **{"/k": f"[default]\n{KEYS}", "/c": "[default]\nregion = eu-west-1\n"},
    )
    assert (found(aws), aws.region) == (("AKIAFILE", "profile default of /k", None), "eu-west-1")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("credential_process = /bin/touch /tmp/owned", "credential_process"),
        ("sso_session = corp", "by SSO"),
        ("sso_start_url = https://corp.example", "by SSO"),
        ("role_arn = arn:aws:iam::1:role/r\nsource_profile = default", "assumes a role"),
        ("web_identity_token_file = /token", "web identity"),
    ],
)
def test_what_would_run_ask_or_sign_in_is_not_done_and_said(option: str, words: str) -> None:
    said = found(read({"AWS_PROFILE": "work"}, f"[default]\n{KEYS}", f"[profile work]\n{option}\n"))
    assert isinstance(said, str)
    assert words in said
    assert "work" in said
    assert "/bin/touch" not in said


def test_a_role_wins_over_keys_in_its_profile_and_keys_over_a_command() -> None:
    assert "assumes a role" in found(read({}, f"[default]\n{KEYS}", "[default]\nrole_arn = arn:x\n"))
    assert found(read({}, f"[default]\n{KEYS}", "[default]\ncredential_process = x\n"))[0] == "AKIAFILE"


@pytest.mark.parametrize(
    ("environ", "credentials", "words"),
    [
        ({}, "", "this host has no keys for S3"),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, f"[default]\n{KEYS}", "AWS_SECRET_ACCESS_KEY is not"),
        ({"AWS_PROFILE": "gone"}, f"[default]\n{KEYS}", "has the profile gone"),
        ({}, "[default]\naws_access_key_id = AKIA\n", "without its secret"),
        ({}, "not a file of sections", "this host has no keys for S3"),
    ],
)
def test_why_there_are_none_is_a_sentence(environ: dict[str, str], credentials: str, words: str) -> None:
    said = found(read(environ, credentials))
    assert isinstance(said, str)
    assert words in said
    assert "AKIAFILE" not in said


def test_endpoints_come_in_awss_order() -> None:
    config = (
        "[default]\nendpoint_url = https://all\nservices = lab\n[services lab]\ns3 =\n  endpoint_url = https://s3\n"
        "ec2 =\n  endpoint_url = https://ec2\n"
    )
    assert read({}, "", config).endpoint == "https://s3"
    assert read({}, "", config.replace("services = lab\n", "")).endpoint == "https://all"
    everywhere = read({"AWS_ENDPOINT_URL": "https://env"}, "", config)
    assert (everywhere.endpoint, everywhere.endpoint_source) == ("https://env", "AWS_ENDPOINT_URL")
    only = {"AWS_ENDPOINT_URL": "https://env", "AWS_ENDPOINT_URL_S3": "https://env-s3"}
    assert read(only, "", config).endpoint == "https://env-s3"
    assert read({**only, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "", config).endpoint is None


def test_region_and_certificates() -> None:
    config = "[default]\nregion = eu-west-1\nca_bundle = /ca.pem\n"
    assert (read({}, "", config).region, read({}, "", config).ca_file) == ("eu-west-1", "/ca.pem")
    aws = read({"AWS_DEFAULT_REGION": "us-east-2", "AWS_CA_BUNDLE": "/own.pem"}, "", config)
    assert (aws.region, aws.ca_file, aws.ca_source) == ("us-east-2", "/own.pem", "AWS_CA_BUNDLE")


def test_no_key_is_in_what_is_printed_of_the_values() -> None:
    aws = read({**VARIABLES, "AWS_SESSION_TOKEN": "tok3n"})
    assert aws.keys is not None
    assert set(aws.keys.secrets) == {"AKIAENV", "envsecret", "tok3n"}
    assert not any(secret in f"{aws!r} {aws}" for secret in aws.keys.secrets)


def test_a_profile_may_have_blanks_in_its_name() -> None:
    config = '[profile "my lab"]\naws_access_key_id = A\naws_secret_access_key = S\n'
    assert found(read({"AWS_PROFILE": "my lab"}, "", config))[0] == "A"
