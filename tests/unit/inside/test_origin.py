"""Where a header that signs in may go, and where a redirect may lead at all."""

from __future__ import annotations

from typing import Any

import pytest

from runner.inside.data.kinds.origin import LeadsAway, header_for

HEADER = ("Authorization", "Basic eA==")


def told(url: str, *, confirmed: bool = True) -> dict[str, Any]:
    return {"url": url, "confirmed": confirmed, "credentials": {"header": list(HEADER)} if confirmed else None}


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        ("https://files.example/x", "https://files.example/x/y", HEADER),
        ("https://files.example/x", "https://FILES.example:443/elsewhere", HEADER),
        ("webdavs://files.example/x", "https://files.example/x/y", HEADER),
        ("webdav://files.example:80/x", "http://files.example/x/y", HEADER),
        ("https://files.example/x", "https://cdn.example/x", None),
        ("https://files.example/x", "https://files.example:8443/x", None),
        ("https://files.example/x", "https://files.example.evil.example/x", None),
        ("http://files.example/x", "https://files.example/x", None),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:8001/x", None),
    ],
)
def test_a_header_goes_to_its_own_origin_alone(url: str, address: str, expected: tuple[str, str] | None) -> None:
    assert header_for(told(url), address) == expected


@pytest.mark.parametrize(
    ("url", "address", "confirmed"),
    [
        ("https://files.example/x", "http://files.example/x", True),
        ("https://files.example/x", "ftp://files.example/x", True),
        ("https://files.example/x", "file:///etc/passwd", True),
        ("https://files.example/x", "https://169.254.169.254/latest", False),
        ("https://files.example/x", "https://10.0.0.1/", True),
        ("https://files.example/x", "https://localhost/", True),
        ("https://files.example/x", "https://2130706433/", False),
    ],
)
def test_a_redirect_leads_neither_out_of_encryption_nor_into_a_private_network(
    url: str, address: str, confirmed: bool
) -> None:
    with pytest.raises(LeadsAway):
        header_for(told(url, confirmed=confirmed), address)
