"""AWS credentials from botocore's chain, always at hand: refreshed ahead of time by a thread, never by a caller."""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from botocore import exceptions
from botocore.credentials import Credentials as BotoCredentials

from stream_router.errors import NotNowError, SettingsError
from stream_router.process import stopped_after

log = logging.getLogger(__name__)

REFRESH_EVERY_S = 20.0
"""How often the thread asks botocore for the current credentials. botocore itself renews those that expire within 15
minutes, so they are replaced long before their end."""


PATIENCE_S = 30.0
"""How long a program that starts asks for credentials: what gives them may start later, or answer late."""

AGAIN_S = 1.0

_UNANSWERED = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
)


class Credentials(NamedTuple):
    """One signing identity. Its repr hides the secrets."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"


class CredentialsError(SettingsError):
    """The chain gives no credentials, for now or for good."""

    may_pass = False
    """Whether a service gives them, or may, that has not answered."""


class NoneYetError(CredentialsError):
    """The chain names no credentials. A host's metadata service that does not answer yet looks the same."""

    may_pass = True


class UnansweredError(CredentialsError, NotNowError):
    """What gives the credentials did not answer, or gave such as have ended. Ends with 1: a later start may be well."""

    may_pass = True


class Session(Protocol):
    """What is asked for credentials: a session of botocore or of boto3."""

    def get_credentials(self) -> BotoCredentials | None:
        """The first that the chain finds."""


def find(session: Session) -> BotoCredentials:
    """What botocore's chain finds, read once. Raises CredentialsError whatever goes wrong in the chain."""
    try:
        if found := session.get_credentials():
            found.get_frozen_credentials()
            return found
    except Exception as error:  # noqa: BLE001 - a chain of files, programs and services: it raises what it likes
        if isinstance(error, RuntimeError) and "still expired" in str(error):
            raise UnansweredError(
                "AWS credentials: they have ended already, by this machine's clock; set the clock, or renew them"
            ) from None
        kind = UnansweredError if isinstance(error, _UNANSWERED) else CredentialsError
        raise kind(
            f"AWS credentials: they cannot be had ({type(error).__name__}); check AWS_PROFILE or the role"
        ) from None
    raise NoneYetError("AWS credentials: none found; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give a role")


def wait_for_some(session: Session) -> None:
    """Returns once the chain gives credentials, for a program that may start with its host or its container.

    Raises CredentialsError: at once where no time can help, else after PATIENCE_S.
    """
    awaited(lambda: find(session))


T = TypeVar("T")


def awaited(ask: Callable[[], T]) -> T:
    """What `ask` gives, which may need credentials: waited for, and raised, as `wait_for_some` does."""
    told = False

    def asked() -> T:
        nonlocal told
        try:
            return ask()
        except CredentialsError as error:
            if not told and error.may_pass:
                told = True
                log.warning(
                    "no credentials yet, they are asked for during %d s: %s",
                    PATIENCE_S,
                    error,
                    extra={"event": "no-credentials-yet"},
                )
            raise

    return patiently(asked, lambda error: error.may_pass)


def patiently(
    ask: Callable[[], T],
    may_pass: Callable[[CredentialsError], bool] = lambda _: True,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """What `ask` gives, asked again during PATIENCE_S for what may pass; raises CredentialsError after that."""
    until = clock() + PATIENCE_S
    while True:
        try:
            return ask()
        except CredentialsError as error:
            if clock() >= until or not may_pass(error):
                raise
        wait(AGAIN_S)


def found_anew(held: BotoCredentials, session: Session) -> BotoCredentials:
    """What a new session's chain finds; `held` where that comes from another kind of source.

    From elsewhere they may be of another account, whose stream has the same name. Raises CredentialsError.
    """
    found = find(session)
    return found if found.method == held.method else held


class CredentialSource:
    """Hands out the current credentials without ever blocking.

    Raises CredentialsError at construction where botocore's chain gives none. `again` makes such a session anew, for
    when AWS refuses the credentials: botocore reads a file of them once, and others may stand in the same place by now.
    """

    def __init__(self, session: Session, again: Callable[[], Session] | None = None) -> None:
        self._source = find(session)
        self._again = again
        self._refused = False
        self._current = self._read()
        self._stop = threading.Event()
        threading.Thread(target=self._refresh, name="aws-credentials", daemon=True).start()

    def __call__(self) -> Credentials:
        return self._current

    def refused(self) -> None:
        """AWS says that they are not valid, or not any more."""
        self._refused = True

    def close(self) -> None:
        """Stop the refreshing thread."""
        self._stop.set()

    def _read(self) -> Credentials:
        if self._refused and self._again:
            self._refused = False
            self._source = found_anew(self._source, self._again())
        frozen = self._source.get_frozen_credentials()
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)

    def _refresh(self) -> None:
        while not stopped_after(REFRESH_EVERY_S, self._stop):
            try:
                self._current = self._read()
            except Exception as error:  # noqa: BLE001 - as above; without this thread the credentials would run out
                log.warning(
                    "credentials not refreshed, the old ones stay: %s",
                    type(error).__name__,
                    extra={"event": "credentials-not-refreshed"},
                )
