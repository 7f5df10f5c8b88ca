"""`stream-router mask`: what a policy does path by path, and the lines with which a user makes one."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from stream_router.model import Entry
from stream_router.operate import mask as mask_report
from stream_router.pipeline.transform import Transform
from tests.events import BODY, NOW_MS, config_of, event

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return tmp_path / "sample.json"


def told(policy: str, *samples: Path, status: int = 0) -> str:
    """What the command prints, on a terminal as wide as need be."""
    console = Console(width=300)
    with console.capture() as captured:
        assert mask_report.run(policy, *samples, console=console) == status
    return captured.get()


def verdicts(text: str) -> dict[str, str]:
    """By path, the verdict that the table says."""
    rows = (re.split(r"\s*[│┃]\s*", line.strip("│┃ ")) for line in text.splitlines() if "│" in line)
    return {row[0]: row[1] for row in rows}


PAYLOAD: dict[str, Any] = {
    "contactId": 40938475,
    "ani": "+4930901820",
    "tier": "gold",
    "note": "call anna@example.com",
    "loyalty": {"card": {"no": 4711, "name": "Anna"}, "points": [1, 2]},
    "by": {"anna@example.com": {"x": "y"}},
    "secret": "s",
    "phone2": "4930901820",
}
POLICY = """
base = "default"
search = ["payload.note"]
drop = ["payload.secret"]
keep_last = [["payload.phone2", 4]]
"""


def test_each_path_has_its_verdict(sample: Path, tmp_path: Path) -> None:
    """Passed, hashed, redacted, searched, dropped, cut; also each path in what is redacted whole."""
    sample.write_bytes(orjson.dumps({**BODY, "payload": PAYLOAD}))
    policy = tmp_path / "mine.toml"
    policy.write_text(POLICY)
    text = told(str(policy), sample)
    assert verdicts(text) == {
        "conversationId": "passed",
        "originalEventId": "passed",
        "payload.contactId": "passed",
        "payload.ani": "hashed",
        "payload.tier": "redacted",
        "payload.note": "searched",
        "payload.loyalty.card.no": "redacted",
        "payload.loyalty.card.name": "redacted",
        "payload.loyalty.points[]": "redacted",
        "payload.by.*.x": "redacted",
        "payload.secret": "dropped",
        "payload.phone2": "keeps its last characters",
    }
    assert "policy mine" in text
    assert "entries are tagged pii-masked-partly" in text
    assert "call [EMAIL]" in text
    assert "****1820" in text
    assert "STREAM_ROUTER_MASKING_KEY is not set" in text


CUSTOMER = {
    "contactId": "40938475",
    "skillName": "Billing",
    "customFields": {"tier": "gold", "contract": "K-4711", "branch": "Freiburg", "birthday": "1990-02-01"},
    "customer": {"name": "Anna Meyer", "email": "anna@example.com"},
    "transcript": [
        {"by": "Anna Meyer", "text": "My card is 4111 1111 1111 1111, ring 0761 4567890 or 020 7946 0018."},
        {"by": "agent", "text": "Invoice 2026-11 is settled."},
    ],
}


def test_a_policy_for_a_customer_is_made_by_following_the_page(tmp_path: Path) -> None:
    """Three custom fields allowed, the transcript searched for Germany and the UK: the page's own example."""
    (text,) = re.findall(r"```toml\n(.*?)```", (DOCS / "masking.md").read_text(), re.DOTALL)
    policy = tmp_path / "support.toml"
    policy.write_text(text)
    transform = Transform(config_of(masking=str(policy), masking_key="0123456789abcdef"), lambda: NOW_MS)
    sent = transform(event({**BODY, "payload": CUSTOMER}))
    assert isinstance(sent, Entry)
    detail = orjson.loads(sent.detail)
    email = detail["payload"]["customer"].pop("email")
    assert email.startswith("hmac:")
    assert detail["payload"] == {
        "contactId": "40938475",
        "skillName": "Billing",
        "customFields": {"tier": "gold", "contract": "K-4711", "branch": "Freiburg", "birthday": "[REDACTED]"},
        "customer": {"name": "[REDACTED]"},
        "transcript": [
            {"by": "[REDACTED]", "text": "My card is [CARD], ring [PHONE] or [PHONE]."},
            {"by": "[REDACTED]", "text": "Invoice 2026-11 is settled."},
        ],
    }
    assert detail["metadata"]["complianceTag"] == "pii-masked-partly"
    assert detail["metadata"]["maskingPolicy"]["id"] == "support"


def test_a_broken_sample_ends_1(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says on standard error, in one line, which line of the file is wrong, and quotes nothing."""
    sample.write_text('{"a":1}\n{secret\n')
    assert not told("default", sample, status=1)
    assert capsys.readouterr().err == f"stream-router mask: {sample}: line 2: the line is not valid JSON\n"
    sample.write_text(" \n")
    told("default", sample, status=1)
    assert capsys.readouterr().err == f"stream-router mask: {sample}: holds no event\n"


def test_a_sample_drives_no_terminal(sample: Path) -> None:
    """What a customer typed is shown without control characters, keys too."""
    sample.write_bytes(orjson.dumps({**BODY, "payload": {"skillName": "x\x9b31m\x85y\u202ez", "a\x1bb": "x"}}))
    text = told("default", sample)
    assert not {"\x9b", "\x85", "\u202e", "\x1b"} & set(text)
