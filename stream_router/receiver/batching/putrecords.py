"""One PutRecords request: what a record may hold, what a call may hold, and its bytes."""

import binascii
from collections.abc import Sequence

from stream_router import limits

MAX_RECORDS = limits.PUT_RECORDS_MAX_RECORDS
MAX_CALL_BYTES = 4 * 1024 * 1024
"""Kinesis takes ten. A call is three times in memory while it is made, and has 0.6 s for all of its way."""
MAX_RECORD_BYTES = limits.KINESIS_RECORD_BYTES
HASH_SPACE = 1 << 128
"""Size of Kinesis's hash-key space: a shard owns a range of it."""


class Address:
    """Where a bucket's records go: its partition key and a hash key fixed for good, so no reshard parts a bucket."""

    __slots__ = ("max_data_bytes", "partition_key", "tail")

    def __init__(self, index: int, buckets: int) -> None:
        self.partition_key = f"bucket-{index}-of-{buckets}"
        hash_key = HASH_SPACE * (2 * index + 1) // (2 * buckets)
        self.tail = f'","PartitionKey":"{self.partition_key}","ExplicitHashKey":"{hash_key}"}}'.encode()
        self.max_data_bytes = limits.KINESIS_RECORD_BYTES - len(self.partition_key)


def request_body(stream: str, records: Sequence[tuple[bytes, Address]]) -> bytes:
    """The JSON of a PutRecords call with these records, each data and address, in order."""
    encode = binascii.b2a_base64
    entries = [b'{"Data":"' + encode(data, newline=False) + address.tail for data, address in records]
    return b'{"StreamName":"' + stream.encode() + b'","Records":[' + b",".join(entries) + b"]}"
