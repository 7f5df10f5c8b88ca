"""One place says what an address over HTTP is: settings, `send`, `jars` and the CXone client ask there."""

import pytest

from stream_router.settings.urls import is_url


@pytest.mark.parametrize(
    "text", ["http://a", "https://a.example:443/x?y=z", "HTTPS://A/", "http://[::1]:8080/", "https://user:pw@host/"]
)
def test_an_address_over_http_is_one(text: str) -> None:
    """With or without a port, a path and a user; an IPv6 address stands in brackets."""
    assert is_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a.example:80", "ftp://a", "//a", "http:a", "http:///x", "http://:80/", "http://[::1", "http://a:99999/"],
)
def test_what_no_client_could_call_is_none(text: str) -> None:
    """Another scheme, no host, half an IPv6 address, a port that there cannot be."""
    assert not is_url(text)
