"""Where secrets stand, and what is too weak to be one.

In place of the secret itself a setting may say `file:PATH`, `secretsmanager:ARN` or `ssm:NAME`. Weak are a few bytes,
or a path that was meant to be read (`file:` forgotten). The webhook secrets may be several, and the receiver follows
their changes (receiver/secrets.py); each of the others is one secret, read once, at start.
"""

import base64
import binascii
import contextlib
import json
import re
from pathlib import Path

from pydantic import SecretStr

from stream_router.errors import NotNowError, SettingsError
from stream_router.settings import files, types

IN_FILE, IN_AWS = "file:", ("secretsmanager:", "ssm:")
READ_ELSEWHERE = (IN_FILE, *IN_AWS)
"""How a setting begins whose secrets stand somewhere else."""

MAX_FILE_BYTES = 1024 * 1024


def text(secret: SecretStr | None, variable: str, *, region: str = "", weak: bool = True) -> str:
    """Return the secret itself, wherever it stands; "" where none is set. Raise SettingsError, which quotes no secret.

    `region` is AWS's, by default that of the environment. Where `weak` is false, what stands elsewhere is refused if
    it is too weak; a secret that is the setting itself was looked at with the settings.
    """
    setting = secret.get_secret_value() if secret else ""
    if not setting.startswith(READ_ELSEWHERE):
        return setting
    try:
        region = region or types.region_of_environment() if setting.startswith(IN_AWS) else ""
    except ValueError as error:
        raise SettingsError(f"AWS_REGION: {error}") from None
    secrets = lines(in_file(setting, variable) if setting.startswith(IN_FILE) else in_aws(setting, variable, region))
    if len(secrets) != 1:
        raise SettingsError(
            f"{variable}: {len(secrets)} secrets stand where it points; leave one, on a line of its own"
        )
    if not weak and (weakness := weakness_of_one(secrets[0])):
        raise SettingsError(f"{variable}: {weakness}")
    return secrets[0]


def lines(text: str) -> list[str]:
    """Return the secrets of a text, one a line: empty lines and lines that begin with `#` are none."""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def in_path(secret: SecretStr) -> Path | None:
    """Return the path of the file in which a secret stands; None if it stands elsewhere."""
    setting = secret.get_secret_value()
    return Path(setting.removeprefix(IN_FILE)) if setting.startswith(IN_FILE) else None


def in_file(where: str, variable: str) -> str:
    """Return the text of the file that `file:PATH` names. Raise SettingsError."""
    try:
        data = files.read(Path(where.removeprefix(IN_FILE)), MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SettingsError(f"{variable}: its file is larger than 1 MiB; give one secret a line")
        # Some editors put a byte order mark first, which would be a part of the first secret.
        return _as_text(data.decode("utf-8-sig"), variable)
    except (OSError, ValueError) as error:  # no UTF-8, or a zero byte in the path
        cure = "name one place, and nothing behind it" if "," in where else "give a readable UTF-8 file"
        raise SettingsError(f"{variable}: its file cannot be read ({files.why(error)}); {cure}") from None


def in_aws(where: str, variable: str, region: str) -> str:
    """Return the text in Secrets Manager or SSM. Blocks. Raise SettingsError; NotNowError if AWS is silent."""
    from stream_router.aws import secret_store  # most programs need none of it

    try:
        return _as_text(secret_store.fetch(where, region), variable)
    except secret_store.SecretUnreadableError as error:
        problem = f"{variable}: it cannot be had from AWS ({error}); "
        if error.outage:
            raise NotNowError(f"{problem}try again, and check the way to AWS where that does not help") from None
        raise SettingsError(f"{problem}check its name and the role's permissions") from None


def _as_text(text: str, variable: str) -> str:
    """Return the text. Raise SettingsError where it is JSON, as the console keeps it: each piece would be a secret.

    And where it is UTF-16, as some shells write: no sender signs with its zero bytes, and no child gets them.
    """
    if "\0" in text:
        raise SettingsError(f"{variable}: the text where it points holds zero bytes; save it as UTF-8")
    if is_json(text):
        raise SettingsError(
            f"{variable}: where it points stands a JSON document, not the secret alone; keep the secret as plain "
            "text (Plaintext in Secrets Manager's console)"
        )
    return text


# --- what is too weak

LEAST_BYTES = 16
"""128 bits, where they are random; less can be tried out by whoever holds one signed body."""

ALLOW = "or set STREAM_ROUTER_WEAK_SECRETS=allow"

_MISTAKEN = re.compile(
    r"(?:~|\.{0,2})/[\w.+@-]{1,40}(?:/[\w.+@-]{1,40})*/?"  # a path; base64 is longer than the names of one are
    r"|[\w.+@-]+(?:/[\w.+@-]+)*\.(?:txt|key|pem|secret|secrets)"
    r"|arn:aws[a-z-]*:\S+|[a-z][a-z0-9+.-]*://\S+"
    r"|\$[A-Z_][A-Z0-9_]*|\$\{\w+\}|\$\(.*\)"  # what no shell has replaced
    r"|(?i:file|secretsmanager|ssm):.*"  # behind another secret, or in capitals
)
"""What says where a secret stands, and was put in its place."""


def weakness(setting: str, scheme: str = "") -> str:
    """Return what is wrong with the secrets of a setting, and the cure; "" where all are strong, or stand elsewhere."""
    if setting.startswith(READ_ELSEWHERE):
        return ""
    if is_json(setting):  # a comma in it would divide it
        return weakness_of_one(setting)
    return next(filter(None, (weakness_of_one(secret, scheme) for secret in types.items(setting))), "")


def weakness_of_one(secret: str, scheme: str = "") -> str:
    """Return what is wrong with one secret, wherever it is; "" if it is strong."""
    if _MISTAKEN.fullmatch(secret) or types.is_quoted(secret) or is_json(secret):
        return (
            "would itself be the secret, and is a path, a reference, a JSON document or in quotes; set the secret "
            f"alone, or write file:PATH, secretsmanager:ARN or ssm:NAME, first and alone, {ALLOW}"
        )
    if len(_key(secret, scheme)) < LEAST_BYTES:
        return f"has a secret of less than {LEAST_BYTES} bytes; give a longer one (openssl rand -hex 32), {ALLOW}"
    return ""


def is_json(text: str) -> bool:
    """Whether it is a JSON document, as Secrets Manager's console keeps pairs: no sender was given that as a secret."""
    if text.strip()[:1] in ("{", "[") and text.strip()[-1:] in ("}", "]"):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            return True
    return False


def _key(secret: str, scheme: str) -> bytes:
    """Return what the scheme signs with, or the part of the secret that nobody else knows."""
    if scheme == "standard-webhooks":
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            return b"\0" * LEAST_BYTES  # no secret of this scheme at all, which the receiver says better
    if scheme == "basic" and ":" in secret:
        return secret.partition(":")[2].encode()  # a user's name is no secret
    return secret.encode()
