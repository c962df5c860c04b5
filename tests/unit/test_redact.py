"""No secret is left in what people read, and nothing that is none is lost."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.redact import HIDDEN, redact

# "~" is in no text around a secret, so that a secret cannot be found in these by accident.
BASE64 = string.ascii_letters + string.digits + "+/=_-."
secrets = st.text(BASE64, min_size=8, max_size=40).map(lambda text: f"~{text}~")
passwords = st.text(string.ascii_letters + string.digits + "!$%*+,-.:;=@_&()#?", min_size=1, max_size=20).map(
    lambda text: f"~{text}~"
)
names = st.sampled_from(
    [
        "password", "PASSWORD", "db.passwd", "api_key", "X-Api-Key", "AWS_SECRET_ACCESS_KEY", "aws_session_token",
        "token", "private-token", "client_secret", "AccountKey", "X-Amz-Signature", "X-Amz-Credential", "sig", "sas",
        "Pwd", "MLFLOW_TRACKING_PASSWORD", "Authorization", "private_key", "passphrase", "SharedAccessSignature",
    ]
)  # fmt: skip
assignments = st.sampled_from(
    [
        "{name}={value}", "{name} = {value} and more", "{name}: {value}", '"{name}": "{value}"', "'{name}': '{value}'",
        '\\"{name}\\": \\"{value}\\"', "https://host/path?a=b&{name}={value}&c=d", "x;{name}={value};y=z",
        "{name}='{value}'", "f(a=1, {name}={value})", "{name}=>{value}", "--{name}={value}", "export {name}={value}\n",
    ]
)  # fmt: skip


@given(
    scheme=st.sampled_from(["http", "https", "postgresql+psycopg2", "ssh", "git+https", "mysql", "HTTPS", "s3"]),
    password=passwords,
    before=st.sampled_from(["", "fatal: could not read ", "('", "1", "origin\t"]),
)
@example(scheme="https", password="~p@ss@~", before="")
def test_a_password_in_user_information_never_survives(scheme: str, password: str, before: str) -> None:
    shown = redact(f"{before}{scheme}://user:{password}@example.org:5000/path?x=1")
    assert "~" not in shown
    assert shown.endswith("@example.org:5000/path?x=1")


@given(token=secrets.map(lambda text: text.replace("/", "_")), scheme=st.sampled_from(["https", "git+https", "http"]))
def test_a_token_in_the_place_of_a_user_never_survives(token: str, scheme: str) -> None:
    assert "~" not in redact(f"remote: {scheme}://{token}@example.org/acme/x.git not found")


def test_a_password_with_a_slash_never_survives() -> None:
    assert "~" not in redact("Port could not be cast: https://user:~pa/ss~@example.org/x")


@given(
    token=secrets,
    scheme=st.sampled_from(["Bearer", "bearer", "BEARER", "Basic", "basic"]),
    space=st.sampled_from([" ", "  "]),
)
def test_a_bearer_token_never_survives(token: str, scheme: str, space: str) -> None:
    assert token not in redact(f"refused: Authorization: {scheme}{space}{token}")
    assert token not in redact(f"{scheme}{space}{token}, and so on")


@given(name=names, secret=secrets, form=assignments)
def test_the_value_of_a_secret_looking_name_never_survives(name: str, secret: str, form: str) -> None:
    assert "~" not in redact(form.format(name=name, value=secret))


@given(name=st.sampled_from(["password", "db-password", "token", "api-key", "client_secret"]), secret=secrets)
def test_the_value_of_a_secret_looking_option_never_survives(name: str, secret: str) -> None:
    shown = redact(f"python train.py --{name} {secret} --depth 8")
    assert "~" not in shown
    assert shown.endswith(" --depth 8")


def test_a_quoted_secret_with_spaces_is_hidden_whole() -> None:
    assert redact('password="correct horse battery", user="ann"') == f'password="{HIDDEN}", user="ann"'


@given(text=st.text(max_size=200))
def test_what_is_hidden_stays_hidden_when_redacted_again(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:acme/fraud.git",
        "ssh://git@example.org:2222/acme/fraud.git",
        "git+ssh://git@example.org/acme/fraud",
        "run ab12cd34ef56ab12cd34ef56ab12cd34 of file:///srv/acme/mlruns",
        "data/train.csv md5:1c9ab5e31a0e8c5d1b7a3d4f2e6c7a88.dir (tag dvc_data_md5)",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "disaster.csv: md5:1c9ab5e31a0e8c5d1b7a3d4f2e6c7a88",
        "commit 9f3c2e1d0b4a59687766554433221100aabbccdd",
        "dvc_data_md5=1c9ab5e31a0e8c5d1b7a3d4f2e6c7a88",
        "s3://ml-data/store and https://example.org:8443/acme/x@v1",
        "models:/fraud@champion",
        "python train.py --depth 8 --tokenizer bert-base --max-tokens 512",
        "max_tokens=512 and token_accuracy: 0.93",
        "Basic authentication is asked for",
        "the model's signature: (double, double) -> long",
        "Python 3.11, scikit-learn==1.4.2, 2025-03-02T10:00:00Z",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_number_that_is_a_password_is_hidden() -> None:
    assert redact("password=12345678") == f"password={HIDDEN}"


@pytest.mark.parametrize(
    "piece", ["a", "token", "a.", "://", "://a", "password=", "--a-", "--token ", " ", "bearer ", "'", "a:"]
)
@pytest.mark.timeout(60)  # a pattern that backtracks takes hours
def test_long_texts_take_no_more_than_a_moment(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    assert len(redact(text)) <= len(text)
