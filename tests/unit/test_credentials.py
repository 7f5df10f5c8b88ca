"""Credentials are always at hand: a start waits for them, later whatever botocore raises costs one refresh."""

import contextlib
import threading
from typing import Any

import pytest
from botocore.exceptions import (
    InfiniteLoopConfigError,
    MetadataRetrievalError,
    PartialCredentialsError,
    ProfileNotFound,
)

from stream_router.aws import credentials
from stream_router.aws.credentials import Credentials, CredentialsError, CredentialSource

ENDED = RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")
SILENT = MetadataRetrievalError(error_msg="timed out")
TROUBLE = [
    OSError("no such file"),
    ValueError("time data does not match"),
    KeyError("AccessKeyId"),
    PartialCredentialsError(provider="env", cred_var="secret_key"),
    InfiniteLoopConfigError(source_profile="a", visited_profiles=["a"]),
    ProfileNotFound(profile="prod"),
]


class Chain:
    """A session, and the credentials that it finds: none for the first `misses` questions; then numbered.

    `troubles` are raised one by one. `hangs` holds up whoever reads.
    """

    def __init__(self, *troubles: Exception, misses: int = 0) -> None:
        self.troubles = list(troubles)
        self.misses, self.asked, self.reads = misses, 0, 0
        self.hangs = threading.Event()
        self.hangs.set()
        self.read = threading.Semaphore(0)

    def get_credentials(self) -> Any:
        self.asked += 1
        return self if self.asked > self.misses else None

    def get_frozen_credentials(self) -> Any:
        self.reads += 1
        self.read.release()
        self.hangs.wait(10)
        if self.troubles:
            raise self.troubles.pop()
        return Credentials(f"AK{self.reads}", "secret", None)

    def until_read(self, reads: int) -> None:
        while self.reads < reads:
            assert self.read.acquire(timeout=10)


def test_whatever_a_refresh_raises_the_next_one_is_made_and_one_that_hangs_holds_up_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that keeps credentials fresh outlives every trouble; each is one line with its type, no text."""
    monkeypatch.setattr(credentials, "REFRESH_INTERVAL_S", 0.001)
    chain: Any = Chain()
    source = CredentialSource(chain)
    chain.troubles = [*TROUBLE, SILENT, ENDED]
    while chain.troubles:
        assert chain.read.acquire(timeout=10)
    after = chain.reads
    chain.until_read(after + 2)  # whoever reads again has done with what was read before
    assert int(source().access_key.removeprefix("AK")) > after
    for trouble in (*TROUBLE, SILENT, ENDED):
        assert f"could not be refreshed ({type(trouble).__name__})" in caplog.text
    assert "still expired" not in caplog.text
    chain.hangs.clear()
    chain.until_read(chain.reads + 1)
    assert source().access_key.startswith("AK")
    source.close()  # nor does it hold up a stop
    chain.hangs.set()


@pytest.mark.parametrize(
    ("chain", "is_temporary", "status", "says"),
    [
        (Chain(misses=10_000), True, 78, "none found; set AWS_PROFILE"),
        (Chain(SILENT), True, 1, r"they cannot be had \(MetadataRetrievalError\); check "),
        # A machine that boots with its clock hours ahead: it is set within seconds.
        (Chain(ENDED), True, 1, "they have ended already, by this machine's clock; set the clock"),
        *((Chain(item), False, 78, rf"they cannot be had \({type(item).__name__}\); check ") for item in TROUBLE),
    ],
    ids=lambda item: item.replace("\\", "") if isinstance(item, str) else "",
)
def test_whatever_goes_wrong_in_the_chain_is_one_line(chain: Any, is_temporary: bool, status: int, says: str) -> None:
    """It names the type of what went wrong, and the cure; 78 is final under systemd, so only what time cannot mend."""
    with pytest.raises(CredentialsError, match=rf"^AWS credentials: {says}") as result:
        credentials.find_in_chain(chain)
    assert (result.value.is_temporary, result.value.status) == (is_temporary, status)
    assert "\n" not in str(result.value)


@pytest.mark.parametrize(
    ("chain", "asked", "ends_s"),
    [
        (Chain(misses=3), 4, 3),  # a host's metadata service may start later than the program
        (Chain(misses=10_000), 31, 30),
        (Chain(TROUBLE[-1]), 1, 0),  # a profile's name gets no better
    ],
)
def test_a_start_waits_half_a_minute_for_what_time_can_cure(chain: Any, asked: int, ends_s: float) -> None:
    """Then it gives up: a child ends with 75, and the daemon starts again."""
    waited_s: list[float] = []
    with contextlib.nullcontext() if asked == 4 else pytest.raises(CredentialsError):
        credentials.retry_until_found(lambda: credentials.find_in_chain(chain), lambda: sum(waited_s), waited_s.append)
    assert (chain.asked, sum(waited_s)) == (asked, ends_s)
