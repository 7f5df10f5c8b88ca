"""Variant of ministack with lasting connections, started with `python -m` in place of ministack itself.

Hypercorn, ministack's HTTP server, closes an HTTP/2 connection after a thousand requests, and never answers the last
request on it. The KCL reads all its shards over one such connection, and waits ten seconds for that answer. Without
this variant a shard would not be read during these seconds.
"""

import runpy
import sys

from hypercorn.config import Config


def keep_connections() -> None:
    """Keep this process's Hypercorn from closing a connection because of its number of requests."""
    Config.keep_alive_max_requests = sys.maxsize


def main() -> None:
    keep_connections()
    runpy.run_module("ministack", run_name="__main__")


if __name__ == "__main__":
    main()
