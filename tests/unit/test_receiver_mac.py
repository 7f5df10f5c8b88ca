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


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("length", [0, 63, 64, 65, 127, 128, 129])
def test_a_key_that_just_fills_a_block_is_taken_as_it_is(algorithm: str, length: int) -> None:
    """32 bytes in hex are 64 characters, just sha256's block: chance alone finds such a key too seldom."""
    key = bytes(range(1, length + 1))
    assert Mac(key, algorithm).of(b"message") == hmac.digest(key, b"message", algorithm)
