"""What is asked of an index past uv: its pages in both forms, the way there, and pages with upload times put in."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from base64 import b64encode
from urllib.parse import urlsplit

import pytest

from runner.inside.packages.dated_indexes import DatedIndexes
from runner.inside.packages.index_access import NotThere, _proxies, page
from runner.inside.packages.index_pages import files_of
from runner.inside.packages.uv import IndexSettings
from runner.inside.protocol import PhaseError
from tests.support.package_index import PackageIndex


@pytest.mark.parametrize("html", [False, True])
def test_a_page_is_read_in_both_forms(html: bool) -> None:
    with PackageIndex(userinfo="me:secret", html_pages=html) as index:
        content = index.add_wheel("a", "1.0", requires_python=">=3.9,<4", yanked=True)
        entry, *others = page(index.address_with_credentials, "a", IndexSettings())
        assert not others
        assert (entry["filename"], entry["requires-python"]) == ("a-1.0-py3-none-any.whl", ">=3.9,<4")
        assert entry["yanked"]
        assert entry["url"] == index.address.replace("/simple", "/files/a-1.0-py3-none-any.whl")
        assert len(entry["hashes"]["sha256"]) == 64
        assert content
        with pytest.raises(NotThere):
            page(index.address_with_credentials, "b", IndexSettings())
        with pytest.raises(PhaseError, match="HTTP 401"):
            page(index.address, "a", IndexSettings())


def test_what_another_index_has_under_the_name_of_a_package_is_not_that_package() -> None:
    with PackageIndex() as own, PackageIndex() as public:
        own.add_wheel("ours", "1.0")
        public.add_source("ours", "9.9", "")
        settings = IndexSettings(own=(own.address,), default=public.address)
        assert [str(file.version) for file in files_of("ours", settings)] == ["1.0"]
        assert files_of("theirs", settings) == ()


@pytest.mark.parametrize(
    ("address", "proxies"),
    [
        ("https://pypi.org/simple/a/", {"http": "http://p:1", "https": "http://p:2"}),
        ("https://me:pw@index.acme.example:8443/simple/a/", {}),
    ],
)
def test_hosts_that_are_to_be_reached_without_a_proxy_are(address: str, proxies: dict[str, str]) -> None:
    given = {"all_proxy": "http://p:1", "https_proxy": "http://p:2", "no_proxy": "localhost,.acme.example"}
    found = _proxies(address, IndexSettings(proxies=given))
    assert {scheme: found[scheme] for scheme in ("http", "https") if scheme in found} == proxies


def asked(address: str) -> tuple[int, dict[str, object]]:
    parts = urlsplit(address)
    userinfo, _, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=place).geturl())
    if userinfo:
        request.add_header("Authorization", f"Basic {b64encode(userinfo.encode()).decode()}")
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, {}


def test_upload_times_are_put_into_the_pages_of_an_index_that_has_none_for_who_knows_the_token() -> None:
    brought, own = "2020-01-02T00:00:00Z", "2019-01-01T00:00:00Z"
    with PackageIndex(dated=False, userinfo="me:secret") as index:
        for version in ("1.0", "2.0"):
            index.add_wheel("a", version)
        index.add_wheel("a", "3.0", upload_time=own)
        times = {f"a-{version}-py3-none-any.whl": brought for version in ("1.0", "3.0")}
        settings = IndexSettings(default=index.address_with_credentials, upload_times=times)
        with DatedIndexes(settings) as dated:
            address = dated.stand_in(index.address_with_credentials)
            status, document = asked(f"{address}/a/")
            assert status == 200
            files = document["files"]
            assert isinstance(files, list)
            assert [file.get("upload-time") for file in files] == [brought, None, own]
            assert "secret" not in json.dumps(document)
            assert "secret" not in address
            assert asked(f"{address}/b/")[0] == 404
            assert asked(f"{address.replace('://_:', '://_:x')}/a/")[0] == 401
            assert dated.refusal is None
    with DatedIndexes(settings) as dated:  # the index is gone
        assert asked(f"{dated.stand_in(index.address)}/a/")[0] == 502
        assert "could not be used" in str(dated.refusal)
