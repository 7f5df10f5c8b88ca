"""What a rule took away in one place is found in all others: in numbers too, each counted, and nothing else touched."""

from pathlib import Path
from typing import Any

import pytest

from stream_router.pipeline.masking import policy_file
from stream_router.pipeline.masking.policy import MaskingPolicy

RULES = """
id = "p"
version = "3"
[[rules]]
action = "redact"
paths = ["**.secret"]
[[rules]]
action = "keep"
paths = ["**.kept"]
"""


@pytest.fixture
def policy(tmp_path: Path) -> MaskingPolicy:
    file = tmp_path / "policy.toml"
    file.write_text(RULES)
    compiled = policy_file.load(str(file), b"")
    assert compiled is not None
    return compiled


@pytest.mark.parametrize(
    ("secret", "beside", "left"),
    [
        (4930901820.5, 4930901820.5, "[REDACTED]"),
        ("4930901820.5", 4930901820.5, "[REDACTED]"),
        (4930901820, 4930901820, "[REDACTED]"),
        ("4930901820", 4930901820, "[REDACTED]"),
        (4930901820.5, "at 4930901820.5 Hz", "at [REDACTED] Hz"),
        ("None", None, None),
        ("True", True, True),
        ("4930901820", 4930901821, 4930901821),
        ("4930901820", [1, {"deep": 4930901820}], [1, {"deep": "[REDACTED]"}]),
    ],
)
def test_a_private_value_is_found_in_whatever_form_it_stands(
    policy: MaskingPolicy, secret: Any, beside: Any, left: Any
) -> None:
    """A number as its digits; true, false and null are no text, whatever a private value says."""
    masked = policy.mask({"payload": {"secret": secret, "beside": beside}}, [])["payload"]
    assert masked == {"secret": "[REDACTED]", "beside": left}
    assert type(masked["beside"]) is type(left)


def test_what_is_found_again_is_counted_once_a_field_and_nothing_else_is(policy: MaskingPolicy) -> None:
    """The audit log and the metrics say how much was masked; a number too many hides one that is missing."""
    payload = {"secret": "Alice Miller", "a": "for Alice Miller", "b": "for Bob", "c": 17, "kept": "Alice Miller"}
    hits: list[str] = []
    masked = policy.mask({"payload": payload}, hits)["payload"]
    assert masked == {**payload, "secret": "[REDACTED]", "a": "for [REDACTED]"}
    assert sorted(hits) == ["recurring", "redact"]
