"""The webhook secrets: all of them live at once, read from the setting, from a file, or from a store in AWS."""

import logging
import time
from collections.abc import Callable

from stream_router.errors import SettingsError
from stream_router.log import LogLimiter
from stream_router.settings import secrets as secret_settings
from stream_router.settings.secrets import FILE_PREFIX, REFERENCE_PREFIXES, WEAK_SECRETS, describe_weakness_of_one

log = logging.getLogger(__name__)

VARIABLE = "STREAM_ROUTER_WEBHOOK_SECRETS"
FILE_CHECK_INTERVAL_S = 1.0
"""Seconds between two readings of a secrets file. A removed secret must be refused within 5 s."""
STORE_CHECK_INTERVAL_S = 300.0

Decode = Callable[[str], bytes]


class Secrets:
    """The secrets that are live now, in the form in which a scheme compares them. The repr shows no secret."""

    __slots__ = ("_candidate", "_decode", "_location", "_log_limiter", "_region", "_scheme", "_text", "_weak", "live")

    def __init__(
        self,
        text: str,
        decode: Decode,
        region: str = "",
        *,
        scheme: str = "",
        weak: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the secrets. `text` is the setting's value; `weak` accepts weak secrets.

        Raises SettingsError, which quotes no secret.
        """
        self._log_limiter = LogLimiter(clock)
        self._scheme = scheme
        self._decode = decode
        self._region = region
        self._weak = weak
        self._location = text if text.startswith(REFERENCE_PREFIXES) else ""
        self._text = self._read() if self._location else text.replace(",", "\n")
        self._candidate = self._text
        self.live = self._parse(self._text)

    def __repr__(self) -> str:
        return f"Secrets({len(self.live)})"

    @property
    def follow_every_s(self) -> float | None:
        """Seconds between two calls of `refresh`; None if the secrets cannot change."""
        if not self._location:
            return None
        return FILE_CHECK_INTERVAL_S if self._location.startswith(FILE_PREFIX) else STORE_CHECK_INTERVAL_S

    def refresh(self) -> bool:
        """Read the secrets again and put them into force. Return whether they changed. May block.

        If the new secrets cannot be used, the old secrets stay in force. That is logged at once, then once a minute.
        """
        try:
            changed = self._apply(self._read())
        except SettingsError as error:
            if self._log_limiter():
                log.warning(
                    "The webhook secrets could not be read again. The old secrets stay in force. Cure: %s.",
                    error,
                    extra={"event": "secrets-unusable"},
                )
            return False
        self._log_limiter.reset()
        return changed

    def _apply(self, text: str) -> bool:
        """Put the secrets of `text` into force if they are new. Return whether they were put into force.

        A changed file takes effect once two readings agree, since a file that is being written could be incomplete.
        Raises SettingsError if the new secrets cannot be used.
        """
        if text == self._text:
            self._candidate = text
            return False
        if self._location.startswith(FILE_PREFIX) and text != self._candidate:
            self._candidate = text
            return False
        self.live = self._parse(text)
        self._text = text
        log.info("The webhook secrets changed: %d are live.", len(self.live), extra={"event": "secrets-changed"})
        return True

    def _read(self) -> str:
        """Return the current content of the file or store, a secret on each line. Raises SettingsError."""
        if self._location.startswith(FILE_PREFIX):
            return secret_settings.read_file(self._location, VARIABLE)
        return secret_settings.fetch_from_aws(self._location, VARIABLE, self._region).replace(",", "\n")

    def _parse(self, text: str) -> tuple[bytes, ...]:
        """Return the secrets of a text, a secret on each line, in the compared form. Raises SettingsError."""
        secrets = secret_settings.parse_lines(text)
        if not secrets and self._location:
            raise SettingsError(VARIABLE, "the file or store it names holds no secret", "write a secret there")
        if not secrets:
            raise SettingsError(VARIABLE, "no secret is set", f"set at least one, or {FILE_PREFIX}PATH")
        for line in secrets:
            if not self._weak and (weakness := describe_weakness_of_one(line, self._scheme)):
                raise SettingsError(VARIABLE, *weakness, related=(WEAK_SECRETS,))
        return tuple(self._decode(line) for line in secrets)
