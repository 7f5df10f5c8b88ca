"""The bare pipe: the child's libraries and nothing else. Prints CPU per event.

orjson line, base64, pydantic `validate_json`, a dict, `put_events` over libcurl. No outcome is read entry by entry,
nothing is retried, checked, checkpointed, counted: what this costs is the floor of these libraries on this machine
(docs/facts.md, "Costs measured": 15.7 µs an event there), so it tells how much the child's care costs.

`python -m benchmarks.peers.bare_pipe URL EVENTS`
"""

import base64
import sys
import time
from typing import Any

import orjson
import pycurl

from benchmarks import events
from benchmarks.peers.boto3_loop import BATCH, transform

RECORDS_PER_LINE = 500
CALLS_AT_ONCE = 16
HEADERS = ["Content-Type: application/x-amz-json-1.1", "X-Amz-Target: AWSEvents.PutEvents", "Expect:"]


class Pipe:
    """Calls in flight; a handle is idle or busy."""

    def __init__(self, url: str) -> None:
        self._multi = pycurl.CurlMulti()
        self._answers: dict[pycurl.Curl, list[bytes]] = {}
        for _ in range(CALLS_AT_ONCE):
            curl, parts = pycurl.Curl(), list[bytes]()
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.AWS_SIGV4, "aws:amz:us-east-1:events")
            curl.setopt(pycurl.USERNAME, "AKIDEXAMPLE")
            curl.setopt(pycurl.PASSWORD, "secret")
            curl.setopt(pycurl.HTTPHEADER, HEADERS)
            curl.setopt(pycurl.WRITEFUNCTION, parts.append)
            self._answers[curl] = parts
        self._idle = list(self._answers)

    def send(self, entries: list[dict[str, Any]]) -> None:
        """One call, as soon as a handle is idle."""
        while not self._idle:
            self._multi.select(1.0)
            self._move()
        curl = self._idle.pop()
        curl.setopt(pycurl.POSTFIELDS, orjson.dumps({"Entries": entries}))
        self._multi.add_handle(curl)
        self._move()

    def finish(self) -> None:
        """Until every call is answered."""
        while len(self._idle) < len(self._answers):
            self._multi.select(1.0)
            self._move()

    def _move(self) -> None:
        self._multi.perform()
        more = 1
        while more:
            more, answered, failed = self._multi.info_read()
            assert not failed, failed
            for curl in answered:
                self._multi.remove_handle(curl)
                parts = self._answers[curl]
                assert not orjson.loads(b"".join(parts))["FailedEntryCount"]
                parts.clear()
                self._idle.append(curl)


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    datas = [{"data": base64.b64encode(events.body(number)).decode()} for number in range(count)]
    lines = [orjson.dumps({"records": datas[at : at + RECORDS_PER_LINE]}) for at in range(0, count, RECORDS_PER_LINE)]
    pipe = Pipe(url)
    cpu, wall = time.process_time(), time.perf_counter()
    for line in lines:
        entries = [transform(base64.b64decode(record["data"])) for record in orjson.loads(line)["records"]]
        for at in range(0, len(entries), BATCH):
            pipe.send(entries[at : at + BATCH])
    pipe.finish()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(orjson.dumps({"cpuUs": cpu / count * 1e6, "wallUs": wall / count * 1e6}).decode())


if __name__ == "__main__":
    main()
