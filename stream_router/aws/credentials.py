"""AWS credentials from botocore's chain. A thread refreshes them ahead of time, so that no caller waits for them."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from botocore import exceptions
from botocore.credentials import Credentials as BotoCredentials
from botocore.session import Session

from stream_router.aws_error_codes import INVALID_CREDENTIALS
from stream_router.errors import EX_CONFIG, SettingsError

log = logging.getLogger(__name__)

REFRESH_INTERVAL_S = 20.0
"""Seconds between two reads of botocore's current credentials by the refreshing thread.

botocore itself renews credentials that expire within 15 minutes, so they are replaced long before they expire.
"""

RELOAD_INTERVAL_S = 10.0
"""Minimum number of seconds between two attempts to load other credentials after AWS refused the present ones."""

STARTUP_TIMEOUT_S = 30.0
"""Seconds for which a starting program tries to get credentials: their provider may start later, or answer late."""

STARTUP_RETRY_INTERVAL_S = 1.0

EX_RESTART = 1
"""Exit status if the credentials' provider did not answer.

systemd restarts the program after this status, but not after EX_CONFIG (78).
"""

_NO_ANSWER_ERRORS = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
)
"""Errors which mean that the credentials' provider did not answer, so that a later attempt may succeed."""

T = TypeVar("T")


class Credentials(NamedTuple):
    """Keys that sign calls to AWS. The repr hides them."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"


SETTING = "AWS credentials"
"""Name of the credentials in an error. No single setting names them."""


class CredentialsError(SettingsError):
    """botocore's chain gives no credentials. `is_temporary` is true if a later attempt may succeed.

    `status` is the exit status of a program that gives up.
    """

    def __init__(self, problem: str, cure: str, *, is_temporary: bool = False, status: int = EX_CONFIG) -> None:
        super().__init__(SETTING, problem, cure)
        self.is_temporary = is_temporary
        self.status = status


def find_in_chain(session: Session) -> BotoCredentials:
    """Return the credentials of the session's chain (environment, files, roles), after one successful read.

    Raises CredentialsError for any failure in the chain.
    """
    try:
        if credentials := session.get_credentials():
            credentials.get_frozen_credentials()
            return credentials
    except Exception as error:  # noqa: BLE001 - a chain of files, programs and services may raise any exception
        if isinstance(error, RuntimeError) and "still expired" in str(error):
            problem, cure = "they have ended already, by this machine's clock", "set the clock, or renew them"
            raise CredentialsError(problem, cure, is_temporary=True, status=EX_RESTART) from None
        problem, cure = f"they cannot be had ({type(error).__name__})", "check AWS_PROFILE or the role"
        if isinstance(error, _NO_ANSWER_ERRORS):
            raise CredentialsError(problem, cure, is_temporary=True, status=EX_RESTART) from None
        raise CredentialsError(problem, cure) from None
    # A host's metadata service that does not answer yet has the same result, so a later attempt may succeed.
    raise CredentialsError("none found", "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give a role", is_temporary=True)


def retry_until_found(
    action: Callable[[], T],
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Return the result of `action`, and call it again while the credentials that it needs are temporarily missing.

    A program may start before the service that provides its credentials. Raises CredentialsError: at once if waiting
    cannot help, otherwise after STARTUP_TIMEOUT_S.
    """
    deadline_s, is_logged = clock() + STARTUP_TIMEOUT_S, False
    while True:
        try:
            return action()
        except CredentialsError as error:
            if not error.is_temporary or clock() >= deadline_s:
                raise
            if not is_logged:
                log.warning(
                    "No credentials yet; retrying for up to %d s: %s",
                    *(STARTUP_TIMEOUT_S, error),
                    extra={"event": "no-credentials-yet"},
                )
            is_logged = True
        wait(STARTUP_RETRY_INTERVAL_S)


class ReloadingCredentials:
    """Credentials for botocore's clients that are loaded from their source again after AWS refused them.

    A botocore session reads a credentials file only once. With this class an operator can renew that file without a
    restart. The new credentials must come from the same kind of source (`method`). Those of another kind are ignored,
    since they may belong to another account that has a stream of the same name.
    """

    def __init__(self, botocore_credentials: BotoCredentials, load: Callable[[], BotoCredentials]) -> None:
        self._loaded = botocore_credentials
        self._load = load
        self._last_load_s = float("-inf")
        self._is_refused = False

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the loaded credentials, since botocore uses more than the methods below."""
        return getattr(self._loaded, name)

    def mark_refused(self) -> None:
        """Record that AWS refused the credentials as invalid or expired."""
        self._is_refused = True

    def get_frozen_credentials(self) -> Any:
        """Return the credentials to sign with. Blocks while they are loaded. Raises what botocore's chain raises."""
        now_s = time.monotonic()
        if self._is_refused and now_s - self._last_load_s >= RELOAD_INTERVAL_S:
            self._last_load_s, self._is_refused = now_s, False
            try:
                current = self._load()
                if current.method == self._loaded.method:
                    self._loaded = current
            except SettingsError:
                self._is_refused = True  # no credentials for now, so a later call loads again
        return self._loaded.get_frozen_credentials()


class _ReloadingChain:
    """Replacement of botocore's credential chain in a session.

    `create_session` creates a session that still has botocore's own chain.
    """

    def __init__(self, create_session: Callable[[], Session]) -> None:
        self._create_session = create_session
        self._loaded: ReloadingCredentials | None = None

    def load_credentials(self) -> ReloadingCredentials | None:
        """Return the chain's credentials; None if it has none. botocore calls this until it gets credentials."""
        if credentials := self._create_session().get_credentials():
            self._loaded = ReloadingCredentials(credentials, lambda: find_in_chain(self._create_session()))
        return self._loaded

    def check_answer(self, **call: Any) -> None:
        """Mark the credentials as refused if the answer says so. botocore calls this after each call of a client."""
        if self._loaded and call["parsed"].get("Error", {}).get("Code") in INVALID_CREDENTIALS:
            self._loaded.mark_refused()


def enable_reload(session: Session, create_session: Callable[[], Session]) -> None:
    """Make all clients of `session` sign with ReloadingCredentials.

    `create_session` creates a session of the same region, which reads the environment and the files again.
    """
    chain = _ReloadingChain(create_session)
    session.register_component("credential_provider", chain)
    session.register("after-call", chain.check_answer)


class CredentialSource:
    """Callable that returns the current credentials without ever blocking.

    Raises CredentialsError at construction if botocore's chain gives none.
    """

    def __init__(self, session: Session) -> None:
        self._loaded = find_in_chain(session)
        self._current = self._read()
        self._stop = threading.Event()
        threading.Thread(target=self._refresh, name="aws-credentials", daemon=True).start()

    def __call__(self) -> Credentials:
        return self._current

    def mark_refused(self) -> None:
        """Record that AWS refused the credentials as invalid or expired, so that the thread loads others."""
        if isinstance(self._loaded, ReloadingCredentials):
            self._loaded.mark_refused()

    def close(self) -> None:
        """Stop the refreshing thread."""
        self._stop.set()

    def _read(self) -> Credentials:
        """Return botocore's current credentials. Raises what botocore's chain raises."""
        frozen = self._loaded.get_frozen_credentials()
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)

    def _refresh(self) -> None:
        """Read the credentials every REFRESH_INTERVAL_S until `close`. This is the thread's function."""
        while not self._stop.wait(REFRESH_INTERVAL_S):
            try:
                self._current = self._read()
            except Exception as error:  # noqa: BLE001 - as above; without this thread the credentials would expire
                log.warning(
                    "The credentials could not be refreshed (%s). Calls are signed with the old ones until they can.",
                    type(error).__name__,
                    extra={"event": "credentials-not-refreshed"},
                )
