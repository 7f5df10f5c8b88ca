"""Timestamps of every form met come out as UTC with milliseconds, and as the same epoch seconds, or are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_router.model import Entry
from stream_router.pipeline.mapping.timestamps import IsoMs
from stream_router.process import iso
from tests.events import BODY, code_of, transform

FORMS: dict[str, list[Any]] = json.loads((Path(__file__).parents[1] / "data" / "timestamps.json").read_text())
"""What comes out, and what was given for it, where a time without an offset is one of Berlin: there an hour comes
twice in October, of which the first is meant, and one in March never comes. `refused` is neither another form, nor a
date alone, nor a fraction of a minute or an hour, nor digits that are no epoch of our time."""


@pytest.mark.parametrize(("values", "wanted"), [(value, wanted) for wanted, row in FORMS.items() for value in row])
def test_every_form_is_normalised_or_refused(values: object, wanted: str, tmp_path: Path) -> None:
    """Nothing is guessed."""
    config = tmp_path / "router.toml"
    config.write_text('naive_zone = "Europe/Berlin"')
    entry = transform({**BODY, "timestamp": values}, config=config)
    if wanted == "refused":
        assert code_of(entry) == "BadTimestamp"
        return
    assert isinstance(entry, Entry)
    assert json.loads(entry.detail)["eventTimestamp"] == iso(round(entry.time_s * 1000)) == wanted


def test_stamp_writer_equals_the_plain_one() -> None:
    """What is remembered between stamps changes none of them."""
    stamp = IsoMs().text
    for epoch_ms in (0, 1, 999, 1000, 1001, 1001, 999, 1_795_512_600_123, 1_795_512_600_122, 253_402_300_799_999):
        assert stamp(epoch_ms) == iso(epoch_ms)
