"""What stood in the way of a request, in words that hold nothing of what the other side says."""

import ssl
from collections.abc import Iterator


def distrust(error: BaseException) -> str:
    """What is wrong with the certificate that the other side showed; "" where that was not the trouble."""
    found = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError))
    return next((cause.verify_message for cause in found), "")


def why(error: BaseException) -> str:
    """The reason that OpenSSL or the system gives, else the kind of error."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS: {cause.reason}"
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLError):
            return str(cause.strerror)
    return type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
