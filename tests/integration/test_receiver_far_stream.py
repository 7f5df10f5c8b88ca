"""A stream whose connections take longer to open than an event may wait: three slow round trips, in a far region."""

import socket
import ssl
import time
from pathlib import Path

import httpx
import orjson
import trustme

from tests.constants import METRICS_EVERY_S, with_constants
from tests.raw_server import RawServer, Seen, answer
from tests.receiver_kit import receiver

OPENS_IN_S = 0.75
ALLOWED_S = 20.0


class FarStream(RawServer):
    """Takes every record at once, over connections that open late."""

    def _serve(self, plain: socket.socket, number: int) -> None:
        time.sleep(OPENS_IN_S)
        super()._serve(plain, number)


def taken(seen: Seen) -> bytes:
    """The answer to a PutRecords call of which everything is stored; to any other call nothing much."""
    if not seen.headers.get("x-amz-target", "").endswith("PutRecords"):
        return answer(400)
    stored = [{"SequenceNumber": "1", "ShardId": "shardId-000000000000"}] * len(orjson.loads(seen.body)["Records"])
    return answer(200, orjson.dumps({"FailedRecordCount": 0, "Records": stored}))


def test_without_a_spill_a_connection_that_opens_late_is_there_for_the_next_event(tmp_path: Path) -> None:
    """Else each event would begin to open one, wait its 0.6 s, and give it up, and none would ever be stored."""
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    bundle = f"AWS_CA_BUNDLE={tmp_path / 'ca.pem'}"
    with (
        FarStream(taken, context) as stream,
        receiver(stream.url, tmp_path, around=["env", bundle], **with_constants({METRICS_EVERY_S: 3600})) as running,
        httpx.Client() as sender,
    ):
        found: list[int] = []
        deadline_s = time.monotonic() + ALLOWED_S
        while 202 not in found and time.monotonic() < deadline_s:
            found.append(sender.post(f"{running.url}/v1/events", json={"n": len(found)}).status_code)
        assert found[-1] == 202
        assert [sender.post(f"{running.url}/v1/events", json={"later": n}).status_code for n in range(5)] == [202] * 5
