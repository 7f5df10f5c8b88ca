"""ministack whose connections last, started with `python -m` in place of ministack itself.

Hypercorn says goodbye to an HTTP/2 connection after a thousand requests, and never answers the one that it got last.
The KCL reads all its shards over one such connection, and waits ten seconds for that answer: the shard stands still.
"""

import runpy
import sys

from hypercorn.config import Config


def keep_connections() -> None:
    """Let this process's Hypercorn end no connection for the number of its requests."""
    Config.keep_alive_max_requests = sys.maxsize


def main() -> None:
    keep_connections()
    runpy.run_module("ministack", run_name="__main__")


if __name__ == "__main__":
    main()
