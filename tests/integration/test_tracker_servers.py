"""Real MLflow servers as people have them: with user names, tokens, an authority of their own, on localhost, or old."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.errors import InvalidConfiguration, RunNotFound, TrackerUnavailable
from runner.finding import find_run
from runner.schema.comparison import Outcome
from runner.schema.run_record import RunRecord
from runner.settings import Settings
from runner.trackers.baseline import baseline_digest
from runner.trackers.open import open_tracker
from runner.trackers.reference import parse_reference
from tests.support.authorities import Authority, make_authority
from tests.support.command import CommandLine
from tests.support.logged_again import compared_with_the_same_again
from tests.support.mlflow_stores import (
    MLFLOW_1_30,
    MLFLOW_2_2,
    MLFLOW_3,
    RealStore,
    listing,
    mlflow_python,
    mlflow_server,
    write_real_store,
)
from tests.support.postgres import PACKAGES as POSTGRES_PACKAGES
from tests.support.postgres import postgres
from tests.support.services import Services
from tests.support.tracker_proxy import TrackerProxy

ALPHA = "équipe/τεστ/alpha"
TOKEN = "tok-5f9d2c7e1b"
PASSWORD = "pw-81c6e0aa4d2f"
ADMIN = ("admin", "pw-of-the-administrator")


@pytest.fixture(scope="module")
def cache(request: pytest.FixtureRequest) -> Path:
    return request.config.cache.mkdir("mlflow-versions")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing but what a test gives: neither variables nor a file in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN", "SERVER_CERT_PATH", "INSECURE_TLS"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


def read_base(address: str) -> RunRecord:
    tracker = open_tracker(address)
    tracker.check()
    return tracker.read_run(tracker.find_run(parse_reference(f"{ALPHA}/base")))


# Servers of other times


@dataclass(frozen=True)
class Old:
    """A server of some version over a store that the same version wrote."""

    store: RealStore
    address: str


OLD = {
    "1.30 over files": (MLFLOW_1_30, "mlruns"),
    "1.30 over sqlite": (MLFLOW_1_30, "mlflow.db"),
    "2.2 over files": (MLFLOW_2_2, "mlruns"),
    "2.2 over sqlite": (MLFLOW_2_2, "mlflow.db"),
    "3.17 over files": (MLFLOW_3, "mlruns"),
}
SLOW = ("1.30 over sqlite", "2.2 over files", "3.17 over files")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.full if name in SLOW else ()) for name in OLD]
)
def old(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    packages, address = OLD[request.param]
    place = tmp_path_factory.mktemp("old")
    python = mlflow_python(cache, packages)
    store = write_real_store(python, place / "store", address)
    backend = str(store.folder / address) if address == "mlruns" else f"sqlite:///{store.folder / address}"
    # Old ones recorded artifacts by a path relative to where they worked.
    options = ("--default-artifact-root", str(place / "unused"))
    with mlflow_server(python, backend, place / "log", *options, folder=store.folder) as started:
        yield Old(store, started)


def test_a_server_of_another_time_gives_the_record_that_its_store_holds(old: Old) -> None:
    direct = open_tracker(str(old.store.folder / old.store.address)).read_run(old.store.ids["base"])
    before = listing(old.store.folder)
    record = read_base(old.address)
    assert baseline_digest(record) == baseline_digest(direct)
    assert all(metric.complete for metric in record.metrics)
    for shared in ("dataset_inputs", "environment_files", "artifacts", "experiment_name", "name", "notes"):
        assert getattr(record, shared) == getattr(direct, shared), shared
    tracker = open_tracker(old.address)
    assert tracker.read_artifact(record.run_id, "notes/deep/a.txt", 100) == b"hello\n"
    assert tracker.read_artifact(record.run_id, "absent", 100) is None
    assert listing(old.store.folder) == before


def test_a_server_of_another_time_is_searched_by_prefix_and_name_and_in_its_bin(old: Old) -> None:
    tracker = open_tracker(old.address)

    def find(text: str) -> str:
        return tracker.find_run(parse_reference(text))

    ids = old.store.ids
    assert find(ids["base"][:16]) == ids["base"]
    assert tracker.read_run(find(f"{ALPHA}/gone")).lifecycle_stage == "deleted"
    assert tracker.read_run(find("binned/in the bin")).lifecycle_stage == "deleted"
    assert sorted(tracker.read_run(ids["child-1"]).siblings) == sorted(ids[f"child-{n}"] for n in range(3))
    with pytest.raises(RunNotFound):
        find("0" * 32)


def test_the_registry_of_a_server_of_another_time_leads_to_the_run_and_the_files(old: Old) -> None:
    over_http, from_files = Settings(tracker=old.address), Settings(tracker=str(old.store.folder / old.store.address))
    if "version" not in old.store.ids:  # version 1 keeps no registry in files
        with pytest.raises((RunNotFound, TrackerUnavailable)):
            find_run("models:/fraud/1", over_http)
        return
    for text in ("models:/fraud/1", "models:/fraud/production", "models:/fraud/latest"):
        there, here = find_run(text, over_http).registered(), find_run(text, from_files).registered()
        assert there is not None
        assert here is not None
        assert (there.run_id, there.title, there.path) == (here.run_id, here.title, here.path)
        assert (there.same_place, there.artifact) == (True, here.artifact)
    with pytest.raises(RunNotFound, match=r"no alias 'champions'|it has none"):
        find_run("models:/fraud@champions", over_http)
    with pytest.raises(RunNotFound, match=r"no version 3.*it has v1, v2"):
        find_run("models:/fraud/3", over_http)


def test_the_same_logged_again_is_equal_in_the_form_of_the_store_behind_a_server(old: Old) -> None:
    compared = compared_with_the_same_again(read_base(old.address))
    assert {metric.outcome for metric in compared.metrics} == {Outcome.EQUAL}
    assert bool(compared.mappings) == (old.store.address == "mlflow.db")


@pytest.mark.full
@pytest.mark.parametrize("digits", [17, 15])
def test_the_same_logged_again_never_diverges_from_what_postgresql_keeps(
    cache: Path, tmp_path: Path, digits: int
) -> None:
    """At 15 digits the largest float comes as an infinity, and a third is another number."""
    python = mlflow_python(cache, (*MLFLOW_3, *POSTGRES_PACKAGES))
    with postgres(python, digits=digits) as database:
        store = write_real_store(python, tmp_path / "store", database)
        with mlflow_server(python, database, tmp_path / "log", folder=store.folder) as address:
            record = read_base(address)
    compared = compared_with_the_same_again(record)
    outcomes = {metric.name: metric.outcome for metric in compared.metrics}
    third = Outcome.EQUAL if digits == 17 else Outcome.WITHIN
    assert outcomes == {**dict.fromkeys(("loss", "big", "val/auc", "zero"), Outcome.EQUAL), "third": third}
    assert any("duplicates" in mapping for mapping in compared.mappings)


# Servers that ask who is there


@dataclass(frozen=True)
class Guarded:
    """A server of today's that asks for a user name and a password, with one run; `reader` may only read."""

    address: str
    run_id: str

    def with_userinfo(self, user: str, password: str) -> str:
        return self.address.replace("http://", f"http://{user}:{password}@")


@pytest.fixture(scope="module")
def guarded(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    place = tmp_path_factory.mktemp("guarded")
    options = ("--app-name", "basic-auth", "--artifacts-destination", str(place / "artifacts"))
    variables = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "only for tests", "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1]}
    backend = f"sqlite:///{place / 'mlflow.db'}"
    with mlflow_server(mlflow_python(cache, MLFLOW_3), backend, place / "log", *options, **variables) as address:
        written(address, "users/create", username="reader", password=PASSWORD)
        run = written(address, "runs/create", experiment_id="0", start_time=1_700_000_000_000, run_name="base")["run"]
        run_id = run["info"]["run_id"]
        written(address, "runs/log-metric", run_id=run_id, key="loss", value=0.5, timestamp=1, step=0)
        written(address, "runs/update", run_id=run_id, status="FINISHED", end_time=1_700_000_060_000)
        yield Guarded(address, run_id)


def written(address: str, endpoint: str, **body: Any) -> Any:
    """What the server's administrator sends it, and gets."""
    request = urllib.request.Request(f"{address}/api/2.0/mlflow/{endpoint}", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(ADMIN).encode()).decode()}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def read_guarded(guarded: Guarded, address: str) -> RunRecord:
    """Each request costs the server a second: it hashes the password anew."""
    record = open_tracker(address).read_run(guarded.run_id)
    assert record.metrics[0].points[0].value == 0.5
    return record


def test_a_user_name_and_password_are_taken_from_the_environment(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    assert read_guarded(guarded, guarded.address).notes == ()
    assert open_tracker(guarded.address).find_run(parse_reference("Default/base")) == guarded.run_id


def test_a_user_name_and_password_are_taken_from_the_credentials_file(guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / ".mlflow" / "credentials"
    file.parent.mkdir()
    file.write_text(f"[mlflow]\nmlflow_tracking_username = reader\nmlflow_tracking_password = {PASSWORD}\n")
    read_guarded(guarded, guarded.address)


def test_a_user_name_and_password_are_taken_from_the_address_and_kept_out_of_the_record(guarded: Guarded) -> None:
    record = read_guarded(guarded, guarded.with_userinfo("reader", PASSWORD))
    assert PASSWORD not in record.to_json()


REFUSED = {
    "nothing": ({}, "", "MLFLOW_TRACKING_USERNAME"),
    "a wrong password": (
        {"MLFLOW_TRACKING_USERNAME": "reader", "MLFLOW_TRACKING_PASSWORD": "wrong-" + PASSWORD},
        "",
        "MLFLOW_TRACKING_PASSWORD",
    ),
    "a wrong password in the address": ({}, "wrong-" + PASSWORD, "--tracker"),
    "a token": ({"MLFLOW_TRACKING_TOKEN": TOKEN}, "", "MLFLOW_TRACKING_TOKEN"),
}


@pytest.mark.parametrize("given", REFUSED)
def test_wrong_credentials_end_with_exit_5_and_are_not_repeated(guarded: Guarded, tmp_path: Path, given: str) -> None:
    variables, in_address, named = REFUSED[given]
    address = guarded.with_userinfo("reader", in_address) if in_address else guarded.address
    typed = CommandLine(tmp_path / "here", tracker=address, HOME=str(tmp_path), **variables)
    said = typed.run(*(("reproduce", guarded.run_id, "--json") if in_address else ("plan", "Default/base")))
    assert said.code == 5, said.err
    text = said.out + said.err
    assert "(401)" in text
    assert named in text
    assert PASSWORD not in text
    assert TOKEN not in text
    assert typed.files() == []


@pytest.fixture(scope="module")
def open_server(services: Services, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The MLflow server of compose.yaml, which asks nothing, with runs that today's client has logged to it."""
    write_real_store(mlflow_python(cache, MLFLOW_3), tmp_path_factory.mktemp("open") / "client", services.mlflow_url)
    return services.mlflow_url


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


def test_a_token_is_sent_with_every_request(open_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    with TrackerProxy(open_server, token=TOKEN) as proxy:
        record = read_base(proxy.address)
        assert open_tracker(proxy.address).read_artifact(record.run_id, "notes/deep/a.txt", 100) == b"hello\n"
        assert set(proxy.authorizations) == {f"Bearer {TOKEN}"}
    assert record.uri.startswith("http://localhost:")


def test_a_wrong_token_ends_with_exit_5_and_is_not_repeated(open_server: str, tmp_path: Path) -> None:
    with TrackerProxy(open_server, token="another") as proxy:
        said = CommandLine(tmp_path / "here", tracker=proxy.address, MLFLOW_TRACKING_TOKEN=TOKEN).run("plan", "x/y")
    assert said.code == 5, said.err
    assert "MLFLOW_TRACKING_TOKEN" in said.err
    assert TOKEN not in said.out + said.err


def test_a_redirect_to_another_host_is_not_followed_and_the_token_stays_here(
    open_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    with TrackerProxy(open_server) as elsewhere, TrackerProxy(open_server, sends_to=elsewhere.address) as proxy:
        with pytest.raises(TrackerUnavailable, match="sends us on"):
            read_base(proxy.address)
        assert proxy.authorizations
        assert elsewhere.authorizations == []


# Servers with a certificate of their own authority


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE"])
def test_an_own_authority_is_trusted_where_mlflow_would(
    open_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority.certificate))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    with TrackerProxy(open_server, token=TOKEN, authority=authority) as proxy:
        assert read_base(proxy.address).uri.startswith("https://localhost:")


def test_an_unknown_authority_is_refused_before_a_token_is_sent(
    open_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    with TrackerProxy(open_server, authority=authority) as proxy:
        with pytest.raises(TrackerUnavailable, match="not trusted") as refused:
            read_base(proxy.address)
        assert proxy.authorizations == []
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in refused.value.remedy


def test_a_certificate_of_the_users_own_is_shown_where_mlflow_would(
    open_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.certificate))
    with TrackerProxy(open_server, authority=authority, knows_clients=True) as proxy:
        with pytest.raises(TrackerUnavailable):
            open_tracker(proxy.address).check()
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(authority.server))
        open_tracker(proxy.address).check()


def test_a_certificate_that_nobody_checks_is_told_with_the_record(
    open_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with TrackerProxy(open_server, authority=authority) as proxy:
        record = read_base(proxy.address)
    assert any("MLFLOW_TRACKING_INSECURE_TLS" in note for note in record.notes)


@pytest.mark.parametrize("insecure", [False, True])
def test_settings_of_certificates_that_cannot_be_are_told(
    open_server: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, insecure: bool
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/absent/ca.pem")
    if insecure:
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    with TrackerProxy(open_server, authority=authority) as proxy:
        with pytest.raises(InvalidConfiguration, match="MLFLOW_TRACKING_SERVER_CERT_PATH"):
            read_base(proxy.address)
        assert proxy.authorizations == []
