"""What AWS says of a call that failed, as one word: for messages, and to tell errors apart."""

from botocore.exceptions import ClientError


def code_of(error: BaseException) -> str:
    """AWS's code for a refusal; the exception's name where AWS gave no code, or no answer at all."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return str(code or type(error).__name__)
