"""Reading of secrets, and the check for weak ones.

In place of the secret itself a setting may name `file:PATH`, `secretsmanager:ARN` or `ssm:NAME`. A
secret is weak if it has few bytes, or if it is a path that was meant to be read (`file:`
forgotten). There may be several webhook secrets, and the receiver follows their changes
(receiver/secrets.py). Every other setting holds one secret, read once at start.
"""

import base64
import binascii
import contextlib
import json
import re
from pathlib import Path

from pydantic import SecretStr

from stream_router.errors import SettingsError, TemporarySettingsError, WrongValueError
from stream_router.settings import files, types

IN_FILE, IN_AWS = "file:", ("secretsmanager:", "ssm:")
READ_ELSEWHERE = (IN_FILE, *IN_AWS)
"""Prefixes of a setting whose secret is stored elsewhere."""

MAX_FILE_BYTES = 1024 * 1024


def read_secret(secret: SecretStr | None, variable: str, *, region: str = "", weak: bool = True) -> str:
    """Return the secret itself, wherever it is stored; "" if none is set.

    Raises SettingsError, which quotes no secret.

    `region` is the AWS region, by default that of the environment. With `weak` false a weak secret
    that is stored elsewhere is refused. A secret in the setting itself was checked with the
    settings.
    """
    setting = secret.get_secret_value() if secret else ""
    if not setting.startswith(READ_ELSEWHERE):
        return setting
    if setting.startswith(IN_AWS) and not region:
        try:
            region = types.region_of_environment()
        except WrongValueError as error:
            raise SettingsError("AWS_REGION", error.problem, error.cure) from None
    is_in_file = setting.startswith(IN_FILE)
    stored = read_file(setting, variable) if is_in_file else fetch_from_aws(setting, variable, region)
    secrets = parse_lines(stored)
    if len(secrets) != 1:
        raise SettingsError(
            variable, f"there are {len(secrets)} secrets where it points", "leave one, on a line of its own"
        )
    if not weak and (weakness := describe_weakness_of_one(secrets[0])):
        raise SettingsError(variable, *weakness, related=(WEAK_SECRETS,))
    return secrets[0]


def parse_lines(text: str) -> list[str]:
    """Return the secrets of a text, one per line.

    Empty lines and lines that begin with `#` are skipped.
    """
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def path_of_secret(secret: SecretStr) -> Path | None:
    """Return the path of the file that holds a secret; None if it is not in a file."""
    setting = secret.get_secret_value()
    return Path(setting.removeprefix(IN_FILE)) if setting.startswith(IN_FILE) else None


def read_file(where: str, variable: str) -> str:
    """Return the text of the file that `file:PATH` names. Raises SettingsError."""
    try:
        data = files.read(Path(where.removeprefix(IN_FILE)), MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SettingsError(variable, "its file is larger than 1 MiB", "give one secret a line")
        # Some editors put a byte order mark first, which would be a part of the first secret.
        return _as_text(data.decode("utf-8-sig"), variable)
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a zero byte in the path
        cure = "name one place, and nothing behind it" if "," in where else "give a readable UTF-8 file"
        raise SettingsError(variable, f"its file cannot be read ({files.describe_failure(error)})", cure) from None


def fetch_from_aws(where: str, variable: str, region: str) -> str:
    """Return the text in Secrets Manager or SSM.

    Blocks. Raises SettingsError; TemporarySettingsError if AWS is silent.
    """
    from stream_router.aws import secret_store  # imports AWS clients, which most programs need not

    try:
        return _as_text(secret_store.fetch(where, region), variable)
    except secret_store.SecretUnreadableError as error:
        problem = f"it cannot be read from AWS ({error})"
        if error.is_outage:
            cure = "try again, and check the network to AWS if that does not help"
            raise TemporarySettingsError(variable, problem, cure) from None
        raise SettingsError(variable, problem, "check its name and the role's permissions") from None


def _as_text(text: str, variable: str) -> str:
    """Return the text. Raises SettingsError if it has zero bytes or is a JSON document."""
    # Some shells write UTF-16. No sender signs with its zero bytes, and no environment variable can hold them.
    if "\0" in text:
        raise SettingsError(variable, "the text where it points holds zero bytes", "save it as UTF-8")
    # Secrets Manager's console stores pairs as JSON. Each piece between commas would count as a secret.
    if is_json(text):
        raise SettingsError(
            variable,
            "it points to a JSON document, not to the secret alone",
            "keep the secret as plain text (Plaintext in Secrets Manager's console)",
        )
    return text


# --- weak secrets

MIN_BYTES = 16
"""128 bits if they are random.

With less, whoever holds one signed body can find the secret by trying.
"""

WEAK_SECRETS = "STREAM_ROUTER_WEAK_SECRETS"
ALLOW = f"or set {WEAK_SECRETS}=allow"

_MISTAKEN = re.compile(
    r"(?:~|\.{0,2})/[\w.+@-]{1,40}(?:/[\w.+@-]{1,40})*/?"  # a path; base64 is longer than the names of one are
    r"|[\w.+@-]+(?:/[\w.+@-]+)*\.(?:txt|key|pem|secret|secrets)"
    r"|arn:aws[a-z-]*:\S+|[a-z][a-z0-9+.-]*://\S+"
    r"|\$[A-Z_][A-Z0-9_]*|\$\{\w+\}|\$\(.*\)"  # what no shell has replaced
    r"|(?i:file|secretsmanager|ssm):.*"  # behind another secret, or in capitals
)
"""Texts that name the place of a secret: paths, ARNs, URLs, shell variables.

As a secret they are a mistake.
"""


def describe_weakness(setting: str, scheme: str = "") -> tuple[str, str] | None:
    """Return problem and cure of the first weak secret in a setting.

    None if all are strong, or are stored elsewhere.
    """
    if setting.startswith(READ_ELSEWHERE):
        return None
    if is_json(setting):  # split at its commas, no piece would be JSON
        return describe_weakness_of_one(setting)
    return next(filter(None, (describe_weakness_of_one(secret, scheme) for secret in types.items(setting))), None)


def describe_weakness_of_one(secret: str, scheme: str = "") -> tuple[str, str] | None:
    """Return problem and cure of a weak secret; None if it is strong."""
    if _MISTAKEN.fullmatch(secret) or types.is_quoted(secret) or is_json(secret):
        return (
            "would itself be the secret, and is a path, a reference, a JSON document or in quotes",
            f"set the secret alone, or write file:PATH, secretsmanager:ARN or ssm:NAME, first and alone, {ALLOW}",
        )
    if len(_secret_bytes(secret, scheme)) < MIN_BYTES:
        return f"has a secret of less than {MIN_BYTES} bytes", f"give a longer one (openssl rand -hex 32), {ALLOW}"
    return None


def is_json(text: str) -> bool:
    """Return whether a text is a JSON object or array, as Secrets Manager's console stores pairs."""
    if text.strip()[:1] in ("{", "[") and text.strip()[-1:] in ("}", "]"):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            return True
    return False


def _secret_bytes(secret: str, scheme: str) -> bytes:
    """Return the bytes of a secret that count for its strength: the decoded key, or the password without the user."""
    if scheme == "standard-webhooks":
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            return b"\0" * MIN_BYTES  # no secret of this scheme; the receiver refuses it with a better text
    if scheme == "basic" and ":" in secret:
        return secret.partition(":")[2].encode()  # a user's name is no secret
    return secret.encode()
