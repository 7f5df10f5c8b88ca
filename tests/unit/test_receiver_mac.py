"""Our HMAC is the standard library's, whatever the key's length and the algorithm."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_router.receiver.auth.mac import Mac


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@given(key=st.binary(max_size=300), messages=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_it_is_the_hmac_of_the_standard_library(algorithm: str, key: bytes, messages: list[bytes]) -> None:
    """Also of a key that fills a block and of one that is longer; one message leaves nothing behind for the next."""
    mac = Mac(key, algorithm)
    for message in messages:
        assert mac.of(message) == hmac.digest(key, message, algorithm)
