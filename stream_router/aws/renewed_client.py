"""A botocore client of a program that runs for weeks: it takes other credentials once AWS refuses those that it has.

botocore reads credentials in a file once in a session's life. Who renews them there need not restart anything.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.config import Config
from botocore.session import Session

from stream_router.aws import credentials, endpoints
from stream_router.errors import CREDENTIALS_OVER, SettingsError

AGAIN_S = 20.0
"""How often credentials are looked up anew while AWS refuses those that are used, at most."""


class RenewedClient:
    """Has the methods of a client of `service`, for one thread. Raises SettingsError where the environment is wrong."""

    def __init__(
        self, session: Session, service: str, config: Config, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._config = config
        self._clock = clock
        self._looked_at = clock()
        self._refused = False
        self._use(session)

    def __getattr__(self, operation: str) -> Any:
        if self._refused and self._clock() - self._looked_at >= AGAIN_S:
            self._looked_at, self._refused = self._clock(), False
            self._look()
        return getattr(self._client, operation)

    def _use(self, session: Session) -> None:
        self._session = session
        self._client = endpoints.client(session, self._service, self._config)
        self._client.meta.events.register("after-call", self._answered)

    def _answered(self, parsed: Mapping[str, Any], **_: object) -> None:
        if parsed.get("Error", {}).get("Code") in CREDENTIALS_OVER:
            self._refused = True

    def _look(self) -> None:
        held = self._session.get_credentials()
        try:
            session = endpoints.session(str(self._session.get_config_variable("region")))
            if held and credentials.found_anew(held, session) is not held:
                self._use(session)
        except SettingsError:
            self._refused = True  # none for now: it is asked again
