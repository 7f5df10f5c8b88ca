"""De-aggregation, against what the KCL's own AggregatorUtil made of the same records (tests/data/KplCases.java)."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from stream_router.consumer import kpl
from tests import kpl as written

CASES = json.loads((Path(__file__).parents[1] / "data" / "kpl-cases.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_a_record_is_taken_apart_as_the_kcl_does_it(case: dict[str, Any]) -> None:
    """The same user records with the same sub-sequence numbers, and nothing that the KCL hands to nobody."""
    parts = kpl.split_user_records(base64.b64decode(case["data"]))
    value = [part for part in parts if not part.is_skipped]
    handed = [[base64.b64encode(part.data).decode(), part.sub_sequence_number] for part in value]
    assert handed == case["records"]


def test_what_the_kcl_passes_over_is_still_told() -> None:
    """What stands behind a fault is given to nobody, and that can be said."""
    data = written.aggregated([("a", b"1"), ("b", b"2")], hash_keys=["5", "no number"])
    assert kpl.split_user_records(data) == [kpl.KplRecord(b"1", 0), kpl.KplRecord(b"2", 1, is_skipped=True)]
