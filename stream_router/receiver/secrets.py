"""The webhook secrets: all of them live at once, read from the setting, from a file, or from a store in AWS."""

import logging
import time
from collections.abc import Callable

from stream_router.errors import SettingsError
from stream_router.log import Seldom
from stream_router.settings import secrets as kept
from stream_router.settings.secrets import IN_FILE, READ_ELSEWHERE, WEAK_SECRETS, describe_weakness_of_one

log = logging.getLogger(__name__)

VARIABLE = "STREAM_ROUTER_WEBHOOK_SECRETS"
FOLLOW_FILE_EVERY_S = 1.0
"""Seconds between two readings of a secrets file. A removed secret must be refused within 5 s."""
FOLLOW_STORE_EVERY_S = 300.0

Decode = Callable[[str], bytes]


class Secrets:
    """The secrets that are live now, in the form in which a scheme compares them. The repr shows no secret."""

    __slots__ = ("_candidate", "_decode", "_region", "_said", "_scheme", "_text", "_weak", "_where", "live")

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
        self._said = Seldom(clock)
        self._scheme = scheme
        self._decode = decode
        self._region = region
        self._weak = weak
        self._where = text if text.startswith(READ_ELSEWHERE) else ""
        self._text = self._read() if self._where else text.replace(",", "\n")
        self._candidate = self._text
        self.live = self._parse(self._text)

    def __repr__(self) -> str:
        return f"Secrets({len(self.live)})"

    @property
    def follow_every_s(self) -> float | None:
        """Seconds between two calls of `refresh`; None if the secrets cannot change."""
        if not self._where:
            return None
        return FOLLOW_FILE_EVERY_S if self._where.startswith(IN_FILE) else FOLLOW_STORE_EVERY_S

    def refresh(self) -> bool:
        """Read the secrets again and put them into force. Return whether they changed. May block.

        If the new secrets cannot be used, the old secrets stay in force. That is logged at once, then once a minute.
        """
        try:
            changed = self._take(self._read())
        except SettingsError as error:
            if self._said():
                log.warning("the old secrets stay in force: %s", error, extra={"event": "secrets-unusable"})
            return False
        self._said.over()
        return changed

    def _take(self, text: str) -> bool:
        """Put changed secrets into force, and return whether they changed.

        A file must be the same in two readings, since a file that is being written could be incomplete.
        """
        if text == self._text:
            self._candidate = text
            return False
        if self._where.startswith(IN_FILE) and text != self._candidate:
            self._candidate = text
            return False
        self.live = self._parse(text)
        self._text = text
        log.info("the webhook secrets changed: %d are live", len(self.live), extra={"event": "secrets-changed"})
        return True

    def _read(self) -> str:
        """Return the current content of the file or store. Raises SettingsError."""
        if self._where.startswith(IN_FILE):
            return kept.read_file(self._where, VARIABLE)
        return kept.fetch_from_aws(self._where, VARIABLE, self._region).replace(",", "\n")

    def _parse(self, text: str) -> tuple[bytes, ...]:
        secrets = kept.parse_lines(text)
        if not secrets and self._where:
            raise SettingsError(VARIABLE, "the file or store that it names holds no secret", "write one there")
        if not secrets:
            raise SettingsError(VARIABLE, "no secret is set", f"set at least one, or {IN_FILE}PATH")
        for line in secrets:
            if not self._weak and (weakness := describe_weakness_of_one(line, self._scheme)):
                raise SettingsError(VARIABLE, *weakness, related=(WEAK_SECRETS,))
        return tuple(self._decode(line) for line in secrets)
