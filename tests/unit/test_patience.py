"""A program whose credentials are slow to come asks again for a while: no verdict over its settings or its shard."""

from typing import Any

import pytest
from botocore.exceptions import MetadataRetrievalError, ProfileNotFound

from stream_router.aws import credentials
from stream_router.aws.credentials import Credentials, CredentialsError, CredentialSource


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
    source = credentials.patiently(lambda: CredentialSource(chain), clock=time.clock, wait=time.wait)
    source.close()
    assert source().access_key == "AK"
    assert chain.asked == 4


def test_credentials_that_do_not_come_are_given_up_in_half_a_minute() -> None:
    """Then the child ends with 75 and the daemon starts again."""
    chain, time = Chain(10_000), Time()
    with pytest.raises(CredentialsError):
        credentials.patiently(lambda: CredentialSource(chain), clock=time.clock, wait=time.wait)
    assert 30 <= time.now_s <= 32


class Raises:
    """A session whose chain raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_credentials(self) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("chain", "may_pass", "status"),
    [
        (Chain(10_000), True, 78),
        (Raises(MetadataRetrievalError(error_msg="timed out")), True, 1),
        (Raises(ProfileNotFound(profile="prod")), False, 78),
    ],
    ids=["no metadata service yet", "a service is silent", "no such profile"],
)
def test_a_start_waits_for_what_time_can_cure_alone(
    chain: Any, may_pass: bool, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's metadata service may start later than the program; a profile's name gets no better."""
    monkeypatch.setattr(credentials, "PATIENCE_S", 0.0)
    with pytest.raises(CredentialsError) as found:
        credentials.wait_for_some(chain)
    assert found.value.may_pass is may_pass
    assert found.value.status == status
