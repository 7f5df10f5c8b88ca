"""Reading of secrets, and the check for weak ones.

Instead of the secret itself a setting may hold a reference: `file:PATH`, `secretsmanager:ARN` or
`ssm:NAME`. A secret is weak if it has few bytes, or if it looks like a reference whose prefix was
forgotten, for example a path. There may be several webhook secrets, and the receiver follows their
changes (receiver/secrets.py). Every other setting holds one secret, read once at start.
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

FILE_PREFIX = "file:"
AWS_PREFIXES = ("secretsmanager:", "ssm:")
REFERENCE_PREFIXES = (FILE_PREFIX, *AWS_PREFIXES)
"""Prefixes of a setting whose secret is stored elsewhere."""

MAX_FILE_BYTES = 1024 * 1024


def read_secret(secret: SecretStr | None, variable: str, *, region: str = "", allow_weak: bool = True) -> str:
    """Return the secret itself, wherever it is stored; "" if none is set.

    Raises SettingsError, which quotes no secret.

    `region` is the AWS region, by default the environment's. With `allow_weak` false a weak secret
    that is stored elsewhere is refused. A secret in the setting itself was checked together with
    the settings.
    """
    setting = secret.get_secret_value() if secret else ""
    if not setting.startswith(REFERENCE_PREFIXES):
        return setting
    if setting.startswith(AWS_PREFIXES) and not region:
        try:
            region = types.region_of_environment()
        except WrongValueError as error:
            raise SettingsError("AWS_REGION", error.problem, error.cure) from None
    is_in_file = setting.startswith(FILE_PREFIX)
    stored = read_file(setting, variable) if is_in_file else fetch_from_aws(setting, variable, region)
    secrets = parse_lines(stored)
    if len(secrets) != 1:
        raise SettingsError(
            variable, f"the text that it names holds {len(secrets)} secrets", "keep one, on a line of its own"
        )
    if not allow_weak and (weakness := describe_weakness_of_one(secrets[0])):
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
    return Path(setting.removeprefix(FILE_PREFIX)) if setting.startswith(FILE_PREFIX) else None


def read_file(reference: str, variable: str) -> str:
    """Return the text of the file that the reference `file:PATH` names. Raises SettingsError."""
    try:
        data = files.read(Path(reference.removeprefix(FILE_PREFIX)), MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SettingsError(variable, "its file is larger than 1 MiB", "write one secret per line")
        # Some editors put a byte order mark first, which would be a part of the first secret.
        return _check_text(data.decode("utf-8-sig"), variable)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a zero byte in the path
        cure = "name one file, and write nothing after it" if "," in reference else "give a readable UTF-8 file"
        raise SettingsError(variable, f"its file cannot be read ({files.describe_failure(error)})", cure) from None


def fetch_from_aws(reference: str, variable: str, region: str) -> str:
    """Return the text that a reference names in Secrets Manager or SSM.

    Blocks. Raises SettingsError; TemporarySettingsError if AWS does not answer.
    """
    from stream_router.aws import secret_store  # imports AWS clients, which most programs do not need

    try:
        return _check_text(secret_store.fetch(reference, region), variable)
    except secret_store.SecretUnreadableError as error:
        problem = f"it cannot be read from AWS ({error})"
        if error.is_outage:
            cure = "try again, and check the network to AWS if that does not help"
            raise TemporarySettingsError(variable, problem, cure) from None
        raise SettingsError(variable, problem, "check its name and the role's permissions") from None


def _check_text(text: str, variable: str) -> str:
    """Return the text. Raises SettingsError if it holds zero bytes or is a JSON document."""
    # Some shells write UTF-16. No sender signs with its zero bytes, and no environment variable can hold them.
    if "\0" in text:
        raise SettingsError(variable, "the text that it names holds zero bytes", "save it as UTF-8")
    # Secrets Manager's console stores key/value pairs as JSON. Each part between commas would count as a secret.
    if is_json(text):
        raise SettingsError(
            variable,
            "the text that it names is a JSON document, not the secret alone",
            "keep the secret as plain text (Plaintext in Secrets Manager's console)",
        )
    return text


# --- weak secrets

MIN_BYTES = 16
"""Minimum length of a secret: 128 bits if it is random.

A shorter secret can be found by brute force from a single signed body.
"""

WEAK_SECRETS = "STREAM_ROUTER_WEAK_SECRETS"
_OR_ALLOW = f"or set {WEAK_SECRETS}=allow"

_LOOKS_LIKE_REFERENCE = re.compile(
    # A path. Random base64 has longer parts between its slashes.
    r"(?:~|\.{0,2})/[\w.+@-]{1,40}(?:/[\w.+@-]{1,40})*/?"
    r"|[\w.+@-]+(?:/[\w.+@-]+)*\.(?:txt|key|pem|secret|secrets)"
    r"|arn:aws[a-z-]*:\S+|[a-z][a-z0-9+.-]*://\S+"
    r"|\$[A-Z_][A-Z0-9_]*|\$\{\w+\}|\$\(.*\)"  # a variable or command that no shell has expanded
    r"|(?i:file|secretsmanager|ssm):.*"  # a reference after another secret, or in capitals
)
"""Texts that name the place of a secret: paths, ARNs, URLs, shell variables. Used as a secret they are a mistake."""


def describe_weakness(setting: str, scheme: str = "") -> tuple[str, str] | None:
    """Return problem and cure of the first weak secret in a setting.

    None if all are strong, or are stored elsewhere.
    """
    if setting.startswith(REFERENCE_PREFIXES):
        return None
    if is_json(setting):  # checked before the split at commas, after which no part would be JSON
        return describe_weakness_of_one(setting)
    for secret in types.items(setting):
        if weakness := describe_weakness_of_one(secret, scheme):
            return weakness
    return None


def describe_weakness_of_one(secret: str, scheme: str = "") -> tuple[str, str] | None:
    """Return problem and cure of a weak secret; None if it is strong."""
    if _LOOKS_LIKE_REFERENCE.fullmatch(secret) or types.is_quoted(secret) or is_json(secret):
        return (
            "would itself be the secret, but it is a path, a reference, a JSON document or in quotes",
            f"set the secret alone, or write file:PATH, secretsmanager:ARN or ssm:NAME, first and alone, {_OR_ALLOW}",
        )
    if len(_secret_bytes(secret, scheme)) < MIN_BYTES:
        return f"has a secret of less than {MIN_BYTES} bytes", f"give a longer one (openssl rand -hex 32), {_OR_ALLOW}"
    return None


def is_json(text: str) -> bool:
    """Return whether a text is a JSON object or array, as Secrets Manager's console stores key/value pairs."""
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
            return b"\0" * MIN_BYTES  # not a secret of this scheme; the receiver refuses it with a better text
    if scheme == "basic" and ":" in secret:
        return secret.partition(":")[2].encode()  # the user's name is not secret
    return secret.encode()
