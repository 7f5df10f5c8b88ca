"""Credentials are always at hand: whatever botocore raises is one line at start, and later costs one refresh."""

import threading
from types import SimpleNamespace
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
from stream_router.receiver import worker
from stream_router.settings.receiver import Receiver
from stream_router.telemetry.receiver.receiver_board import Board

ENDED = RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")
TROUBLE = [
    ENDED,
    OSError("no such file"),
    ValueError("time data does not match"),
    KeyError("AccessKeyId"),
    PartialCredentialsError(provider="env", cred_var="secret_key"),
    InfiniteLoopConfigError(source_profile="a", visited_profiles=["a"]),
]


class Chain:
    """A botocore session, and the credentials that it finds: numbered, after `troubles` were raised one by one."""

    def __init__(self) -> None:
        self.troubles: list[Exception] = []
        self.reads = 0
        self.raised = False
        self.good_reads = 0
        """Since the last trouble; those before the first do not count."""
        self.well_again = threading.Event()

    def get_credentials(self) -> Any:
        return self

    def get_frozen_credentials(self) -> Any:
        self.reads += 1
        if self.troubles:
            self.raised, self.good_reads = True, 0
            raise self.troubles.pop()
        self.good_reads += self.raised
        # Whoever reads again has done with what it read before.
        if self.good_reads == 2:
            self.well_again.set()
        return Credentials(f"AK{self.reads}", "secret", None)


def test_whatever_a_refresh_raises_the_next_one_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that keeps credentials fresh outlives every trouble; each is one line with its type, no text."""
    monkeypatch.setattr(credentials, "REFRESH_EVERY_S", 0.001)
    chain: Any = Chain()
    source = CredentialSource(chain)
    chain.troubles = list(TROUBLE)
    assert chain.well_again.wait(10)
    source.close()
    assert int(source().access_key.removeprefix("AK")) > len(TROUBLE) + 1
    for trouble in TROUBLE:
        assert f"the old ones stay: {type(trouble).__name__}" in caplog.text
    assert "still expired" not in caplog.text


def test_credentials_that_have_ended_by_this_clock_are_waited_for() -> None:
    """A machine that boots with its clock hours ahead: it is set within seconds, and a start that ended with 78 is the
    last one under systemd."""
    chain: Any = Chain()
    chain.troubles = [ENDED]
    with pytest.raises(CredentialsError, match=r"have ended already, by this machine's clock; set the clock") as found:
        CredentialSource(chain)
    assert (found.value.may_pass, found.value.status) == (True, 1)


@pytest.mark.parametrize("trouble", TROUBLE[1:], ids=lambda trouble: type(trouble).__name__)
def test_whatever_the_chain_raises_at_start_is_one_line(trouble: Exception) -> None:
    """A profile that is broken, a role that is refused: one line with the type of what went wrong and the cure."""
    chain: Any = Chain()
    chain.troubles = [trouble]
    with pytest.raises(CredentialsError, match=r"^AWS credentials: they cannot be had \(\w+\); check ") as found:
        CredentialSource(chain)
    assert type(trouble).__name__ in str(found.value)
    assert "\n" not in str(found.value)


class Kept:
    """A session, and the credentials that stand where this one looks."""

    def __init__(self, key: str, method: str = "shared-credentials-file") -> None:
        self.key, self.method = key, method

    def get_credentials(self) -> Any:
        return self

    def get_frozen_credentials(self) -> Credentials:
        return Credentials(self.key, "secret", None)


def until_read_again(source: CredentialSource, monkeypatch: pytest.MonkeyPatch) -> str:
    """The access key after the thread has looked twice."""
    looks, read = threading.Semaphore(0), source._read

    def counted() -> Credentials:
        found = read()
        looks.release()
        return found

    monkeypatch.setattr(source, "_read", counted)
    assert looks.acquire(timeout=10)
    assert looks.acquire(timeout=10)
    source.close()
    return source().access_key


@pytest.mark.parametrize(
    ("method", "refused", "key"),
    [
        ("shared-credentials-file", True, "NEW"),
        ("shared-credentials-file", False, "OLD"),  # who changes a profile meanwhile moves no event to another account
        ("iam-role", True, "OLD"),  # another identity, perhaps of another account
    ],
)
def test_credentials_that_aws_refuses_are_looked_up_anew_in_the_same_place(
    method: str, refused: bool, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore reads those in a file once: an operator who renews them there need not restart anything."""
    monkeypatch.setattr(credentials, "REFRESH_EVERY_S", 0.001)
    old: Any = Kept("OLD")
    anew: Any = Kept("NEW", method)
    source = CredentialSource(old, lambda: anew)
    if refused:
        source.refused()
    assert until_read_again(source, monkeypatch) == key


class Silent:
    """A session whose chain names nothing, as while a metadata service does not answer; or which fails."""

    def __init__(self, trouble: Exception | None) -> None:
        self._trouble = trouble

    def get_credentials(self) -> Any:
        if self._trouble:
            raise self._trouble
        return None


@pytest.mark.parametrize(
    ("trouble", "starts"),
    [(None, True), (MetadataRetrievalError(error_msg="timed out"), True), (ProfileNotFound(profile="x"), False)],
)
def test_a_worker_has_the_credentials_of_the_start_where_the_chain_is_silent_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception | None, starts: bool
) -> None:
    """Its metadata service was asked a second ago, perhaps by a dozen others too: that is no reason to end with 78."""
    monkeypatch.setattr(worker, "session", lambda _: Silent(trouble))
    stream: Any = SimpleNamespace(session=Chain())
    receiver = worker.Worker(Receiver(aws_region="us-east-1", webhook_scheme="none"), stream, Board(1).row(0), [""])
    if not starts:
        with pytest.raises(CredentialsError):
            receiver.credentials()
        return
    source = receiver.credentials()
    source.close()
    assert source().access_key.startswith("AK")
