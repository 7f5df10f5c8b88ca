"""What AWS says of a call that failed, as one word: for messages, and to tell errors apart."""

import time

from botocore.exceptions import ClientError

from stream_router.aws import served_time

SKEW_REFUSED_S = 300.0
"""AWS refuses a signature whose time is further off. The data plane corrects that by itself, botocore does not."""


def code_of(error: BaseException) -> str:
    """AWS's code for a refusal; the exception's name where AWS gave no code, or no answer at all."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return str(code or type(error).__name__)


def why(error: BaseException) -> str:
    """The same for a message: with what this host's clock has to do with it."""
    served_s = served_time.of_answer(error.response) if isinstance(error, ClientError) else 0.0
    off_s = time.time() - served_s
    if not served_s or abs(off_s) <= SKEW_REFUSED_S:
        return code_of(error)
    where = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'}"
    return f"{code_of(error)}, and this host's clock is {where} AWS's: set it"
