"""The schemas are those of the models, and the check that all tests run under does bite."""

from typing import Any

import jsonschema_rs
import pytest

from stream_router.model import DeadLetter, Entry, Reason
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from tests import schema_check, statuses
from tests.events import BODY, transform
from tests.fakes import event
from tests.schema_check import NAMES, conforms
from tests.unit.test_docs import ROOT


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_written_from_the_models(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Draft 2020-12, each valid itself. Write them anew with `make docs`."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import schemas

    assert set(schemas.SCHEMAS) == set(NAMES)
    assert (schemas.FOLDER / f"{name}.json").read_text("utf-8") == schemas.text(name), "run `make docs`"
    made = schema_check.read((schemas.FOLDER / f"{name}.json").read_text("utf-8"))
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert jsonschema_rs.meta.is_valid(made)


def test_every_reason_stands_in_the_schema() -> None:
    """A reason that is new must be told to whoever reads the queue."""
    named = schema_check.read((schema_check.FOLDER / "dead-letter.json").read_text("utf-8"))
    assert set(named["$defs"]["Reason"]["enum"]) == {reason.value for reason in Reason}


def test_an_object_that_is_not_as_its_schema_says_fails_the_test_that_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapped places raise: here a dead letter without its reason, made by the real writer."""
    writer = LetterWriter("stream", "shard-0", lambda: 0.0, ordered=False)
    letter = DeadLetter(event(1), Reason.REFUSED, "C", "m", raw=b"x")
    writer.write(letter)
    whole = LetterWriter._content

    def without(*args: Any) -> dict[str, object]:
        return {name: value for name, value in whole(*args).items() if name != "reason"}

    monkeypatch.setattr(LetterWriter, "_content", without)
    with pytest.raises(jsonschema_rs.ValidationError):
        writer.write(letter)


@pytest.mark.parametrize(
    "wrong", [{"originalEventId": 4711}, {"conversationId": 4711}, {"eventTimestamp": "2026-11-24T10:30:00+01:00"}]
)
def test_a_detail_s_ids_are_texts_or_null_and_its_time_is_utc(wrong: dict[str, object]) -> None:
    """What docs/events.md promises of them, whatever the sender wrote."""
    entry = transform({**BODY, "interactionId": 4711, "conversationId": None})
    assert isinstance(entry, Entry)
    detail = schema_check.read(entry.detail)
    conforms("detail", detail)
    with pytest.raises(jsonschema_rs.ValidationError):
        conforms("detail", {**detail, **wrong})


def test_the_views_are_tried_with_statuses_that_can_be() -> None:
    """What the tests of `top` and of the page take for a `/status`, or for an hour, is one."""
    for status in (statuses.consumer(), statuses.holding(), statuses.moved(), statuses.receiver()):
        conforms("status", status)
    for hour in (statuses.history(), statuses.history(trouble=True)):
        conforms("history", hour)


def test_a_row_of_the_hour_that_lacks_a_number_is_none() -> None:
    """And so is an hour whose columns stand in another order: the page finds them by name, others may by place."""
    hour = statuses.history()
    hour["rows"][7].pop()
    with pytest.raises(jsonschema_rs.ValidationError):
        conforms("history", hour)
    hour = statuses.history()
    hour["columns"][1:3] = hour["columns"][2:0:-1]
    with pytest.raises(jsonschema_rs.ValidationError):
        conforms("history", hour)
