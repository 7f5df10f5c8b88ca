"""The schemas are those of the models, and the check that all tests run under does bite."""

from typing import Any

import jsonschema_rs
import pytest

from stream_router.model import DeadLetter, Reason
from stream_router.pipeline.sinks.dead_letters.message import LetterWriter
from tests import schema_check
from tests.fakes import event
from tests.schema_check import NAMES
from tests.unit.test_docs import ROOT


def test_the_files_are_written_from_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each valid itself. Write them anew with `make docs`."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import schemas

    assert set(schemas.SCHEMAS) == set(NAMES)
    for name in NAMES:
        text = (schemas.FOLDER / f"{name}.json").read_text("utf-8")
        assert text == schemas.text(name), "run `make docs`"
        assert jsonschema_rs.meta.is_valid(schema_check.read(text))


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
