"""S3 on the real engine and a real server: keys go where they were confirmed to, by memory, and nowhere else."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from runner.engine import labels
from runner.engine.docker import DockerEngine
from runner.errors import MissingFact, RemoteUnavailable, RunnerError
from runner.inside import layout
from runner.network import NetworkSettings
from runner.prepare import Prepared
from runner.rerun.held import holding
from runner.schema.plan import Policy
from tests.support.authorities import make_authority
from tests.support.buckets import BucketStore, S3Service
from tests.support.listeners import Relay, Trap
from tests.support.repositories import Store, Stored, dvc_config, md5
from tests.support.restoring import Restoring
from tests.support.services import free_ports


class World(Restoring):
    """Restores of what a bucket holds; no key of the server's may be shown."""

    store: BucketStore

    def __init__(self, folder: Path, s3: S3Service, engine: DockerEngine, images: Prepared, volume: str) -> None:
        super().__init__(folder, engine, images, volume, BucketStore(s3, f"ml-data-{uuid.uuid4().hex[:8]}"))
        self.s3 = s3
        self.canaries = [s3.secret_access_key, s3.access_key_id]


@pytest.fixture
def world(tmp_path: Path, s3: S3Service, engine: DockerEngine, shared_images: Prepared, cache_volume: str) -> World:
    return World(tmp_path, s3, engine, shared_images, cache_volume)


def test_keys_of_the_environment_read_a_remote_that_was_named(world: World) -> None:
    folder = world.store.put_directory({"a.csv": b"1\n", "deep/b.csv": f"{uuid.uuid4()}\n".encode()})
    before = world.store.fingerprint()
    done = world.restore(
        dvc_config(world.store.url), world.host(**world.s3.variables), world.data, folder, remote="storage"
    )
    assert [(file.digest, file.held_by) for file in done.files] == [
        (world.data.digest, "storage"),
        (folder.digest, "storage"),
    ]
    assert done.remotes_asked == (
        f"{world.store.url} at {world.s3.endpoint} (--remote storage, with the credentials of AWS_ACCESS_KEY_ID)",
    )
    assert world.store.fingerprint() == before


def test_a_profile_with_keys_endpoint_and_a_session_token_reads_it(world: World) -> None:
    iam, sts = world.s3.client("iam"), world.s3.client("sts")
    name = f"reader-{uuid.uuid4().hex[:8]}"
    trust = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Principal": {"AWS": "*"}}]}'
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    allowed = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    policy = iam.create_policy(PolicyName=name, PolicyDocument=allowed)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    keys = sts.assume_role(RoleArn=arn, RoleSessionName="audit")["Credentials"]
    (world.home / "keys").write_text(
        f"[audit]\naws_access_key_id = {keys['AccessKeyId']}\naws_secret_access_key = {keys['SecretAccessKey']}\n"
        f"aws_session_token = {keys['SessionToken']}\n"
    )
    (world.home / "config").write_text(
        f"[profile audit]\nregion = us-east-1\nservices = lab\n[services lab]\ns3 =\n  endpoint_url = "
        f"{world.s3.endpoint}\n"
    )
    host = world.host(
        AWS_PROFILE="audit",
        AWS_SHARED_CREDENTIALS_FILE=str(world.home / "keys"),
        AWS_CONFIG_FILE=str(world.home / "config"),
    )
    done = world.restore(dvc_config("s3://elsewhere/x"), host, remote=world.store.url)
    assert done.files[0].held_by == "given"
    assert done.remotes_asked[0].startswith("s3://elsewhere/x at "), "the repository's own is asked first"
    assert f"with the credentials of profile audit of {world.home}/keys" in done.remotes_asked[1]


def test_the_hosts_own_dvc_configuration_confirms_a_place(world: World) -> None:
    own = world.home / ".config" / "dvc"
    own.mkdir(parents=True)
    (own / "config").write_text(
        dvc_config(
            f"s3://{world.store.bucket}",
            "mine",
            endpointurl=world.s3.endpoint,
            access_key_id=world.s3.access_key_id,
            secret_access_key=world.s3.secret_access_key,
        )
    )
    done = world.restore(dvc_config(world.store.url, endpointurl=world.s3.endpoint), world.host())
    assert done.files[0].held_by == "storage"
    assert f"with the credentials of {own}/config" in done.remotes_asked[0]


def test_keys_are_in_the_memory_of_one_process_and_nowhere_that_the_engine_shows(world: World) -> None:
    """Not in `docker inspect`, not in the container's layer, not in a volume, not in another process's environment."""
    shown: list[str] = []

    def look() -> None:
        (name,) = _docker("ps", "-q", "--filter", f"label={labels.LABEL}={world.engine.session_id}").split()
        shown.append(_docker("inspect", name))
        shown.append(_docker("logs", name, check=False))
        added = [line[2:] for line in _docker("diff", name).splitlines() if line.startswith("A ")]
        within = [path for path in added if not any(path.startswith(f"{other}/") for other in added)]
        written = [path for path in within if not path.startswith(("/cache", "/remotes"))]
        work = layout.work(world.engine.session_id)
        shown.extend(_docker("cp", f"{name}:{path}", "-") for path in (*written, work, layout.VERIFIED))

    relay = Relay(world.s3.endpoint, hook=look)
    try:
        host = world.host(**{**world.s3.variables, "AWS_ENDPOINT_URL": relay.endpoint})
        assert world.restore(dvc_config(world.store.url), host, remote="storage").files[0].held_by == "storage"
    finally:
        relay.close()
    assert relay.seen[0].authorization is not None, "it holds the keys while we look"
    assert '"Cmd"' in shown[0]
    assert "sandbox/" in "".join(shown[2:]), "and we look where it writes"
    assert all(secret not in text for text in shown for secret in (world.s3.secret_access_key, world.s3.access_key_id))


def test_a_remote_that_only_the_repository_names_gets_no_signature_and_the_refusal_says_how_to_confirm(
    world: World,
) -> None:
    relay = Relay(world.s3.endpoint)
    try:
        host = world.host(**{**world.s3.variables, "AWS_ENDPOINT_URL": relay.endpoint})
        error = world.refusal(RemoteUnavailable, dvc_config(world.store.url), host)
    finally:
        relay.close()
    assert relay.seen
    assert all(request.authorization is None for request in relay.seen)
    assert f"nobody confirmed s3, host {relay.endpoint}, bucket {world.store.bucket}" in error.cause
    assert "--remote storage" in error.remedy
    assert error.exit_code == 5


@pytest.mark.parametrize("named", [None, "storage"], ids=["not-named", "named"])
def test_an_endpoint_of_the_repository_gets_no_keys_and_on_this_host_not_even_a_question(
    world: World, named: str | None
) -> None:
    trap = Trap()
    spare = Store(world.folder / "spare")
    wanted = spare.put(f"{uuid.uuid4()}".encode())
    config = dvc_config(world.store.url, endpointurl=f"http://127.0.0.1:{trap.port}")
    config += f"['remote \"spare\"']\n    url = {spare.path}\n"
    try:
        done = world.restore(config, world.host(**world.s3.variables), wanted, remote=named)
    finally:
        trap.close()
    assert trap.connections == 0
    assert done.files[0].held_by == "spare"
    assert any("settings of the repository not used: endpointurl" in note for note in world.notes)


def test_a_hostile_configuration_runs_nothing_reaches_nobody_and_is_refused_by_name(world: World) -> None:
    """Everything at once, on a commit whose data is in the last remote that it names."""
    trap = Trap()
    bridge = f"172.17.0.1:{trap.port}"
    marker = world.folder / "executed"
    run = f"sh -c 'touch {marker}; curl {bridge}'"
    spare = Store(world.folder / "spare")
    wanted = spare.put(f"{uuid.uuid4()}".encode())
    hostile = {
        "command": ("https://store.invalid/x", {"auth": "custom", "bearer_token_command": run}),
        "password": ("https://store.invalid/y", {"auth": "basic", "user": "u", "ask_password": "true"}),
        "url": (f"http://u:hunter2@127.0.0.1:{trap.port}/x?token=hunter2", {}),
        "bridge": (f"http://{bridge}/", {}),
        "number": (f"http://2130706433:{trap.port}/", {}),
        "endpoint": ("s3://bucket/x", {"endpointurl": f"http://localhost:{trap.port}", "profile": "root"}),
        "metadata": ("s3://bucket/y", {"endpointurl": "http://169.254.169.254/latest"}),
        "files": (
            f"s3://bucket/z-{trap.port}",
            {
                "endpointurl": f"http://{bridge}",
                "credentialpath": "/root/.aws/credentials",
                "configpath": "/root/.aws/config",
                "ssl_verify": "false",
                "use_ssl": "false",
            },
        ),
        "etc": ("/etc", {}),
        "root": ("/", {}),
        "up": ("../../..", {}),
        "odd": ("s3://odd!bucket/x", {}),
        "arn": ("s3://arn:aws:s3:us-east-1:123456789012:accesspoint/evil/x", {}),
    }
    config = "".join(
        f"['remote \"{name}\"']\n    url = {url}\n" + "".join(f"    {key} = {value}\n" for key, value in more.items())
        for name, (url, more) in hostile.items()
    )
    config += f"['remote \"spare\"']\n    url = {spare.path}\n[core]\n    remote = spare\n"
    try:
        done = world.restore(config, world.host(**world.s3.variables), wanted)
        unknown = world.refusal(
            RemoteUnavailable,
            config.replace(f"url = {spare.path}", "url = /nonexistent"),
            world.host(),
            policy=Policy(),
            remote=str(world.folder / "empty"),
        )
    finally:
        trap.close()
    assert done.files[0].held_by == "spare"
    assert trap.connections == 0
    assert not marker.exists()
    assert "store.invalid/x did not answer as it should" in unknown.cause, "a host that nobody finds may hold it"


def test_a_certificate_of_the_auditors_own_authority_is_trusted_by_aws_ca_bundle(world: World, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    relay = Relay(world.s3.endpoint, authority=authority)
    config, s3 = dvc_config(world.store.url), dataclasses.replace(world.s3, endpoint=relay.endpoint)
    try:
        error = world.refusal(RemoteUnavailable, config, world.host(**s3.variables), remote="storage")
        host = world.host(**s3.variables, AWS_CA_BUNDLE=str(authority.certificate))
        restored = world.restore(config, host, remote="storage")
    finally:
        relay.close()
    assert f"the certificate of the bucket {world.store.bucket}" in error.cause
    assert "AWS_CA_BUNDLE" in error.remedy
    assert restored.files[0].held_by == "storage"


def test_bytes_that_only_our_cache_has_count_where_the_auditor_says_so_also_when_the_bucket_is_gone(
    world: World,
) -> None:
    """Rule 28, and that a repository gets nothing out of the cache that its own remote does not hold."""
    config, host = dvc_config(world.store.url), world.host(**world.s3.variables)
    world.restore(config, host, remote="storage")
    world.store.remove(world.data)
    lost = world.refusal(MissingFact, config, host, remote="storage")
    assert "is in no remote" in lost.cause
    assert "--allow cached" in lost.remedy
    assert lost.looked_in == (
        f"{world.store.url} at {world.s3.endpoint} (--remote storage, with the credentials of AWS_ACCESS_KEY_ID)",
    )
    world.store.drop()
    gone = world.refusal(MissingFact, config, host, remote="storage")
    assert f"the bucket {world.store.bucket} at {world.s3.endpoint} does not exist" in gone.cause
    assert gone.exit_code == 3
    allowed = world.restore(config, host, remote="storage", policy=Policy(allow=("cached",)))
    assert allowed.files[0].held_by == "cache"
    assert "does not exist" in allowed.remotes_asked[0]


def test_offline_nobody_is_contacted_and_the_cache_counts_only_where_it_may(world: World) -> None:
    config = dvc_config(world.store.url)
    world.restore(config, world.host(**world.s3.variables), remote="storage")
    relay = Relay(world.s3.endpoint)
    try:
        host = world.host(**{**world.s3.variables, "AWS_ENDPOINT_URL": relay.endpoint})
        error = world.refusal(MissingFact, config, host, offline=True, remote="storage")
        allowed = world.restore(config, host, offline=True, remote="storage", policy=Policy(allow=("cached",)))
    finally:
        relay.close()
    assert relay.seen == []
    assert "is in no remote that may be asked" in error.cause
    assert "--allow cached" in error.remedy
    assert allowed.files[0].held_by == "cache"
    assert "not asked, because of --offline" in allowed.remotes_asked[0]


Break = Callable[[World], tuple[Mapping[str, str], tuple[Stored, ...]]]


def _wrong_secret(world: World) -> tuple[Mapping[str, str], tuple[Stored, ...]]:
    return {"AWS_SECRET_ACCESS_KEY": "hunter2" * 5}, ()


def _unknown_key(world: World) -> tuple[Mapping[str, str], tuple[Stored, ...]]:
    return {"AWS_ACCESS_KEY_ID": "AKIA" + "X" * 16}, ()


def _down(world: World) -> tuple[Mapping[str, str], tuple[Stored, ...]]:
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"}, ()


def _object_gone(world: World) -> tuple[Mapping[str, str], tuple[Stored, ...]]:
    world.store.remove(world.data)
    return {}, ()


def _other_bytes(world: World) -> tuple[Mapping[str, str], tuple[Stored, ...]]:
    return {}, (world.store.put(b"other bytes", under=f"{uuid.uuid4()}".encode()),)


def _bucket_gone(world: World) -> tuple[Mapping[str, str], tuple[Stored, ...]]:
    world.store.drop()
    return {}, ()


@pytest.mark.parametrize(
    ("broken", "code", "words"),
    [
        (_wrong_secret, 5, r"refuses the credentials of AWS_ACCESS_KEY_ID \(SignatureDoesNotMatch\)"),
        (_unknown_key, 5, r"refuses the credentials of AWS_ACCESS_KEY_ID \(InvalidAccessKeyId\)"),
        (_down, 5, r"did not answer as it should \(EndpointConnectionError\)"),
        (_object_gone, 3, "is in no remote$"),
        (_other_bytes, 3, "holds other bytes under"),
        (_bucket_gone, 3, "the bucket ml-data-[0-9a-f]+ at http://[0-9.:]+ does not exist"),
    ],
    ids=lambda value: value.__name__.lstrip("_") if callable(value) else None,
)
def test_bad_input_has_a_code_and_a_sentence(world: World, broken: Break, code: int, words: str) -> None:
    variables, wanted = broken(world)
    host = world.host(**{**world.s3.variables, **variables})
    error = world.refusal(RunnerError, dvc_config(world.store.url), host, *wanted, remote="storage")
    assert (error.exit_code, bool(re.search(words, error.cause))) == (code, True), error.cause
    assert "hunter2" not in repr((error.cause, error.remedy))
    assert error.remedy


def test_a_clock_that_is_wrong_is_named(world: World) -> None:
    skewed = b"<?xml version='1.0'?><Error><Code>RequestTimeTooSkewed</Code><Message>The difference</Message></Error>"
    relay = Relay(world.s3.endpoint, answer=(403, skewed))
    try:
        host = world.host(**{**world.s3.variables, "AWS_ENDPOINT_URL": relay.endpoint})
        error = world.refusal(RemoteUnavailable, dvc_config(world.store.url), host, remote="storage")
    finally:
        relay.close()
    assert "the clock of the engine's host is wrong (RequestTimeTooSkewed)" in error.cause


def test_without_a_container_a_bucket_is_asked_with_a_signature_of_the_confirmed_place(world: World) -> None:
    lost = str(md5(b"never stored"))
    wanted = [str(world.data.digest), lost]
    for remote, host, expected in (
        ("storage", world.host(**world.s3.variables), ({wanted[0]}, {lost}, None)),
        (None, world.host(**world.s3.variables), (set(), set(), "refuses (status 403)")),
    ):
        (asked,) = world.plan(dvc_config(world.store.url), host, remote=remote).remotes
        found = holding(asked, wanted, host, NetworkSettings())
        assert (found.held, found.lacking, found.refused) == expected


def test_a_bucket_that_is_down_hides_no_folder_that_has_the_bytes(world: World) -> None:
    spare = Store(world.folder / "spare")
    wanted = spare.put(f"{uuid.uuid4()}".encode())
    config = dvc_config(world.store.url) + f"['remote \"spare\"']\n    url = {spare.path}\n"
    host = world.host(**{**world.s3.variables, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"})
    done = world.restore(config, host, wanted, remote="storage")
    assert done.files[0].held_by == "spare"
    assert "did not answer as it should" in done.remotes_asked[0]


def test_whether_a_bucket_holds_a_folder_is_asked_by_few_requests(world: World) -> None:
    many = world.store.put_directory({f"{n:03}.csv": f"{n} {world.commit}\n".encode() for n in range(300)})
    config, host = dvc_config(world.store.url), world.host(**world.s3.variables)
    world.restore(config, host, many, remote="storage")
    relay = Relay(world.s3.endpoint)
    try:
        host = world.host(**{**world.s3.variables, "AWS_ENDPOINT_URL": relay.endpoint})
        world.restore(config, host, many, remote="storage")
    finally:
        relay.close()
    assert 0 < len(relay.seen) < 10


def _docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], check=check, capture_output=True)
    return (done.stdout + done.stderr).decode(errors="replace")
