"""What the leanest libraries take for the bytes of one event in the child, without the network: the floor of its size.

The daemon's line is parsed, base64 undone, the envelope parsed and written again, the call's body written and hashed.
"""

import hashlib
import time

import orjson
import pybase64

from benchmarks import events
from benchmarks.harness.rounds import Taken

ENTRIES_A_CALL = 10
MEASURE_BYTES = 20_000_000


def floor(size_bytes: int) -> Taken:
    """CPU an event of `size_bytes`."""
    lines = [pybase64.b64encode_as_string(events.envelope(number, size_bytes)) for number in range(ENTRIES_A_CALL)]
    daemon_line = orjson.dumps({"records": [{"data": line} for line in lines]})
    turns = max(3, min(2_000, MEASURE_BYTES // len(daemon_line)))
    before = time.process_time()
    for _ in range(turns):
        opened = [
            orjson.loads(pybase64.b64decode(record["data"], validate=True))["body"]
            for record in orjson.loads(daemon_line)["records"]
        ]
        entries = [{"Detail": orjson.dumps(body).decode(), "Source": "nice.cxone.webhook"} for body in opened]
        hashlib.sha256(orjson.dumps({"Entries": entries})).hexdigest()
    used = time.process_time() - before
    return Taken({"cpuUs": used / turns / ENTRIES_A_CALL * 1e6})
