"""Every shard of a stream, page by page: a page's token stands alone, beside the stream's name it is refused.

botocore's own paginator sends both, and so fails from the second page on (boto/botocore#2009). A page has 1,000 shards,
closed ones that still keep records among them.
"""

from collections.abc import Iterator
from typing import Any


def of(kinesis: Any, stream: str, **wanted: Any) -> Iterator[Any]:
    """The shards as ListShards tells them; `wanted` is a filter, for example. Raises what the client raises."""
    page = kinesis.list_shards(StreamName=stream, **wanted)
    yield from page["Shards"]
    while token := page.get("NextToken"):
        page = kinesis.list_shards(NextToken=token)
        yield from page["Shards"]
