"""How a check ends, in few words."""

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.checks.finding import LATER, Finding, Verdict, silence, skipped
from stream_router.errors import code_of

SETUP = "run `stream-router setup`"

__all__ = ["SETUP", "broken", "ok", "skipped", "warn", "wrong"]


def ok(code: str, says: str) -> Finding:
    """As it should be; `says` is what was seen."""
    return Finding(code, "", Verdict.WELL, says)


def warn(code: str, setting: str, says: str, cure: str) -> Finding:
    """Works, but not as it should."""
    return Finding(code, setting, Verdict.WARNING, says, cure)


def wrong(code: str, setting: str, says: str, cure: str) -> Finding:
    """A definite no."""
    return Finding(code, setting, Verdict.WRONG, says, cure)


def broken(error: Exception) -> tuple[str, str]:
    """What a check that raised has to say, and the cure: of a refusal it depends on the check, and is "" here."""
    if isinstance(error, ClientError):
        return f"{error.operation_name} was refused ({code_of(error)})", ""
    if isinstance(error, BotoCoreError):
        where, cure = silence(error)
        return f"no answer{where}", cure
    return f"the check itself failed ({type(error).__name__})", LATER
