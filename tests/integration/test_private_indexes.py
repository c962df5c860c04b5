"""Private package indexes on a real engine: by TLS with an authority of the host's, with passwords from every place.

They go to that index, and to nobody and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.engine.docker import DockerEngine
from runner.errors import IndexUnavailable, MissingFact, RunnerError
from runner.inside import layout
from runner.network import NetworkSettings, read_network_settings
from runner.prepare import Prepared, images_of
from tests.support.authorities import Authority, make_authority
from tests.support.command import CommandLine
from tests.support.package_index import PackageIndex
from tests.support.projects import REQUIREMENTS, RUN_ID, RecordedProject
from tests.support.provisioning import Case, own_commit

USER, SECRET = "reader", "geheim-4711"


@pytest.fixture(scope="module")
def case(shared_engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> Case:
    return Case(shared_engine, images_of(shared_images), cache_volume)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def private(authority: Authority) -> Iterator[PackageIndex]:
    """An index that speaks TLS by an authority of its own, and gives nothing to strangers."""
    with PackageIndex(userinfo=f"{USER}:{SECRET}", authority=authority) as index:
        yield index


class Host:
    """A user's home and environment, as far as indexes are concerned."""

    def __init__(self, home: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.variables = {"HOME": str(home), "SSL_CERT_FILE": str(authority.certificate), "XDG_CONFIG_DIRS": str(home)}
        self._patch = monkeypatch

    def write(self, path: str, text: str) -> None:
        (self.home / path).parent.mkdir(parents=True, exist_ok=True)
        (self.home / path).write_text(text)

    def keyring(self, service: str) -> None:
        """A keyring on the PATH that holds one password."""
        program = (
            f"#!{sys.executable}\nimport sys\nif sys.argv[1:] == ['get', {service!r}, {USER!r}]: print({SECRET!r})\n"
        )
        self.write("bin/keyring", program + "else: sys.exit(1)\n")
        (self.home / "bin" / "keyring").chmod(0o755)
        self.variables["PATH"] = f"{self.home}/bin"

    def network(self) -> NetworkSettings:
        """What this host says, where nothing else is set; netrc and keyring are asked by provisioning itself."""
        for name, value in self.variables.items():
            self._patch.setenv(name, value)
        return read_network_settings(self.variables)


@pytest.fixture
def host(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, authority, monkeypatch)


def user_at(index: PackageIndex) -> str:
    return index.address.replace("://", f"://{USER}@")


def by_url(variable: str) -> Any:
    def way(host: Host, index: PackageIndex) -> None:
        host.variables[variable] = index.address_with_credentials

    return way


def by_name(host: Host, index: PackageIndex) -> None:
    host.variables |= {"UV_DEFAULT_INDEX": f"my-corp={index.address}"}
    host.variables |= {"UV_INDEX_MY_CORP_USERNAME": USER, "UV_INDEX_MY_CORP_PASSWORD": SECRET}


def by_pip_conf(host: Host, index: PackageIndex) -> None:
    host.write(".config/pip/pip.conf", f"[global]\nindex-url = {index.address_with_credentials}\n")


def by_uv_toml(host: Host, index: PackageIndex) -> None:
    host.write(".config/uv/uv.toml", f'[[index]]\nurl = "{index.address_with_credentials}"\ndefault = true\n')


def by_netrc(host: Host, index: PackageIndex) -> None:
    host.write(".netrc", f"machine localhost login {USER} password {SECRET}\n")
    host.variables["UV_INDEX_URL"] = index.address


def by_named_netrc(host: Host, index: PackageIndex) -> None:
    host.write("elsewhere/netrc", f"machine localhost login {USER} password {SECRET}\n")
    host.variables |= {"NETRC": str(host.home / "elsewhere" / "netrc"), "PIP_INDEX_URL": index.address}


def by_keyring(host: Host, index: PackageIndex) -> None:
    host.keyring(index.address)
    host.variables |= {"UV_KEYRING_PROVIDER": "subprocess", "UV_DEFAULT_INDEX": user_at(index)}


def by_pips_keyring(host: Host, index: PackageIndex) -> None:
    host.keyring(index.origin.removeprefix("https://"))
    host.write(".config/pip/pip.conf", f"[global]\nindex-url = {user_at(index)}\nkeyring-provider = subprocess\n")


WAYS: dict[str, Any] = {
    "netrc": by_netrc,
    "keyring": by_keyring,
    "named": by_name,
    "uv.toml": by_uv_toml,
    "pip.conf": by_pip_conf,
    "NETRC": by_named_netrc,
    "pip's keyring": by_pips_keyring,
    **{name: by_url(name) for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL")},
    **{name: by_url(name) for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")},
}


@pytest.mark.parametrize(
    "way", [pytest.param(name, marks=() if place < 2 else pytest.mark.full) for place, name in enumerate(WAYS)]
)
def test_a_private_index_is_had_by_each_way_that_uv_and_pip_know(
    case: Case, host: Host, private: PackageIndex, way: str
) -> None:
    private.add_wheel("closed", "1.0")
    private.add_source("built", "1.0", "def module(): return ''\n")
    WAYS[way](host, private)
    made = case.provision(case.plan("closed\nbuilt\n", commit=own_commit()), network=host.network())
    assert set(made.packages) == {"closed", "built"}
    assert SECRET not in made.model_dump_json()
    assert case.shell(f"grep -rl {SECRET} {layout.CACHE} || true") == ""


def refused(case: Case, plan: Any, network: NetworkSettings) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        case.provision(plan, network=network)
    return caught.value


def test_a_wrong_password_is_infrastructure_and_not_shown_and_no_other_index_is_asked_instead(
    case: Case, host: Host, private: PackageIndex
) -> None:
    """Else a stranger's package of that name would be taken on the day on which a password runs out."""
    private.add_wheel("internal", "1.0")
    with PackageIndex() as public:
        public.add_wheel("internal", "1.0", {"internal.py": "stolen = True\n"})
        host.variables |= {"UV_INDEX": private.address, "UV_DEFAULT_INDEX": public.address}
        host.write(".netrc", "machine localhost login reader password wrong-geheim\n")
        error = refused(case, case.plan("internal==1.0\n", commit=own_commit()), host.network())
        assert public.requests == []
    assert isinstance(error, IndexUnavailable)
    assert "401" in error.cause
    assert "localhost" in error.cause
    assert "geheim" not in f"{error.cause}{error.remedy}"


def test_an_index_that_sends_elsewhere_for_its_files_hands_no_password_on(
    case: Case, host: Host, private: PackageIndex, authority: Authority
) -> None:
    with PackageIndex(authority=authority) as elsewhere:
        for index in (private, elsewhere):
            index.add_wheel("moved", "1.0")
            index.add_source("sources", "1.0", "def module(): return ''\n")
        private.elsewhere = elsewhere
        host.variables["UV_INDEX_URL"] = private.address_with_credentials
        made = case.provision(case.plan("moved\nsources\n", commit=own_commit()), network=host.network())
        assert set(made.packages) == {"moved", "sources"}
        assert {path for path, _ in elsewhere.heard} >= {"files/moved-1.0-py3-none-any.whl", "files/sources-1.0.tar.gz"}
        assert {authorization for _, authorization in elsewhere.heard} == {None}


def test_an_index_that_the_repository_names_gets_no_password_of_the_hosts(
    case: Case, host: Host, private: PackageIndex, authority: Authority
) -> None:
    """Not on another port; and one on the same host and port, which may be another tenant's, is not asked at all."""
    private.add_wheel("closed", "1.0")
    host.write(".netrc", f"machine localhost login {USER} password {SECRET}\n")
    host.variables["UV_INDEX"] = private.address
    network = host.network()
    with PackageIndex(userinfo="nobody:knows", authority=authority) as evil:
        text = f"--extra-index-url {evil.address}\nno-such-package\n"
        error = refused(case, case.plan(text, commit=own_commit()), network)
        assert isinstance(error, IndexUnavailable)
        assert "401" in error.cause
        assert f"export UV_INDEX=NAME={evil.address}" in error.remedy
        assert evil.heard
        assert {authorization for _, authorization in evil.heard} == {None}
    text = f"--extra-index-url {private.origin}/evil/simple\nclosed\n"
    error = refused(case, case.plan(text, commit=own_commit()), network)
    assert isinstance(error, MissingFact)
    assert "on the host of a private index of yours: it is not asked" in error.cause
    assert not [path for path, _ in private.heard if path.startswith("evil")]


# ---- which index a package comes from ----


@pytest.fixture
def both() -> Iterator[tuple[PackageIndex, PackageIndex, NetworkSettings]]:
    """The host's own index, a public one, and the host's settings for both."""
    with PackageIndex() as own, PackageIndex() as public:
        yield own, public, NetworkSettings(extra_index_urls=(own.address,), index_url=public.address)


Both = tuple[PackageIndex, PackageIndex, NetworkSettings]


def test_a_name_that_the_hosts_own_index_knows_is_taken_from_nowhere_else(case: Case, both: Both) -> None:
    own, public, network = both
    own.add_wheel("internal", "1.0", {"internal.py": "whose = 'own'\n"})
    for version in ("1.0", "1.5", "99.0"):
        public.add_wheel("internal", version, {"internal.py": "whose = 'a stranger'\n"})
    public.add_source("internal", "100.0", "def module(): return \"whose = 'a stranger'\"\n")
    public.add_wheel("common", "1.0")
    made = case.provision(case.plan("internal\ncommon\n", commit=own_commit()), network=network)
    assert made.packages == {"internal": "1.0", "common": "1.0"}
    assert case.python(made, "import internal; print(internal.whose)").strip() == "own"
    error = refused(case, case.plan("internal==1.5\n", commit=own_commit()), network)
    assert isinstance(error, MissingFact)
    assert "internal 1.5 is on 127.0.0.1 and not on 127.0.0.1, an index of your own that knows internal" in error.cause
    assert not [path for path in public.requests if path.startswith("files/internal")]


def test_what_builds_need_is_taken_from_the_hosts_own_index_too(case: Case, both: Both) -> None:
    own, public, network = both
    own.add_wheel("tool", "1.0", {"tool.py": "whose = 'own'\n"})
    public.add_wheel("tool", "2.0", {"tool.py": "whose = 'a stranger'\n"})
    prologue = "import tool\ndef module(): return f'whose = {tool.whose!r}'\n"
    public.add_source("needs", "1.0", prologue, requires=("tool",))
    made = case.provision(case.plan("needs\n", commit=own_commit()), network=network)
    assert case.python(made, "import needs; print(needs.whose)").strip() == "own"


def test_a_host_that_trusts_its_indexes_alike_says_so_and_the_report_does(case: Case, both: Both) -> None:
    own, public, network = both
    own.add_wheel("internal", "1.0")
    public.add_wheel("internal", "1.5")
    network = NetworkSettings(**{**vars(network), "index_strategy": "unsafe-best-match"})
    made = case.provision(case.plan("internal\n", commit=own_commit()), network=network)
    assert made.packages == {"internal": "1.5"}
    assert any("trusted alike (unsafe-best-match)" in note for note in made.notes)


def test_a_pin_that_an_index_of_the_repository_lacks_is_found_on_the_next_but_never_past_the_hosts_own(
    case: Case, authority: Authority, both: Both
) -> None:
    """As with `--extra-index-url` of a place that also has some versions of common packages."""
    own, public, network = both
    network = NetworkSettings(**{**vars(network), "ca_bundle": authority.certificate.read_bytes()})
    public.add_wheel("common", "2.0")
    public.add_wheel("internal", "2.0")
    own.add_wheel("internal", "1.0")
    with PackageIndex(authority=authority) as named:
        named.add_wheel("common", "1.0")
        text = f"--extra-index-url {named.address}\ncommon==2.0\n"
        made = case.provision(case.plan(text, commit=own_commit()), network=network)
        assert made.packages == {"common": "2.0"}
        error = refused(case, case.plan(f"{text}internal==2.0\n", commit=own_commit()), network)
    assert isinstance(error, MissingFact)
    assert "internal 2.0 is on 127.0.0.1 and not on 127.0.0.1, an index of your own that knows internal" in error.cause


# ---- where the password is not ----


class Watch:
    """Looks at all containers and processes while something runs."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self.containers: dict[str, str] = {}
        self.command_lines: set[str] = set()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._inspect, self._list)]

    def __enter__(self) -> Watch:
        self._since = int(time.time())
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _inspect(self) -> None:
        while not self._done.is_set():
            for one in self._engine.client.containers(all=True):
                if one["Id"] not in self.containers or one["State"] == "running":
                    with contextlib.suppress(Exception):  # it may be gone
                        inspected = json.dumps(self._engine.client.inspect_container(one["Id"]))
                        self.containers[one["Id"]] = inspected
            self._done.wait(0.3)

    def _list(self) -> None:
        while not self._done.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    self.command_lines.add((folder / "cmdline").read_bytes().decode(errors="replace"))
            self._done.wait(0.1)


def test_after_a_whole_reproduction_the_password_is_nowhere(
    case: Case, private: PackageIndex, authority: Authority, tmp_path: Path, cache_volume: str
) -> None:
    private.add_wheel("closed", "1.0")
    private.add_source("built", "1.0", "def module(): return ''\n")
    (tmp_path / "author").mkdir()
    project = RecordedProject(tmp_path / "author")
    project.commit_training(files={"requirements.txt": f"{REQUIREMENTS}closed==1.0\nbuilt==1.0\n"})
    project.record()
    bundle = tmp_path / "both.pem"
    own = Path(read_network_settings().ca_source.partition("=")[2]) if read_network_settings().ca_source else None
    system = own or Path(ssl.get_default_verify_paths().openssl_cafile)
    bundle.write_bytes(system.read_bytes() + authority.certificate.read_bytes())
    shell = CommandLine(tmp_path / "here", tracker=project.tracker)
    shell.variables |= {"UV_INDEX": f"corp={private.address}", "SSL_CERT_FILE": str(bundle)}
    shell.variables |= {"UV_INDEX_CORP_USERNAME": USER, "UV_INDEX_CORP_PASSWORD": SECRET}
    with Watch(case.engine) as watch:
        said = shell.run("reproduce", RUN_ID, "-v", "--debug", "--json")
    assert (said.code, said.document["verdict"]) == (0, "identical"), said
    assert "files/closed-1.0-py3-none-any.whl" in private.requests
    purposes = [
        name for text in watch.containers.values() for name in (json.loads(text)["Name"],) if "provision" in name
    ]
    assert purposes, "the phase that had it was seen"
    assert [text for text in (*watch.containers.values(), *watch.command_lines) if SECRET in text] == []
    assert any("--config-file" in text for text in watch.command_lines), "uv was seen at work"
    assert SECRET not in said.out + said.err
    files = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert files == [], "neither evidence nor logs nor caches"
    assert case.shell(f"grep -rl {SECRET} {layout.CACHE} || true") == ""
    for image in (case.images.base, case.images.tools):
        shown = json.dumps([case.engine.client.history(image), case.engine.client.inspect_image(image)])
        assert SECRET not in shown
