"""The environment of the embedded stack: none of the operator's AWS or product settings gets into it."""

import errno
import os
import random
import socket
from contextlib import suppress

REGION = "us-east-1"
ACCOUNT = "000000000000"
"""What ministack says of itself."""

MARK = "STREAM_ROUTER_DEMO"
"""Set in every process of one stack, inherited by all that they start: so whatever is left behind can be found."""

_OWN_PORTS = range(30_000, 32_768)
"""Linux gives the ports from 32768 on to outgoing connections, other systems those from 49152 on."""

_DROPPED = ("AWS_", "STREAM_ROUTER_", "CXONE_", "EVENTBRIDGE_", "SQS_")


def clean(endpoint: str, mark: str) -> dict[str, str]:
    """Our own environment without any AWS or product setting, pointed at the stack at `endpoint`."""
    kept = {
        key: value for key, value in os.environ.items() if not key.upper().startswith(_DROPPED) and not _is_proxy(key)
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        MARK: mark,
    }


def enter(mark: str) -> None:
    """Make this process's own environment clean: it reads settings too, and they must not be the operator's."""
    mine = clean("", mark)
    del mine["AWS_ENDPOINT_URL"], mine[MARK]
    os.environ.clear()
    os.environ.update(mine)


def _is_proxy(key: str) -> bool:
    return key.lower() in ("http_proxy", "https_proxy", "all_proxy")


def free_port() -> int:
    """A port of the loopback that nobody uses now, and that no outgoing connection is given before its program starts.

    Raises OSError where there is none.
    """
    for port in random.sample(_OWN_PORTS, len(_OWN_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(errno.EADDRINUSE, "every port that the stack may use is taken")
