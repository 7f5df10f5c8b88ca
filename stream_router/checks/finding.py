"""What a check finds, and what a program makes of it at its start.

Only a definite no ends a program: no answer, throttling or a 5xx is an outage, and a restart in an outage makes it
worse. What may not be asked for lack of permission is told once.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from botocore.parsers import ResponseParserError

from stream_router.aws.endpoints import is_aws
from stream_router.errors import DENIED, NOT_SPOKEN, SettingsError, code_of, cure
from stream_router.settings import reading

log = logging.getLogger(__name__)


class Verdict(Enum):
    """How a check ends."""

    WELL = "well"
    WARNING = "warning"
    """Works, but not as it should; or it may not be asked."""
    UNKNOWN = "unknown"
    """Nobody answered, or nobody who knows the question."""
    WRONG = "wrong"
    """A definite no."""
    SKIPPED = "skipped"
    """There is nothing to ask here, or what it depends on is not there."""


class Finding(NamedTuple):
    """The end of one check. `says` is the problem, `cure` what to do; `setting` is what would have to change."""

    code: str
    setting: str
    verdict: Verdict
    says: str
    cure: str = ""

    def line(self) -> str:
        """As the programs show it."""
        return f"{self.setting}: {self.says}; {self.cure} ({self.code})"


LATER = "ask again later"
NO_WAY = "see that there is a way to it (DNS, a NAT or a VPC endpoint, a proxy), or ask again later"
UNCONNECTED = (EndpointConnectionError, ConnectTimeoutError)
"""Of AWS these come of a closed network more often than of an outage."""
NOT_AWS = "check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>, and what stands between here and there"


MAY_NOT_ASK = DENIED | {"403", "Forbidden"}
"""Also where S3's HEAD, whose answer has no body, or a proxy says so."""


class Question(NamedTuple):
    """One call, and what its refusals mean: `no` by error code gives problem and cure."""

    code: str
    setting: str
    what: str
    call: Callable[[], Any]
    no: Mapping[str, tuple[str, str]]


def refused(what: str, codes: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Of a question's `no`: these codes, with the cure that the table of codes has for each."""
    return {code: (f"{what} ({code})", cure(code)) for code in codes}


def ask(question: Question) -> tuple[Finding | None, Any]:
    """The call's answer, or what its refusal means."""
    code, setting, what, call, no = question
    try:
        return None, call()
    except ClientError as error:
        said = code_of(error)
        if said in no:
            return Finding(code, setting, Verdict.WRONG, *no[said]), None
        if said in MAY_NOT_ASK:
            problem = f"{what} may not be looked at ({said})"
            return Finding(code, setting, Verdict.WARNING, problem, "grant it, or be sure of the setting"), None
        why = "is not known to this emulator" if said in NOT_SPOKEN else "could not be asked for"
        return Finding(code, setting, Verdict.UNKNOWN, f"{what} {why} ({said})", LATER), None
    except BotoCoreError as error:
        where, what_to_do = silence(error)
        return Finding(code, setting, Verdict.UNKNOWN, f"{what} gave no answer{where}", what_to_do), None
    except (ResponseParserError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A page of a proxy, or any other server's answer: botocore's parsers raise what they stumble over.
        problem = f"another server than AWS's answered for {what} ({type(error).__name__})"
        return Finding(code, setting, Verdict.UNKNOWN, problem, NOT_AWS), None


def silence(error: BotoCoreError) -> tuple[str, str]:
    """Where and why there was no answer, and the cure: an endpoint that is not AWS's may be left from a trial."""
    url = str(error.kwargs.get("endpoint_url") or "")
    kind = f" ({type(error).__name__})"
    if not url:
        return kind, LATER
    there = urlsplit(url).netloc
    if is_aws(url):
        return f" at {there}{kind}", NO_WAY if isinstance(error, UNCONNECTED) else LATER
    named = [row.variable for row in reading.of_aws() if "ENDPOINT" in row.variable and there in row.value]
    what_to_do = f"start what listens there, or unset {named[0] if named else 'endpoint_url in the profile'}"
    return f" at {there.rpartition('@')[2]}{kind}", what_to_do


_NO_GRANT_HELPS = (
    "explicit deny",
    "no service control policy",
    "no resource control policy",
    "no permissions boundary",
    "no session policy",
    "no VPC endpoint policy",
)
"""How AWS says which policy refuses. Source: IAM user guide, "Troubleshoot access denied error messages"."""


def said(error: Exception, policy: str = "") -> str:
    """An error of a call as an operator reads it: of one that had no answer where, and what to do.

    `policy` is the name for `setup --policy`, whose rights the call needs.
    """
    if isinstance(error, BotoCoreError):
        where, what_to_do = silence(error)
        return f"no answer{where}; {what_to_do}"
    if policy and isinstance(error, ClientError) and code_of(error) in MAY_NOT_ASK:
        if any(words in str(error) for words in _NO_GRANT_HELPS):
            return f"{error}; have the policy changed that AWS names, no grant outweighs it"
        return f"{error}; grant what `stream-router setup --policy {policy}` prints"
    return str(error)


def well(question: Question) -> Finding:
    """Nothing to say."""
    return Finding(question.code, question.setting, Verdict.WELL, f"{question.what} is as it should be")


def skipped(code: str, why: str) -> Finding:
    """Not asked, and why."""
    return Finding(code, "", Verdict.SKIPPED, why)


def at_start(checks: Iterable[Callable[[], Finding]]) -> None:
    """Run the checks of a program that is about to start. Raises SettingsError for the first definite no."""
    for check in checks:
        found = check()
        told = {"code": found.code, "setting": found.setting, "cure": found.cure}
        match found.verdict:
            case Verdict.WRONG:
                raise SettingsError(found.line())
            case Verdict.WARNING:
                log.warning("a check at start: %s", found.says, extra={"event": "check-warning", **told})
            case Verdict.UNKNOWN:
                log.info("a check at start had no answer: %s", found.says, extra={"event": "check-unanswered", **told})
