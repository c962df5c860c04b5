"""Places: what is one and the same, what is none, and what lies so near that a repository alone may not name it."""

from __future__ import annotations

import pytest

from runner.pointers.places import AWS, Place, is_near, is_region, normal_endpoint, place_of


def test_a_place_is_scheme_host_and_bucket_whatever_the_path() -> None:
    assert place_of("s3://data/a") == place_of("s3://data/b/c") == Place("s3", AWS, "data")
    assert place_of("s3://data", "https://M.example:443/") == Place("s3", "https://m.example", "data")
    assert str(Place("s3", "https://m.example:9000", "data")) == "s3, host https://m.example:9000, bucket data"
    assert place_of("https://Files.example:8443/x") == Place("https", "files.example:8443", "")


@pytest.mark.parametrize(
    "other",
    ["http://m.example", "https://m.example:9000", "https://m.example/tenant", "https://m.example.evil.example"],
)
def test_encryption_port_path_and_name_of_an_endpoint_are_part_of_the_place(other: str) -> None:
    assert place_of("s3://data", other) != place_of("s3://data", "https://m.example")


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///path",
        "s3://a",
        "s3://odd!bucket/x",
        "s3://-x/y",
        "s3://a..b/x",
        "s3://a b/x",
        "s3://user@bucket/x",
        "s3://bücket/x",
        "s3://x%2fy/z",
        "s3://[x/y",
        "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/evil/x",
    ],
)
def test_what_is_no_buckets_name_is_no_place(url: str) -> None:
    with pytest.raises(ValueError, match="not the name of a bucket"):
        place_of(url)


@pytest.mark.parametrize(
    "address",
    ["m.example", "ftp://m.example", "https://", "https://u:p@m.example", "https://m.example?x=1", "https://m#x"],
)
def test_what_is_no_endpoint_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="not an endpoint"):
        normal_endpoint(address)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "172.17.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "100.64.0.1",
        "fd00::1",
        "host.docker.internal",
        "metadata.google.internal",
        "printer.local",
        "minio",
        "\uff11\uff12\uff17.0.0.1",
        "",
    ],
)
def test_this_host_and_private_networks_are_near_however_they_are_spelt(host: str) -> None:
    assert is_near(host)


@pytest.mark.parametrize(
    "host", ["amazonaws.com", "m.example.org", "8.8.8.8", "2606:4700::1111", "localhost.example.org"]
)
def test_others_are_not(host: str) -> None:
    assert not is_near(host)


def test_a_region_is_a_plain_word_since_it_becomes_part_of_a_hosts_name() -> None:
    assert is_region("eu-west-1")
    assert not any(is_region(text) for text in ("evil.example/", "x.y", "a@b", "", "EU west", "a" * 41))
