"""What is too weak to be a secret: a few bytes, or a path that was meant to be read (`file:` forgotten)."""

import base64
import binascii
import contextlib
import json
import re

from stream_router.settings import types

LEAST_BYTES = 16
"""128 bits, where they are random; less can be tried out by whoever holds one signed body."""

IN_FILE, IN_AWS = "file:", ("secretsmanager:", "ssm:")
READ_ELSEWHERE = (IN_FILE, *IN_AWS)
"""How a setting begins whose secrets stand somewhere else."""

ALLOW = "or set STREAM_ROUTER_WEAK_SECRETS=allow"
_AS_READ = "set the secret, or write file:PATH, secretsmanager:ARN or ssm:NAME"

_PATH = re.compile(r"(?:~|\.{0,2})/[\w.+@-]+(?:/[\w.+@-]+)*/?|[\w.+@-]+(?:/[\w.+@-]+)*\.(?:txt|key|pem|secret|secrets)")
"""A path, whole. Base64 may begin with a slash too, but is longer than the names of a path are."""

_LONGEST_NAME_IN_A_PATH = 40

_REFERENCE = re.compile(r"arn:aws[a-z-]*:\S+|[a-z][a-z0-9+.-]*://\S+|\$[A-Z_][A-Z0-9_]*|\$\{\w+\}|\$\(.*\)")
"""What says where a secret stands, and was put in its place: an ARN, a URL, a name that no shell has replaced."""


def weakness(setting: str, scheme: str = "") -> str:
    """What is wrong with the secrets of a setting, and the cure; "" where all are strong, or stand elsewhere."""
    if setting.startswith(READ_ELSEWHERE):
        return ""
    if is_json(setting):  # a comma in it would divide it
        return weakness_of_one(setting)
    for secret in types.items(setting):
        if found := weakness_of_one(secret, scheme):
            return found
    return ""


def weakness_of_one(secret: str, scheme: str = "") -> str:
    """The same of one secret, wherever it stands."""
    if secret.lower().startswith(READ_ELSEWHERE):
        named = secret.partition(":")[0].lower()
        return f"has {named}: where it would itself be a part of a secret; write {named}: first and alone, {ALLOW}"
    if mistaken := _mistaken(secret):
        return f"{mistaken}, {ALLOW}"
    if len(_key(secret, scheme)) < LEAST_BYTES:
        return f"has a secret of less than {LEAST_BYTES} bytes; give a longer one (openssl rand -hex 32), {ALLOW}"
    return ""


def _mistaken(secret: str) -> str:
    """What was put in the place of a secret, and the cure; "" where it may be one."""
    if is_json(secret):
        return "is a JSON document, which would itself be the secret; set the secret alone"
    if _REFERENCE.fullmatch(secret):
        return f"names where a secret stands, and would itself be the secret; {_AS_READ}"
    if is_quoted(secret):
        return "has a secret in quotes, which would be a part of it; take the quotes away"
    if _is_path(secret):
        return "is a path, which would itself be the secret; write file: before it"
    return ""


def is_quoted(text: str) -> bool:
    """Whether a text begins and ends with the same quote."""
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def is_json(text: str) -> bool:
    """Whether it is a JSON document, as Secrets Manager's console keeps pairs: no sender was given that as a secret."""
    if text.strip()[:1] in ("{", "[") and text.strip()[-1:] in ("}", "]"):
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(text)
            return True
    return False


def _is_path(secret: str) -> bool:
    return bool(_PATH.fullmatch(secret)) and max(map(len, secret.split("/"))) <= _LONGEST_NAME_IN_A_PATH


def _key(secret: str, scheme: str) -> bytes:
    """What the scheme signs with, or what of the secret nobody else knows."""
    if scheme == "standard-webhooks":
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            return b"\0" * LEAST_BYTES  # no secret of this scheme at all, which the receiver says better
    if scheme == "basic" and ":" in secret:
        return secret.partition(":")[2].encode()  # a user's name is no secret
    return secret.encode()
