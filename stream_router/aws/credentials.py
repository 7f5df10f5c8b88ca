"""AWS credentials from botocore's chain, always at hand: refreshed ahead of time by a thread, never by a caller."""

import logging
import threading
from typing import NamedTuple

from botocore.credentials import Credentials as BotoCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from stream_router.settings import SettingsError

log = logging.getLogger(__name__)

REFRESH_EVERY_S = 20.0
"""How often the thread asks botocore for the current credentials. botocore itself renews those that expire within 15
minutes, so they are replaced long before their end."""


class Credentials(NamedTuple):
    """One signing identity. Its repr hides the secrets."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Credentials(…)"


class CredentialSource:
    """Hands out the current credentials without ever blocking.

    Raises SettingsError at construction where botocore's chain finds none.
    """

    def __init__(self, session: Session) -> None:
        found = session.get_credentials()
        if found is None:
            raise SettingsError("AWS credentials: none found; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give a role")
        self._source: BotoCredentials = found
        self._current = self._read()
        self._stop = threading.Event()
        threading.Thread(target=self._refresh, name="aws-credentials", daemon=True).start()

    def __call__(self) -> Credentials:
        return self._current

    def close(self) -> None:
        """Stop the refreshing thread."""
        self._stop.set()

    def _read(self) -> Credentials:
        frozen = self._source.get_frozen_credentials()
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_EVERY_S):
            try:
                self._current = self._read()
            except (BotoCoreError, ClientError) as error:
                log.warning("credentials not refreshed, the old ones stay: %s", type(error).__name__)
