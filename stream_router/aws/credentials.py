"""AWS credentials from botocore's chain. A thread refreshes them ahead of time, so that no caller waits for them."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from botocore import exceptions
from botocore.credentials import Credentials as BotoCredentials
from botocore.session import Session

from stream_router.aws_error_codes import CREDENTIALS_OVER
from stream_router.errors import EX_CONFIG, SettingsError

log = logging.getLogger(__name__)

REFRESH_EVERY_S = 20.0
"""Seconds between two requests of the thread for botocore's current credentials.

botocore itself renews credentials that expire within 15 minutes, so they are replaced long before they expire.
"""

LOOK_AGAIN_S = 10.0
"""Minimum number of seconds between two attempts to load other credentials after AWS refused the present ones."""

PATIENCE_S = 30.0
"""Seconds for which a starting program tries to get credentials: their provider may start later, or answer late."""

AGAIN_S = 1.0

EX_LATER = 1
"""Exit status if the credentials' provider did not answer. After it, unlike after 78, the program is restarted."""

_UNANSWERED = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
)

T = TypeVar("T")


class Credentials(NamedTuple):
    """One signing identity. Its repr hides the secrets."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"


SETTING = "AWS credentials"
"""Name of the credentials in an error. No single setting names them."""


class CredentialsError(SettingsError):
    """The chain gives no credentials. `may_pass` is true if a later attempt may succeed, as after an outage."""

    def __init__(self, problem: str, cure: str, *, may_pass: bool = False, status: int = EX_CONFIG) -> None:
        super().__init__(SETTING, problem, cure)
        self.may_pass = may_pass
        self.status = status


def find(session: Session) -> BotoCredentials:
    """Return the credentials that botocore's chain finds, read once. Raise CredentialsError for any failure in it."""
    try:
        if credentials := session.get_credentials():
            credentials.get_frozen_credentials()
            return credentials
    except Exception as error:  # noqa: BLE001 - a chain of files, programs and services may raise any exception
        if isinstance(error, RuntimeError) and "still expired" in str(error):
            problem, cure = "they have ended already, by this machine's clock", "set the clock, or renew them"
            raise CredentialsError(problem, cure, may_pass=True, status=EX_LATER) from None
        problem, cure = f"they cannot be had ({type(error).__name__})", "check AWS_PROFILE or the role"
        if isinstance(error, _UNANSWERED):
            raise CredentialsError(problem, cure, may_pass=True, status=EX_LATER) from None
        raise CredentialsError(problem, cure) from None
    # A host's metadata service that does not answer yet has the same result, so a later attempt may succeed.
    raise CredentialsError("none found", "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give a role", may_pass=True)


def patiently(
    ask: Callable[[], T],
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Return the result of `ask`, which needs credentials. Retry: a program may start with its host or container.

    Raise CredentialsError: at once if waiting cannot help, otherwise after PATIENCE_S.
    """
    until, logged = clock() + PATIENCE_S, False
    while True:
        try:
            return ask()
        except CredentialsError as error:
            if not error.may_pass or clock() >= until:
                raise
            if not logged:
                log.warning(
                    "no credentials yet, they are asked for during %d s: %s",
                    *(PATIENCE_S, error),
                    extra={"event": "no-credentials-yet"},
                )
            logged = True
        wait(AGAIN_S)


class Renewed:
    """Credentials of a chain for botocore's clients, loaded again from the same kind of source once AWS refuses them.

    A botocore session reads a credentials file only once. With this class an operator can renew that file without a
    restart. Another kind of source is ignored, since its credentials may belong to another account with a stream of the
    same name.
    """

    def __init__(self, botocore_credentials: BotoCredentials, look: Callable[[], BotoCredentials]) -> None:
        self._found = botocore_credentials
        self._look = look
        self._looked_s = float("-inf")
        self._refused = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def refused(self) -> None:
        """Record that AWS refused the credentials as invalid or expired."""
        self._refused = True

    def get_frozen_credentials(self) -> Any:
        """Return the credentials to sign with. Blocks while they are loaded. Raises what botocore's chain raises."""
        now_s = time.monotonic()
        if self._refused and now_s - self._looked_s >= LOOK_AGAIN_S:
            self._looked_s, self._refused = now_s, False
            try:
                current = self._look()
                if current.method == self._found.method:
                    self._found = current
            except SettingsError:
                self._refused = True  # none for now, so a later call tries again
        return self._found.get_frozen_credentials()


class _Chain:
    """Replacement of botocore's own chain in a session. `again` creates a session that still has botocore's chain."""

    def __init__(self, again: Callable[[], Session]) -> None:
        self._again = again
        self._found: Renewed | None = None

    def load_credentials(self) -> Renewed | None:
        """Load credentials. botocore calls this until it gets some."""
        if credentials := self._again().get_credentials():
            self._found = Renewed(credentials, lambda: find(self._again()))
        return self._found

    def answered(self, **call: Any) -> None:
        """Check an answer for refused credentials. botocore calls this after each call of a client."""
        if self._found and call["parsed"].get("Error", {}).get("Code") in CREDENTIALS_OVER:
            self._found.refused()


def renew(session: Session, again: Callable[[], Session]) -> None:
    """Make all clients of the session sign with Renewed credentials. `again` creates a session like it."""
    chain = _Chain(again)
    session.register_component("credential_provider", chain)
    session.register("after-call", chain.answered)


class CredentialSource:
    """Callable that returns the current credentials without ever blocking.

    Raises CredentialsError at construction if botocore's chain gives none.
    """

    def __init__(self, session: Session) -> None:
        self._found = find(session)
        self._current = self._read()
        self._stop = threading.Event()
        threading.Thread(target=self._refresh, name="aws-credentials", daemon=True).start()

    def __call__(self) -> Credentials:
        return self._current

    def refused(self) -> None:
        """Record that AWS refused the credentials as invalid or expired, so that the thread loads others."""
        if isinstance(self._found, Renewed):
            self._found.refused()

    def close(self) -> None:
        """Stop the refreshing thread."""
        self._stop.set()

    def _read(self) -> Credentials:
        frozen = self._found.get_frozen_credentials()
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_EVERY_S):
            try:
                self._current = self._read()
            except Exception as error:  # noqa: BLE001 - as above; without this thread the credentials would expire
                log.warning(
                    "credentials not refreshed, the old ones stay: %s",
                    type(error).__name__,
                    extra={"event": "credentials-not-refreshed"},
                )
