"""AWS credentials from botocore's chain, always at hand: refreshed ahead of time by a thread, never by a caller."""

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
"""How often the thread asks botocore for the current credentials. botocore itself renews those that expire within 15
minutes, so they are replaced long before their end."""

LOOK_AGAIN_S = 10.0
"""How often credentials that AWS refuses are looked up anew, at most."""

PATIENCE_S = 30.0
"""How long a program that starts asks for credentials: what gives them may start later, or answer late."""

AGAIN_S = 1.0

EX_LATER = 1
"""Exit status where what gives the credentials did not answer: who runs the program starts it again, as after no 78."""

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


class CredentialsError(SettingsError):
    """The chain gives no credentials; `may_pass`: for now, since a service that gives them has not answered."""

    def __init__(self, line: str, *, may_pass: bool = False, status: int = EX_CONFIG) -> None:
        super().__init__(line)
        self.may_pass = may_pass
        self.status = status


def find(session: Session) -> BotoCredentials:
    """Return what botocore's chain finds, read once. Raise CredentialsError whatever goes wrong in the chain."""
    try:
        if found := session.get_credentials():
            found.get_frozen_credentials()
            return found
    except Exception as error:  # noqa: BLE001 - a chain of files, programs and services: it raises what it likes
        if isinstance(error, RuntimeError) and "still expired" in str(error):
            line = "they have ended already, by this machine's clock; set the clock, or renew them"
            raise CredentialsError(f"AWS credentials: {line}", may_pass=True, status=EX_LATER) from None
        line = f"AWS credentials: they cannot be had ({type(error).__name__}); check AWS_PROFILE or the role"
        if isinstance(error, _UNANSWERED):
            raise CredentialsError(line, may_pass=True, status=EX_LATER) from None
        raise CredentialsError(line) from None
    # A host's metadata service that does not answer yet looks the same.
    line = "AWS credentials: none found; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give a role"
    raise CredentialsError(line, may_pass=True)


def patiently(
    ask: Callable[[], T],
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Return the result of `ask`, which needs credentials. Retry: a program may start with its host or container.

    Raise CredentialsError: at once if no time can help, else after PATIENCE_S.
    """
    until, told = clock() + PATIENCE_S, False
    while True:
        try:
            return ask()
        except CredentialsError as error:
            if not error.may_pass or clock() >= until:
                raise
            if not told:
                log.warning(
                    "no credentials yet, they are asked for during %d s: %s",
                    *(PATIENCE_S, error),
                    extra={"event": "no-credentials-yet"},
                )
            told = True
        wait(AGAIN_S)


class Renewed:
    """What a chain found, as botocore's clients use it; once AWS refuses it, what stands in the same place by then.

    botocore reads credentials in a file once in a session's life: who renews them there need not restart anything.
    From another kind of source none are taken: they may be of another account, whose stream has the same name.
    """

    def __init__(self, found: BotoCredentials, look: Callable[[], BotoCredentials]) -> None:
        self._found = found
        self._look = look
        self._looked_s = float("-inf")
        self._refused = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    def refused(self) -> None:
        """AWS says that they are not valid, or not any more."""
        self._refused = True

    def get_frozen_credentials(self) -> Any:
        """Those to sign with. Blocks while they are looked up. Raises what botocore's chain raises."""
        now_s = time.monotonic()
        if self._refused and now_s - self._looked_s >= LOOK_AGAIN_S:
            self._looked_s, self._refused = now_s, False
            try:
                found = self._look()
                if found.method == self._found.method:
                    self._found = found
            except SettingsError:
                self._refused = True  # none for now: they are looked for again
        return self._found.get_frozen_credentials()


class _Chain:
    """In the place of botocore's own chain in a session; `again` makes a session that has that one still."""

    def __init__(self, again: Callable[[], Session]) -> None:
        self._again = again
        self._found: Renewed | None = None

    def load_credentials(self) -> Renewed | None:
        """Load credentials. botocore calls this until there are some."""
        if found := self._again().get_credentials():
            self._found = Renewed(found, lambda: find(self._again()))
        return self._found

    def answered(self, **call: Any) -> None:
        """Handle an answer. botocore calls this after each call of a client."""
        if self._found and call["parsed"].get("Error", {}).get("Code") in CREDENTIALS_OVER:
            self._found.refused()


def renew(session: Session, again: Callable[[], Session]) -> None:
    """Have all clients of the session sign with Renewed credentials; `again` makes a session like it."""
    chain = _Chain(again)
    session.register_component("credential_provider", chain)
    session.register("after-call", chain.answered)


class CredentialSource:
    """Hands out the current credentials without ever blocking.

    Raises CredentialsError at construction where botocore's chain gives none.
    """

    def __init__(self, session: Session) -> None:
        self._found = find(session)
        self._current = self._read()
        self._stop = threading.Event()
        threading.Thread(target=self._refresh, name="aws-credentials", daemon=True).start()

    def __call__(self) -> Credentials:
        return self._current

    def refused(self) -> None:
        """AWS says that they are not valid, or not any more: the thread looks for others."""
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
            except Exception as error:  # noqa: BLE001 - as above; without this thread the credentials would run out
                log.warning(
                    "credentials not refreshed, the old ones stay: %s",
                    type(error).__name__,
                    extra={"event": "credentials-not-refreshed"},
                )
