"""A secret that stands elsewhere: `file:PATH`, `secretsmanager:ARN` or `ssm:NAME` in place of the secret itself.

Every secret setting takes the three forms. The webhook secrets may be several, and the receiver follows their changes
(receiver/auth/secrets.py); each of the others is one secret, read once, at start.
"""

from pathlib import Path

from pydantic import SecretStr

from stream_router.errors import NotNowError, SettingsError
from stream_router.settings import regular_file
from stream_router.settings.region import region_of_environment
from stream_router.settings.secrets.secret_strength import IN_FILE, READ_ELSEWHERE, is_json, weakness_of_one

MAX_FILE_BYTES = 1024 * 1024


def lines(text: str) -> list[str]:
    """The secrets of a text, one a line: empty lines and lines that begin with `#` are none."""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def in_file(where: str, variable: str) -> str:
    """The text of the file that `file:PATH` names. Raises SettingsError."""
    try:
        data = regular_file.read(Path(where.removeprefix(IN_FILE)), MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise SettingsError(f"{variable}: its file is larger than 1 MiB; give one secret a line")
        # Some editors put a byte order mark first, which would be a part of the first secret.
        return _as_text(data.decode("utf-8-sig"), variable)
    except regular_file.NoRegularFileError:
        raise SettingsError(f"{variable}: is no regular file; give a readable UTF-8 file") from None
    except (OSError, ValueError) as error:  # no UTF-8, or a zero byte in the path
        why = regular_file.why_no_text(error) if isinstance(error, OSError | UnicodeDecodeError) else "no such path"
        problem = f"its file cannot be read ({why})"
        cure = "name one place, and nothing behind it" if "," in where else "give a readable UTF-8 file"
        raise SettingsError(f"{variable}: {problem}; {cure}") from None


def _as_text(text: str, variable: str) -> str:
    """The text. Raises SettingsError where it is JSON, as the console keeps it: each piece would be a secret.

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


def in_aws(where: str, variable: str, region: str) -> str:
    """The text that Secrets Manager or SSM keeps. Blocks. Raises SettingsError; NotNowError where AWS is silent."""
    from stream_router.aws import secret_store  # most programs need none of it

    try:
        return _as_text(secret_store.fetch(where, region), variable)
    except secret_store.SecretUnreadableError as error:
        told = f"{variable}: it cannot be had from AWS ({error}); "
        if error.outage:
            raise NotNowError(f"{told}try again, and check the way to AWS where that does not help") from None
        raise SettingsError(f"{told}check its name and the role's permissions") from None


def text(secret: SecretStr | None, variable: str, *, region: str = "", weak: bool = True) -> str:
    """The secret itself, wherever it stands; "" where none is set. Raises SettingsError, which quotes no secret.

    `region` is AWS's, by default that of the environment. Where `weak` is false, what stands elsewhere is refused if
    it is too weak; a secret that is the setting itself was looked at with the settings.
    """
    given = secret.get_secret_value() if secret else ""
    if not given.startswith(READ_ELSEWHERE):
        return given
    if given.startswith(IN_FILE):
        found = lines(in_file(given, variable))
    else:
        found = lines(in_aws(given, variable, region or region_of_environment()))
    if len(found) != 1:
        raise SettingsError(f"{variable}: {len(found)} secrets stand where it points; leave one, on a line of its own")
    if not weak and (weakness := weakness_of_one(found[0])):
        raise SettingsError(f"{variable}: {weakness}")
    return found[0]
