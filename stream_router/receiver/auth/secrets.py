"""The webhook secrets: all of them live at once, read from the setting itself or from a file that is followed."""

import base64
import binascii
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from stream_router.core.settings_error import SettingsError
from stream_router.settings.receiver import Receiver

log = logging.getLogger(__name__)

VARIABLE = "STREAM_ROUTER_WEBHOOK_SECRETS"
FILE_PREFIX = "file:"
FOLLOW_EVERY_S = 2.0
"""How often a secrets file is read again; a removed secret must be refused within 5 s."""

Decode = Callable[[str], bytes]


class Secrets:
    """The secrets that are live now, in the form in which a scheme compares them. Its repr shows none."""

    __slots__ = ("_decode", "_path", "_text", "live")

    def __init__(self, text: str, decode: Decode) -> None:
        """`text` is the setting's value. Raises SettingsError, which quotes no secret."""
        self._decode = decode
        self._path = Path(text.removeprefix(FILE_PREFIX)) if text.startswith(FILE_PREFIX) else None
        self._text = self._read() if self._path else text.replace(",", "\n")
        self.live = self._parse(self._text)

    def __repr__(self) -> str:
        return f"Secrets({len(self.live)})"

    @property
    def followed(self) -> bool:
        """Whether they come from a file, and may change."""
        return self._path is not None

    def refresh(self) -> bool:
        """Read the file again; True where the secrets changed. A file that cannot be used changes nothing."""
        try:
            text = self._read()
            if text == self._text:
                return False
            self.live = self._parse(text)
        except SettingsError as error:
            log.warning("the old secrets stay in force: %s", error)
            return False
        self._text = text
        log.info("the webhook secrets changed: %d are live", len(self.live))
        return True

    def _read(self) -> str:
        assert self._path is not None
        try:
            # Some editors put a byte order mark first, which would be a part of the first secret.
            return self._path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{VARIABLE}: its file cannot be read ({type(error).__name__}); give a readable UTF-8 file"
            ) from None

    def _parse(self, text: str) -> tuple[bytes, ...]:
        found = tuple(self._decode(line.strip()) for line in text.splitlines() if line.strip())
        if not found:
            raise SettingsError(f"{VARIABLE}: no secret is set; set at least one, or {FILE_PREFIX}PATH")
        return found


def decoder(scheme: str) -> Decode:
    """How a secret's text becomes what `scheme` compares with."""
    return _DECODERS.get(scheme, str.encode)


def digest(text: bytes) -> bytes:
    """What bearer and basic compare instead of the secrets themselves, so that not even a length shows."""
    return hashlib.sha256(text).digest()


def _standard_webhooks(text: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or not text.startswith("whsec_"):
        raise SettingsError(f"{VARIABLE}: a secret is not whsec_<base64>; give it as the sender shows it")
    return key


def _basic(text: str) -> bytes:
    if ":" not in text:
        raise SettingsError(f"{VARIABLE}: a secret is not user:password; give both, joined by a colon")
    return digest(text.encode())


def _bearer(text: str) -> bytes:
    return digest(text.encode())


_DECODERS: dict[str, Decode] = {"standard-webhooks": _standard_webhooks, "basic": _basic, "bearer": _bearer}


def of(settings: Receiver) -> Secrets:
    """The secrets that the settings give. Raises SettingsError."""
    return Secrets(settings.webhook_secrets.get_secret_value(), decoder(settings.webhook_scheme))
