"""What the receiver's log says of a trouble: one line with what to do, and nothing else at WARNING or above."""

import hashlib
import hmac
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakeaws.process import FakeAwsProcess
from tests.receiver_kit import KEY, ReceiverProcess, event, eventually, receiver

STREAM = "cxone-events"
SIGNED = {
    "WEBHOOK_SCHEME": "hmac",
    "WEBHOOK_SECRETS": KEY,
    "HMAC_TEMPLATE": "{timestamp}.{body}",
    "HMAC_TIMESTAMP_HEADER": "x-timestamp",
}


def posted(running: ReceiverProcess, key: str = KEY, offset_s: float = 0.0) -> int:
    """The answer to an event that is signed so."""
    body, stamp = event(1), str(int(time.time() + offset_s))
    signature = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"x-signature": signature, "x-timestamp": stamp}
    return httpx.post(f"{running.url}/v1/events", content=body, headers=headers, timeout=5).status_code


def log_lines(running: ReceiverProcess, name: str) -> list[dict[str, Any]]:
    """Of what `grep` for WARNING and ERROR finds: the lines of this event."""
    return [line for line in running.lines("WARNING", "ERROR") if line.get("event") == name]


def refused(**fault: Any) -> dict[str, Any]:
    return {"rules": [{"operation": "PutRecords", **fault}]}


TROUBLES: list[tuple[dict[str, Any], str, str]] = [
    (
        refused(fault="call_error", code="AccessDeniedException"),
        "AccessDeniedException",
        f"grant kinesis:PutRecords on the stream {STREAM} (stream-router setup --policy receive)",
    ),
    ({"missing": [STREAM]}, "ResourceNotFoundException", "check its name, AWS_REGION and the account"),
    (refused(fault="call_error", code="ExpiredTokenException"), "ExpiredTokenException", "renew the credentials"),
    (refused(fault="outage", how="refuse"), "NoAnswer", "check the network, the endpoint"),
]


def test_a_stream_that_takes_nothing_is_one_line_with_the_cure(tmp_path: Path) -> None:
    """The first line says what is in force. Of each trouble: code, stream, what senders are told, the cure; once in a
    minute how many requests were refused; and one line when it is over."""
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path, **SIGNED) as running:
        first = running.lines()[0]
        output = (first.get("event"), first["stream"], first["region"], first["scheme"])
        assert output == ("receiver-starts", STREAM, "us-east-1", "hmac")
        assert {"version", "python", "tls", "spill", "listen", "admin", "buckets"} <= first.keys()
        assert first["aws"]["AWS_ENDPOINT_URL_KINESIS"] == fake_aws.url

        def told_after(before: list[dict[str, Any]], name: str, *answers: int) -> list[dict[str, Any]]:
            return log_lines(running, name)[len(before) :] if posted(running) in answers else []

        for plan, code, cure in TROUBLES:
            assert posted(running) == 202
            fake_aws.plan(plan)
            before = log_lines(running, "stream-down")
            (line,) = eventually(partial(told_after, before, "stream-down", 503))
            assert (line["level"], line["code"], line["resource"]) == ("WARNING", code, STREAM)
            assert line["message"].startswith("The stream takes no events (")
            assert cure in line["message"]
            fake_aws.plan({})
            eventually(partial(told_after, before, "stream-down-over", 202, 503))
        (refusals,) = log_lines(running, "requests-refused")
        assert (refusals["events"] >= 1, TROUBLES[0][1] in refusals["message"]) == (True, True)
        warnings = [line for line in running.lines("WARNING", "ERROR") if line.get("event") != "verdict"]
        assert len(warnings) == 2 * len(TROUBLES) + 1
        assert KEY not in running.log.read_text()


@pytest.mark.parametrize(
    ("key", "offset_s", "others", "says"),
    [
        (
            "another secret of some length",
            0.0,
            False,
            "(bad_signature). None is accepted. Cure: compare STREAM_ROUTER_WEBHOOK",
        ),
        (KEY, 7200.0, False, "(stale). None is accepted. Cure: check this host's clock"),
        (KEY, -7200.0, True, "(stale). Others are accepted. Cure: check the sender's clock"),
    ],
)
def test_deliveries_that_are_not_known_are_one_line_with_the_cure(
    tmp_path: Path, key: str, offset_s: float, others: bool, says: str
) -> None:
    """A clock that makes everything stale is named as such: senders may take a 401 for final. Where others are let in
    meanwhile this host's clock is right."""
    with FakeAwsProcess() as fake_aws, receiver(fake_aws.url, tmp_path, **SIGNED) as running:
        assert [posted(running, key, offset_s) for _ in range(3)] == [401] * 3
        assert not others or posted(running) == 202
        (line,) = eventually(lambda: running.lines("WARNING", "ERROR"))
        assert (line.get("event"), line["deliveries"], line["client"]) == ("deliveries-refused", 3, "127.0.0.1")
        assert f"answered 401 {says}" in line["message"]
        assert KEY not in running.log.read_text()
