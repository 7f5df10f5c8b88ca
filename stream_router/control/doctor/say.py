"""How a check ends, in few words."""

from stream_router.checks.finding import Finding, Verdict, skipped

SETUP = "run `stream-router setup`"

__all__ = ["SETUP", "ok", "skipped", "warn", "wrong"]


def ok(code: str, says: str) -> Finding:
    """As it should be; `says` is what was seen."""
    return Finding(code, "", Verdict.WELL, says)


def warn(code: str, setting: str, says: str, cure: str) -> Finding:
    """Works, but not as it should."""
    return Finding(code, setting, Verdict.WARNING, says, cure)


def wrong(code: str, setting: str, says: str, cure: str) -> Finding:
    """A definite no."""
    return Finding(code, setting, Verdict.WRONG, says, cure)
