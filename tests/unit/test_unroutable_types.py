"""What the log says of event types that the rule does not match."""

import logging

import pytest

from stream_router.pipeline.unroutable_types import UnroutableTypes
from tests.events import BODY, letter


def test_a_type_that_is_no_name_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """A text in a type's place may be what a customer wrote: the log says once that such events came."""
    texts = ["call Anna Canary", "anna.canary@x.example", "anna.canary+1@x.example"]
    with caplog.at_level(logging.WARNING):
        UnroutableTypes().warn([letter({**BODY, "eventType": text}) for text in ["order.created", *texts]])
    assert [record.__dict__["event_type"] for record in caplog.records] == ["order.created", "(not shown: no name)"]
