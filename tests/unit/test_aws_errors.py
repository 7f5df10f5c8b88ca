"""The one word for a call that failed."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from stream_router.errors import code_of


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AccessDenied"),
        ({"Error": {"Code": 503}}, "503"),
        ({"Error": {"Code": "", "Message": ""}}, "ClientError"),
        ({"Error": {}}, "ClientError"),
        ({}, "ClientError"),
    ],
)
def test_a_refusal_is_named_by_its_code(answer: Any, code: str) -> None:
    """A proxy's answer may have none: then there is still a word, and no error of our own."""
    assert code_of(ClientError(answer, "GetRecords")) == code


def test_what_had_no_answer_is_named_by_its_exception() -> None:
    """A time that is over, a name that is not found."""
    assert code_of(ReadTimeoutError(endpoint_url="https://x")) == "ReadTimeoutError"
    assert code_of(TimeoutError()) == "TimeoutError"
