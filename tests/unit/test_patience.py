"""A child whose credentials are slow to come asks again for a while: no verdict over its shard, let alone its host."""

from typing import Any

import pytest

from stream_router.aws.credentials import Credentials, CredentialsError
from stream_router.consumer import destinations


class Chain:
    """A session whose chain gives nothing for the first `misses` questions."""

    def __init__(self, misses: int) -> None:
        self.misses, self.asked = misses, 0

    def get_credentials(self) -> Any:
        self.asked += 1
        return self if self.asked > self.misses else None

    def get_frozen_credentials(self) -> Credentials:
        return Credentials("AK", "secret", None)


class Time:
    """A clock that waiting moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def test_credentials_that_come_late_are_waited_for() -> None:
    """Three answers of the metadata service are too slow, the fourth is there."""
    chain, time = Chain(3), Time()
    source = destinations.patient_credentials(chain, time.clock, time.wait)
    source.close()
    assert source().access_key == "AK"
    assert chain.asked == 4


def test_credentials_that_do_not_come_are_given_up_in_half_a_minute() -> None:
    """Then the child ends with 75 and the daemon starts again."""
    chain, time = Chain(10_000), Time()
    with pytest.raises(CredentialsError):
        destinations.patient_credentials(chain, time.clock, time.wait)
    assert 30 <= time.now_s <= 32
