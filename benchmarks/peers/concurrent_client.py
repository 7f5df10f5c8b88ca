"""A plain concurrent client: the bare pipe's libraries, 16 calls at once, and retries of its own. Prints rate and CPU.

What a careful team writes: entries that fail go again after a pause, ten a call, up to five times; calls that fail go
again without end; new entries are sent meanwhile. Nothing is checked, settled, checkpointed, bisected or counted, but
the entries whose retries are used up.

`python -m benchmarks.peers.concurrent_client URL EVENTS`
"""

import base64
import heapq
import itertools
import random
import sys
import time
from typing import Any

import orjson
import pycurl

from benchmarks import events
from benchmarks.peers.bare_pipe import CALLS_AT_ONCE, HEADERS
from benchmarks.peers.boto3_loop import BATCH, transform

RETRIES = 5
FIRST_PAUSE_S = 0.1

Entry = tuple[dict[str, Any], int]
"""An entry, and how often it failed."""


class Client:
    """Entries in, until each is accepted or has failed too often."""

    def __init__(self, url: str) -> None:
        self._multi = pycurl.CurlMulti()
        self._answers: dict[pycurl.Curl, list[bytes]] = {}
        self._sent: dict[pycurl.Curl, list[Entry]] = {}
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
        self._later: list[tuple[float, int, Entry]] = []
        self._order = itertools.count()
        self._ready: list[Entry] = []
        self.accepted = self.given_up = 0

    def send(self, entries: list[dict[str, Any]]) -> None:
        """Take charge of some entries; returns once fewer than two calls' worth wait."""
        self._ready += [(entry, 0) for entry in entries]
        while len(self._ready) > BATCH:
            self._turn()

    def finish(self) -> None:
        """Until every entry is accepted or given up."""
        while self._ready or self._later or len(self._idle) < len(self._answers):
            self._turn()

    def _turn(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        while self._idle and self._ready:
            curl = self._idle.pop()
            self._sent[curl], self._ready = self._ready[:BATCH], self._ready[BATCH:]
            curl.setopt(pycurl.POSTFIELDS, orjson.dumps({"Entries": [entry for entry, _ in self._sent[curl]]}))
            self._multi.add_handle(curl)
        self._multi.perform()
        if not self._take_answers():
            self._multi.select(0.01)

    def _take_answers(self) -> int:
        more, taken = 1, 0
        while more:
            more, answered, failed = self._multi.info_read()
            for curl in [*answered, *(curl for curl, _, _ in failed)]:
                self._multi.remove_handle(curl)
                text = b"".join(self._answers[curl])
                self._answers[curl].clear()
                self._idle.append(curl)
                self._read(self._sent.pop(curl), text)
                taken += 1
        return taken

    def _read(self, entries: list[Entry], text: bytes) -> None:
        try:
            results = orjson.loads(text)["Entries"]
        except (orjson.JSONDecodeError, KeyError):
            for sent in entries:
                self._again(sent)
            return
        for (entry, failures), result in zip(entries, results, strict=True):
            if "ErrorCode" not in result:
                self.accepted += 1
            elif failures >= RETRIES:
                self.given_up += 1
            else:
                self._again((entry, failures + 1))

    def _again(self, entry: Entry) -> None:
        pause_s = random.random() * FIRST_PAUSE_S * 2 ** entry[1]
        heapq.heappush(self._later, (time.monotonic() + pause_s, next(self._order), entry))


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    datas = [base64.b64encode(events.body(number)) for number in range(count)]
    client = Client(url)
    cpu, wall = time.process_time(), time.perf_counter()
    for at in range(0, count, BATCH):
        client.send([transform(base64.b64decode(data)) for data in datas[at : at + BATCH]])
    client.finish()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    result = {"cpuUs": cpu / count * 1e6, "wallUs": wall / count * 1e6, "givenUp": client.given_up}
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
