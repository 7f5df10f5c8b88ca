"""One place says what an address over HTTP is: settings, `send`, `jars` and the CXone client ask there."""

import pytest

from stream_router.settings.urls import is_url, without_user


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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@w@a.example:1/x?y=z", "https://a.example:1/x?y=z"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://user@a/", "http://a/"),
    ],
)
def test_a_password_is_left_out_of_what_is_shown(url: str, shown: str) -> None:
    """All else stays as it is."""
    assert without_user(url) == shown
